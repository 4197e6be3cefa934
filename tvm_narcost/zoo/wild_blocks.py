"""Blocks for random-wired networks: each keeps the size of an image and may change its channels."""

from collections.abc import Callable

from tvm_narcost.zoo import operators as ops
from tvm_narcost.zoo.attention import feed_forward, self_attention
from tvm_narcost.zoo.blocks import (
    activation,
    conv_block,
    depth_separable,
    global_pool,
    layer_norm,
    norm,
    residual,
    squeeze_excite,
)
from tvm_narcost.zoo.builder import GraphBuilder, Value
from tvm_narcost.zoo.classic import fire_module
from tvm_narcost.zoo.dense import dense_layer
from tvm_narcost.zoo.image_blocks import instance_norm
from tvm_narcost.zoo.inception import inception_module
from tvm_narcost.zoo.mobile import inverted_residual
from tvm_narcost.zoo.residual import residual_block
from tvm_narcost.zoo.shuffle import channel_shuffle, ghost_module
from tvm_narcost.zoo.vision import window_attention

__all__ = ["ACTIVATIONS", "BLOCKS", "draw_channels"]

ACTIVATIONS = (
    "Relu", "Relu", "Relu6", "Swish", "HardSwish", "Gelu", "PRelu", "LeakyRelu", "Sigmoid", "Tanh", "Elu", "Softplus",
    "Selu", "Softsign",
)  # fmt: skip

_MOST_POSITIONS = 400  # attention over more would dwarf the rest


def draw_channels(b: GraphBuilder, near: int) -> int:
    """Channels around ``near``: a multiple of 16 or 8, or any number."""
    divisor = b.rng.choices([16, 8, 4, 1], [0.35, 0.2, 0.15, 0.3])[0]
    return max(divisor, round(near * b.rng.uniform(0.5, 1.6) / divisor) * divisor, 4)


def _act(b: GraphBuilder) -> str:
    return b.rng.choice(ACTIVATIONS)


