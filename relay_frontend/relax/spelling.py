"""One spelling for what formats write in several ways, so that graphs from different readers can be compared.

What is written so is spelt as that:

    Flatten, Squeeze, Unsqueeze                            Reshape
    MatMul of a 2-d weight, Add of a constant a column     Gemm
    MatMul of a 2-d weight                                 Gemm
    Gemm of a transposed weight                            Gemm; weights can be stored either way round
    ReduceMean over all of the image, axes kept            GlobalAveragePool
    MaxPool that rounds up, or pads more than it reads     MaxPool that rounds down, padded as far as it reads
    Gather by a constant of int32                          by one of int64
    Add, Mul, Max, Min of a constant and a value           of the value and the constant
    numbers with all their digits                          numbers with six, which is what Relay's text has
"""

from dataclasses import replace

from relay_frontend.graph import PARAMETER, Edge, OpGraph, OpNode, TensorType
from relay_frontend.relax.passes import join_gemm, join_global_pool
from relay_frontend.relax.rewrite import Match, Rule, View, apply_rules

__all__ = ["UnifySpellingPass"]

_COMMUTATIVE = {"Add", "Max", "Min", "Mul"}
_VIEWS = {"Flatten", "Squeeze", "Unsqueeze"}


class UnifySpellingPass:
    """The table above, in its order. The graph does the same work; FLOPs differ by additions that become a bias."""

    requires = "a canonical graph"
    ensures = "none of the left column of the table"

    def __call__(self, graph: OpGraph) -> OpGraph:
        """The graph in the one spelling."""
        spelt = apply_rules(_RULES, graph)[0]
        return replace(spelt, nodes=tuple(map(_with_six_digits, spelt.nodes)))


def _with_six_digits(node: OpNode) -> OpNode:
    rounded = tuple(
        (name, float(f"{value:.6g}") if isinstance(value, float) else value) for name, value in node.attributes
    )
    return node if rounded == node.attributes else replace(node, attributes=rounded)


def _spell_view(view: View, index: int) -> Match | None:
    node = view.graph.nodes[index]
    if node.op not in _VIEWS:
        return None
    attributes = (("shape", node.outputs[0].shape),)
    return Match((index,), OpNode("Reshape", node.inputs[:1], node.outputs, attributes, node.name))


def _spell_order(view: View, index: int) -> Match | None:
    node = view.graph.nodes[index]
    if node.op not in _COMMUTATIVE or len(node.inputs) != 2:
        return None
    first, second = node.inputs
    if first.source != PARAMETER or second.source == PARAMETER:
        return None
    return Match((index,), replace(node, inputs=(second, first)))


def _spell_index(view: View, index: int) -> Match | None:
    node = view.graph.nodes[index]
    if node.op != "Gather" or len(node.inputs) != 2 or node.inputs[1].source != PARAMETER:
        return None
    name, kind = view.parameters[node.inputs[1].slot]
    if kind.dtype != "int32":
        return None
    wide = (name, replace(kind, dtype="int64"))
    first = len(view.graph.parameters)
    added = view.parameters[first:]  # by this rule, for another reader of the same constant
    edge = Edge(PARAMETER, first + added.index(wide)) if wide in added else view.add_parameter(*wide)
    return Match((index,), replace(node, inputs=(node.inputs[0], edge)))


def _spell_product(view: View, index: int) -> Match | None:
    node = view.graph.nodes[index]
    if node.op != "MatMul" or node.inputs[1].source != PARAMETER:
        return None
    if any(len(view.type_of(edge).shape) != 2 for edge in node.inputs):
        return None
    attributes = (("alpha", 1.0), ("beta", 1.0), ("transA", 0), ("transB", 0))
    return Match((index,), OpNode("Gemm", node.inputs, node.outputs, attributes, node.name))


def _spell_gemm(view: View, index: int) -> Match | None:
    node = view.graph.nodes[index]
    if node.op != "Gemm" or not node.attribute_map.get("transB") or node.inputs[1].source != PARAMETER:
        return None
    name, kind = view.parameters[node.inputs[1].slot]
    weight = view.add_parameter(name, TensorType(kind.shape[::-1], kind.dtype))
    attributes = tuple((key, 0 if key == "transB" else value) for key, value in node.attributes)
    inputs = (node.inputs[0], weight, *node.inputs[2:])
    return Match((index,), replace(node, inputs=inputs, attributes=attributes))


def _spell_max_pool(view: View, index: int) -> Match | None:
    node = view.graph.nodes[index]
    if node.op != "MaxPool":
        return None
    given, wanted = view.type_of(node.inputs[0]).shape[2:], node.outputs[0].shape[2:]
    attributes = node.attribute_map
    taps, strides, dilations, pads = (
        _ints(attributes.get(name)) for name in ("kernel_shape", "strides", "dilations", "pads")
    )
    rank = len(wanted)
    if [len(taps), len(strides), len(dilations), len(pads)] != [rank, rank, rank, 2 * rank]:
        return None
    reach = [(n - 1) * s + (k - 1) * d + 1 for n, s, k, d in zip(wanted, strides, taps, dilations, strict=True)]
    after = [max(0, far - n - first) for far, n, first in zip(reach, given, pads[:rank], strict=True)]
    spelt = {**attributes, "ceil_mode": 0, "pads": (*pads[:rank], *after)}
    if spelt == attributes:
        return None
    return Match((index,), replace(node, attributes=tuple(sorted(spelt.items()))))


def _ints(value: object) -> tuple[int, ...]:
    return tuple(int(item) for item in value) if isinstance(value, tuple) else ()


_RULES: tuple[Rule, ...] = (
    _spell_view, _spell_order, _spell_index, join_gemm, _spell_product, _spell_gemm, join_global_pool, _spell_max_pool,
)  # fmt: skip
