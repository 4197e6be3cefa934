"""TVM's own fusion plan, told from a graph and its patterns alone: what FuseOps would do, without TVM.

The rule is that of src/relax/analysis/graph_partitioner.cc: an operator is fused into its immediate post-dominator,
the closest operator through which all that is computed from it goes, if every operator on the way may be fused too.
Convolutions and their kin take in elementwise operators first; then injective operators are fused into each other.
(FuseOps' third phase is about tuples, of which legalised modules have none.)
"""

from collections.abc import Sequence
from dataclasses import dataclass

from relay_frontend.errors import PlanError
from relay_frontend.graph import Edge
from relay_frontend.plan import FusionPlan
from tvm_narcost.fusion.legality import MAX_OPERATORS, FusionSpace
from tvm_narcost.fusion.patterns import Pattern

__all__ = ["DEFAULT_PLANNER", "default_plan"]

DEFAULT_PLANNER = "tvm"


def default_plan(
    space: FusionSpace, *, max_operators: int = MAX_OPERATORS, planner: str = DEFAULT_PLANNER
) -> FusionPlan:
    """The plan that TVM's FuseOps makes; linear in nodes and edges but for what is fused.

    Args:
        space: the graph and its patterns.
        max_operators: of a kernel, fields of tuples counted; FuseOps' option ``relax.FuseOps.max_depth``.
        planner: what the plan is to say of who made it.

    Raises:
        PlanError: kernels that read from each other, which FuseOps never makes.
    """
    bindings = _bindings(space)
    partitioner = _Partitioner(bindings, _post_dominators(bindings), max_operators)
    for phase in (0, 1):
        partitioner.run(phase)
    kernels: dict[int, set[int]] = {}
    for number, binding in enumerate(bindings):
        if binding.nodes:
            kernels.setdefault(partitioner.root(number), set()).update(binding.nodes)
    ordered = space.ordered(kernels.values())
    if ordered is None:
        raise PlanError(f"kernels of {space.graph.name!r} read from each other, expected those of TVM to have an order")
    return FusionPlan(space.graph, ordered, planner)


@dataclass(eq=False, slots=True)
class _Binding:
    """One variable of the legalised module, FuseOps' node; its number is its place in topological order.

    Attributes:
        pattern: how it may be fused.
        nodes: what it computes; none for a field of a tuple, and for what the network returns.
        readers: the bindings that read it.
        is_returned: whether the network returns it.
    """

    pattern: Pattern
    nodes: tuple[int, ...]
    readers: list[int]
    is_returned: bool = False


def _bindings(space: FusionSpace) -> list[_Binding]:
    graph, found = space.graph, list[_Binding]()
    value_of: dict[Edge, int] = {}
    read = {edge for node in graph.nodes for edge in node.inputs} | {*graph.outputs}
    for index, node in enumerate(graph.nodes):
        unit = space.units[index]
        if index == unit[-1]:
            number = len(found)
            found.append(_Binding(max(space.patterns[member] for member in unit), unit, []))
            for edge in {edge for member in unit for edge in graph.nodes[member].inputs}:
                if edge.source >= 0 and edge.source not in unit:
                    found[value_of[edge]].readers.append(number)
            value_of |= {
                Edge(member, slot): number for member in unit for slot in range(len(graph.nodes[member].outputs))
            }
            if len(node.outputs) > 1:
                for slot in range(len(node.outputs)):
                    if Edge(index, slot) in read:
                        value_of[Edge(index, slot)] = len(found)
                        found[number].readers.append(len(found))
                        found.append(_Binding(Pattern.INJECTIVE, (), []))
    for edge in graph.outputs:
        if edge.source >= 0:
            found[value_of[edge]].is_returned = True
    return found


@dataclass(frozen=True, slots=True)
class _PostDominator:
    """Where all paths from a binding meet: which binding, at which depth from the end, by edges of which pattern."""

    parent: int | None
    depth: int
    pattern: Pattern


