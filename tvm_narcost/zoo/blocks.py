"""Blocks that several families share, each in the spelling of the network."""

import dataclasses
import math

from tvm_narcost.zoo import operators as ops
from tvm_narcost.zoo.builder import GraphBuilder, Value

__all__ = [
    "activation", "classifier", "conv_block", "depth_separable", "dropout", "flatten", "gelu", "global_pool",
    "hard_sigmoid", "layer_norm", "norm", "often_caffe", "residual", "squeeze_excite", "swish",
]  # fmt: skip


def often_caffe(b: GraphBuilder) -> None:
    """Let the network speak Caffe in a third of the cases: for families whose public files came from there."""
    if b.rng.random() < 0.33:
        b.spelling = dataclasses.replace(b.spelling, norm="caffe")


def norm(b: GraphBuilder, x: Value) -> Value:
    """BatchNormalization; in Caffe's spelling the scale and shift follow as Mul and Add."""
    x = ops.batch_norm(b, x)
    if b.spelling.norm == "caffe":
        axes = (1, 2) if b.spelling.ir_version < 8 else (0, 2, 3)
        for op_type, near in (("Mul", 1.0), ("Add", 0.05)):
            vector = b.weight((x.shape[1],), near)
            x = ops.binary(b, op_type, x, ops.unsqueeze(b, vector, axes), x.level)
    return x


def conv_block(
    b: GraphBuilder,
    x: Value,
    channels: int,
    kernel: int | tuple[int, int],
    stride: int = 1,
    *,
    act: str | None = "Relu",
    groups: int = 1,
    dilation: int = 1,
    padding: int | None = None,
) -> Value:
    """Convolution, normalisation as the network spells it, activation (None: none)."""
    folded = b.spelling.norm == "bias"
    x = ops.conv(b, x, channels, kernel, stride, groups=groups, dilation=dilation, padding=padding, bias=folded)
    if not folded:
        x = norm(b, x)
    return activation(b, x, act) if act else x


def depth_separable(
    b: GraphBuilder, x: Value, channels: int, kernel: int, stride: int = 1, *, act: str = "Relu",
    last_act: str | None = "Relu",
) -> Value:  # fmt: skip
    """Depthwise convolution, then 1x1."""
    x = conv_block(b, x, x.shape[1], kernel, stride, act=act, groups=x.shape[1])
    return conv_block(b, x, channels, 1, act=last_act)


def activation(b: GraphBuilder, x: Value, kind: str) -> Value:
    """An activation by name: an ONNX operator, or ``Relu6``, ``Swish``, ``HardSwish``, ``Gelu``."""
    if kind == "Relu6":
        return ops.clip(b, x, 0.0, 6.0)
    if kind == "Swish":
        return swish(b, x)
    if kind == "HardSwish":
        return hard_swish(b, x)
    if kind == "Gelu":
        return gelu(b, x)
    if kind == "PRelu":
        return b.node("PRelu", [x, b.weight((x.shape[1], *[1] * (len(x.shape) - 2)), 0.25)], x.shape)
    if kind == "LeakyRelu":
        return ops.unary(b, kind, x, alpha=b.rng.choice([0.01, 0.1, 0.2]))
    if kind in ("Sigmoid", "Tanh"):
        return ops.unary(b, kind, x, 0.7)
    return ops.unary(b, kind, x)


def swish(b: GraphBuilder, x: Value) -> Value:
    """The input times its sigmoid."""
    return ops.mul(b, x, ops.unary(b, "Sigmoid", x, 0.73))


def hard_sigmoid(b: GraphBuilder, x: Value) -> Value:
    """HardSigmoid as an operator, or Add, Clip, Div."""
    if b.spelling.hard_swish == "clip":
        shifted = ops.clip(b, ops.add(b, x, b.scalar(3.0)), 0.0, 6.0)
        return ops.binary(b, "Div", shifted, b.scalar(6.0), 0.7)
    return ops.unary(b, "HardSigmoid", x, 0.7, alpha=1 / 6, beta=0.5)


def hard_swish(b: GraphBuilder, x: Value) -> Value:
    """HardSwish in the network's spelling."""
    if b.spelling.hard_swish == "op":
        return ops.unary(b, "HardSwish", x, x.level * 0.7)
    if b.spelling.hard_swish == "clip":
        shifted = ops.clip(b, ops.add(b, x, b.scalar(3.0)), 0.0, 6.0)
        return ops.binary(b, "Div", ops.mul(b, x, shifted), b.scalar(6.0), x.level * 0.7)
    return ops.mul(b, x, hard_sigmoid(b, x))


