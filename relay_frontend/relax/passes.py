"""What TVM's importer took apart is put together again, so that a network reads the same through Relax as from ONNX.

Each rule looks at one node, the last of its pattern, and says what stands for the whole. A pattern's inner values must
have no other reader. The caller can forbid a match: the planner allows only those that stay inside of one kernel.

    Reshape, Expand, Pad to the same shape                 nothing
    Expand ... Concat(new axis), ReduceSum                 Sum (Max, Min, Mean alike); Add of two
    Conv, Add of a constant a channel                      Conv with a bias
    MatMul of a 2-d weight, Add of a constant a column     Gemm
    Reshape to 2-d, Softmax of the last axis, Reshape      Softmax of the axis from which it was flattened
    Mul by itself, AveragePool over channels, Mul, Add, Pow, Div                                LRN
    Add 3, Clip, Div by 6, Mul by the input                HardSwish
    Max, Min with constants                                Clip
    Mul and Add of constants, Clip to 0 and 1              HardSigmoid
    ReduceMean over all of the image, axes kept            GlobalAveragePool
"""

from dataclasses import replace
from math import prod

from relay_frontend.graph import PARAMETER, AttributeValue, Edge, OpNode, TensorType
from relay_frontend.relax.rewrite import Match, Rule, View

__all__ = ["RULES", "join_gemm", "join_global_pool"]


def _drop_reshape(view: View, index: int) -> Match | None:
    node = view.graph.nodes[index]
    if node.op not in ("Reshape", "Expand", "Pad") or view.type_of(node.inputs[0]) != node.outputs[0]:
        return None
    return Match((index,), None, node.inputs[0])


def _join_sum(view: View, index: int) -> Match | None:
    node = view.graph.nodes[index]
    joined = {"ReduceSum": "Sum", "ReduceMax": "Max", "ReduceMin": "Min", "ReduceMean": "Mean"}.get(node.op)
    stack = view.inner(node.inputs[0], "Concat") if joined else None
    if joined is None or stack is None or "new_axis" not in stack.attribute_map:
        return None
    if node.attribute_map["axes"] != (stack.attribute_map["axis"],) or node.attribute_map["keepdims"]:
        return None
    parts = [node.inputs[0].source]
    inputs = []
    for edge in stack.inputs:
        expand = view.inner(edge, "Expand")
        parts += [] if expand is None else [edge.source]
        inputs.append(edge if expand is None else expand.inputs[0])
    op = "Add" if joined == "Sum" and len(inputs) == 2 else joined
    return Match((*sorted(parts), index), OpNode(op, tuple(inputs), node.outputs, (), node.name))


def _join_bias(view: View, index: int) -> Match | None:
    node = view.graph.nodes[index]
    split = view.split_constant(node) if node.op == "Add" else None
    if split is None:
        return None
    conv = view.inner(split[0], "Conv") or view.inner(split[0], "ConvTranspose")
    if conv is None or len(conv.inputs) != 2 or conv.outputs != node.outputs:
        return None
    channels = conv.outputs[0].shape[1]
    bias = view.type_of(split[1])
    spatial = (1,) * (len(conv.outputs[0].shape) - 2)
    if bias.shape not in ((channels, *spatial), (1, channels, *spatial)):
        return None
    name = view.parameters[split[1].slot][0]
    edge = view.add_parameter(name, TensorType((channels,), bias.dtype))
    joined = replace(conv, inputs=(*conv.inputs, edge), name=conv.name)
    return Match((split[0].source, index), joined)


def join_gemm(view: View, index: int) -> Match | None:
    """A product by a 2-d weight and a bias a column."""
    node = view.graph.nodes[index]
    split = view.split_constant(node) if node.op == "Add" else None
    product = view.inner(split[0], "MatMul") if split is not None else None
    if split is None or product is None or product.outputs != node.outputs:
        return None
    data, weight = (view.type_of(edge) for edge in product.inputs)
    columns = node.outputs[0].shape[-1]
    if len(data.shape) != 2 or len(weight.shape) != 2 or product.inputs[1].source != PARAMETER:
        return None
    if view.type_of(split[1]).shape not in ((columns,), (1, columns), node.outputs[0].shape):
        return None
    attributes: tuple[tuple[str, AttributeValue], ...] = (
        ("alpha", 1.0), ("beta", 1.0), ("transA", 0), ("transB", 0),
    )  # fmt: skip
    gemm = OpNode("Gemm", (*product.inputs, split[1]), node.outputs, attributes, product.name)
    return Match((split[0].source, index), gemm)


def _join_softmax(view: View, index: int) -> Match | None:
    node = view.graph.nodes[index]
    softmax = None
    if node.op == "Reshape":
        softmax = view.inner(node.inputs[0], "Softmax") or view.inner(node.inputs[0], "LogSoftmax")
    flat = view.inner(softmax.inputs[0], "Reshape") if softmax is not None else None
    if softmax is None or flat is None or len(flat.outputs[0].shape) != 2:
        return None
    if view.type_of(flat.inputs[0]) != node.outputs[0] or softmax.attribute_map["axis"] != 1:
        return None
    shape = node.outputs[0].shape
    axes = [axis for axis in range(len(shape)) if prod(shape[axis:]) == flat.outputs[0].shape[1]]
    wide = [axis for axis in range(axes[-1], len(shape)) if shape[axis] != 1] if axes else []
    if not axes:
        return None
    attributes: tuple[tuple[str, AttributeValue], ...] = (("axis", wide[0] if len(wide) == 1 else axes[-1]),)
    if len(wide) > 1:
        attributes += (("flatten", 1),)
    joined = OpNode(softmax.op, flat.inputs, node.outputs, attributes, softmax.name)
    return Match((softmax.inputs[0].source, node.inputs[0].source, index), joined)


