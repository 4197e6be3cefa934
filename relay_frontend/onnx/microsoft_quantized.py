"""Shapes of com.microsoft's quantised operators and of its products of packed weights."""

from collections.abc import Mapping

from relay_frontend.graph import TensorType
from relay_frontend.onnx.microsoft_rule import (
    Attributes,
    Inputs,
    Outcome,
    Rule,
    broadcast,
    given,
    integer,
    needed,
)
from relay_frontend.onnx.source import SourceNode
from relay_frontend.onnx.windows import resolve_window, window_output

__all__ = ["QUANTIZED_RULES"]


def _like_first(node: SourceNode, inputs: Inputs, attributes: Attributes, block: int) -> Outcome:
    return (inputs[0],)


def _elementwise(*slots: int, dtype_of: int = 0) -> Rule:
    """What broadcasts the inputs at ``slots``; the others are scales and zero points."""

    def rule(node: SourceNode, inputs: Inputs, attributes: Attributes, block: int) -> Outcome:
        kinds = [needed(node, inputs, slot) for slot in slots]
        return (TensorType(broadcast(*kinds), needed(node, inputs, dtype_of).dtype),)

    return rule


def _multiply_integers(node: SourceNode, inputs: Inputs, attributes: Attributes, block: int) -> Outcome:
    return (TensorType(broadcast(needed(node, inputs, 0), needed(node, inputs, 2)), "int32"),)


def _quantize(node: SourceNode, inputs: Inputs, attributes: Attributes, block: int) -> Outcome:
    zero = given(node, inputs, 2)
    return (TensorType(inputs[0].shape, zero.dtype if zero else "uint8"),)


def _dequantize(node: SourceNode, inputs: Inputs, attributes: Attributes, block: int) -> Outcome:
    return (TensorType(inputs[0].shape, needed(node, inputs, 1).dtype),)


def _concat(node: SourceNode, inputs: Inputs, attributes: Attributes, block: int) -> Outcome:
    """The scale and zero point of the result, then each value with its own."""
    parts = [needed(node, inputs, slot) for slot in range(2, len(node.inputs), 3)]
    shape = list(parts[0].shape)
    axis = integer(attributes, "axis")
    attributes["axis"] = axis = axis + len(shape) if axis < 0 else axis
    shape[axis] = sum(part.shape[axis] for part in parts)
    return (TensorType(tuple(shape), parts[0].dtype),)


def _reduce(dtype: str | None) -> Rule:
    def rule(node: SourceNode, inputs: Inputs, attributes: Attributes, block: int) -> Outcome:
        shape, axes = inputs[0].shape, attributes.get("axes") or ()
        if not isinstance(axes, tuple):
            raise TypeError(f"axes={axes!r} is no list")
        attributes["axes"] = reduced = tuple(sorted(int(axis) % len(shape) for axis in axes)) or tuple(
            range(len(shape))
        )
        kept = integer(attributes, "keepdims", 1)
        extents = (1 if axis in reduced else extent for axis, extent in enumerate(shape) if kept or axis not in reduced)
        return (TensorType(tuple(extents), dtype or inputs[0].dtype),)

    return rule


def _split_channels(kind: TensorType, last: bool) -> tuple[int, tuple[int, ...]]:
    """Channels and spatial extents."""
    return (kind.shape[-1], kind.shape[1:-1]) if last else (kind.shape[1], kind.shape[2:])


def _joined(batch: int, channels: int, spatial: tuple[int, ...], last: bool) -> tuple[int, ...]:
    return (batch, *spatial, channels) if last else (batch, channels, *spatial)


def _convolution(weight_slot: int, residual_slot: int = -1, *, channels_last: bool = False) -> Rule:
    """The weight is [filters, channels / group, kernel...] in every layout."""

    def rule(node: SourceNode, inputs: Inputs, attributes: Attributes, block: int) -> Outcome:
        data, weight = inputs[0], needed(node, inputs, weight_slot)
        last = channels_last or integer(attributes, "channels_last", 0) == 1
        channels, spatial = _split_channels(data, last)
        group = attributes["group"] = integer(attributes, "group", 1)
        if channels != weight.shape[1] * group or weight.shape[0] % group:
            raise ValueError(f"{channels} channels in {group} groups with weights {weight.shape}")
        attributes["kernel_shape"] = attributes.get("kernel_shape") or weight.shape[2:]
        resolve_window(node.label, attributes, spatial)
        if residual_slot >= 0 and given(node, inputs, residual_slot):
            attributes["fused_sum"] = 1
        made = _joined(data.shape[0], weight.shape[0], window_output(node.label, attributes, spatial), last)
        return (TensorType(made, data.dtype),)

    return rule


