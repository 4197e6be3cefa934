"""Steps from one legal plan to the next: two kernels joined, or one cut at an edge."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from relay_frontend.errors import PlanError
from relay_frontend.plan import FusionPlan
from tvm_narcost.fusion.legality import FusionSpace, Kernels

__all__ = ["Partition", "Side", "cut_edge", "cut_edges", "join_edge", "join_edges", "no_fusion", "partition_of"]


class Side(Enum):
    """Which part of a kernel goes by itself when an edge is cut.

    BEFORE: the edge's node and what it is computed from. AFTER: the edge's reader and what is computed from it.
    """

    BEFORE = "before"
    AFTER = "after"


@dataclass(frozen=True, eq=False, slots=True)
class Partition:
    """A legal plan while it is changed.

    Attributes:
        space: what it is a plan in.
        kernels: in an order in which they can run.
        owner: for each node its kernel, an index into ``kernels``.
    """

    space: FusionSpace
    kernels: Kernels
    owner: tuple[int, ...]

    @classmethod
    def ordered(cls, space: FusionSpace, kernels: Sequence[Iterable[int]]) -> "Partition | None":
        """The kernels in order; None where they read from each other."""
        found = space.ordered(kernels)
        return None if found is None else cls.of(space, found)

    @classmethod
    def of(cls, space: FusionSpace, kernels: Kernels) -> "Partition":
        """Kernels that are in order."""
        owner = [0] * len(space.graph.nodes)
        for kernel, members in enumerate(kernels):
            for index in members:
                owner[index] = kernel
        return cls(space, kernels, tuple(owner))

    def plan(self, planner: str) -> FusionPlan:
        """As a plan that says who made it."""
        return FusionPlan(self.space.graph, self.kernels, planner)

    def edges_between(self) -> Iterator[tuple[int, int]]:
        """(node, reader) pairs whose value goes from one kernel to another."""
        return ((node, reader) for node, reader in self.space.edges if self.owner[node] != self.owner[reader])

    def edges_inside(self) -> Iterator[tuple[int, int]]:
        """(node, reader) pairs whose value stays inside of a kernel."""
        return ((node, reader) for node, reader in self.space.edges if self.owner[node] == self.owner[reader])


def partition_of(space: FusionSpace, plan: FusionPlan) -> Partition:
    """A legal plan, to be changed."""
    return Partition.of(space, plan.kernels)


def no_fusion(space: FusionSpace) -> Partition:
    """A kernel for each operator, and one for each set that one call computes."""
    found = Partition.ordered(space, list(dict.fromkeys(space.units)))
    if found is None:
        raise PlanError(
            f"operators of {space.graph.name!r} that one call computes read from others that read from them; expected "
            "them to be next to each other"
        )
    return found


def join_edge(partition: Partition, node: int, reader: int) -> Partition | None:
    """Join the kernels of a node and its reader; None where that is not legal, or they are one already."""
    first, second = partition.owner[node], partition.owner[reader]
    if first == second:
        return None
    joined = partition.kernels[first] + partition.kernels[second]
    if partition.space.kernel_fault(joined):
        return None
    kept = [members for kernel, members in enumerate(partition.kernels) if kernel not in (first, second)]
    return Partition.ordered(partition.space, [*kept, joined])


def join_edges(partition: Partition, edges: Iterable[tuple[int, int]]) -> Partition:
    """Join the kernels of the node and the reader of each edge, one edge after the other, where that is legal."""
    space, owner = partition.space, list(partition.owner)
    members = [*map(list, partition.kernels)]
    for node, reader in edges:
        first, second = owner[node], owner[reader]
        joined = members[first] + members[second]
        if first == second or space.kernel_fault(joined) or _is_around(space, owner, members, first, second):
            continue
        members[first], members[second] = joined, []
        for index in joined:
            owner[index] = first
    return _with_order(partition, [found for found in members if found])


def _with_order(partition: Partition, kernels: Sequence[Iterable[int]]) -> Partition:
    found = Partition.ordered(partition.space, kernels)
    return partition if found is None else found


def _is_around(
    space: FusionSpace, owner: Sequence[int], members: Sequence[Sequence[int]], first: int, second: int
) -> bool:
    """Whether a path leads from one kernel to another one through a third."""
    seen = {first}
    waiting = [first]
    while waiting:
        kernel = waiting.pop()
        readers = {owner[reader] for index in members[kernel] for reader in space.graph.consumers[index]}
        if kernel != first and second in readers:
            return True
        new = readers - seen - {second}
        seen |= new
        waiting += new
    return False


def cut_edge(partition: Partition, node: int, reader: int) -> list[Partition]:
    """Cut a kernel between a node and its reader, in the one or two ways that there are.

    What comes before ``node``, itself among it, is parted from the rest, or what comes after ``reader``. What then
    does not hang together any more becomes several kernels.
    """
    found: dict[Kernels, Partition] = {}
    for side in Side:
        changed = cut_edges(partition, [(node, reader)], side)
        if changed.kernels != partition.kernels:
            found.setdefault(changed.kernels, changed)
    return list(found.values())


def cut_edges(partition: Partition, edges: Iterable[tuple[int, int]], side: Side) -> Partition:
    """Cut kernels at edges, one edge after the other, where they are still inside of one and that is legal."""
    space, owner = partition.space, list(partition.owner)
    members = [*map(frozenset, partition.kernels)]
    for node, reader in edges:
        kernel = owner[node]
        if kernel != owner[reader] or reader in space.units[node]:
            continue
        inside = members[kernel]
        if side is Side.BEFORE:
            part = _reached(inside, node, space.sources, space.units)
        else:
            part = inside - _reached(inside, reader, space.graph.consumers, space.units)
        # A set that one call computes may lie on both sides; it is not parted.
        if reader in part or node not in part:
            continue
        pieces = [*space.pieces(part), *space.pieces(inside - part)]
        if any(map(space.kernel_fault, pieces)):
            continue
        members[kernel] = frozenset(pieces[0])
        for piece in pieces[1:]:
            for index in piece:
                owner[index] = len(members)
            members.append(frozenset(piece))
    return partition if len(members) == len(partition.kernels) else _with_order(partition, members)


def _reached(
    inside: frozenset[int], start: int, step: Sequence[Sequence[int]], units: Sequence[Sequence[int]]
) -> frozenset[int]:
    """The nodes of a kernel that are reached from one of them."""
    found: set[int] = set()
    waiting = [start]
    while waiting:
        index = waiting.pop()
        if index in inside and index not in found:
            found.add(index)
            waiting += [*step[index], *units[index]]
    return frozenset(found)
