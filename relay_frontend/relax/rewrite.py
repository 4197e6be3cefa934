"""Rewriting of graphs by local rules, with the way from each old node to the new one.

A rule looks at one node, the last of its pattern, and says what stands for the whole, see :class:`Match`.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from relay_frontend.graph import PARAMETER, Edge, OpGraph, OpNode, TensorType
from relay_frontend.plan import FusionPlan, PlannedNetwork

__all__ = ["Match", "Rule", "View", "apply_rules", "join_in_kernels", "planned_network"]


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


def apply_rules(
    rules: Iterable[Rule],
    graph: OpGraph,
    scalars: Mapping[int, float] = MappingProxyType({}),
    allowed: Allowed = lambda nodes, becomes: True,
) -> tuple[OpGraph, tuple[int | None, ...]]:
    """Apply every rule in turn; outputs and parameters that nobody reads go.

    Args:
        rules: in order.
        graph: as it was read.
        scalars: the values of constants of one element, by parameter slot, as far as they are known.
        allowed: whether these nodes of ``graph`` may become that one, or None: nothing.

    Returns:
        The new graph, and for each node of ``graph`` the new node that stands for it; None where it went.
    """
    count = len(graph.nodes)
    origins: list[tuple[int, ...]] = [(index,) for index in range(count)]
    for rule in rules:
        graph, origins = _apply_rule(rule, graph, origins, allowed, scalars)
    mapping: list[int | None] = [None] * count
    for new, group in enumerate(origins):
        for old in group:
            mapping[old] = new
    return _drop_unread(graph), tuple(mapping)


def join_in_kernels(
    rules: Iterable[Rule], graph: OpGraph, scalars: Mapping[int, float], kernels: Sequence[tuple[int, ...]]
) -> tuple[OpGraph, tuple[tuple[int, ...], ...]]:
    """Apply every rule inside of kernels only.

    Args:
        rules: in order.
        graph: as it was read.
        scalars: as apply_rules has them.
        kernels: a partition of the graph's nodes.

    Returns:
        The new graph, and for each of the kernels what is left of it; of one that stands for no operator, nothing.
    """
    kernel_of = {node: index for index, nodes in enumerate(kernels) for node in nodes}

    def allowed(nodes: tuple[int, ...], becomes: OpNode | None) -> bool:
        found = {kernel_of[node] for node in nodes}
        alone = all(set(kernels[kernel]) <= set(nodes) for kernel in found)
        return len(found) == 1 and (becomes is not None or not alone)

    joined, moved = apply_rules(rules, graph, scalars, allowed)
    left = (sorted({place for node in nodes if (place := moved[node]) is not None}) for nodes in kernels)
    return joined, tuple(map(tuple, left))


def planned_network(
    rules: Sequence[Rule], graph: OpGraph, scalars: Mapping[int, float], kernels: Sequence[tuple[int, ...]] | None
) -> PlannedNetwork:
    """A module of TVM's as it was read, put together; its plan is of the kernels, None where nothing is fused."""
    whole = apply_rules(rules, graph, scalars)[0]
    if kernels is None:
        return PlannedNetwork(whole)
    joined, left = join_in_kernels(rules, graph, scalars, kernels)
    return PlannedNetwork(whole, FusionPlan(joined, tuple(kernel for kernel in left if kernel), "tvm"))


def _apply_rule(
    rule: Rule,
    graph: OpGraph,
    origins: list[tuple[int, ...]],
    allowed: Allowed,
    scalars: Mapping[int, float],
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


def _drop_unread(graph: OpGraph) -> OpGraph:
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
