"""Single ONNX operators with their shapes, in the form that the network's opset asks for."""

import math
from collections.abc import Sequence
from typing import Any

from tvm_narcost.zoo.builder import FLOAT, GraphBuilder, Value

__all__ = [
    "add", "batch_norm", "binary", "clip", "concat", "conv", "conv_transpose", "gather_rows", "gemm", "lrn", "matmul",
    "mul", "pad", "pool", "reduce_mean", "reshape", "resize", "slice_axis", "softmax", "split", "squeeze", "transpose",
    "unary", "unsqueeze",
]  # fmt: skip

Pair = int | tuple[int, int]


def _pair(extent: Pair) -> tuple[int, int]:
    return (extent, extent) if isinstance(extent, int) else extent


def _same_upper(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    total = max(0, (math.ceil(size / stride) - 1) * stride + dilation * (kernel - 1) + 1 - size)
    return total // 2, total - total // 2


def conv(
    b: GraphBuilder,
    x: Value,
    channels: int,
    kernel: Pair,
    stride: Pair = 1,
    *,
    padding: Pair | None = None,
    dilation: int = 1,
    groups: int = 1,
    bias: bool = True,
) -> Value:
    """Convolution over [n, c, h, w]; ``padding`` None keeps the size, or divides it by the stride."""
    (kh, kw), strides = _pair(kernel), _pair(stride)
    fan_in = x.shape[1] // groups * kh * kw
    attributes: dict[str, Any] = {"kernel_shape": (kh, kw), "strides": strides, "dilations": (dilation, dilation)}
    attributes["group"] = groups
    sizes = list(zip(x.shape[2:], (kh, kw), strides, strict=True))
    if padding is None and b.spelling.padding == "same_upper" and dilation == 1 and max(kh, kw) > 1:
        attributes["auto_pad"] = "SAME_UPPER"
        spatial = [math.ceil(size / s) for size, _, s in sizes]
    else:
        if padding is None and b.spelling.padding == "asymmetric":
            pads = [_same_upper(size, k, s, dilation) for size, k, s in sizes]
        elif padding is None:
            pads = [(dilation * (k - 1) // 2, dilation * (k - 1) // 2) for k in (kh, kw)]
        else:
            pads = [(p, p) for p in _pair(padding)]
        attributes["pads"] = (*(low for low, _ in pads), *(high for _, high in pads))
        spatial = [
            (size + sum(p) - dilation * (k - 1) - 1) // s + 1 for (size, k, s), p in zip(sizes, pads, strict=True)
        ]
    weight = b.weight((channels, x.shape[1] // groups, kh, kw), 1 / (fan_in * x.level))
    inputs = [x, weight] + ([b.weight((channels,), 0.05)] if bias else [])
    shape = (x.shape[0], channels, *spatial)
    flops = 2.0 * math.prod(shape) * fan_in
    return b.node("Conv", inputs, shape, x.level * weight.level * fan_in, flops, **attributes)


def conv_transpose(b: GraphBuilder, x: Value, channels: int, kernel: int, stride: int, groups: int = 1) -> Value:
    """Transposed convolution that multiplies the size by ``stride``."""
    pad_before = (kernel - stride + 1) // 2
    output_padding = stride - kernel + 2 * pad_before
    fan_in = x.shape[1] // groups * kernel * kernel // (stride * stride)
    weight = b.weight((x.shape[1], channels // groups, kernel, kernel), 1 / (max(fan_in, 1) * x.level))
    shape = (x.shape[0], channels, x.shape[2] * stride, x.shape[3] * stride)
    flops = 2.0 * x.elements * channels // groups * kernel * kernel
    return b.node(
        "ConvTranspose", [x, weight, b.weight((channels,), 0.05)], shape, 1.0, flops, kernel_shape=(kernel, kernel),
        strides=(stride, stride), pads=(pad_before,) * 4, output_padding=(output_padding,) * 2, group=groups,
    )  # fmt: skip


def batch_norm(b: GraphBuilder, x: Value) -> Value:
    """BatchNormalization with parameters that leave the level about as it is."""
    size = (x.shape[1],)
    parameters = [b.weight(size, near) for near in (1.0, 0.05, 0.03, 1.0)]
    return b.node("BatchNormalization", [x, *parameters], x.shape, epsilon=b.rng.choice([1e-5, 1e-5, 1e-3]))


def pool(
    b: GraphBuilder, x: Value, kind: str, kernel: Pair, stride: Pair, padding: Pair = 0, *, ceil: bool = False
) -> Value:
    """MaxPool or AveragePool; ``ceil`` rounds the size up where the opset can (10 and later) and padding is 0."""
    kernels, strides, pads = _pair(kernel), _pair(stride), _pair(padding)
    ceil = ceil and b.opset >= 10 and pads == (0, 0)
    spatial = []
    for size, k, s, p in zip(x.shape[2:], kernels, strides, pads, strict=True):
        span = size + 2 * p - k
        spatial.append((-(-span // s) if ceil else span // s) + 1 if span >= 0 else 0)
    attributes: dict[str, Any] = {"kernel_shape": kernels, "strides": strides, "pads": (*pads, *pads)}
    if kind == "AveragePool" and pads != (0, 0):
        attributes["count_include_pad"] = b.rng.randint(0, 1)
    return b.node(kind, [x], (*x.shape[:2], *spatial), ceil_mode=1 if ceil else None, **attributes)


def gemm(b: GraphBuilder, x: Value, features: int) -> Value:
    """Fully connected layer over the last axis: Gemm for [n, k], MatMul and Add for other ranks or spellings."""
    size = x.shape[-1]
    shape = (*x.shape[:-1], features)
    flops = 2.0 * math.prod(shape) * size
    near = 1 / (size * x.level)
    bias = b.weight((features,), 0.05)
    if b.spelling.linear == "Gemm" and len(x.shape) == 2:
        transposed = b.rng.random() < 0.8
        weight = b.weight((features, size) if transposed else (size, features), near)
        return b.node("Gemm", [x, weight, bias], shape, 1.0, flops, transB=1 if transposed else None)
    product = b.node("MatMul", [x, b.weight((size, features), near)], shape, 1.0, flops)
    return add(b, bias, product) if b.rng.random() < 0.3 else add(b, product, bias)


def matmul(b: GraphBuilder, left: Value, right: Value) -> Value:
    """Batched product of two activations of equal rank."""
    shape = (*left.shape[:-1], right.shape[-1])
    flops = 2.0 * math.prod(shape) * left.shape[-1]
    return b.node("MatMul", [left, right], shape, left.level * right.level * left.shape[-1], flops)


def binary(b: GraphBuilder, op_type: str, left: Value, right: Value, level: float | None = None) -> Value:
    """Element-wise operator of two values that broadcast."""
    rank = max(len(left.shape), len(right.shape))
    lefts = (1,) * (rank - len(left.shape)) + left.shape
    rights = (1,) * (rank - len(right.shape)) + right.shape
    shape = tuple(max(pair) for pair in zip(lefts, rights, strict=True))
    if level is None:
        level = {"Mul": left.level * right.level, "Div": left.level / max(right.level, 1e-6)}.get(
            op_type, left.level + right.level
        )
    return b.node(op_type, [left, right], shape, level)


def add(b: GraphBuilder, left: Value, right: Value) -> Value:
    """Sum of two values that broadcast."""
    return binary(b, "Add", left, right)


def mul(b: GraphBuilder, left: Value, right: Value) -> Value:
    """Product of two values that broadcast."""
    return binary(b, "Mul", left, right)


def unary(b: GraphBuilder, op_type: str, x: Value, level: float | None = None, **attributes: Any) -> Value:
    """Element-wise operator of one input."""
    return b.node(op_type, [x], x.shape, level, **attributes)


def clip(b: GraphBuilder, x: Value, low: float, high: float) -> Value:
    """Clip; the bounds are attributes before opset 11, inputs from there on."""
    level = min(x.level, high)
    if b.opset < 11:
        return b.node("Clip", [x], x.shape, level, min=low, max=high)
    return b.node("Clip", [x, b.scalar(low), b.scalar(high)], x.shape, level)


def softmax(b: GraphBuilder, x: Value) -> Value:
    """Softmax over the last axis; before opset 13 the axis splits the tensor in two, which is the same there."""
    axis = len(x.shape) - 1 if b.opset < 13 else b.rng.choice([-1, len(x.shape) - 1])
    return b.node("Softmax", [x], x.shape, 1 / x.shape[-1], axis=axis)


def concat(b: GraphBuilder, values: Sequence[Value], axis: int = 1) -> Value:
    """Join along one axis."""
    shape = list(values[0].shape)
    shape[axis] = sum(value.shape[axis] for value in values)
    level = sum(value.level for value in values) / len(values)
    return b.node("Concat", values, shape, level, axis=axis)


def split(b: GraphBuilder, x: Value, parts: Sequence[int], axis: int = 1) -> list[Value]:
    """Cut along one axis; the sizes are an attribute before opset 13."""
    shapes = [(*x.shape[:axis], part, *x.shape[axis + 1 :]) for part in parts]
    if b.opset < 13:
        return b.node_of_many("Split", [x], shapes, axis=axis, split=tuple(parts))
    return b.node_of_many("Split", [x, b.constant(parts)], shapes, axis=axis)


def reshape(b: GraphBuilder, x: Value, shape: Sequence[int]) -> Value:
    """Reshape; the batch is sometimes written as 0 or the largest extent as -1, as exporters do."""
    target = list(shape)
    if b.rng.random() < 0.4:
        target[0] = 0 if target[0] == x.shape[0] else target[0]
    elif b.rng.random() < 0.3:
        target[-1] = -1
    return b.node("Reshape", [x, b.constant(target)], shape)


def transpose(b: GraphBuilder, x: Value, order: Sequence[int]) -> Value:
    """Permute the axes."""
    return b.node("Transpose", [x], [x.shape[axis] for axis in order], perm=tuple(order))


def _with_axes(b: GraphBuilder, op_type: str, x: Value, axes: Sequence[int], shape: Sequence[int], since: int,
               **attributes: Any) -> Value:  # fmt: skip
    if b.opset < since:
        return b.node(op_type, [x], shape, axes=tuple(axes), **attributes)
    return b.node(op_type, [x, b.constant(axes)], shape, **attributes)


def squeeze(b: GraphBuilder, x: Value, axes: Sequence[int]) -> Value:
    """Drop axes of extent 1."""
    shape = [extent for axis, extent in enumerate(x.shape) if axis not in axes]
    return _with_axes(b, "Squeeze", x, axes, shape, 13)


def unsqueeze(b: GraphBuilder, x: Value, axes: Sequence[int]) -> Value:
    """Insert axes of extent 1 at these positions of the result."""
    rest = iter(x.shape)
    shape = [1 if axis in axes else next(rest) for axis in range(len(x.shape) + len(axes))]
    return _with_axes(b, "Unsqueeze", x, axes, shape, 13)


def reduce_mean(
    b: GraphBuilder, x: Value, axes: Sequence[int], *, keepdims: bool = True, op_type: str = "ReduceMean"
) -> Value:
    """ReduceMean, or another reduction whose axes became an input at opset 18; ``axes`` counts from 0."""
    if keepdims:
        shape = [1 if axis in axes else extent for axis, extent in enumerate(x.shape)]
    else:
        shape = [extent for axis, extent in enumerate(x.shape) if axis not in axes]
    return _with_axes(b, op_type, x, axes, shape, 18, keepdims=int(keepdims))


def slice_axis(b: GraphBuilder, x: Value, axis: int, start: int, end: int, step: int = 1) -> Value:
    """Elements ``start`` to ``end`` of one axis; bounds are attributes before opset 10."""
    shape = list(x.shape)
    shape[axis] = len(range(*slice(start, end, step).indices(shape[axis])))
    if b.opset < 10 and step == 1:
        return b.node("Slice", [x], shape, axes=(axis,), starts=(start,), ends=(end,))
    if b.opset < 10:  # no steps yet: gather the positions instead
        positions = list(range(*slice(start, end, step).indices(x.shape[axis])))
        return b.node("Gather", [x, b.constant(positions)], shape, axis=axis)
    bounds = [b.constant([bound]) for bound in (start, end, axis, step)]
    return b.node("Slice", [x, *bounds[: 3 if step == 1 else 4]], shape)


def pad(b: GraphBuilder, x: Value, amounts: Sequence[int], mode: str = "constant") -> Value:
    """Pad; ``amounts`` is all begins, then all ends."""
    rank = len(x.shape)
    shape = [extent + amounts[axis] + amounts[rank + axis] for axis, extent in enumerate(x.shape)]
    if b.opset < 11:
        return b.node("Pad", [x], shape, pads=tuple(amounts), mode=mode)
    return b.node("Pad", [x, b.constant(amounts)], shape, mode=mode)


def resize(b: GraphBuilder, x: Value, factor: int, mode: str = "nearest") -> Value:
    """Enlarge an image by a whole factor: Upsample at opset 9, Resize from there on."""
    shape = (*x.shape[:2], x.shape[2] * factor, x.shape[3] * factor)
    scales = b.constant([1.0, 1.0, float(factor), float(factor)], dtype=FLOAT)
    if b.opset < 11:
        return b.node("Upsample" if b.opset == 9 else "Resize", [x, scales], shape, mode=mode)
    extra: dict[str, Any] = {}
    if mode == "nearest":
        extra = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    region = b.constant([], dtype=FLOAT) if b.opset < 13 else None  # optional from 13 on
    return b.node("Resize", [x, region, scales], shape, mode=mode, **extra)


def lrn(b: GraphBuilder, x: Value) -> Value:
    """Local response normalisation, as in AlexNet."""
    return b.node("LRN", [x], x.shape, size=b.rng.choice([5, 5, 3]), alpha=1e-4, beta=0.75, bias=1.0)


def gather_rows(b: GraphBuilder, rows: int, width: int, indices: Value) -> Value:
    """Embedding: rows of a table picked by int64 indices."""
    table = b.weight((rows, width), 0.5)
    return b.node("Gather", [table, indices], (*indices.shape, width), dtype=FLOAT, axis=0)