def _conv(b: GraphBuilder, x: Value) -> Value:
    rng = b.rng
    kernel = rng.choice([1, 1, 2, 3, 3, 3, 5, 7])
    channels = draw_channels(b, x.shape[1])
    groups = rng.choice([g for g in (1, 1, 1, 1, 2, 3, 4, 8, 16) if x.shape[1] % g == 0])
    channels = max(groups, channels // groups * groups)
    if kernel == 2:  # even kernels: one row and column lost, then padded back
        y = ops.conv(b, ops.pad(b, x, (0, 0, 0, 0, 0, 0, 1, 1)), channels, 2, padding=0, groups=groups)
        return activation(b, y, _act(b))
    dilation = rng.choice([1, 1, 1, 1, 2, 3, 6]) if kernel > 1 else 1
    act = rng.choice([None, _act(b), _act(b)])
    return conv_block(b, x, channels, kernel, groups=groups, dilation=dilation, act=act)


def _plain_conv(b: GraphBuilder, x: Value) -> Value:
    y = ops.conv(b, x, draw_channels(b, x.shape[1]), b.rng.choice([1, 3, 3, 5]))
    return activation(b, y, b.rng.choice(["Relu", _act(b)]))


def _strip_conv(b: GraphBuilder, x: Value) -> Value:
    k = b.rng.choice([3, 5, 7, 9])
    y = conv_block(b, x, draw_channels(b, x.shape[1]), (1, k), act=b.rng.choice([None, "Relu"]))
    return conv_block(b, y, draw_channels(b, x.shape[1]), (k, 1))


def _depthwise(b: GraphBuilder, x: Value) -> Value:
    kernel = b.rng.choice([3, 3, 5, 7, 9, 11, 13])
    return conv_block(b, x, x.shape[1], kernel, groups=x.shape[1], act=b.rng.choice([None, "Relu", _act(b)]))


def _separable(b: GraphBuilder, x: Value) -> Value:
    act = b.rng.choice(["Relu", "Relu6", "Swish"])
    return depth_separable(b, x, draw_channels(b, x.shape[1]), b.rng.choice([3, 5, 7]), act=act)


def _inverted(b: GraphBuilder, x: Value) -> Value:
    rng = b.rng
    squeezed = rng.choice([0, max(4, x.shape[1] // 4)])
    channels = rng.choice([x.shape[1], draw_channels(b, x.shape[1])])
    return inverted_residual(
        b, x, channels, rng.choice([1, 2, 3, 4, 6, 3.5]), rng.choice([3, 5, 7]), 1, _act(b), squeezed,
        rng.choice(["Sigmoid", "HardSigmoid"]), rng.choice(["Relu", "Swish"]),
    )  # fmt: skip


def _bottleneck(b: GraphBuilder, x: Value) -> Value:
    rng = b.rng
    groups = rng.choice([1, 1, 2, 4])
    inner = max(groups, draw_channels(b, x.shape[1] // 2) // groups * groups)
    kernels = rng.choice([(1, 3, 1), (3, 3), (1, 5, 1), (3, 1, 3)])
    channels = rng.choice([x.shape[1], draw_channels(b, x.shape[1])])
    return residual_block(b, x, inner, channels, kernels, 1, groups if kernels[0] == 1 else 1, rng.choice([0, 0, 8]), 0)


def _inception(b: GraphBuilder, x: Value) -> Value:
    rng = b.rng
    one, three_in, three, five_in, five, projected = (draw_channels(b, max(8, x.shape[1] // 3)) for _ in range(6))
    return inception_module(
        b, x, (one, three_in, three, five_in, five, projected), normed=rng.random() < 0.5,
        double_3x3=rng.random() < 0.3, pool=rng.choice(["MaxPool", "AveragePool"]), factorised=rng.choice([0, 0, 5, 7]),
    )  # fmt: skip


def _fire(b: GraphBuilder, x: Value) -> Value:
    half = draw_channels(b, max(8, x.shape[1] // 2))
    return fire_module(b, x, draw_channels(b, max(8, x.shape[1] // 4)), half, draw_channels(b, half), True)


def _dense(b: GraphBuilder, x: Value) -> Value:
    for _ in range(b.rng.randint(1, 3)):
        new = dense_layer(b, x, draw_channels(b, max(8, x.shape[1] // 4)), b.rng.choice([0, 2, 4]))
        x = ops.concat(b, [x, new])
    return x


def _shuffle(b: GraphBuilder, x: Value) -> Value:
    groups = b.rng.choice([2, 3, 4])
    channels = max(1, round(x.shape[1] / groups)) * groups
    y = conv_block(b, x, channels, 1)
    y = conv_block(b, channel_shuffle(b, y, groups), channels, 3, groups=channels, act=None)
    return conv_block(b, y, channels, 1, groups=groups)


def _ghost(b: GraphBuilder, x: Value) -> Value:
    return ghost_module(b, x, draw_channels(b, x.shape[1]), b.rng.choice(["Relu", None]), b.rng.choice([3, 5]))


def _excite(b: GraphBuilder, x: Value) -> Value:
    return squeeze_excite(b, x, max(4, x.shape[1] // b.rng.choice([4, 8, 16])), act=b.rng.choice(["Relu", "Swish"]),
                          gate=b.rng.choice(["Sigmoid", "HardSigmoid", "Tanh"]))  # fmt: skip


def _position_gate(b: GraphBuilder, x: Value) -> Value:
    """CBAM's attention over positions: mean and maximum over the channels, a convolution, a gate."""
    maximum = ops.reduce_mean(b, x, (1,), op_type=b.rng.choice(["ReduceMax", "ReduceL2"]))
    maximum = Value(maximum.name, maximum.shape, x.level * (4 if "L2" in maximum.name else 1))
    both = ops.concat(b, [ops.reduce_mean(b, x, (1,)), maximum])
    return ops.mul(b, x, activation(b, ops.conv(b, both, 1, b.rng.choice([3, 7])), "Sigmoid"))


def _down_and_up(b: GraphBuilder, x: Value) -> Value:
    """A level of a U-Net: halve, work, enlarge by resizing or by transposed convolution, join."""
    rng = b.rng
    if x.shape[2] % 2 or x.shape[3] % 2 or min(x.shape[2:]) < 8:
        return _conv(b, x)
    channels = draw_channels(b, x.shape[1])
    if rng.random() < 0.5:
        y = conv_block(b, x, channels, 3, 2)
    else:
        y = conv_block(b, ops.pool(b, x, rng.choice(["MaxPool", "AveragePool"]), 2, 2), channels, 3)
    if rng.random() < 0.5:
        y = ops.resize(b, y, 2, rng.choice(["nearest", "linear"]))
    elif rng.random() < 0.3 and channels % 4 == 0 and y.shape[2] * 2 == x.shape[2]:
        shape = (y.shape[0], channels // 4, y.shape[2] * 2, y.shape[3] * 2)
        y = b.node("DepthToSpace", [y], shape, blocksize=2)
    else:
        y = ops.conv_transpose(b, y, draw_channels(b, channels), rng.choice([2, 2, 3, 4]), 2)
    return ops.concat(b, [y, x]) if rng.random() < 0.7 else y


def _pool(b: GraphBuilder, x: Value) -> Value:
    kernel = b.rng.choice([3, 3, 5])
    return ops.pool(b, x, b.rng.choice(["MaxPool", "AveragePool"]), kernel, 1, kernel // 2)


def _normalise(b: GraphBuilder, x: Value) -> Value:
    kind = b.rng.choice(["batch", "instance", "lrn", "layer", "l2", "group"])
    if kind == "batch":
        return norm(b, x)
    if kind == "lrn":
        return ops.lrn(b, x)
    if kind == "instance":
        return instance_norm(b, x)
    if kind == "l2":  # the norm over all channels, then a learned scale
        size = Value(*_as(ops.reduce_mean(b, x, (1,), op_type="ReduceL2"), x.level * x.shape[1] ** 0.5))
        size = ops.add(b, size, b.scalar(1e-6))
        return ops.mul(b, ops.binary(b, "Div", x, size), b.weight((x.shape[1], 1, 1), x.shape[1] ** 0.5))
    if kind == "group" and x.shape[1] % 4 == 0:
        n, c, h, w = x.shape
        y = instance_norm(b, ops.reshape(b, x, (n, 4, c // 4 * h * w)))
        return ops.add(b, ops.reshape(b, y, (n, c, h, w)), b.weight((1, c, 1, 1), 0.1))
    return ops.transpose(b, layer_norm(b, ops.transpose(b, x, (0, 2, 3, 1))), (0, 3, 1, 2))


def _as(value: Value, level: float) -> tuple[str, tuple[int, ...], float]:
    return value.name, value.shape, level


def _activate(b: GraphBuilder, x: Value) -> Value:
    return activation(b, x, _act(b))


def _move(b: GraphBuilder, x: Value) -> Value:
    """Data movement: pads and slices, channels picked, reflected borders, space to depth, concatenation."""
    rng = b.rng
    n, c, h, w = x.shape
    kind = rng.choice(["pad_conv", "pick", "halves", "space", "crop"])
    if kind == "pad_conv":
        mode = rng.choice(["reflect", "edge", "constant"]) if min(h, w) > 2 else "constant"
        return ops.conv(b, ops.pad(b, x, (0, 0, 1, 1, 0, 0, 1, 1), mode), draw_channels(b, c), 3, padding=0)
    if kind == "pick" and c >= 8:
        picked = rng.sample(range(c), c // 2)
        return b.node("Gather", [x, b.constant(picked)], (n, len(picked), h, w), axis=1)
    if kind == "space" and h % 2 == 0 and w % 2 == 0:
        y = b.node("SpaceToDepth", [x], (n, 4 * c, h // 2, w // 2), blocksize=2)
        return ops.resize(b, conv_block(b, y, c, rng.choice([1, 3])), 2)
    if kind == "crop" and min(h, w) > 4:
        y = ops.slice_axis(b, ops.slice_axis(b, x, 2, 1, h), 3, 1, w)
        return ops.pad(b, y, (0, 0, 1, 1, 0, 0, 0, 0))
    left, right = ops.split(b, x, (c // 2, c - c // 2))
    return ops.concat(b, [activation(b, right, _act(b)), left])


def _tokens(b: GraphBuilder, x: Value) -> Value:
    """Transformer parts over the positions of an image: attention, feed-forward or a mixer's layer."""
    rng = b.rng
    n, c, h, w = x.shape
    if h * w > _MOST_POSITIONS or c < 16:
        y = ops.transpose(b, x, (0, 2, 3, 1))
        y = residual(b, feed_forward(b, layer_norm(b, y), draw_channels(b, 2 * c), _dense_act(b)), y)
        return ops.transpose(b, y, (0, 3, 1, 2))
    heads = rng.choice([k for k in (1, 2, 3, 4, 8) if c % k == 0])
    window = rng.choice([k for k in (2, 4, 7, 8) if h % k == 0 and w % k == 0] or [0])
    if window and rng.random() < 0.4:
        y = window_attention(b, layer_norm(b, ops.transpose(b, x, (0, 2, 3, 1))), heads, window)
        return residual(b, x, ops.transpose(b, y, (0, 3, 1, 2)))
    y = ops.transpose(b, ops.reshape(b, x, (n, c, h * w)), (0, 2, 1))
    y = residual(b, self_attention(b, layer_norm(b, y), heads), y)
    if rng.random() < 0.5:
        y = residual(b, feed_forward(b, layer_norm(b, y), draw_channels(b, 3 * c), _dense_act(b)), y)
    return ops.reshape(b, ops.transpose(b, y, (0, 2, 1)), (n, c, h, w))


def _dense_act(b: GraphBuilder) -> str:
    return b.rng.choice(["Gelu", "Gelu", "Relu", "Swish", "Tanh"])


def _softmax_gate(b: GraphBuilder, x: Value) -> Value:
    """A softmax over positions (global context) or over channels."""
    n, c, h, w = x.shape
    if b.rng.random() < 0.5:
        weights = ops.softmax(b, ops.reshape(b, ops.conv(b, x, 1, 1), (n, 1, h * w)))
        values = ops.transpose(b, ops.reshape(b, x, (n, c, h * w)), (0, 2, 1))
        context = b.node("MatMul", [weights, values], (n, 1, c), x.level, 2.0 * n * c * h * w)
        context = ops.reshape(b, ops.transpose(b, context, (0, 2, 1)), (n, c, 1, 1))
        return residual(b, x, ops.conv(b, context, c, 1))
    pooled = ops.transpose(b, global_pool(b, x), (0, 2, 3, 1))
    return ops.mul(b, x, ops.transpose(b, ops.softmax(b, pooled), (0, 3, 1, 2)))


def _arithmetic(b: GraphBuilder, x: Value) -> Value:
    """Element-wise arithmetic that exporters leave behind: scales, powers, roots, exponentials, comparisons."""
    kind = b.rng.choice(["affine", "root", "mish", "softmax_like", "sub_mean", "max"])
    if kind == "affine":
        y = ops.binary(b, "Mul", x, b.weight((1, x.shape[1], 1, 1), 1.0), x.level)
        return ops.add(b, y, b.weight((1, x.shape[1], 1, 1), 0.1))
    if kind == "root":
        y = ops.add(b, ops.unary(b, "Abs", x), b.scalar(0.01))
        return ops.unary(b, "Sqrt", y, max(x.level, 0.1) ** 0.5)
    if kind == "mish":
        return ops.mul(b, x, ops.unary(b, "Tanh", ops.unary(b, "Softplus", x), 0.9))
    if kind == "softmax_like":
        e = ops.unary(b, "Exp", ops.unary(b, "Tanh", x, 0.7), 2.0)
        return ops.binary(b, "Div", e, ops.add(b, e, b.scalar(1.0)))
    if kind == "max":
        return ops.binary(b, b.rng.choice(["Max", "Min"]), x, b.weight((1, x.shape[1], 1, 1), 0.2), x.level)
    return ops.binary(b, "Sub", x, ops.reduce_mean(b, x, (2, 3)), x.level)


BLOCKS: tuple[tuple[float, Callable[[GraphBuilder, Value], Value]], ...] = (
    (4.0, _conv), (2.0, _plain_conv), (1.0, _strip_conv), (1.5, _depthwise), (1.5, _separable), (1.5, _inverted),
    (1.5, _bottleneck), (0.8, _inception), (0.7, _fire), (0.6, _dense), (0.6, _shuffle), (0.6, _ghost),
    (0.8, _excite), (0.5, _position_gate), (0.9, _down_and_up), (0.9, _pool), (1.0, _normalise), (0.8, _activate),
    (1.0, _move), (1.2, _tokens), (0.4, _softmax_gate), (0.6, _arithmetic),
)  # fmt: skip
"""Weight of the draw, and the block."""
