"""From a ModelProto to an OpGraph: inputs are bound, then the nodes are read one after the other."""

from collections.abc import Mapping

import onnx

from relay_frontend.collection import collection_paused
from relay_frontend.errors import InvalidGraphError
from relay_frontend.graph import GRAPH_INPUT, Edge, OpGraph
from relay_frontend.limits import DEFAULT_LIMITS, Limits
from relay_frontend.onnx.arrange import drop_unread_outputs
from relay_frontend.onnx.bodies import Bodies, Scope
from relay_frontend.onnx.graph_walk import GraphWalk
from relay_frontend.onnx.inputs import bind_inputs, declared_types, notes_on_inputs
from relay_frontend.onnx.known_values import stored_types
from relay_frontend.onnx.microsoft import channel_block
from relay_frontend.onnx.opaque import check_declared
from relay_frontend.onnx.source import check_text
from relay_frontend.onnx.support import check_operators, opset_versions

__all__ = ["from_onnx"]


@collection_paused()
def from_onnx(
    model: onnx.ModelProto,
    *,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    name: str | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> OpGraph:
    """Read a model as it stands: operators in canonical spelling, constants folded, nothing fused or dropped.

    Weights, and whatever is computed from weights alone, are parameters: types without values. Shape arithmetic on
    small constants is carried out. Inputs that only say how (axes, shapes, bounds) become attributes when constant.
    A graph input that feeds only places of weights (and is not the first input) is a parameter too: some exporters
    declare weights so, without data.

    The model's own functions are written out where they are called. What is read of If, Loop and Scan, and how often,
    is in control.py; where the file leaves it open, the graph's ``notes`` say how it was counted.

    Args:
        model: standard operators and those of ONNX Runtime's optimised models; external data is not needed.
        shapes: shapes for graph inputs whose dimensions the model leaves open, by input name.
        name: of the graph; the model's own by default.
        limits: how much the model may ask for.

    Raises:
        DynamicShapeError: a dimension has no value.
        UnsupportedOperatorError: names every operator that is not supported.
        InvalidGraphError: cyclic, dangling, or types that do not fit.
        LimitError: more than ``limits`` allow.
        ModelFileError: text that is no UTF-8, or stored values that do not fit their shapes.
    """
    graph = model.graph
    check_text(graph.name, *(value.name for value in (*graph.input, *graph.output, *graph.initializer)))
    limits.check_nodes(len(graph.node), f"graph {graph.name!r}")
    return _read(model, shapes or {}, graph.name if name is None else name, limits)


def _read(model: onnx.ModelProto, shapes: Mapping[str, tuple[int, ...]], name: str, limits: Limits) -> OpGraph:
    graph = model.graph
    if not graph.output:
        raise InvalidGraphError(f"graph {graph.name!r} has no outputs, expected at least one: is the file damaged?")
    versions = opset_versions(model)
    check_operators(model, versions)
    bodies = Bodies(model, limits, limits.start_clock())
    nodes = bodies.decode(graph.node, Scope("", versions))
    stored = {tensor.name: tensor for tensor in graph.initializer}
    kinds = stored_types(graph, limits)
    inputs, weights = bind_inputs(graph, kinds, nodes, shapes)
    for input_name, kind in (*inputs, *weights.items()):
        limits.check_shape(kind.shape, f"input {input_name!r}")
    walk = GraphWalk(declared_types(graph, inputs), stored, {**kinds, **weights}, dict(inputs), bodies, limits)
    walk.block = channel_block(
        [
            kinds[node.inputs[1]].shape
            for node in nodes
            if node.op == "Conv" and node.domain == "com.microsoft.nchwc" and set(node.inputs[1:2]) & kinds.keys()
        ]
    )
    for index, (input_name, _) in enumerate(inputs):
        walk.edges[input_name] = Edge(GRAPH_INPUT, index)
    walk.notes.extend(notes_on_inputs(graph))
    outputs = [value.name for value in graph.output]
    drop_unread_outputs(nodes, outputs)
    check_declared(nodes, walk.declared)
    walk.read_all(nodes)
    return OpGraph(
        name=name,
        nodes=tuple(walk.nodes),
        inputs=tuple(inputs),
        outputs=tuple(edge for value in outputs for edge in walk.edges_to(value)),
        parameters=tuple(walk.parameters),
        notes=tuple(walk.notes),
    )
