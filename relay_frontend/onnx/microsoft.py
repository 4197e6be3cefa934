"""The operators that ONNX Runtime's optimiser writes: canonical names and the shapes of what they write.

A layout-transformed (nchwc) operator keeps the standard name and gets ``layout="nchwc"``. Its shapes are the logical
NCHW ones, with channels rounded up to ONNX Runtime's block where it pads them.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from relay_frontend.errors import InvalidGraphError
from relay_frontend.graph import AttributeValue, TensorType
from relay_frontend.onnx.inference import attribute_defaults
from relay_frontend.onnx.source import SourceNode
from relay_frontend.onnx.windows import resolve_window, window_output

__all__ = ["MICROSOFT_DOMAINS", "canonical_microsoft", "channel_block", "microsoft_name"]

MICROSOFT_DOMAINS = ("com.microsoft", "com.microsoft.nchwc")

_Attributes = dict[str, AttributeValue]
_Inputs = Sequence[TensorType]
_Outcome = tuple[TensorType, ...]
_Rule = Callable[[SourceNode, _Inputs, _Attributes, int], _Outcome]

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
    node: SourceNode, inputs: _Inputs, block: int
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


def _conv(node: SourceNode, inputs: _Inputs, attributes: _Attributes, block: int) -> _Outcome:
    data, weight = inputs[0], inputs[1]
    attributes["kernel_shape"] = attributes.get("kernel_shape") or weight.shape[2:]
    resolve_window(node.label, attributes, data.shape[2:])
    if len(node.inputs) > 3 and node.inputs[3]:
        attributes["fused_sum"] = 1  # the residual that the convolution adds to its result
    return (TensorType((data.shape[0], weight.shape[0], *window_output(node.label, attributes, data.shape[2:])),
                       data.dtype),)  # fmt: skip


def _nchwc_conv(node: SourceNode, inputs: _Inputs, attributes: _Attributes, block: int) -> _Outcome:
    attributes["layout"] = "nchwc"
    return _conv(node, inputs, attributes, block)


def _nchwc_pool(node: SourceNode, inputs: _Inputs, attributes: _Attributes, block: int) -> _Outcome:
    data = inputs[0]
    attributes["layout"] = "nchwc"
    attributes.pop("storage_order", None)
    resolve_window(node.label, attributes, data.shape[2:])
    return (TensorType((*data.shape[:2], *window_output(node.label, attributes, data.shape[2:])), data.dtype),)


def _nchwc_global_pool(node: SourceNode, inputs: _Inputs, attributes: _Attributes, block: int) -> _Outcome:
    data = inputs[0]
    attributes["layout"] = "nchwc"
    return (TensorType((*data.shape[:2], *(1 for _ in data.shape[2:])), data.dtype),)


def _nchwc_upsample(node: SourceNode, inputs: _Inputs, attributes: _Attributes, block: int) -> _Outcome:
    attributes["layout"] = "nchwc"
    scales, data = attributes["scales"], inputs[0]
    if not isinstance(scales, tuple):
        raise TypeError("scales is no list")
    factors = tuple(float(scale) for scale in scales)
    shape = tuple(int(extent * factor) for extent, factor in zip(data.shape, factors, strict=True))
    attributes["scales"] = factors
    return (TensorType(shape, data.dtype),)


def _reorder_input(node: SourceNode, inputs: _Inputs, attributes: _Attributes, block: int) -> _Outcome:
    attributes["channels_last"] = last = attributes.get("channels_last", 0)
    batch, *rest = inputs[0].shape
    channels, *spatial = [rest[-1], *rest[:-1]] if last else rest
    return (TensorType((batch, -(-channels // block) * block, *spatial), inputs[0].dtype),)


def _reorder_output(node: SourceNode, inputs: _Inputs, attributes: _Attributes, block: int) -> _Outcome:
    attributes["channels_last"] = last = attributes.get("channels_last", 0)
    batch, _, *spatial = inputs[0].shape
    channels = attributes["channels"]
    if not isinstance(channels, int) or channels < 1:
        raise ValueError(f"channels={channels!r}")
    shape = (batch, *spatial, channels) if last else (batch, channels, *spatial)
    return (TensorType(shape, inputs[0].dtype),)


def _gemm(node: SourceNode, inputs: _Inputs, attributes: _Attributes, block: int) -> _Outcome:
    left, right = inputs[0].shape, inputs[1].shape
    rows = left[1] if attributes["transA"] else left[0]
    columns = right[0] if attributes["transB"] else right[1]
    return (TensorType((rows, columns), inputs[0].dtype),)


def _matmul(node: SourceNode, inputs: _Inputs, attributes: _Attributes, block: int) -> _Outcome:
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


def _like_first(node: SourceNode, inputs: _Inputs, attributes: _Attributes, block: int) -> _Outcome:
    return (inputs[0],) * len(node.outputs)


def _normalization(node: SourceNode, inputs: _Inputs, attributes: _Attributes, block: int) -> _Outcome:
    """LayerNormalization and its kin: the result, then statistics, then the sum that Skip variants also write."""
    data = inputs[0]
    statistics = TensorType((*data.shape[:-1], 1), "float32")
    return (data, statistics, statistics, data)


def _attention(node: SourceNode, inputs: _Inputs, attributes: _Attributes, block: int) -> _Outcome:
    (batch, sequence, _), dtype = inputs[0].shape, inputs[0].dtype
    sizes, heads = attributes.get("qkv_hidden_sizes"), attributes["num_heads"]
    width = int(sizes[2]) if isinstance(sizes, tuple) and sizes else inputs[1].shape[1] // 3
    past = inputs[4].shape[3] if len(node.inputs) > 4 and node.inputs[4] else 0
    present = (2, batch, int(heads), sequence + past, width // int(heads))  # type: ignore[arg-type]
    return (TensorType((batch, sequence, width), dtype), TensorType(present, dtype))


def _multi_head_attention(node: SourceNode, inputs: _Inputs, attributes: _Attributes, block: int) -> _Outcome:
    query, heads = inputs[0].shape, int(attributes["num_heads"])  # type: ignore[arg-type]
    if len(query) == 5:  # queries, keys and values packed: batch, sequence, heads, 3, width of a head
        return (TensorType((query[0], query[1], query[2] * query[4]), inputs[0].dtype),)
    separate = len(node.inputs) > 2 and node.inputs[1] and node.inputs[2]
    value = inputs[2].shape if separate else query
    width = heads * value[3] if len(value) == 4 else value[2]
    keys = inputs[1].shape if separate else query
    length, size = (keys[2], keys[3]) if len(keys) == 4 else (keys[1], keys[2] // heads)
    return (
        TensorType((query[0], query[1], width), inputs[0].dtype),
        TensorType((query[0], heads, length, size), inputs[0].dtype),
        TensorType((query[0], heads, length, width // heads), inputs[0].dtype),
    )


def _embed(node: SourceNode, inputs: _Inputs, attributes: _Attributes, block: int) -> _Outcome:
    (batch, sequence), tables = inputs[0].shape, [kind for kind in inputs if kind.dtype.startswith("float")]
    made = TensorType((batch, sequence, tables[0].shape[1]), tables[0].dtype)
    return (made, TensorType((batch,), "int32"), made)


_NCHWC: Mapping[str, _Rule] = {
    "AveragePool": _nchwc_pool,
    "Conv": _nchwc_conv,
    "GlobalAveragePool": _nchwc_global_pool,
    "GlobalMaxPool": _nchwc_global_pool,
    "MaxPool": _nchwc_pool,
    "ReorderInput": _reorder_input,
    "ReorderOutput": _reorder_output,
    "Upsample": _nchwc_upsample,
}
_CONTRIB: Mapping[str, _Rule] = {
    "Attention": _attention,
    "BiasAdd": _like_first,
    "BiasGelu": _like_first,
    "BiasSoftmax": _like_first,
    "EmbedLayerNormalization": _embed,
    "FastGelu": _like_first,
    "FusedConv": _conv,
    "FusedGemm": _gemm,
    "FusedMatMul": _matmul,
    "Gelu": _like_first,
    "GroupNorm": _like_first,
    "LayerNormalization": _normalization,
    "MultiHeadAttention": _multi_head_attention,
    "QuickGelu": _like_first,
    "RotaryEmbedding": _like_first,
    "SimplifiedLayerNormalization": _normalization,
    "SkipLayerNormalization": _normalization,
    "SkipSimplifiedLayerNormalization": _normalization,
}
