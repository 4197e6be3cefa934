"""Dense prediction: U-Net and U-Net++, feature pyramids, DeepLab, fully convolutional networks."""

from tvm_narcost.zoo import operators as ops
from tvm_narcost.zoo.blocks import activation, conv_block, depth_separable, global_pool, residual
from tvm_narcost.zoo.builder import GraphBuilder, Value
from tvm_narcost.zoo.image_blocks import (
    backbone,
    channel_softmax,
    enlarge,
    group_norm,
    instance_norm,
    multiple_size,
    resize_to,
)
from tvm_narcost.zoo.sizes import scaled

__all__ = ["build_unet"]

_CLASSES = (1, 1, 2, 3, 4, 8, 12, 19, 19, 21, 21, 32)


def build_unet(b: GraphBuilder) -> None:
    """Segmentation networks of one of five kinds; Ronneberger 2015, Zhou 2018, Lin 2017, Chen 2018, Long 2015."""
    kinds = [_unet, _unet_nested, _pyramid, _deeplab, _fully_convolutional]
    b.rng.choices(kinds, [0.5, 0.1, 0.14, 0.16, 0.1])[0](b)


def _finish(b: GraphBuilder, x: Value) -> None:
    """Scores of each pixel, as they are or as probabilities."""
    ending = b.rng.choices(["scores", "Sigmoid", "softmax"], [0.5, 0.3, 0.2])[0]
    if ending == "softmax" and x.shape[1] > 1:
        x = channel_softmax(b, x)
    elif ending == "Sigmoid":
        x = activation(b, x, "Sigmoid")
    b.output(x)


def _double(b: GraphBuilder, x: Value, channels: int, kind: str, act: str) -> Value:
    """Two convolutions: normalised, plain, separable, with a skip connection, or with another normalisation."""
    if kind == "separable":
        return depth_separable(b, depth_separable(b, x, channels, 3, act=act), channels, 3, act=act)
    if kind == "residual":
        y = conv_block(b, conv_block(b, x, channels, 3, act=act), channels, 3, act=None)
        skip = x if x.shape[1] == channels else ops.conv(b, x, channels, 1)
        return activation(b, residual(b, y, skip), act)
    for _ in range(2):
        if kind == "batch":
            x = conv_block(b, x, channels, 3, act=act)
            continue
        x = ops.conv(b, x, channels, 3)
        if kind == "instance":
            x = instance_norm(b, x)
        elif kind == "group":
            x = group_norm(b, x, next(g for g in (8, 4, 2, 1) if channels % g == 0))
        x = activation(b, x, act)
    return x


def _style(b: GraphBuilder) -> tuple[str, str, str]:
    """How a U-Net convolves, activates and enlarges."""
    kind = b.rng.choices(["batch", "plain", "residual", "separable", "instance", "group"], [8, 4, 2, 2, 1, 1])[0]
    act = b.rng.choices(["Relu", "LeakyRelu", "Swish", "PRelu", "Elu"], [8, 2, 1.5, 0.7, 0.5])[0]
    return kind, act, b.rng.choices(["deconv", "nearest", "linear", "shuffle"], [5, 3, 3, 0.6])[0]


def _halve(b: GraphBuilder, x: Value, how: str) -> Value:
    if how == "conv":
        return conv_block(b, x, x.shape[1], 3, 2)
    return ops.pool(b, x, how, 2, 2)


