"""What Relay's importers take apart and Relax's do not, put together again; see relax/passes.py for the others.

Reshape of a Reshape                                              one Reshape
Conv, Add of a vector along the last axis of channels_last        Conv with a bias
Reshape to rows, MatMul of a 2-d weight, Reshape back             MatMul
Reshape to batches, MatMul, Reshape back                          MatMul
Transpose of a Transpose                                          one Transpose, or nothing
"""

from dataclasses import replace

from relay_frontend.graph import OpNode, TensorType
from relay_frontend.relax.passes import RULES as RELAX_RULES
from relay_frontend.relax.passes import join_global_pool
from relay_frontend.relax.rewrite import Match, Rule, View

__all__ = ["RULES"]


def _join_views(view: View, index: int) -> Match | None:
    node = view.graph.nodes[index]
    first = view.inner(node.inputs[0], "Reshape") if node.op == "Reshape" else None
    if first is None:
        return None
    return Match((node.inputs[0].source, index), replace(node, inputs=first.inputs[:1]))


def _join_transposes(view: View, index: int) -> Match | None:
    node = view.graph.nodes[index]
    first = view.inner(node.inputs[0], "Transpose") if node.op == "Transpose" else None
    inner, outer = (None if part is None else part.attribute_map.get("perm") for part in (first, node))
    if first is None or not isinstance(inner, tuple) or not isinstance(outer, tuple):
        return None
    order = tuple(int(inner[int(axis)]) for axis in outer)
    nodes = (node.inputs[0].source, index)
    if order == tuple(range(len(order))):
        return Match(nodes, None, first.inputs[0])
    return Match(nodes, replace(node, inputs=first.inputs, attributes=(("perm", order),)))


def _join_last_bias(view: View, index: int) -> Match | None:
    node = view.graph.nodes[index]
    split = view.split_constant(node) if node.op == "Add" else None
    conv = view.inner(split[0], "Conv") if split is not None else None
    if split is None or conv is None or len(conv.inputs) != 2 or conv.outputs != node.outputs:
        return None
    channels = conv.outputs[0].shape[-1]
    bias = view.type_of(split[1])
    if not conv.attribute_map.get("channels_last") or bias.elements != channels or bias.shape[-1:] != (channels,):
        return None
    name = view.parameters[split[1].slot][0]
    edge = view.add_parameter(name, TensorType((channels,), bias.dtype))
    return Match((split[0].source, index), replace(conv, inputs=(*conv.inputs, edge)))


def _join_flat_product(view: View, index: int) -> Match | None:
    """A product of rows or of batches is one of the tensor that they came from."""
    node = view.graph.nodes[index]
    product = view.inner(node.inputs[0], "MatMul") if node.op == "Reshape" else None
    if product is None:
        return None
    places, edges = [], []
    for edge in product.inputs:
        flat = view.inner(edge, "Reshape")
        places += [] if flat is None else [edge.source]
        edges.append(edge if flat is None else flat.inputs[0])
    shapes = [view.type_of(edge).shape for edge in edges]
    if not places or not _multiply_to(shapes[0], shapes[1], node.outputs[0].shape):
        return None
    joined = OpNode("MatMul", tuple(edges), node.outputs, product.attributes, product.name)
    return Match((*sorted({*places, node.inputs[0].source}), index), joined)


def _multiply_to(first: tuple[int, ...], second: tuple[int, ...], result: tuple[int, ...]) -> bool:
    """Whether a product of these shapes, broadcast as numpy does, has that one."""
    if len(first) < 2 or len(second) < 2 or first[-1] != second[-2]:
        return False
    rank = max(len(first), len(second))
    one, other = ((1,) * (rank - len(shape)) + shape[:-2] for shape in (first, second))
    if any(1 not in pair and pair[0] != pair[1] for pair in zip(one, other, strict=True)):
        return False
    return result == (*(max(pair) for pair in zip(one, other, strict=True)), first[-2], second[-1])


def _join_gate(view: View, index: int) -> Match | None:
    node = view.graph.nodes[index]
    if node.op != "Mul" or len(node.inputs) != 2:
        return None
    for data, edge in (node.inputs, node.inputs[::-1]):
        gate = view.inner(edge, "HardSigmoid")
        if gate is None or gate.inputs != (data,):
            continue
        slope, shift = (gate.attribute_map.get(name) for name in ("alpha", "beta"))
        # A text has six digits of the sixth.
        if isinstance(slope, float) and abs(slope * 6 - 1) < 1e-5 and shift == 0.5:
            return Match((edge.source, index), OpNode("HardSwish", (data,), node.outputs, (), node.name))
    return None


RULES: tuple[Rule, ...] = (
    _join_flat_product,  # first, since the reshapes around a product may join those beside them
    _join_views, _join_transposes, _join_last_bias, _join_flat_product,
    # Relay has an operator of its own for the mean of an image, so that a reduction is meant as one.
    *(rule for rule in RELAX_RULES if rule is not join_global_pool),
    _join_gate,
)  # fmt: skip
