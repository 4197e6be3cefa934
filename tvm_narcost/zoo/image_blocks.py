"""What networks with images as output need: enlarging, instance and group normalisation, pixel shuffle, backbones."""

from typing import Any

from tvm_narcost.zoo import operators as ops
from tvm_narcost.zoo.blocks import conv_block, depth_separable
from tvm_narcost.zoo.builder import FLOAT, GraphBuilder, Value
from tvm_narcost.zoo.mobile import inverted_residual
from tvm_narcost.zoo.residual import residual_block

__all__ = [
    "backbone", "channel_softmax", "depth_to_space", "enlarge", "group_norm", "instance_norm", "multiple_size",
    "resize_to",
]  # fmt: skip

_SIDES = (32, 64, 96, 128, 160, 192, 224, 256, 256, 288, 320, 352, 384, 416, 448, 480, 512, 640)


def multiple_size(b: GraphBuilder, unit: int, low: int, high: int) -> tuple[int, int]:
    """Height and width of an image, both multiples of ``unit``; square in most networks."""
    sides = [side for side in _SIDES if low <= side <= high and side % unit == 0] or [-(-low // unit) * unit]
    height = b.rng.choice(sides)
    if b.rng.random() < 0.2:
        height = unit * b.rng.randint(-(-low // unit), max(high // unit, -(-low // unit)))
    return height, height if b.rng.random() < 0.75 else b.rng.choice(sides)


def resize_to(b: GraphBuilder, x: Value, height: int, width: int, mode: str = "nearest") -> Value:
    """Resize an image to a size, given as scales (always before opset 11) or as sizes.

    ``mode`` is ``nearest``, ``linear`` or, from opset 11 on, ``cubic``; coordinates are spelled as PyTorch, TensorFlow
    or ONNX's default have them.
    """
    shape = (*x.shape[:2], height, width)
    factors = (height / x.shape[2], width / x.shape[3])
    scales = b.constant([1.0, 1.0, *factors], dtype=FLOAT)
    if b.opset < 11:
        mode = "linear" if mode == "cubic" else mode
        return b.node("Upsample" if b.opset == 9 else "Resize", [x, scales], shape, mode=mode)
    extra: dict[str, Any] = {}
    if mode == "nearest":
        extra = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    else:
        corners = ["half_pixel", "pytorch_half_pixel"] + ["align_corners"] * (min(x.shape[2:]) > 1)
        extra = {"coordinate_transformation_mode": b.rng.choice(corners)}
    region = b.constant([], dtype=FLOAT) if b.opset < 13 else None  # optional from 13 on
    if b.rng.random() < 0.5:
        return b.node("Resize", [x, region, scales], shape, mode=mode, **extra)
    no_scales = b.constant([], dtype=FLOAT) if b.opset < 13 else None
    return b.node("Resize", [x, region, no_scales, b.constant(shape)], shape, mode=mode, **extra)


def enlarge(b: GraphBuilder, x: Value, channels: int, how: str) -> Value:
    """Twice the size at ``channels`` channels: ``deconv``, ``nearest`` or ``linear`` resizing, ``shuffle``."""
    if how == "deconv":
        return ops.conv_transpose(b, x, channels, b.rng.choice([2, 2, 3, 4]), 2)
    if how == "shuffle":
        return depth_to_space(b, ops.conv(b, x, 4 * channels, 1), 2)
    x = resize_to(b, x, 2 * x.shape[2], 2 * x.shape[3], how)
    return x if x.shape[1] == channels else conv_block(b, x, channels, b.rng.choice([1, 3]))


def depth_to_space(b: GraphBuilder, x: Value, factor: int) -> Value:
    """Pixel shuffle: DepthToSpace, or Reshape, Transpose, Reshape as PyTorch wrote it for long."""
    n, c, h, w = x.shape
    shape = (n, c // factor**2, h * factor, w * factor)
    if b.spelling.flatten == "Reshape":
        y = ops.reshape(b, x, (n, shape[1], factor, factor, h, w))
        return ops.reshape(b, ops.transpose(b, y, (0, 1, 4, 2, 5, 3)), shape)
    return b.node("DepthToSpace", [x], shape, blocksize=factor, mode="CRD" if b.opset >= 11 else None)


def instance_norm(b: GraphBuilder, x: Value) -> Value:
    """InstanceNormalization over all positions of each channel."""
    scale, shift = b.weight((x.shape[1],), 1.0), b.weight((x.shape[1],), 0.4)
    return b.node("InstanceNormalization", [x, scale, shift], x.shape, 0.5, epsilon=1e-5)


def group_norm(b: GraphBuilder, x: Value, groups: int) -> Value:
    """Group normalisation as PyTorch exports it: Reshape, InstanceNormalization, Reshape, Mul, Add."""
    n, c = x.shape[:2]
    flat = ops.reshape(b, x, (n, groups, x.elements // (n * groups)))
    scale, shift = b.weight((groups,), 1.0), b.weight((groups,), 0.3)
    y = b.node("InstanceNormalization", [flat, scale, shift], flat.shape, 0.5, epsilon=1e-5)
    y = b.node("Reshape", [y, b.constant(x.shape)], x.shape)
    broadcast = (c, *[1] * (len(x.shape) - 2))
    return ops.add(b, ops.mul(b, y, b.weight(broadcast, 1.0)), b.weight(broadcast, 0.1))


def channel_softmax(b: GraphBuilder, x: Value) -> Value:
    """Softmax over the channels of [n, c, h, w]; before opset 13 between two transposes."""
    if b.opset < 13:
        return ops.transpose(b, ops.softmax(b, ops.transpose(b, x, (0, 2, 3, 1))), (0, 3, 1, 2))
    return b.node("Softmax", [x], x.shape, 1 / x.shape[1], axis=1)


def backbone(b: GraphBuilder, x: Value, base: int, depths: tuple[int, ...], *, dilated: int = 0) -> list[Value]:
    """Features at strides 4, 8, 16, ..., one stage each, of residual, bottleneck, inverted or plain blocks.

    Args:
        b: the builder.
        x: the image.
        base: channels of the first stage; they double from stage to stage.
        depths: blocks of each stage.
        dilated: number of last stages that keep the size and widen their kernels by dilation instead.
    """
    kind = b.rng.choice(["basic", "basic", "bottleneck", "inverted", "plain", "separable"])
    act = b.rng.choice(["Relu", "Relu6", "HardSwish", "Swish"]) if kind == "inverted" else "Relu"
    x = conv_block(b, x, max(base // 2, 8), 3, 2, act=act)
    features, dilation = [], 1
    for stage, depth in enumerate(depths):
        keeps = stage >= len(depths) - dilated
        dilation *= 2 if keeps else 1
        for index in range(depth):
            stride = 2 if index == 0 and not keeps else 1
            x = _stage_block(b, x, base * 2**stage, kind, stride, dilation, act)
        features.append(x)
    return features


def _stage_block(b: GraphBuilder, x: Value, width: int, kind: str, stride: int, dilation: int, act: str) -> Value:
    if dilation > 1:
        y = conv_block(b, x, width // 2, 1)
        y = conv_block(b, conv_block(b, y, width // 2, 3, dilation=dilation), width, 1, act=None)
        return ops.unary(b, "Relu", ops.add(b, y, x) if y.shape == x.shape else y)
    if kind == "basic":
        return residual_block(b, x, width, width, (3, 3), stride, 1, 0, 0)
    if kind == "bottleneck":
        return residual_block(b, x, max(width // 2, 8), width, (1, 3, 1), stride, 1, 0, 1)
    if kind == "inverted":
        return inverted_residual(b, x, width, b.rng.choice([3, 4, 6]), b.rng.choice([3, 3, 5]), stride, act)
    if kind == "separable":
        return depth_separable(b, x, width, 3, stride)
    if stride == 2 and min(x.shape[2:]) > 2 and b.rng.random() < 0.5:
        return conv_block(b, ops.pool(b, x, "MaxPool", 3, 2, 1), width, 3)
    return conv_block(b, x, width, 3, stride)