def _gated(b: GraphBuilder, skip: Value, coarse: Value) -> Value:
    """Attention U-Net's gate on a skip connection; Oktay et al. 2018."""
    inner = max(skip.shape[1] // 2, 4)
    joined = ops.add(b, ops.conv(b, coarse, inner, 1), ops.conv(b, skip, inner, 1))
    gate = activation(b, ops.conv(b, ops.unary(b, "Relu", joined), 1, 1), "Sigmoid")
    return ops.mul(b, skip, gate)


def _unet(b: GraphBuilder) -> None:
    rng = b.rng
    levels = rng.choice([2, 3, 3, 4, 4, 4, 5])
    height, width = multiple_size(b, 2**levels, 32, 512)
    base = scaled(b, rng.choice([16, 32, 64]), 0.25, 1.25)
    kind, act, how = _style(b)
    halve = rng.choice(["MaxPool", "MaxPool", "MaxPool", "AveragePool", "conv"])
    join = rng.choices(["concat", "add", "gate"], [0.75, 0.15, 0.1])[0]
    most = base * rng.choice([4, 8, 16, 32])
    x = b.image(height, width, rng.choice([1, 1, 3, 3, 3, 4]))
    skips = []
    for level in range(levels):
        x = _double(b, x, min(base * 2**level, most), kind, act)
        skips.append(x)
        x = _halve(b, x, halve)
    x = _double(b, x, min(base * 2**levels, most), kind, act)
    for skip in reversed(skips):
        x = enlarge(b, x, skip.shape[1], how)
        x = ops.add(b, x, skip) if join == "add" else ops.concat(b, [_gated(b, skip, x) if join == "gate" else skip, x])
        x = _double(b, x, skip.shape[1], kind, act)
    _finish(b, ops.conv(b, x, rng.choice(_CLASSES), 1))


def _unet_nested(b: GraphBuilder) -> None:
    """U-Net++: at every level a chain of nodes, each joined to all before it and to one level below."""
    rng = b.rng
    levels = rng.choice([2, 3, 3, 4])
    height, width = multiple_size(b, 2**levels, 32, 320)
    base = scaled(b, 32, 0.25, 1.0)
    kind, act, how = _style(b)
    x = b.image(height, width)
    columns: list[list[Value]] = []
    for level in range(levels + 1):
        x = _double(b, x if level == 0 else ops.pool(b, x, "MaxPool", 2, 2), base * 2**level, kind, act)
        columns.append([x])
    for step in range(1, levels + 1):
        for level in range(levels + 1 - step):
            raised = enlarge(b, columns[level + 1][step - 1], base * 2**level, how)
            joined = ops.concat(b, [*columns[level], raised])
            columns[level].append(_double(b, joined, base * 2**level, kind, act))
    _finish(b, ops.conv(b, columns[0][-1], rng.choice(_CLASSES), 1))


def _depths(b: GraphBuilder, stages: int) -> tuple[int, ...]:
    return tuple(b.rng.randint(1, most) for most in (3, 4, 6, 3)[:stages])


def _pyramid(b: GraphBuilder) -> None:
    """A feature pyramid whose levels are brought to one size and joined."""
    rng = b.rng
    height, width = multiple_size(b, 32, 64, 512)
    features = backbone(b, b.image(height, width), scaled(b, 64, 0.25, 1.5), _depths(b, 4))
    inner = rng.choice([32, 48, 64, 96, 128, 256])
    mode = rng.choice(["nearest", "nearest", "linear"])
    x = ops.conv(b, features[-1], inner, 1)
    levels = [x]
    for feature in reversed(features[:-1]):
        raised = resize_to(b, x, feature.shape[2], feature.shape[3], mode)
        x = ops.add(b, ops.conv(b, feature, inner, 1), raised)
        levels.append(conv_block(b, x, inner, 3) if rng.random() < 0.8 else x)
    h, w = features[0].shape[2:]
    merged = [level if level.shape[2:] == (h, w) else resize_to(b, level, h, w, mode) for level in levels]
    if rng.random() < 0.5:
        y = ops.concat(b, merged)
    else:
        y = merged[0]
        for other in merged[1:]:
            y = ops.add(b, y, other)
    y = conv_block(b, y, inner, rng.choice([1, 3]))
    y = ops.conv(b, y, rng.choice(_CLASSES), 1)
    _finish(b, resize_to(b, y, height, width, "linear") if rng.random() < 0.7 else y)


def _deeplab(b: GraphBuilder) -> None:
    """DeepLabV3(+): dilated last stages, parallel dilated convolutions and image pooling, sometimes a decoder."""
    rng = b.rng
    height, width = multiple_size(b, 32, 64, 512)
    dilated = rng.choice([0, 1, 1, 2])
    features = backbone(b, b.image(height, width), scaled(b, 64, 0.25, 1.5), _depths(b, rng.choice([3, 4])),
                        dilated=dilated)  # fmt: skip
    x, inner = features[-1], rng.choice([32, 64, 128, 256])
    separable = rng.random() < 0.3
    branches = [conv_block(b, x, inner, 1)]
    for rate in rng.choice([(6, 12, 18), (12, 24, 36), (2, 4, 6), (3, 6)]):
        if separable:
            y = conv_block(b, x, x.shape[1], 3, dilation=rate, groups=x.shape[1])
            branches.append(conv_block(b, y, inner, 1))
        else:
            branches.append(conv_block(b, x, inner, 3, dilation=rate))
    if rng.random() < 0.8:
        pooled = ops.unary(b, "Relu", ops.conv(b, global_pool(b, x), inner, 1))
        branches.append(resize_to(b, pooled, x.shape[2], x.shape[3], rng.choice(["linear", "nearest"])))
    y = conv_block(b, ops.concat(b, branches), inner, 1)
    if rng.random() < 0.6:  # DeepLabV3+
        low = features[0]
        y = resize_to(b, y, low.shape[2], low.shape[3], "linear")
        y = ops.concat(b, [y, conv_block(b, low, rng.choice([24, 48]), 1)])
        for _ in range(rng.randint(1, 2)):
            y = depth_separable(b, y, inner, 3) if separable else conv_block(b, y, inner, 3)
    else:
        y = conv_block(b, y, inner, 3)
    _finish(b, resize_to(b, ops.conv(b, y, rng.choice(_CLASSES), 1), height, width, "linear"))


def _fully_convolutional(b: GraphBuilder) -> None:
    """FCN-32s, 16s and 8s: scores at several strides, added while transposed convolutions enlarge them."""
    rng = b.rng
    height, width = multiple_size(b, 32, 64, 416)
    features = backbone(b, b.image(height, width), scaled(b, 64, 0.25, 1.5), _depths(b, 4))
    classes = rng.choice(_CLASSES)
    x = features[-1]
    if rng.random() < 0.5:
        hidden = rng.choice([256, 512, 1024])
        x = ops.unary(b, "Relu", ops.conv(b, x, hidden, rng.choice([1, 3, 7])))
        x = ops.unary(b, "Relu", ops.conv(b, x, hidden, 1))
    x = ops.conv(b, x, classes, 1)
    skips = rng.choice([0, 1, 2, 2])
    for feature in features[-2 : -2 - skips : -1]:
        x = ops.add(b, ops.conv_transpose(b, x, classes, 4, 2), ops.conv(b, feature, classes, 1))
    factor = height // x.shape[2]
    if rng.random() < 0.5:
        x = ops.conv_transpose(b, x, classes, 2 * factor, factor)
    else:
        x = resize_to(b, x, height, width, "linear")
    _finish(b, x)
