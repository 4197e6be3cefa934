"""How an operator may be fused: TVM's kinds of pattern, and which one an operator has.

TVM reads the pattern off the loops that an operator is legalised to (AnnotateTIROpPattern), and hook/prepare.py takes
it from there. :func:`patterns_of` tells it from the graph alone, where there is no TVM.
"""

from enum import IntEnum

from relay_frontend.graph import OpGraph, OpNode
from relay_frontend.ops import Category, operator_category

__all__ = ["Pattern", "patterns_of"]


class Pattern(IntEnum):
    """TVM's ``OpPatternKind``, of the same values; the larger, the less can be fused with it.

    ELEMWISE: each element of the result from the same element of an operand. BROADCAST: from an operand of fewer axes.
    INJECTIVE: each element from one element, wherever that is. COMM_REDUCE: a sum or maximum over axes.
    OUT_EWISE_FUSABLE: what elementwise operators can follow in one kernel. TUPLE, OPAQUE: nothing is fused.
    """

    ELEMWISE = 0
    BROADCAST = 1
    INJECTIVE = 2
    COMM_REDUCE = 3
    OUT_EWISE_FUSABLE = 4
    TUPLE = 7
    OPAQUE = 8


_BY_CATEGORY: dict[Category, Pattern] = {
    "convolution": Pattern.OUT_EWISE_FUSABLE, "matmul": Pattern.OUT_EWISE_FUSABLE,
    "pooling": Pattern.OUT_EWISE_FUSABLE, "normalization": Pattern.OUT_EWISE_FUSABLE,
    "softmax": Pattern.OUT_EWISE_FUSABLE, "reduction": Pattern.COMM_REDUCE,
    "elementwise": Pattern.ELEMWISE, "activation": Pattern.ELEMWISE,
    "data_movement": Pattern.INJECTIVE, "view": Pattern.INJECTIVE, "layout": Pattern.INJECTIVE,
    "resize": Pattern.INJECTIVE,
}  # fmt: skip

_BY_OPERATOR = {
    "BatchNormalization": Pattern.INJECTIVE,  # at inference: one scale and one shift a channel
    "ReduceMean": Pattern.OUT_EWISE_FUSABLE,  # a sum and a division
    "Expand": Pattern.BROADCAST,
    "Gather": Pattern.OPAQUE,  # which element is read, data says
    # Computed by calls, or by loops with side effects.
    "CumSum": Pattern.OPAQUE, "CumProd": Pattern.OPAQUE, "TopK": Pattern.OPAQUE, "ScatterElements": Pattern.OPAQUE,
    "ScatterND": Pattern.OPAQUE, "NonMaxSuppression": Pattern.OPAQUE,
}  # fmt: skip


def patterns_of(graph: OpGraph) -> tuple[Pattern, ...]:
    """The pattern of each node, by its operator and the shapes around it; what is not known is opaque.

    One thing the graph does not tell: whether axes of extent one come and go by ``expand_dims`` and ``squeeze``, which
    TVM calls BROADCAST, or by ``reshape``, which it calls INJECTIVE. One axis is taken for the former, more for the
    latter.
    """
    return tuple(_pattern(graph, index, node) for index, node in enumerate(graph.nodes))


def _pattern(graph: OpGraph, index: int, node: OpNode) -> Pattern:
    found = _BY_OPERATOR.get(node.op) or _BY_CATEGORY.get(operator_category(node.op), Pattern.OPAQUE)
    shapes = [kind.shape for kind in graph.input_types(index)]
    result = node.outputs[0].shape if node.outputs else ()
    if found in (Pattern.ELEMWISE, Pattern.BROADCAST):
        return Pattern.ELEMWISE if result in shapes else Pattern.BROADCAST
    if node.op == "Slice" and _starts_at_zero(node):
        return Pattern.ELEMWISE
    if node.op == "Reshape" and shapes and _without_ones(shapes[0]) == _without_ones(result):
        return Pattern.BROADCAST if abs(len(result) - len(shapes[0])) == 1 else Pattern.INJECTIVE
    return found


def _starts_at_zero(node: OpNode) -> bool:
    """Whether a slice's elements stand where they stood."""
    attributes = node.attribute_map
    starts, steps = attributes.get("starts"), attributes.get("steps", (1,))
    return isinstance(starts, tuple) and isinstance(steps, tuple) and {*starts} == {0} and {*steps} == {1}


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(extent for extent in shape if extent != 1)
