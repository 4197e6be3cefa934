"""Xception, Inception v3 and v4, Inception-ResNet: separable and factorised convolutions."""

from collections.abc import Sequence

from tvm_narcost.zoo import operators as ops
from tvm_narcost.zoo.blocks import classifier, conv_block, residual
from tvm_narcost.zoo.builder import GraphBuilder, Value
from tvm_narcost.zoo.sizes import image_size

__all__ = ["build_xception"]


def build_xception(b: GraphBuilder) -> None:
    """One of the three kinds; Chollet 2016, Szegedy et al. 2015 and 2016."""
    b.rng.choices([_xception, _inception, _inception_resnet], [0.4, 0.4, 0.2])[0](b)


def _rounded(channels: float, divisor: int) -> int:
    return max(divisor, round(channels / divisor) * divisor, 4)


def _width(b: GraphBuilder) -> tuple[float, int]:
    """Width multiplier, and what every number of channels is a multiple of."""
    return b.rng.choice([0.25, 0.5, 0.75, 1.0, b.rng.uniform(0.2, 1.2)]), b.rng.choice([16, 8, 8, 4])


def _separable(b: GraphBuilder, x: Value, channels: int, normed_between: bool) -> Value:
    """Depthwise 3x3, sometimes normalised, then 1x1, normalised; no activation."""
    if normed_between:
        x = conv_block(b, x, x.shape[1], 3, groups=x.shape[1], act=None)
    else:
        x = ops.conv(b, x, x.shape[1], 3, groups=x.shape[1], bias=False)
    return conv_block(b, x, channels, 1, act=None)


def _xception(b: GraphBuilder) -> None:
    """Entry, middle and exit flow; a strided 1x1 convolution skips each reduction."""
    rng = b.rng
    factor, divisor = _width(b)
    between = rng.random() < 0.4
    padding = 0 if rng.random() < 0.5 else None
    x = conv_block(b, b.image(image_size(b, 64, 320)), _rounded(32 * factor, divisor), 3, 2, padding=padding)
    x = conv_block(b, x, _rounded(64 * factor, divisor), 3, padding=padding)
    flows = [128, 256, 728] if rng.random() < 0.7 else [rng.randint(48, 160), rng.randint(160, 400)]
    for index, wanted in enumerate(flows):
        channels = _rounded(wanted * factor, divisor)
        skip = conv_block(b, x, channels, 1, 2, padding=0, act=None)
        y = ops.unary(b, "Relu", x) if index else x
        y = _separable(b, y, channels, between)
        y = _separable(b, ops.unary(b, "Relu", y), channels, between)
        x = residual(b, ops.pool(b, y, "MaxPool", 3, 2, 1), skip)
    for _ in range(rng.choice([8, 8, 16, rng.randint(1, 8)])):
        y = x
        for _ in range(3):
            y = _separable(b, ops.unary(b, "Relu", y), x.shape[1], between)
        x = residual(b, y, x)
    last = _rounded(1024 * factor, divisor)
    skip = conv_block(b, x, last, 1, 2, padding=0, act=None)
    y = _separable(b, ops.unary(b, "Relu", x), x.shape[1], between)
    y = _separable(b, ops.unary(b, "Relu", y), last, between)
    x = residual(b, ops.pool(b, y, "MaxPool", 3, 2, 1), skip)
    for wanted in rng.choice([(1536, 2048), (1536, 1536, 2048), (1280,)]):
        x = ops.unary(b, "Relu", _separable(b, x, _rounded(wanted * factor, divisor), between))
    classifier(b, x)


def _chain(b: GraphBuilder, x: Value, steps: Sequence[tuple[int, int | tuple[int, int]]]) -> Value:
    """Convolutions in a row, (channels, kernel) each."""
    for channels, kernel in steps:
        x = conv_block(b, x, channels, kernel)
    return x


def _reduced(b: GraphBuilder, x: Value, branches: list[list[tuple[int, int | tuple[int, int]]]], valid: bool) -> Value:
    """Half the size: each branch ends with a strided 3x3, beside a pool, all joined."""
    padding = 0 if valid else None
    ends = []
    for branch in branches:
        y = _chain(b, x, branch[:-1])
        ends.append(conv_block(b, y, branch[-1][0], 3, 2, padding=padding))
    ends.append(ops.pool(b, x, "MaxPool", 3, 2, 0 if valid else 1))
    return ops.concat(b, ends)


def _stem(b: GraphBuilder, factor: float, divisor: int, valid: bool, branched: bool) -> Value:
    """Plain convolutions and pools, or Inception v4's stem of joined branches; an eighth of the size."""
    padding = 0 if valid else None
    edge = 0 if valid else 1
    w32, w64, w96, w192 = (_rounded(c * factor, divisor) for c in (32, 64, 96, 192))
    x = conv_block(b, b.image(image_size(b, 80, 320)), w32, 3, 2, padding=padding)
    x = conv_block(b, conv_block(b, x, w32, 3, padding=padding), w64, 3)
    if not branched:
        x = conv_block(b, ops.pool(b, x, "MaxPool", 3, 2, edge), w96, 1)
        return ops.pool(b, conv_block(b, x, w192, 3, padding=padding), "MaxPool", 3, 2, edge)
    pooled = ops.pool(b, x, "MaxPool", 3, 2, edge)
    x = ops.concat(b, [pooled, conv_block(b, x, w96, 3, 2, padding=padding)])
    left = conv_block(b, conv_block(b, x, w64, 1), w96, 3, padding=padding)
    right = _chain(b, x, [(w64, 1), (w64, (7, 1)), (w64, (1, 7))])
    x = ops.concat(b, [left, conv_block(b, right, w96, 3, padding=padding)])
    pooled = ops.pool(b, x, "MaxPool", 3, 2, edge)
    return ops.concat(b, [pooled, conv_block(b, x, w192, 3, 2, padding=padding)])