def _post_dominators(bindings: Sequence[_Binding]) -> list[_PostDominator]:
    """The immediate post-dominator of each binding; the least fusible pattern of the edges between."""
    found: list[_PostDominator] = [_PostDominator(None, 1, Pattern.OPAQUE)] * len(bindings)
    for number in reversed(range(len(bindings))):
        binding = bindings[number]
        if binding.is_returned or not binding.readers:
            continue
        parent: int | None = binding.readers[0]
        pattern = bindings[binding.readers[0]].pattern
        for reader in binding.readers[1:]:
            other: int | None = reader
            while parent != other and parent is not None and other is not None:
                left, right = found[parent], found[other]
                if left.depth >= right.depth:
                    parent, pattern = left.parent, max(pattern, left.pattern)
                if right.depth >= left.depth:
                    other, pattern = right.parent, max(pattern, right.pattern)
            parent = parent if other is not None else None
            pattern = max(pattern, bindings[reader].pattern)
        found[number] = _PostDominator(parent, 1 if parent is None else found[parent].depth + 1, pattern)
    return found


class _Partitioner:
    """Groups of bindings, kept as a union-find forest, while operators are fused."""

    def __init__(self, bindings: Sequence[_Binding], dominators: Sequence[_PostDominator], max_operators: int) -> None:
        self._bindings = bindings
        self._dominators = dominators
        self._max_operators = max_operators
        self._parent = list(range(len(bindings)))
        self._pattern = [binding.pattern for binding in bindings]
        self._size = [1] * len(bindings)
        self._has_anchor = [binding.pattern == Pattern.OUT_EWISE_FUSABLE for binding in bindings]

    def root(self, number: int) -> int:
        """The group of a binding."""
        while self._parent[number] != number:
            self._parent[number] = self._parent[self._parent[number]]
            number = self._parent[number]
        return number

    def run(self, phase: int) -> None:
        """Fuse each binding into its post-dominator where that phase's rule allows it."""
        for number, (binding, dominator) in enumerate(zip(self._bindings, self._dominators, strict=True)):
            sink = dominator.parent
            if binding.pattern == Pattern.OPAQUE or sink is None or self.root(number) == self.root(sink):
                continue
            inner = self._between(number, sink)
            if self._size[self.root(sink)] + sum(self._size[found] for found in inner) > self._max_operators:
                continue
            if self._may_fuse(number, sink, inner, phase):
                for found in inner:
                    self._merge(found, sink)

    def _between(self, number: int, sink: int) -> list[int]:
        """A binding and all that lies between it and its post-dominator."""
        found, waiting = dict.fromkeys([number]), [number]
        while waiting:
            for reader in self._bindings[waiting.pop()].readers:
                if reader != sink and reader not in found:
                    found[reader] = None
                    waiting.append(reader)
        return list(found)

    def _may_fuse(self, number: int, sink: int, inner: list[int], phase: int) -> bool:
        own, edges = self._pattern[number], self._dominators[number].pattern
        between = max((self._pattern[self.root(found)] for found in inner[1:]), default=Pattern.ELEMWISE)
        last = self._pattern[self.root(sink)]
        if own == Pattern.OUT_EWISE_FUSABLE:
            return phase == 0 and edges == Pattern.ELEMWISE and max(between, last) <= Pattern.BROADCAST
        if own <= Pattern.BROADCAST:
            return (
                (edges <= Pattern.INJECTIVE or edges == Pattern.COMM_REDUCE)
                and between <= Pattern.INJECTIVE
                and last <= Pattern.OUT_EWISE_FUSABLE
            )
        return own == Pattern.INJECTIVE and phase == 1 and max(between, last) <= Pattern.INJECTIVE

    def _merge(self, child: int, parent: int) -> None:
        child, parent = self.root(child), self.root(parent)
        if child == parent:
            return
        self._parent[child] = parent
        self._size[parent] += self._size[child]
        if self._has_anchor[child]:
            self._has_anchor[parent] = True
            self._pattern[parent] = max(self._pattern[child], self._pattern[parent])