def _chain(view: View, edge: Edge, ops: tuple[str, ...]) -> list[tuple[int, float | None]]:
    """Nodes upward from ``edge`` along ``ops``, each read only once, with the scalar that each reads besides.

    Empty if the graph does not go that way.
    """
    found: list[tuple[int, float | None]] = []
    for op in ops:
        node = view.inner(edge, op)
        split = view.split_constant(node) if node is not None and len(node.inputs) == 2 else None
        if node is None or (split is None and len(node.inputs) != 1):
            return []
        found.append((edge.source, None if split is None else view.scalar(split[1])))
        edge = node.inputs[0] if split is None else split[0]
    return found


def _source(view: View, index: int) -> Edge:
    """What a node of a chain reads upward."""
    node = view.graph.nodes[index]
    split = view.split_constant(node) if len(node.inputs) == 2 else None
    return node.inputs[0] if split is None else split[0]


def _join_lrn(view: View, index: int) -> Match | None:
    node = view.graph.nodes[index]
    if node.op != "Div" or len(node.inputs) != 2:
        return None
    found = _chain(view, node.inputs[1], ("Pow", "Add", "Mul", "Reshape", "AveragePool", "Reshape"))
    if not found:
        return None
    (_, beta), (_, bias), (_, alpha), *_ = found
    square_edge = _source(view, found[-1][0])
    square = view.inner(square_edge, "Mul")
    window = view.graph.nodes[found[4][0]].attribute_map["kernel_shape"]
    if square is None or square.inputs != (node.inputs[0], node.inputs[0]) or not isinstance(window, tuple):
        return None
    if alpha is None or beta is None or bias is None:
        return None
    attributes: tuple[tuple[str, AttributeValue], ...] = (
        ("alpha", alpha), ("beta", beta), ("bias", bias), ("size", int(window[0])),
    )  # fmt: skip
    nodes = (*sorted((*(place for place, _ in found), square_edge.source)), index)
    return Match(nodes, OpNode("LRN", node.inputs[:1], node.outputs, attributes, node.name))


def _join_hard_swish(view: View, index: int) -> Match | None:
    node = view.graph.nodes[index]
    if node.op != "Mul" or len(node.inputs) != 2:
        return None
    for data, gate in (node.inputs, node.inputs[::-1]):
        found = _chain(view, gate, ("Div", "Clip", "Add"))
        if not found or (found[0][1], found[2][1]) != (6.0, 3.0) or _source(view, found[2][0]) != data:
            continue
        bounds = view.graph.nodes[found[1][0]].attribute_map
        if (bounds.get("min"), bounds.get("max")) == (0.0, 6.0):
            nodes = (*sorted(place for place, _ in found), index)
            return Match(nodes, OpNode("HardSwish", (data,), node.outputs, (), node.name))
    return None


def _join_hard_sigmoid(view: View, index: int) -> Match | None:
    node = view.graph.nodes[index]
    if node.op != "Clip" or (node.attribute_map.get("min"), node.attribute_map.get("max")) != (0.0, 1.0):
        return None
    found = _chain(view, node.inputs[0], ("Add", "Mul"))
    if not found or found[0][1] is None or found[1][1] is None:
        return None
    attributes: tuple[tuple[str, AttributeValue], ...] = (("alpha", found[1][1]), ("beta", found[0][1]))
    data = _source(view, found[1][0])
    nodes = (*sorted(place for place, _ in found), index)
    return Match(nodes, OpNode("HardSigmoid", (data,), node.outputs, attributes, node.name))


def _join_clip(view: View, index: int) -> Match | None:
    """Bounds are constants, or part of a PrimFunc and then not to be seen."""
    node = view.graph.nodes[index]
    maximum = view.inner(node.inputs[0], "Max") if node.op == "Min" and len(node.inputs) <= 2 else None
    if maximum is None or len(maximum.inputs) > 2:
        return None
    bounds: list[tuple[str, AttributeValue]] = []
    for name, edges in (("max", node.inputs[1:]), ("min", maximum.inputs[1:])):
        for edge in edges:
            value = view.scalar(edge)
            if value is None:
                return None
            bounds.append((name, value))
    joined = OpNode("Clip", maximum.inputs[:1], node.outputs, tuple(bounds), node.name)
    return Match((node.inputs[0].source, index), joined)


def join_global_pool(view: View, index: int) -> Match | None:
    """A mean over all of an image. Of three axes it is more often a mean over features, and stays."""
    node = view.graph.nodes[index]
    if node.op != "ReduceMean":
        return None
    rank = len(view.type_of(node.inputs[0]).shape)
    attributes = node.attribute_map
    if rank < 4 or attributes["axes"] != tuple(range(2, rank)) or not attributes["keepdims"]:
        return None
    return Match((index,), OpNode("GlobalAveragePool", node.inputs[:1], node.outputs, (), node.name))


RULES: tuple[Rule, ...] = (
    _drop_reshape, _join_sum, _join_bias, join_gemm, _join_softmax, _join_lrn, _join_hard_swish, _join_clip,
    _join_hard_sigmoid, join_global_pool,
)  # fmt: skip
