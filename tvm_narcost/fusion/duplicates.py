"""Operators that compute what another one computes already; a runtime runs only one of them."""

from dataclasses import replace

from relay_frontend.graph import Edge, OpGraph

__all__ = ["find_duplicates", "without_duplicates"]


def find_duplicates(graph: OpGraph) -> dict[int, int]:
    """Node index -> the first node of the same operator and attributes that reads the same values."""
    found: dict[int, int] = {}
    known: dict[object, int] = {}
    for index, node in enumerate(graph.nodes):
        inputs = tuple(Edge(found.get(edge.source, edge.source), edge.slot) for edge in node.inputs)
        first = known.setdefault((node.op, node.attributes, inputs), index)
        if first != index and node.inputs:
            found[index] = first
    return found


def without_duplicates(graph: OpGraph, duplicates: dict[int, int]) -> OpGraph:
    """A graph of as many nodes in which nobody reads a duplicate and duplicates read nothing."""

    def follow(edge: Edge) -> Edge:
        return Edge(duplicates.get(edge.source, edge.source), edge.slot)

    nodes = (
        replace(node, inputs=() if index in duplicates else tuple(map(follow, node.inputs)))
        for index, node in enumerate(graph.nodes)
    )
    return replace(graph, nodes=tuple(nodes), outputs=tuple(map(follow, graph.outputs)))
