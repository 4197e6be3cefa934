"""The operators that ONNX Runtime's optimiser writes: canonical names and the shapes of what they write.

A layout-transformed (nchwc) operator keeps the standard name and gets ``layout="nchwc"``. Its shapes are the logical
NCHW ones, with channels rounded up to ONNX Runtime's block where it pads them.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from relay_frontend.errors import InvalidGraphError
from relay_frontend.graph import AttributeValue, TensorType
from relay_frontend.onnx.inference import attribute_defaults
from relay_frontend.onnx.microsoft_attention import ATTENTION_RULES
from relay_frontend.onnx.microsoft_quantized import QUANTIZED_RULES
from relay_frontend.onnx.microsoft_rule import Attributes, Inputs, Outcome, Rule, broadcast, integer
from relay_frontend.onnx.source import SourceNode
from relay_frontend.onnx.windows import resolve_window, window_output

__all__ = ["MICROSOFT_DOMAINS", "canonical_microsoft", "channel_block", "microsoft_name"]

MICROSOFT_DOMAINS = ("com.microsoft", "com.microsoft.nchwc")

_RENAMED = {"FusedConv": "Conv", "FusedGemm": "Gemm", "FusedMatMul": "MatMul"}


def microsoft_name(domain: str, op: str) -> str | None:
    """The canonical name; None for an operator that this reader has no rule for."""
    if domain == "com.microsoft.nchwc":
        return op if op in _NCHWC else None
    return _RENAMED.get(op, op) if op in _CONTRIB else None


def channel_block(weights: Sequence[tuple[int, ...]]) -> int:
    """Channels that one block of the nchwc layout holds, 8 or 16, told from the nchwc convolutions' weight shapes."""
    return 8 if any(shape and shape[0] % 16 for shape in weights) else 16


