"""Blocks over sequences [n, c, t] and [n, t, c]: 1-D convolutions, gates, weights that layers share."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

from tvm_narcost.zoo import operators as ops
from tvm_narcost.zoo.blocks import activation
from tvm_narcost.zoo.builder import GraphBuilder, Value

__all__ = ["conv_1d", "conv_block_1d", "glu", "repeated"]


def conv_1d(
    b: GraphBuilder,
    x: Value,
    channels: int,
    kernel: int,
    stride: int = 1,
    *,
    padding: int | tuple[int, int] | None = None,
    dilation: int = 1,
    groups: int = 1,
    bias: bool = True,
) -> Value:
    """Convolution over [n, c, t]; ``padding`` None is half of the kernel, a pair is before and after."""
    if padding is None:
        padding = dilation * (kernel - 1) // 2
    before, after = (padding, padding) if isinstance(padding, int) else padding
    steps = (x.shape[2] + before + after - dilation * (kernel - 1) - 1) // stride + 1
    fan_in = x.shape[1] // groups * kernel
    weight = b.weight((channels, x.shape[1] // groups, kernel), 1 / (fan_in * x.level))
    inputs = [x, weight] + ([b.weight((channels,), 0.05)] if bias else [])
    attributes: dict[str, Any] = {"kernel_shape": (kernel,), "strides": (stride,), "dilations": (dilation,)}
    shape = (x.shape[0], channels, steps)
    return b.node(
        "Conv", inputs, shape, x.level * weight.level * fan_in, 2.0 * math.prod(shape) * fan_in, group=groups,
        pads=(before, after), **attributes,
    )  # fmt: skip


def conv_block_1d(
    b: GraphBuilder, x: Value, channels: int, kernel: int, stride: int = 1, *, act: str | None = "Relu"
) -> Value:
    """1-D convolution, normalisation unless the network has it folded, activation."""
    folded = b.spelling.norm == "bias"
    x = conv_1d(b, x, channels, kernel, stride, bias=folded)
    x = x if folded else ops.batch_norm(b, x)
    return activation(b, x, act) if act else x


def glu(b: GraphBuilder, x: Value) -> Value:
    """One half of the channels times the sigmoid of the other; axis 1."""
    half = x.shape[1] // 2
    left, right = ops.split(b, x, (half, half))
    return ops.mul(b, left, activation(b, right, "Sigmoid"))


def repeated(b: GraphBuilder, x: Value, layer: Callable[[Value], Value], times: int) -> Value:
    """A layer several times over, every repetition with the weights of the first, as ALBERT does."""
    start = b.rng.getstate()
    first = len(b.weights)
    x = layer(x)
    own, size = [weight.name for weight in b.weights[first:]], b.weight_bytes
    after = b.rng.getstate()
    for _ in range(times - 1):
        nodes, new = len(b.nodes), len(b.weights)
        b.rng.setstate(start)  # the same choices, so that the same weights are asked for
        x = layer(x)
        name_of = dict(zip((weight.name for weight in b.weights[new:]), own, strict=True))
        for index in range(nodes, len(b.nodes)):
            node = b.nodes[index]
            inputs = tuple(name_of.get(name, name) for name in node.inputs)
            b.nodes[index] = dataclasses.replace(node, inputs=inputs)
        del b.weights[new:]
        b.weight_bytes = size
    b.rng.setstate(after)
    return x
