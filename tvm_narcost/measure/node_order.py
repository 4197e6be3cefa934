"""One order for the nodes of a graph, whichever order a runtime happened to list them in."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from heapq import heapify, heappop, heappush

from relay_frontend.graph import GRAPH_INPUT, Edge, OpGraph

__all__ = ["arrange_nodes"]


def arrange_nodes(graph: OpGraph) -> OpGraph:
    """``graph`` with its nodes in the order that its structure gives; the same network always gets the same order.

    ONNX Runtime lists independent nodes of its optimised graph in another order from one session to the next, while
    kernel times are stored under a node's index in a plan that is stored once. The order is topological and follows a
    chain to its end before it turns to the next branch, much as the runtime does; between branches, the operators,
    attributes and types of what lies above and below a node decide. Nodes that agree in all of that are alike.
    """
    digests = _digests(graph)
    readers = graph.consumers
    pending = [len(graph.predecessors(index)) for index in range(len(graph.nodes))]
    ready = [(0, digests[index], index) for index, count in enumerate(pending) if count == 0]
    heapify(ready)
    order: list[int] = []
    while ready:
        _, _, index = heappop(ready)
        order.append(index)
        for reader in readers[index]:
            pending[reader] -= 1
            if pending[reader] == 0:
                heappush(ready, (-len(order), digests[reader], reader))  # the latest made ready goes first
    return _in_order(graph, order)


def _in_order(graph: OpGraph, order: Sequence[int]) -> OpGraph:
    place = {old: new for new, old in enumerate(order)}

    def moved(edge: Edge) -> Edge:
        return Edge(place[edge.source], edge.slot) if edge.source >= 0 else edge

    nodes = (graph.nodes[old] for old in order)
    return replace(
        graph,
        nodes=tuple(replace(node, inputs=tuple(map(moved, node.inputs))) for node in nodes),
        outputs=tuple(map(moved, graph.outputs)),
    )


def _digests(graph: OpGraph) -> list[bytes]:
    """For each node a digest of everything above and below it, names left out."""
    above: list[bytes] = []
    for node in graph.nodes:
        sources = [
            (above[edge.source], edge.slot)
            if edge.source >= 0
            else (edge.source, edge.slot if edge.source == GRAPH_INPUT else 0, repr(graph.type_of(edge)))
            for edge in node.inputs
        ]
        above.append(_digest((node.op, node.attributes, node.outputs, sources)))
    below = [b""] * len(graph.nodes)
    for index in reversed(range(len(graph.nodes))):
        reads = [
            (above[reader], below[reader], slot, edge.slot)
            for reader in graph.consumers[index]
            for slot, edge in enumerate(graph.nodes[reader].inputs)
            if edge.source == index
        ]
        leaves = [slot for slot, edge in enumerate(graph.outputs) if edge.source == index]
        below[index] = _digest((above[index], sorted(reads), leaves))
    return below


def _digest(value: object) -> bytes:
    return hashlib.sha256(repr(value).encode()).digest()
