"""From a kernel for each operator to a FusionPlan: layout changes inserted, kernels put in order."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from heapq import heapify, heappop, heappush

from relay_frontend.errors import PlanError
from relay_frontend.graph import Edge, OpGraph, OpNode
from relay_frontend.plan import FusionPlan

__all__ = ["Reorder", "arrange_partition"]


@dataclass(frozen=True, slots=True)
class Reorder:
    """A change of layout, which is a kernel of its own.

    Attributes:
        edge: the value that is moved.
        readers: the kernels that read it moved; the outputs of the network where there are none.
        op: ``ReorderInput`` or ``ReorderOutput``, seen from operators that want another layout than the plain one.
    """

    edge: Edge
    readers: frozenset[int]
    op: str


def arrange_partition(
    graph: OpGraph, kernel_of: Sequence[int], reorders: Sequence[Reorder], planner: str
) -> tuple[FusionPlan, tuple[int, ...]]:
    """The plan, and for each of its kernels the number that it had in ``kernel_of``; -1 - n for ``reorders[n]``.

    Kernels come after those that they read from; among those that could come next, the one whose first operator stands
    first in ``graph``. Operators stand in the order of their kernels.

    Raises:
        PlanError: kernels read from each other.
    """
    nodes, outputs, owners = list(graph.nodes), list(graph.outputs), list(kernel_of)
    count = len(nodes)
    ranks = [float(index) for index in range(count)]
    for offset, reorder in enumerate(reorders):
        edge, moved = reorder.edge, Edge(count + offset)
        reading = [index for index in range(count) if owners[index] in reorder.readers and edge in nodes[index].inputs]
        for index in reading:
            inputs = tuple(moved if read == edge else read for read in nodes[index].inputs)
            nodes[index] = replace(nodes[index], inputs=inputs)
        if not reading:
            outputs = [moved if read == edge else read for read in outputs]
        name = f"{nodes[reading[0]].name}.{reorder.op}" if reading else reorder.op
        nodes.append(OpNode(reorder.op, (edge,), (graph.type_of(edge),), (), name))
        ranks.append(min(reading, default=count) - 0.5)  # right before what reads it
        owners.append(-1 - offset)
    order = _kernel_order(nodes, owners, ranks, graph.name)
    place = {old: new for new, old in enumerate(index for kernel in order for index in kernel)}

    def follow(edge: Edge) -> Edge:
        return Edge(place[edge.source], edge.slot) if edge.source >= 0 else edge

    arranged = tuple(
        replace(nodes[old], inputs=tuple(map(follow, nodes[old].inputs))) for kernel in order for old in kernel
    )
    plan = FusionPlan(
        replace(graph, nodes=arranged, outputs=tuple(map(follow, outputs))),
        tuple(tuple(place[index] for index in kernel) for kernel in order),
        planner,
    )
    return plan, tuple(owners[kernel[0]] for kernel in order)


def _kernel_order(
    nodes: Sequence[OpNode], owners: Sequence[int], ranks: Sequence[float], network: str
) -> list[tuple[int, ...]]:
    inside: dict[int, list[int]] = {}
    for index, kernel in enumerate(owners):
        inside.setdefault(kernel, []).append(index)
    sources = {
        kernel: {owners[edge.source] for index in found for edge in nodes[index].inputs if edge.source >= 0} - {kernel}
        for kernel, found in inside.items()
    }
    readers: dict[int, list[int]] = {kernel: [] for kernel in inside}
    for kernel, found in sources.items():
        for source in found:
            readers[source].append(kernel)
    pending = {kernel: len(found) for kernel, found in sources.items()}
    ready = [(ranks[found[0]], kernel) for kernel, found in inside.items() if not pending[kernel]]
    heapify(ready)
    order: list[tuple[int, ...]] = []
    while ready:
        _, kernel = heappop(ready)
        order.append(tuple(inside[kernel]))
        for reader in readers[kernel]:
            pending[reader] -= 1
            if not pending[reader]:
                heappush(ready, (ranks[inside[reader][0]], reader))
    if len(order) < len(inside):
        stuck = [nodes[inside[kernel][0]].name for kernel, left in pending.items() if left]
        raise PlanError(
            f"{len(stuck)} kernels of {network!r} read from each other, so that they have no order: "
            f"{', '.join(stuck[:5])}; expected a partition without cycles"
        )
    return order