def gelu(b: GraphBuilder, x: Value) -> Value:
    """GELU as one operator, by Erf, or by Tanh."""
    if b.spelling.gelu == "op":
        return ops.unary(b, "Gelu", x, x.level * 0.85)
    if b.spelling.gelu == "erf":
        scaled = ops.binary(b, "Div", x, b.scalar(math.sqrt(2.0)))
        inner = ops.add(b, ops.unary(b, "Erf", scaled, 0.7), b.scalar(1.0))
        if b.rng.random() < 0.5:
            return ops.mul(b, ops.mul(b, x, inner), b.scalar(0.5))
        return ops.mul(b, ops.mul(b, x, b.scalar(0.5)), inner)
    cube = ops.binary(b, "Pow", x, b.scalar(3.0), x.level**3)
    inner = ops.add(b, x, ops.mul(b, cube, b.scalar(0.044715)))
    squashed = ops.unary(b, "Tanh", ops.mul(b, inner, b.scalar(math.sqrt(2 / math.pi))), 0.7)
    return ops.mul(b, ops.mul(b, x, b.scalar(0.5)), ops.add(b, squashed, b.scalar(1.0)))


def layer_norm(b: GraphBuilder, x: Value) -> Value:
    """LayerNormalization over the last axis, as one operator or spelled out."""
    size, epsilon = x.shape[-1], b.rng.choice([1e-5, 1e-6])
    scale, shift = b.weight((size,), 1.0), b.weight((size,), 0.5)
    if b.spelling.layer_norm == "op":
        return b.node("LayerNormalization", [x, scale, shift], x.shape, 0.5, axis=-1, epsilon=epsilon)
    axis = (len(x.shape) - 1,)
    centred = ops.binary(b, "Sub", x, ops.reduce_mean(b, x, axis))
    squared = ops.binary(b, "Pow", centred, b.scalar(2.0), 1.0)
    variance = ops.add(b, ops.reduce_mean(b, squared, axis), b.scalar(epsilon))
    normal = ops.binary(b, "Div", centred, ops.unary(b, "Sqrt", variance), 1.0)
    return ops.binary(b, "Add", ops.mul(b, normal, scale), shift, 0.5)


def residual(b: GraphBuilder, x: Value, skip: Value) -> Value:
    """Sum of a branch and its skip connection."""
    return b.node(b.spelling.residual, [x, skip], x.shape, x.level + skip.level)


def dropout(b: GraphBuilder, x: Value, ratio: float = 0.5) -> Value:
    """Dropout where the network keeps it; at inference it does nothing."""
    if not b.spelling.dropout:
        return x
    if b.spelling.opset < 12:
        return b.node("Dropout", [x], x.shape, ratio=ratio)
    return b.node("Dropout", [x, b.scalar(ratio)], x.shape)


def global_pool(b: GraphBuilder, x: Value) -> Value:
    """Average over all positions, [n, c, 1, 1]."""
    if b.spelling.global_pool == "GlobalAveragePool":
        return b.node("GlobalAveragePool", [x], (*x.shape[:2], 1, 1))
    if b.spelling.global_pool == "ReduceMean":
        return ops.reduce_mean(b, x, (2, 3))
    return ops.pool(b, x, "AveragePool", (x.shape[2], x.shape[3]), 1)


def flatten(b: GraphBuilder, x: Value) -> Value:
    """[n, c, h, w] to [n, chw]."""
    size = math.prod(x.shape[1:])
    if b.spelling.flatten == "Squeeze" and x.shape[2:] == (1, 1):
        return ops.squeeze(b, x, (2, 3))
    if b.spelling.flatten == "Reshape":
        return ops.reshape(b, x, (x.shape[0], size))
    return b.node("Flatten", [x], (x.shape[0], size), axis=1)


def classifier(b: GraphBuilder, x: Value, classes: int | None = None) -> None:
    """Global pooling (of images), a fully connected layer, sometimes Softmax; declares the output."""
    classes = classes or b.rng.choice([10, 100, 365, 1000, 1000, 1000, 1001])
    if len(x.shape) == 4:
        if b.spelling.global_pool == "ReduceMean" and b.rng.random() < 0.5:
            x = ops.reduce_mean(b, x, (2, 3), keepdims=False)
        else:
            x = flatten(b, global_pool(b, x))
    x = ops.gemm(b, dropout(b, x), classes)
    b.output(ops.softmax(b, x) if b.spelling.final_softmax else x)


def squeeze_excite(b: GraphBuilder, x: Value, squeezed: int, *, act: str = "Relu", gate: str = "Sigmoid") -> Value:
    """Squeeze-and-excitation: channels weighted by a gate computed from their means."""
    s = global_pool(b, x)
    if b.spelling.linear == "MatMul" and b.spelling.flatten == "Reshape":
        s = ops.gemm(b, activation(b, ops.gemm(b, flatten(b, s), squeezed), act), x.shape[1])
        s = hard_sigmoid(b, s) if gate == "HardSigmoid" else activation(b, s, gate)
        return ops.mul(b, x, ops.reshape(b, s, (x.shape[0], x.shape[1], 1, 1)))
    s = ops.conv(b, activation(b, ops.conv(b, s, squeezed, 1), act), x.shape[1], 1)
    s = hard_sigmoid(b, s) if gate == "HardSigmoid" else activation(b, s, gate)
    return ops.mul(b, x, s) if b.rng.random() < 0.7 else ops.mul(b, s, x)