def canonical_microsoft(
    node: SourceNode, inputs: Inputs, block: int
) -> tuple[str, dict[str, AttributeValue], tuple[TensorType, ...]]:
    """Canonical name, attributes and output types.

    Raises:
        InvalidGraphError: the inputs do not fit the operator.
    """
    table = _NCHWC if node.domain == "com.microsoft.nchwc" else _CONTRIB
    attributes = dict(node.attributes)
    op = _RENAMED.get(node.op, node.op)
    if node.domain == "com.microsoft.nchwc" or node.op in _RENAMED:
        for name, value in attribute_defaults(op, 10_000):
            if name in ("group", "count_include_pad", "ceil_mode", "alpha", "beta", "transA", "transB"):
                attributes.setdefault(name, value)
    try:
        outputs = table[node.op](node, inputs, attributes, block)
    except (IndexError, KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        shapes = [list(kind.shape) for kind in inputs]
        raise InvalidGraphError(f"{node.label} does not fit inputs of shapes {shapes}: {error!r}") from error
    return op, attributes, outputs[: len(node.outputs)]


def _conv(node: SourceNode, inputs: Inputs, attributes: Attributes, block: int) -> Outcome:
    data, weight = inputs[0], inputs[1]
    attributes["kernel_shape"] = attributes.get("kernel_shape") or weight.shape[2:]
    resolve_window(node.label, attributes, data.shape[2:])
    if len(node.inputs) > 3 and node.inputs[3]:
        attributes["fused_sum"] = 1  # the residual that the convolution adds to its result
    return (TensorType((data.shape[0], weight.shape[0], *window_output(node.label, attributes, data.shape[2:])),
                       data.dtype),)  # fmt: skip


def _nchwc_conv(node: SourceNode, inputs: Inputs, attributes: Attributes, block: int) -> Outcome:
    attributes["layout"] = "nchwc"
    return _conv(node, inputs, attributes, block)


def _nchwc_pool(node: SourceNode, inputs: Inputs, attributes: Attributes, block: int) -> Outcome:
    data = inputs[0]
    attributes["layout"] = "nchwc"
    attributes.pop("storage_order", None)
    resolve_window(node.label, attributes, data.shape[2:])
    return (TensorType((*data.shape[:2], *window_output(node.label, attributes, data.shape[2:])), data.dtype),)


def _nchwc_global_pool(node: SourceNode, inputs: Inputs, attributes: Attributes, block: int) -> Outcome:
    data = inputs[0]
    attributes["layout"] = "nchwc"
    return (TensorType((*data.shape[:2], *(1 for _ in data.shape[2:])), data.dtype),)


def _nchwc_upsample(node: SourceNode, inputs: Inputs, attributes: Attributes, block: int) -> Outcome:
    attributes["layout"] = "nchwc"
    scales, data = attributes["scales"], inputs[0]
    if not isinstance(scales, tuple):
        raise TypeError("scales is no list")
    factors = tuple(float(scale) for scale in scales)
    shape = tuple(int(extent * factor) for extent, factor in zip(data.shape, factors, strict=True))
    attributes["scales"] = factors
    return (TensorType(shape, data.dtype),)


def _reorder_input(node: SourceNode, inputs: Inputs, attributes: Attributes, block: int) -> Outcome:
    attributes["channels_last"] = last = attributes.get("channels_last", 0)
    batch, *rest = inputs[0].shape
    channels, *spatial = [rest[-1], *rest[:-1]] if last else rest
    return (TensorType((batch, -(-channels // block) * block, *spatial), inputs[0].dtype),)


def _reorder_output(node: SourceNode, inputs: Inputs, attributes: Attributes, block: int) -> Outcome:
    attributes["channels_last"] = last = attributes.get("channels_last", 0)
    batch, _, *spatial = inputs[0].shape
    channels = attributes["channels"]
    if not isinstance(channels, int) or channels < 1:
        raise ValueError(f"channels={channels!r}")
    shape = (batch, *spatial, channels) if last else (batch, channels, *spatial)
    return (TensorType(shape, inputs[0].dtype),)


def _gemm(node: SourceNode, inputs: Inputs, attributes: Attributes, block: int) -> Outcome:
    left, right = inputs[0].shape, inputs[1].shape
    rows = left[1] if attributes["transA"] else left[0]
    columns = right[0] if attributes["transB"] else right[1]
    return (TensorType((rows, columns), inputs[0].dtype),)


def _matmul(node: SourceNode, inputs: Inputs, attributes: Attributes, block: int) -> Outcome:
    """FusedMatMul; attributes that change nothing are dropped, so that it equals a plain MatMul then."""
    left, right = list(inputs[0].shape), list(inputs[1].shape)
    for operand, letter in ((left, "A"), (right, "B")):
        if attributes.get(f"transBatch{letter}"):
            operand[:-1] = [*operand[1:-1], operand[0]]
        if attributes.get(f"trans{letter}"):
            operand[-2:] = [operand[-1], operand[-2]]
    if left[-1] != right[-2]:
        raise ValueError(f"inner extents {left[-1]} and {right[-2]}")
    for name, neutral in (("transA", 0), ("transB", 0), ("transBatchA", 0), ("transBatchB", 0), ("alpha", 1.0)):
        if attributes.get(name) == neutral:
            del attributes[name]
    batch = np.broadcast_shapes(tuple(left[:-2]), tuple(right[:-2]))
    return (TensorType((*batch, left[-2], right[-1]), inputs[0].dtype),)


def _like_first(node: SourceNode, inputs: Inputs, attributes: Attributes, block: int) -> Outcome:
    return (inputs[0],) * len(node.outputs)


def _halved(node: SourceNode, inputs: Inputs, attributes: Attributes, block: int) -> Outcome:
    """One half of the last axis gates the other; SwiGLU may get them apart."""
    data = inputs[0]
    if len(inputs) > 1 and node.op == "SwiGLU":
        return (data,)
    if data.shape[-1] % 2:
        raise ValueError(f"a last axis of {data.shape[-1]} has no halves")
    return (TensorType((*data.shape[:-1], data.shape[-1] // 2), data.dtype),)


def _dropout(node: SourceNode, inputs: Inputs, attributes: Attributes, block: int) -> Outcome:
    return (inputs[0], TensorType(inputs[0].shape, "bool"))


def _broadcast(node: SourceNode, inputs: Inputs, attributes: Attributes, block: int) -> Outcome:
    return (TensorType(broadcast(*inputs), inputs[0].dtype),)


def _is_finite(node: SourceNode, inputs: Inputs, attributes: Attributes, block: int) -> Outcome:
    return (TensorType((), "bool"),)


def _real_transform(node: SourceNode, inputs: Inputs, attributes: Attributes, block: int) -> Outcome:
    """Rfft: half of the last axis and one more, as pairs of real and imaginary."""
    data = inputs[0]
    return (TensorType((*data.shape[:-1], data.shape[-1] // 2 + 1, 2), data.dtype),)


def _inverse_transform(node: SourceNode, inputs: Inputs, attributes: Attributes, block: int) -> Outcome:
    data = inputs[0]
    if data.shape[-1] != 2:
        raise ValueError(f"pairs of {data.shape[-1]}")
    return (TensorType((*data.shape[:-2], 2 * (data.shape[-2] - 1)), data.dtype),)


def _grid_sample(node: SourceNode, inputs: Inputs, attributes: Attributes, block: int) -> Outcome:
    data, grid = inputs[0], inputs[1]
    return (TensorType((*data.shape[:2], *grid.shape[1:-1]), data.dtype),)


def _gather_nd(node: SourceNode, inputs: Inputs, attributes: Attributes, block: int) -> Outcome:
    data, indices = inputs[0], inputs[1]
    return (TensorType((*indices.shape[:-1], *data.shape[indices.shape[-1] :]), data.dtype),)


def _unfold(node: SourceNode, inputs: Inputs, attributes: Attributes, block: int) -> Outcome:
    shape = list(inputs[0].shape)
    axis, size = integer(attributes, "dim", -1) % len(shape), integer(attributes, "size")
    attributes["dim"] = axis
    shape[axis] = (shape[axis] - size) // integer(attributes, "step", 1) + 1
    return (TensorType((*shape, size), inputs[0].dtype),)


_NCHWC: Mapping[str, Rule] = {
    "AveragePool": _nchwc_pool,
    "Conv": _nchwc_conv,
    "GlobalAveragePool": _nchwc_global_pool,
    "GlobalMaxPool": _nchwc_global_pool,
    "MaxPool": _nchwc_pool,
    "ReorderInput": _reorder_input,
    "ReorderOutput": _reorder_output,
    "Upsample": _nchwc_upsample,
}
_CONTRIB: Mapping[str, Rule] = {
    **ATTENTION_RULES,
    **QUANTIZED_RULES,
    "BiasAdd": _like_first,
    "BiasDropout": _dropout,
    "BiasGelu": _like_first,
    "BiasSoftmax": _like_first,
    "BiasSplitGelu": _halved,
    "ComplexMul": _broadcast,
    "ComplexMulConj": _broadcast,
    "FastGelu": _like_first,
    "FusedConv": _conv,
    "FusedGemm": _gemm,
    "FusedMatMul": _matmul,
    "FusedMatMulActivation": _matmul,
    "GatedAdd": _like_first,
    "GatherND": _gather_nd,
    "Gelu": _like_first,
    "GemmFastGelu": _matmul,
    "GridSample": _grid_sample,
    "Inverse": _like_first,
    "Irfft": _inverse_transform,
    "IsAllFinite": _is_finite,
    "QuickGelu": _like_first,
    "Rfft": _real_transform,
    "ScaledSiLU": _like_first,
    "SwiGLU": _halved,
    "TransposeMatMul": _matmul,
    "Trilu": _like_first,
    "UnfoldTensor": _unfold,
}
