"""Micro-graphs over rows: normalisations and softmax written out, as exporters write them."""

import dataclasses

from tvm_narcost.zoo import operators as ops
from tvm_narcost.zoo.blocks import gelu, layer_norm
from tvm_narcost.zoo.builder import GraphBuilder, Value
from tvm_narcost.zoo.corpus.draws import log_uniform
from tvm_narcost.zoo.micro.draws import MOST_ELEMENTS, affine, step

__all__ = ["build_layer_norm", "build_softmax"]


def _rows(b: GraphBuilder, low: int, high: int) -> tuple[int, ...]:
    """[rows, columns] or [1, rows, columns]."""
    rng = b.rng
    columns = log_uniform(rng, low, high)
    rows = log_uniform(rng, 4, max(4, min(2048, MOST_ELEMENTS // columns)))
    return (rows, columns) if rng.random() < 0.6 else (1, rows, columns)


def build_layer_norm(b: GraphBuilder) -> None:
    """Layer or root-mean-square normalisation spelled out, once or several times, after and before something."""
    rng = b.rng
    b.spelling = dataclasses.replace(b.spelling, layer_norm="chain")
    x = b.input(_rows(b, 32, 2048))
    for index in range(rng.choice([1, 1, 2, 3])):
        if rng.random() < 0.5:
            x = ops.add(b, x, b.input(x.shape, f"residual{index}"))
        x = layer_norm(b, x) if rng.random() < 0.7 else _rms_norm(b, x)
        if rng.random() < 0.4:
            x = gelu(b, x) if rng.random() < 0.5 else step(b, x)
    b.output(x)


def _rms_norm(b: GraphBuilder, x: Value) -> Value:
    axis = (len(x.shape) - 1,)
    square = ops.mul(b, x, x) if b.rng.random() < 0.5 else ops.binary(b, "Pow", x, b.scalar(2.0), x.level**2)
    mean = ops.add(b, ops.reduce_mean(b, square, axis), b.scalar(1e-5))
    normal = ops.binary(b, "Div", x, ops.unary(b, "Sqrt", mean, x.level), 1.0)
    return ops.mul(b, normal, b.weight(x.shape[-1:], 1.0))


def build_softmax(b: GraphBuilder) -> None:
    """Softmax spelled out, scaled and masked before, multiplied after."""
    rng = b.rng
    shape = _rows(b, 8, 4096)
    x = b.input(shape)
    for index in range(rng.choice([1, 1, 2])):
        if rng.random() < 0.5:
            x = ops.mul(b, x, b.scalar(rng.choice([0.125, 0.25, 0.0883])))
        if rng.random() < 0.4:
            x = ops.add(b, x, b.input(shape[-1:] if rng.random() < 0.5 else shape, f"mask{index}"))
        x = _softmax(b, x)
        if rng.random() < 0.6 or index == 0:
            x = affine(b, x, shift=rng.random() < 0.5) if rng.random() < 0.5 else step(b, x)
    b.output(x)


def _softmax(b: GraphBuilder, x: Value) -> Value:
    axis = len(x.shape) - 1
    size = x.shape[-1]
    shifted = ops.binary(b, "Sub", x, ops.reduce_mean(b, x, (axis,), op_type="ReduceMax"), x.level)
    powers = ops.unary(b, "Exp", shifted, 0.5)
    total = _reduce_sum(b, powers)
    if b.rng.random() < 0.25:  # the logarithm instead
        return ops.binary(b, "Sub", shifted, ops.unary(b, "Log", total, 3.0), 3.0)
    return ops.binary(b, "Mul", ops.binary(b, "Div", powers, total, 1 / size), b.scalar(float(size)), 1.0)


def _reduce_sum(b: GraphBuilder, x: Value) -> Value:
    """ReduceSum over the last axis, which became an input at opset 13 already."""
    shape, axes = (*x.shape[:-1], 1), (len(x.shape) - 1,)
    level = x.level * x.shape[-1]
    if b.opset < 13:
        return b.node("ReduceSum", [x], shape, level, axes=axes, keepdims=1)
    return b.node("ReduceSum", [x, b.constant(axes)], shape, level, keepdims=1)
