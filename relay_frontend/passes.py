"""Canonicalisation: graphs that compute the same at inference become the same graph.

Each pass is a pure function OpGraph -> OpGraph and says what it requires and what it ensures. :func:`canonicalize`
runs them in the order of ``PASSES``.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from relay_frontend.graph import PARAMETER, Edge, OpGraph, OpNode, TensorType

__all__ = [
    "PASSES",
    "DropDeadNodesPass",
    "DropIdentityPass",
    "FoldBatchNormPass",
    "GraphPass",
    "RenameBinarySumPass",
    "canonicalize",
]


class GraphPass(Protocol):
    """A rewrite of a graph, which says in words what holds before and after."""

    @property
    def requires(self) -> str:
        """What must hold before."""
        ...

    @property
    def ensures(self) -> str:
        """What holds after."""
        ...

    def __call__(self, graph: OpGraph) -> OpGraph:
        """The rewritten graph; the one given stays as it is."""
        ...


def canonicalize(graph: OpGraph) -> OpGraph:
    """The graph after every pass of ``PASSES``; applying it twice changes nothing."""
    for rewrite in PASSES:
        graph = rewrite(graph)
    return graph


@dataclass(frozen=True, slots=True)
class DropIdentityPass:
    """What hands its input on unchanged at inference: readers take the input instead.

    Identity, Dropout, Cast to the dtype that is there already, Reshape and its kin to the shape that is there already,
    Transpose that keeps the order, Slice of everything, Pad by nothing, Concat or Sum of a single value.
    """

    requires: str = "a well-formed graph"
    ensures: str = "no such node but a Dropout whose mask is read or that trains"

    def __call__(self, graph: OpGraph) -> OpGraph:
        """Readers of what changes nothing read its input instead."""
        masks = {edge.source for edge in _edges(graph) if edge.slot > 0 and edge.source >= 0}
        aliases = {
            index: node.inputs[0]
            for index, node in enumerate(graph.nodes)
            if node.inputs and index not in masks and _changes_nothing(graph, node)
        }
        return _rebuild(graph, aliases) if aliases else graph


def _changes_nothing(graph: OpGraph, node: OpNode) -> bool:
    op, attributes = node.op, node.attribute_map
    if op == "Identity":
        return True
    if op == "Dropout":
        return not attributes.get("training_mode")
    if op in _JOINING:
        return len(node.inputs) == 1
    if op in _VIEWS:
        return len(node.outputs) == 1 and node.outputs[0] == graph.type_of(node.inputs[0])
    if op == "Transpose":
        return attributes.get("perm") == tuple(range(len(node.outputs[0].shape)))
    if op == "Slice":
        return len(node.inputs) == 1 and attributes.get("axes") == ()
    if op == "Pad":
        pads = attributes.get("pads")
        return isinstance(pads, tuple) and not any(pads)
    return False


_JOINING = {"Concat", "Max", "Mean", "Min", "Sum"}  # of one value they are that value
_VIEWS = {"Cast", "Expand", "Flatten", "Reshape", "Squeeze", "Unsqueeze"}  # the type tells all that they do


@dataclass(frozen=True, slots=True)
class FoldBatchNormPass:
    """BatchNormalization after a convolution or Gemm goes into the weights, which keep their shape.

    What has no bias gets one, since the shift has to go somewhere. A Gemm's bias becomes a vector of one entry a
    column, whatever shape it had.
    """

    requires: str = "weights of the folded operators are parameters, not computed; it has no other reader"
    ensures: str = "no inference-mode BatchNormalization reads such a Conv, ConvTranspose or Gemm"

    def __call__(self, graph: OpGraph) -> OpGraph:
        """BatchNormalization moves into the weights before it."""
        readers = Counter(_edges(graph))
        parameters = list(graph.parameters)
        aliases: dict[int, Edge] = {}
        changed: dict[int, OpNode] = {}
        for index, node in enumerate(graph.nodes):
            if node.op != "BatchNormalization" or len(node.outputs) > 1 or not _is_inference(node):
                continue
            edge = node.inputs[0]
            if edge.source < 0 or readers[edge] != 1:
                continue
            producer = changed.get(edge.source, graph.nodes[edge.source])
            if not _takes_scale(producer) or any(weight.source != PARAMETER for weight in node.inputs[1:]):
                continue
            channels = producer.outputs[0].shape[1]
            parameters.append(
                (f"{node.name or producer.name}.folded_bias", TensorType((channels,), node.outputs[0].dtype))
            )
            bias = Edge(PARAMETER, len(parameters) - 1)
            changed[edge.source] = replace(producer, inputs=(*producer.inputs[:2], bias))
            aliases[index] = edge
        if not aliases:
            return graph
        nodes = tuple(changed.get(index, node) for index, node in enumerate(graph.nodes))
        return _rebuild(replace(graph, nodes=nodes, parameters=tuple(parameters)), aliases)


def _is_inference(node: OpNode) -> bool:
    return not node.attribute_map.get("training_mode")


def _takes_scale(node: OpNode) -> bool:
    """Whether a scale and a shift a channel can go into the weights: the last thing computed must be the product."""
    attributes = node.attribute_map
    return (
        node.op in ("Conv", "ConvTranspose", "Gemm")
        and "activation" not in attributes
        and "fused_sum" not in attributes
        and all(edge.source == PARAMETER for edge in node.inputs[1:])
    )


@dataclass(frozen=True, slots=True)
class RenameBinarySumPass:
    """Sum of two values is Add."""

    requires: str = "a well-formed graph"
    ensures: str = "no Sum has two inputs"

    def __call__(self, graph: OpGraph) -> OpGraph:
        """Sum of two becomes Add."""
        if not any(node.op == "Sum" and len(node.inputs) == 2 for node in graph.nodes):
            return graph
        nodes = (
            replace(node, op="Add") if node.op == "Sum" and len(node.inputs) == 2 else node for node in graph.nodes
        )
        return replace(graph, nodes=tuple(nodes))


@dataclass(frozen=True, slots=True)
class DropDeadNodesPass:
    """Nodes from which no output is reached go, and parameters that nobody reads."""

    requires: str = "a well-formed graph"
    ensures: str = "every node reaches an output, every parameter has a reader, in the order of first use"

    def __call__(self, graph: OpGraph) -> OpGraph:
        """Keep what an output depends on."""
        alive = [False] * len(graph.nodes)
        for edge in graph.outputs:
            if edge.source >= 0:
                alive[edge.source] = True
        for index in range(len(graph.nodes) - 1, -1, -1):
            if alive[index]:
                for edge in graph.nodes[index].inputs:
                    if edge.source >= 0:
                        alive[edge.source] = True
        return _keep(graph, alive)


def _edges(graph: OpGraph) -> list[Edge]:
    """Every place where a value is read, graph outputs included."""
    found = [edge for node in graph.nodes for edge in node.inputs]
    found.extend(graph.outputs)
    return found


def _rebuild(graph: OpGraph, aliases: Mapping[int, Edge]) -> OpGraph:
    """Without the nodes in ``aliases``: whoever reads one reads its alias instead."""
    place: list[int] = []
    nodes: list[OpNode] = []
    resolved: dict[int, Edge] = {}

    def follow(edge: Edge) -> Edge:
        if edge.source < 0:
            return edge
        alias = resolved.get(edge.source)
        if alias is not None:
            return alias
        target = place[edge.source]
        return edge if target == edge.source else Edge(target, edge.slot)

    for index, node in enumerate(graph.nodes):
        place.append(len(nodes))
        alias = aliases.get(index)
        if alias is not None:
            resolved[index] = follow(alias)
        else:
            nodes.append(_with_inputs(node, tuple(map(follow, node.inputs))))
    return replace(graph, nodes=tuple(nodes), outputs=tuple(map(follow, graph.outputs)))


def _keep(graph: OpGraph, alive: list[bool]) -> OpGraph:
    """Only the nodes that are alive and the parameters that they or the outputs read."""
    place: list[int] = []
    slots: dict[int, int] = {}
    nodes: list[OpNode] = []

    def follow(edge: Edge) -> Edge:
        if edge.source >= 0:
            target = place[edge.source]
            return edge if target == edge.source else Edge(target, edge.slot)
        if edge.source == PARAMETER:
            slot = slots.setdefault(edge.slot, len(slots))
            return edge if slot == edge.slot else Edge(PARAMETER, slot)
        return edge

    for index, node in enumerate(graph.nodes):
        place.append(len(nodes))
        if alive[index]:
            nodes.append(_with_inputs(node, tuple(map(follow, node.inputs))))
    outputs = tuple(map(follow, graph.outputs))
    parameters = tuple(graph.parameters[slot] for slot in slots)  # a dict keeps the order of first use
    return replace(graph, nodes=tuple(nodes), outputs=outputs, parameters=parameters)


def _with_inputs(node: OpNode, inputs: tuple[Edge, ...]) -> OpNode:
    """``node`` itself where nothing changes, which spares most of the copies."""
    if inputs == node.inputs:
        return node
    return OpNode(node.op, inputs, node.outputs, node.attributes, node.name)


PASSES: tuple[GraphPass, ...] = (
    DropIdentityPass(),
    FoldBatchNormPass(),
    RenameBinarySumPass(),
    DropDeadNodesPass(),
)
