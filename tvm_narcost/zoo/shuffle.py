"""ShuffleNet v1 and v2, GhostNet: cheap convolutions joined by shuffles and concatenation."""

from tvm_narcost.zoo import operators as ops
from tvm_narcost.zoo.blocks import classifier, conv_block, residual, squeeze_excite
from tvm_narcost.zoo.builder import GraphBuilder, Value
from tvm_narcost.zoo.sizes import image_size

__all__ = ["build_ghostnet", "build_shufflenet", "channel_shuffle", "ghost_module"]


def channel_shuffle(b: GraphBuilder, x: Value, groups: int) -> Value:
    """Interleave the channels of ``groups`` groups: Reshape, Transpose, Reshape."""
    n, c, h, w = x.shape
    if b.spelling.flatten == "Squeeze":  # some exporters keep height and width as one axis
        y = ops.reshape(b, x, (n, groups, c // groups, h * w))
        return ops.reshape(b, ops.transpose(b, y, (0, 2, 1, 3)), (n, c, h, w))
    y = ops.reshape(b, x, (n, groups, c // groups, h, w))
    return ops.reshape(b, ops.transpose(b, y, (0, 2, 1, 3, 4)), (n, c, h, w))


def _unit_v1(b: GraphBuilder, x: Value, channels: int, groups: int, stride: int, first: bool) -> Value:
    """Grouped 1x1, shuffle, depthwise 3x3, grouped 1x1; a strided unit is joined to its pooled input."""
    out = channels - x.shape[1] if stride == 2 else channels
    inner = max(groups, channels // 4 // groups * groups)
    y = conv_block(b, x, inner, 1, groups=1 if first else groups)
    y = channel_shuffle(b, y, groups)
    y = conv_block(b, y, inner, 3, stride, act=None, groups=inner)
    y = conv_block(b, y, out, 1, act=None, groups=groups)
    if stride == 2:
        # Kernel and padding that round up, as the depthwise convolution does.
        return ops.unary(b, "Relu", ops.concat(b, [ops.pool(b, x, "AveragePool", 3, 2, 1), y]))
    return ops.unary(b, "Relu", residual(b, y, x))


def _shufflenet_v1(b: GraphBuilder, size: int) -> None:
    rng = b.rng
    groups = rng.choice([2, 3, 3, 4, 8])
    width = rng.choice([0.25, 0.5, 1.0, 1.0, 1.5, 2.0, rng.uniform(0.25, 3.0)])
    base = max(1, round({2: 200, 3: 240, 4: 272, 8: 384}[groups] * width / (8 * groups))) * 8 * groups
    first = max(groups, 24 // groups * groups)
    x = conv_block(b, b.image(size), first, 3, 2)
    x = ops.pool(b, x, "MaxPool", 3, 2, 1)
    for stage, depth in enumerate(rng.choice([(4, 8, 4), (4, 8, 4), tuple(rng.randint(2, 9) for _ in range(3))])):
        for index in range(depth):
            x = _unit_v1(b, x, base * 2**stage, groups, 2 if index == 0 else 1, stage == 0 and index == 0)
    classifier(b, x)


def _unit_v2(b: GraphBuilder, x: Value, channels: int, stride: int, kernel: int) -> Value:
    """Half of the channels pass by, the others go through 1x1, depthwise, 1x1; then joined and shuffled."""
    half = channels // 2
    if stride == 1:
        if b.spelling.flatten == "Flatten":
            left, right = ops.split(b, x, (half, half))
        else:
            left, right = ops.slice_axis(b, x, 1, 0, half), ops.slice_axis(b, x, 1, half, channels)
    else:
        left = conv_block(b, x, x.shape[1], kernel, 2, act=None, groups=x.shape[1])
        left, right = conv_block(b, left, half, 1), x
    right = conv_block(b, right, half, 1)
    right = conv_block(b, right, half, kernel, stride, act=None, groups=half)
    right = conv_block(b, right, half, 1)
    return channel_shuffle(b, ops.concat(b, [left, right]), 2)


def _shufflenet_v2(b: GraphBuilder, size: int) -> None:
    rng = b.rng
    widths = rng.choice([(24, 48, 96, 192, 1024), (24, 116, 232, 464, 1024), (24, 176, 352, 704, 1024),
                         (24, 244, 488, 976, 2048)])  # fmt: skip
    factor = rng.choice([1.0, 1.0, rng.uniform(0.4, 2.2)])
    first, *stages, last = (max(2, round(w * factor / 2) * 2) for w in widths)
    kernel = rng.choice([3, 3, 3, 5])
    x = ops.pool(b, conv_block(b, b.image(size), first, 3, 2), "MaxPool", 3, 2, 1)
    for channels, depth in zip(stages, rng.choice([(4, 8, 4), tuple(rng.randint(2, 9) for _ in range(3))]),
                               strict=True):  # fmt: skip
        for index in range(depth):
            x = _unit_v2(b, x, channels, 2 if index == 0 else 1, kernel)
    classifier(b, conv_block(b, x, last, 1))


def build_shufflenet(b: GraphBuilder) -> None:
    """ShuffleNet v1 (grouped 1x1) or v2 (split); Zhang et al. 2017, Ma et al. 2018."""
    size = image_size(b, 64, 320)
    (_shufflenet_v1 if b.rng.random() < 0.5 else _shufflenet_v2)(b, size)


def ghost_module(b: GraphBuilder, x: Value, channels: int, act: str | None, kernel: int = 3) -> Value:
    """Half of the channels by 1x1, the other half by a cheap depthwise convolution of those."""
    primary = conv_block(b, x, (channels + 1) // 2, 1, act=act)
    cheap = conv_block(b, primary, primary.shape[1], kernel, act=act, groups=primary.shape[1])
    joined = ops.concat(b, [primary, cheap])
    return ops.slice_axis(b, joined, 1, 0, channels) if joined.shape[1] != channels else joined


def build_ghostnet(b: GraphBuilder) -> None:
    """GhostNet: bottlenecks of ghost modules with squeeze-excitation; Han et al. 2019."""
    rng = b.rng
    width = rng.choice([0.5, 1.0, 1.0, 1.3, rng.uniform(0.3, 2.5)])
    divisor = rng.choice([4, 4, 8, 1])
    stages = [(3, 1, 16, 16, 0), (3, 2, 48, 24, 0), (3, 1, 72, 24, 0), (5, 2, 72, 40, 1), (5, 1, 120, 40, 1),
              (3, 2, 240, 80, 0), (3, 1, 200, 80, 0), (3, 1, 184, 80, 0), (3, 1, 480, 112, 1), (3, 1, 672, 112, 1),
              (5, 2, 672, 160, 1), (5, 1, 960, 160, 0), (5, 1, 960, 160, 1)]  # fmt: skip
    kept = 1.0 if rng.random() < 0.5 else rng.uniform(0.5, 1.0)

    def sized(channels: float) -> int:
        return max(4, round(channels * width / divisor) * divisor)

    x = conv_block(b, b.image(image_size(b, 64, 320)), sized(16), 3, 2)
    for kernel, stride, hidden, out, excite in stages:
        if stride == 1 and rng.random() > kept:
            continue
        y = ghost_module(b, x, sized(hidden), "Relu")
        if stride == 2:
            y = conv_block(b, y, y.shape[1], kernel, 2, act=None, groups=y.shape[1])
        if excite:
            y = squeeze_excite(b, y, max(4, y.shape[1] // 4), gate="HardSigmoid")
        y = ghost_module(b, y, sized(out), None)
        skip = x
        if skip.shape != y.shape:
            skip = conv_block(b, x, x.shape[1], kernel, stride, act=None, groups=x.shape[1])
            skip = conv_block(b, skip, y.shape[1], 1, act=None)
        x = residual(b, y, skip)
    classifier(b, conv_block(b, x, sized(960), 1))
