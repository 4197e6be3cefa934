"""Plain stacks and near ones: RepVGG (deployed and in training form), VoVNet, DarkNet."""

from tvm_narcost.zoo import operators as ops
from tvm_narcost.zoo.blocks import classifier, conv_block, depth_separable, global_pool, hard_sigmoid, norm, residual
from tvm_narcost.zoo.builder import GraphBuilder, Value
from tvm_narcost.zoo.sizes import image_size, scaled

__all__ = ["build_repvgg"]


def build_repvgg(b: GraphBuilder) -> None:
    """One of the kinds; Ding et al. 2021, Lee et al. 2019, Redmon and Farhadi 2018."""
    b.rng.choices([_repvgg, _vovnet, _darknet], [0.5, 0.27, 0.23])[0](b)


def _branched(b: GraphBuilder, x: Value, channels: int, stride: int, groups: int) -> Value:
    """RepVGG's block before its branches are merged: 3x3, 1x1 and identity, each normalised, then added."""
    wide = norm(b, ops.conv(b, x, channels, 3, stride, groups=groups, bias=False, padding=1))
    narrow = norm(b, ops.conv(b, x, channels, 1, stride, groups=groups, bias=False, padding=0))
    y = residual(b, wide, narrow)
    if stride == 1 and x.shape[1] == channels:
        y = residual(b, y, norm(b, x))
    return ops.unary(b, "Relu", y)


def _repvgg(b: GraphBuilder) -> None:
    """3x3 convolutions and ReLU, nothing else; in a quarter of the cases with the branches of training."""
    rng = b.rng
    size = image_size(b, 32, 320)
    base = scaled(b, 64, 0.25, 2.0)
    last = scaled(b, 8 * base, 0.5, 1.0)
    depths: tuple[int, ...] = rng.choice([(2, 4, 14, 1), (4, 6, 16, 1), (2, 3, 6, 1), (1, 2, 4, 1), (0, 0, 0, 0)])
    if not any(depths):
        depths = tuple(rng.randint(1, most) for most in (3, 5, 12, 2))
    branched = rng.random() < 0.25
    groups_of_even = rng.choice([1, 1, 1, 2, 4])
    x = b.image(size)
    widths = [min(64, base), base, 2 * base, 4 * base, last]
    layer = 0
    for stage, depth in enumerate((1, *depths)):
        channels = widths[stage]
        for index in range(depth):
            groups = (
                groups_of_even if layer % 2 and x.shape[1] % groups_of_even == channels % groups_of_even == 0 else 1
            )
            stride = 2 if index == 0 and (x.shape[2] > 4) else 1
            if branched:
                x = _branched(b, x, channels, stride, groups)
            else:
                x = ops.unary(b, "Relu", ops.conv(b, x, channels, 3, stride, groups=groups))
            layer += 1
    classifier(b, x)


def _one_shot(b: GraphBuilder, x: Value, inner: int, channels: int, layers: int, light: bool, excite: bool) -> Value:
    """A chain of convolutions whose results are all joined at once; optional eSE gate and skip connection."""
    parts, y = [x], x
    if light and x.shape[1] != inner:
        y = conv_block(b, y, inner, 1)
    for _ in range(layers):
        y = depth_separable(b, y, inner, 3) if light else conv_block(b, y, inner, 3)
        parts.append(y)
    y = conv_block(b, ops.concat(b, parts), channels, 1)
    if excite:
        y = ops.mul(b, y, hard_sigmoid(b, ops.conv(b, global_pool(b, y), channels, 1)))
    return residual(b, y, x) if excite and y.shape == x.shape else y


def _vovnet(b: GraphBuilder) -> None:
    """VoVNet-19 to VoVNet-99, thin ones and those of depthwise convolutions."""
    rng = b.rng
    base = scaled(b, 64, 0.25, 1.25)
    light, excite = rng.random() < 0.25, rng.random() < 0.5
    layers = rng.choice([3, 3, 5, 5, 4])
    x = conv_block(b, b.image(image_size(b, 64, 320)), base, 3, 2)
    x = conv_block(b, conv_block(b, x, base, 3), 2 * base, 3, rng.choice([1, 2, 2]))
    depths = rng.choice([(1, 1, 1, 1), (1, 1, 2, 2), (1, 1, 4, 3), (1, 3, 9, 3), (1, 2, 2)])
    for stage, depth in enumerate(depths):
        inner, channels = base * 2 + stage * base // 2, base * (4, 8, 12, 16)[stage]
        if stage:
            x = ops.pool(b, x, "MaxPool", 3, 2, 0 if x.shape[2] % 2 else 1, ceil=True)
        for _ in range(depth):
            x = _one_shot(b, x, inner, channels, layers, light, excite)
    classifier(b, x)


def _darknet(b: GraphBuilder) -> None:
    """DarkNet-53 and DarkNet-19, with LeakyReLU mostly."""
    rng = b.rng
    base = scaled(b, 32, 0.25, 1.25)
    act = rng.choice(["LeakyRelu", "LeakyRelu", "LeakyRelu", "Relu", "Swish"])
    x = conv_block(b, b.image(image_size(b, 64, 320)), base, 3, act=act)
    deep = rng.random() < 0.65
    depths = rng.choice([(1, 2, 8, 8, 4), (1, 1, 2, 2, 1), (1, 2, 4, 4, 2)]) if deep else (0, 1, 1, 2, 2)
    for stage, depth in enumerate(depths):
        channels = base * 2 ** (stage + 1)
        if deep:
            x = conv_block(b, x, channels, 3, 2, act=act)
            for _ in range(depth):
                x = residual(b, x, conv_block(b, conv_block(b, x, channels // 2, 1, act=act), channels, 3, act=act))
        else:  # DarkNet-19: pools, and 3x3 with 1x1 between
            x = conv_block(b, ops.pool(b, x, "MaxPool", 2, 2), channels, 3, act=act)
            for _ in range(depth):
                x = conv_block(b, conv_block(b, x, channels // 2, 1, act=act), channels, 3, act=act)
    classifier(b, x)