def _inception(b: GraphBuilder) -> None:
    """Inception v3 and v4: modules of twice 3x3, then of 1x7 and 7x1, then of 1x3 beside 3x1."""
    rng = b.rng
    factor, divisor = _width(b)
    valid = rng.random() < 0.6
    k = rng.choice([7, 7, 7, 5])
    x = _stem(b, factor, divisor, valid, rng.random() < 0.4)

    def w(channels: int) -> int:
        return _rounded(channels * factor, divisor)

    def pooled(x: Value, channels: int) -> Value:
        return conv_block(b, ops.pool(b, x, "AveragePool", 3, 1, 1), channels, 1)

    five = rng.random() < 0.5
    for _ in range(rng.choice([3, 4, rng.randint(1, 4)])):
        second = [(w(48), 1), (w(64), 5)] if five else [(w(64), 1), (w(96), 3)]
        branches = [_chain(b, x, [(w(64), 1)]), _chain(b, x, second)]
        branches.append(_chain(b, x, [(w(64), 1), (w(96), 3), (w(96), 3)]))
        x = ops.concat(b, [*branches, pooled(x, w(64))])
    x = _reduced(b, x, [[(w(384), 3)], [(w(64), 1), (w(96), 3), (w(96), 3)]], valid)
    for index in range(rng.choice([4, 7, rng.randint(1, 7)])):
        c = w(min(128 + 32 * index, 192))
        branches = [_chain(b, x, [(w(192), 1)]), _chain(b, x, [(c, 1), (c, (1, k)), (w(192), (k, 1))])]
        branches.append(_chain(b, x, [(c, 1), (c, (k, 1)), (c, (1, k)), (c, (k, 1)), (w(192), (1, k))]))
        x = ops.concat(b, [*branches, pooled(x, w(192))])
    x = _reduced(b, x, [[(w(192), 1), (w(320), 3)], [(w(192), 1), (w(192), (1, k)), (w(192), (k, 1)), (w(192), 3)]],
                 valid)  # fmt: skip
    for _ in range(rng.choice([2, 3, 1])):
        left, right = _chain(b, x, [(w(384), 1)]), _chain(b, x, [(w(448), 1), (w(384), 3)])
        ends = [conv_block(b, y, w(384), kernel) for y in (left, right) for kernel in ((1, 3), (3, 1))]
        x = ops.concat(b, [_chain(b, x, [(w(320), 1)]), *ends, pooled(x, w(192))])
    classifier(b, x)


def _added(b: GraphBuilder, x: Value, branches: list[Value], scale: float | None) -> Value:
    """Branches joined, projected by 1x1, scaled and added to the input."""
    y = ops.conv(b, ops.concat(b, branches) if len(branches) > 1 else branches[0], x.shape[1], 1)
    y = ops.mul(b, y, b.scalar(scale)) if scale else y
    return ops.unary(b, "Relu", residual(b, x, y))


def _inception_resnet(b: GraphBuilder) -> None:
    """Inception-ResNet v1 and v2: modules whose joined branches are scaled and added to their input."""
    rng = b.rng
    factor, divisor = _width(b)
    valid = rng.random() < 0.6
    scale = rng.choice([None, 0.1, 0.17, 0.2])
    x = _stem(b, factor, divisor, valid, rng.random() < 0.4)

    def w(channels: int) -> int:
        return _rounded(channels * factor, divisor)

    for _ in range(rng.choice([5, 10, rng.randint(1, 5)])):
        branches = [_chain(b, x, [(w(32), 1)]), _chain(b, x, [(w(32), 1), (w(32), 3)])]
        branches.append(_chain(b, x, [(w(32), 1), (w(48), 3), (w(64), 3)]))
        x = _added(b, x, branches, scale)
    x = _reduced(b, x, [[(w(384), 3)], [(w(256), 1), (w(256), 3), (w(384), 3)]], valid)
    for _ in range(rng.choice([10, rng.randint(1, 10), rng.randint(1, 5)])):
        branches = [_chain(b, x, [(w(192), 1)]), _chain(b, x, [(w(128), 1), (w(160), (1, 7)), (w(192), (7, 1))])]
        x = _added(b, x, branches, scale)
    x = _reduced(b, x, [[(w(256), 1), (w(384), 3)], [(w(256), 1), (w(288), 3)]], valid)
    for _ in range(rng.choice([5, rng.randint(1, 5)])):
        branches = [_chain(b, x, [(w(192), 1)]), _chain(b, x, [(w(192), 1), (w(224), (1, 3)), (w(256), (3, 1))])]
        x = _added(b, x, branches, scale)
    classifier(b, conv_block(b, x, w(1536), 1))
