"""Rewriting of graphs by local rules, with the way from each old node to the new one.

A rule looks at one node, the last of its pattern, and says what stands for the whole, see :class:`Match`.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from relay_frontend.graph import PARAMETER, Edge, OpGraph, OpNode, TensorType

__all__ = ["Allowed", "Match", "Rule", "View", "apply_rule", "drop_unread"]


@dataclass(frozen=True, slots=True)
class Match:
    """``nodes`` (ascending) become ``node``, in the last one's place; or, if None, nothing: readers take ``alias``."""

    nodes: tuple[int, ...]
    node: OpNode | None
    alias: Edge | None = None


class View:
    """A graph, who reads which value how often, and room for parameters that a rule adds.

    ``scalars`` has the values of parameters of one element, by slot, as far as they are known.
    """

    def __init__(self, graph: OpGraph, scalars: Mapping[int, float]) -> None:
        self.graph = graph
        self.scalars = scalars
        self.parameters = list(graph.parameters)
        self.readers = Counter(edge for node in graph.nodes for edge in node.inputs)
        self.readers.update(graph.outputs)
        self.kept = set(graph.outputs)

    def inner(self, edge: Edge, op: str) -> OpNode | None:
        """The node that ``edge`` comes from, if it is an ``op`` that nobody else reads."""
        if edge.source < 0 or self.readers[edge] != 1 or edge in self.kept:
            return None
        node = self.graph.nodes[edge.source]
        return node if node.op == op else None

    def type_of(self, edge: Edge) -> TensorType:
        """The type of a value, of a new parameter too."""
        return self.parameters[edge.slot][1] if edge.source == PARAMETER else self.graph.type_of(edge)

    def scalar(self, edge: Edge) -> float | None:
        """The value of a constant of one element; None for anything else."""
        return self.scalars.get(edge.slot) if edge.source == PARAMETER else None

    def split_constant(self, node: OpNode) -> tuple[Edge, Edge] | None:
        """Of a node with two inputs, one of them constant: (the other one, the constant)."""
        if len(node.inputs) != 2 or (node.inputs[0].source == PARAMETER) == (node.inputs[1].source == PARAMETER):
            return None
        first, second = node.inputs
        return (second, first) if first.source == PARAMETER else (first, second)

    def add_parameter(self, name: str, kind: TensorType) -> Edge:
        """A new parameter, and how to read it."""
        self.parameters.append((name, kind))
        return Edge(PARAMETER, len(self.parameters) - 1)


Rule = Callable[[View, int], Match | None]
Allowed = Callable[[tuple[int, ...], OpNode | None], bool]


def apply_rule(
    rule: Rule,
    graph: OpGraph,
    origins: list[tuple[int, ...]],
    allowed: Allowed = lambda nodes, becomes: True,
    scalars: Mapping[int, float] = MappingProxyType({}),
) -> tuple[OpGraph, list[tuple[int, ...]]]:
    """Replace each match, the first of those that overlap.

    Args:
        rule: is asked of every node.
        graph: the graph.
        origins: for each of its nodes, the nodes of the first graph that it stands for.
        allowed: whether these nodes of the first graph may become that one.
        scalars: what is known of constants of one element: parameter's slot -> value.

    Returns:
        The new graph and the origins of its nodes.
    """
    view = View(graph, scalars)
    matches: dict[int, Match] = {}
    absorbed: set[int] = set()
    for index in range(len(graph.nodes)):
        match = rule(view, index)
        if match is None or absorbed.intersection(match.nodes):
            continue
        if allowed(tuple(old for node in match.nodes for old in origins[node]), match.node):
            matches[index] = match
            absorbed.update(match.nodes)
    if not matches:
        return graph, origins
    return _rebuild(view, matches, absorbed, origins)


def _rebuild(
    view: View, matches: dict[int, Match], absorbed: set[int], origins: list[tuple[int, ...]]
) -> tuple[OpGraph, list[tuple[int, ...]]]:
    moved: dict[int, int] = {}
    aliases: dict[int, Edge] = {}
    nodes: list[OpNode] = []
    kept: list[tuple[int, ...]] = []

    def follow(edge: Edge) -> Edge:
        if edge.source in aliases:
            return aliases[edge.source]
        return Edge(moved[edge.source], edge.slot) if edge.source >= 0 else edge

    for index, old in enumerate(view.graph.nodes):
        match = matches.get(index)
        if match is None and index in absorbed:
            continue
        if match is not None and match.node is None and match.alias is not None:
            aliases[index] = follow(match.alias)
            continue
        node = match.node if match is not None and match.node is not None else old
        moved[index] = len(nodes)
        nodes.append(replace(node, inputs=tuple(map(follow, node.inputs))))
        kept.append(tuple(origin for part in (match.nodes if match else (index,)) for origin in origins[part]))
    outputs = tuple(map(follow, view.graph.outputs))
    graph = replace(view.graph, nodes=tuple(nodes), parameters=tuple(view.parameters), outputs=outputs)
    return graph, kept


def drop_unread(graph: OpGraph) -> OpGraph:
    """Without parameters that nobody reads, and without trailing outputs that nobody reads."""
    read = {edge for node in graph.nodes for edge in node.inputs} | set(graph.outputs)
    used = sorted(edge.slot for edge in read if edge.source == PARAMETER)
    place = {slot: new for new, slot in enumerate(used)}

    def follow(edge: Edge) -> Edge:
        return Edge(PARAMETER, place[edge.slot]) if edge.source == PARAMETER else edge

    last = {}
    for edge in sorted(read, key=lambda edge: edge.slot):
        last[edge.source] = edge.slot

    def outputs(index: int, node: OpNode) -> tuple[TensorType, ...]:
        return node.outputs[: last.get(index, 0) + 1] if node.op in _OPTIONAL_OUTPUTS else node.outputs

    return replace(
        graph,
        nodes=tuple(
            replace(node, inputs=tuple(map(follow, node.inputs)), outputs=outputs(index, node))
            for index, node in enumerate(graph.nodes)
        ),
        parameters=tuple(graph.parameters[slot] for slot in used),
        outputs=tuple(map(follow, graph.outputs)),
    )


_OPTIONAL_OUTPUTS = {"BatchNormalization", "Dropout", "MaxPool"}