def _pool(*, channels_last: bool = False) -> Rule:
    def rule(node: SourceNode, inputs: Inputs, attributes: Attributes, block: int) -> Outcome:
        data = inputs[0]
        last = channels_last or integer(attributes, "channels_last", 0) == 1
        channels, spatial = _split_channels(data, last)
        attributes.pop("storage_order", None)
        attributes.setdefault("ceil_mode", 0)
        resolve_window(node.label, attributes, spatial)
        made = _joined(data.shape[0], channels, window_output(node.label, attributes, spatial), last)
        return (TensorType(made, data.dtype),)

    return rule


def _global_pool(node: SourceNode, inputs: Inputs, attributes: Attributes, block: int) -> Outcome:
    data, last = inputs[0], integer(attributes, "channels_last", 0) == 1
    channels, spatial = _split_channels(data, last)
    return (TensorType(_joined(data.shape[0], channels, (1,) * len(spatial), last), data.dtype),)


def _product(dtype_of: int | None = 0, dtype: str = "") -> Rule:
    """[..., rows, inner] by [..., inner, columns]; the dtype is that of an input or fixed."""

    def rule(node: SourceNode, inputs: Inputs, attributes: Attributes, block: int) -> Outcome:
        left, right = inputs[0], inputs[1]
        if left.shape[-1] != right.shape[-2]:
            raise ValueError(f"inner extents {left.shape[-1]} and {right.shape[-2]}")
        batch = broadcast(TensorType(left.shape[:-2], ""), TensorType(right.shape[:-2], ""))
        found = dtype if dtype_of is None else needed(node, inputs, dtype_of).dtype
        return (TensorType((*batch, left.shape[-2], right.shape[-1]), found),)

    return rule


def _packed_product(node: SourceNode, inputs: Inputs, attributes: Attributes, block: int) -> Outcome:
    """Weights of a few bits, whose extents stand in the attributes."""
    inner, columns = integer(attributes, "K"), integer(attributes, "N")
    if inputs[0].shape[-1] != inner:
        raise ValueError(f"inner extents {inputs[0].shape[-1]} and {inner}")
    return (TensorType((*inputs[0].shape[:-1], columns), inputs[0].dtype),)


def _gemm(node: SourceNode, inputs: Inputs, attributes: Attributes, block: int) -> Outcome:
    left, right = inputs[0].shape, needed(node, inputs, 3).shape
    rows = left[1] if integer(attributes, "transA", 0) else left[0]
    columns = right[0] if integer(attributes, "transB", 0) else right[1]
    return (TensorType((rows, columns), inputs[0].dtype if given(node, inputs, 7) else "float32"),)


def _gather(node: SourceNode, inputs: Inputs, attributes: Attributes, block: int) -> Outcome:
    data, indices, scales = inputs[:3]
    rank, bits = len(data.shape), integer(attributes, "bits", 4)
    axis = attributes["gather_axis"] = integer(attributes, "gather_axis", 0) % rank
    quantized = attributes["quantize_axis"] = integer(attributes, "quantize_axis", 1) % rank
    extents = list(data.shape)
    if data.dtype == "uint8":
        extents[quantized] *= 8 // bits  # a byte holds several
    return (TensorType((*extents[:axis], *indices.shape, *extents[axis + 1 :]), scales.dtype),)


def _recurrent(node: SourceNode, inputs: Inputs, attributes: Attributes, block: int) -> Outcome:
    (steps, batch, _), dtype = inputs[0].shape, inputs[0].dtype
    directions, hidden = inputs[2].shape[0], integer(attributes, "hidden_size")
    last = TensorType((directions, batch, hidden), dtype)
    return (TensorType((steps, directions, batch, hidden), dtype), last, last)


QUANTIZED_RULES: Mapping[str, Rule] = {
    "DequantizeLinear": _dequantize,
    "DynamicQuantizeLSTM": _recurrent,
    "DynamicQuantizeMatMul": _product(),
    "GatherBlockQuantized": _gather,
    "MatMulBnb4": _packed_product,
    "MatMulInteger16": _product(None, "int32"),
    "MatMulIntegerToFloat": _product(2),
    "MatMulNBits": _packed_product,
    "MaxpoolWithMask": _pool(),
    "MulInteger": _multiply_integers,
    "NhwcConv": _convolution(1, channels_last=True),
    "NhwcFusedConv": _convolution(1, 3, channels_last=True),
    "NhwcMaxPool": _pool(channels_last=True),
    "QGemm": _gemm,
    "QLinearAdd": _elementwise(0, 3),
    "QLinearAveragePool": _pool(),
    "QLinearConcat": _concat,
    "QLinearConv": _convolution(3),
    "QLinearGlobalAveragePool": _global_pool,
    "QLinearLeakyRelu": _like_first,
    "QLinearMul": _elementwise(0, 3),
    "QLinearReduceMean": _reduce(None),
    "QLinearSigmoid": _like_first,
    "QLinearSoftmax": _like_first,
    "QLinearWhere": _elementwise(0, 1, 4, dtype_of=1),
    "QOrderedGelu": _like_first,
    "QuantizeLinear": _quantize,
    "ReduceSumInteger": _reduce("int32"),
}
