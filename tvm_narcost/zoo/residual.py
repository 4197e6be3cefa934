"""ResNet (basic, bottleneck, ResNeXt, wide, with squeeze-excitation) and RegNet."""

from tvm_narcost.zoo import operators as ops
from tvm_narcost.zoo.blocks import classifier, conv_block, residual, squeeze_excite
from tvm_narcost.zoo.builder import GraphBuilder, Value
from tvm_narcost.zoo.sizes import image_size, scaled

__all__ = ["build_regnet", "build_resnet", "residual_block"]


def _stem(b: GraphBuilder, x: Value, width: int) -> Value:
    kind = b.rng.choices(["7x7", "3x3", "deep"], [0.7, 0.12, 0.18])[0] if x.shape[2] >= 64 else "3x3"
    if kind == "3x3":
        return conv_block(b, x, width, 3)
    if kind == "deep":
        x = conv_block(b, x, max(width // 2, 4), 3, 2)
        x = conv_block(b, conv_block(b, x, max(width // 2, 4), 3), width, 3)
    else:
        x = conv_block(b, x, width, 7, 2)
    if x.shape[2] % 2 == 0 and b.rng.random() < 0.15:
        return ops.pool(b, x, "MaxPool", 2, 2)
    return ops.pool(b, x, "MaxPool", 3, 2, 1)


def residual_block(
    b: GraphBuilder, x: Value, inner: int, channels: int, kernels: tuple[int, ...], stride: int, groups: int,
    excite: int, stride_at: int,
) -> Value:  # fmt: skip
    """Convolutions of these kernel sizes; the one at ``stride_at`` carries the stride, wide kernels the groups."""
    branch = x
    for index, kernel in enumerate(kernels):
        last = index == len(kernels) - 1
        branch = conv_block(
            b, branch, channels if last else inner, kernel, stride if index == stride_at else 1,
            act=None if last else "Relu", groups=groups if kernel > 1 and not last else 1,
        )  # fmt: skip
    if excite:
        branch = squeeze_excite(b, branch, max(channels // excite, 4))
    skip = x
    if stride != 1 or x.shape[1] != channels:
        if stride == 2 and x.shape[2] % 2 == 0 and b.rng.random() < 0.08:  # ResNet-D
            skip = conv_block(b, ops.pool(b, x, "AveragePool", 2, 2), channels, 1, act=None)
        else:
            skip = conv_block(b, x, channels, 1, stride, padding=0, act=None)
    return ops.unary(b, "Relu", residual(b, branch, skip))


def build_resnet(b: GraphBuilder) -> None:
    """ResNet-10 to ResNet-152, ResNeXt and Wide ResNet; He et al. 2015, Xie et al. 2016."""
    rng = b.rng
    size = image_size(b, 32, 320)
    kind = rng.choice(["basic", "basic", "bottleneck", "bottleneck", "resnext"])
    depths: tuple[int, ...] | None = rng.choice([(1, 1, 1, 1), (2, 2, 2, 2), (3, 4, 6, 3), (3, 4, 23, 3), None, None])
    if depths is None:
        depths = tuple(rng.randint(1, most) for most in (4, 5, 8, 4))[: rng.choice([3, 4, 4])]
    base = scaled(b, 64, 0.25, 1.6)
    excite = rng.choice([0, 0, 0, 16, 8])
    bottleneck = kind != "basic"
    expansion = rng.choice([4, 4, 4, 2]) if bottleneck else 1
    wide = rng.choice([1, 1, 1, 2]) if kind == "bottleneck" else 1
    groups = 1
    if kind == "resnext":
        groups = rng.choice([g for g in (4, 8, 16, 32) if g <= base])
        base = base // groups * groups
    kernels = (1, rng.choice([3, 3, 3, 5]), 1) if bottleneck else (3, rng.choice([3, 3, 3, 1]))
    stride_at = rng.choice([0, 1]) if bottleneck else 0
    x = _stem(b, b.image(size), base)
    for stage, depth in enumerate(depths):
        width = base * 2**stage
        inner = width * wide * (2 if kind == "resnext" and rng.random() < 0.5 else 1)
        for index in range(depth):
            stride = 2 if index == 0 and stage > 0 else 1
            x = residual_block(b, x, inner, width * expansion, kernels, stride, groups, excite, stride_at)
    classifier(b, x)


def build_regnet(b: GraphBuilder) -> None:
    """RegNetX and RegNetY: widths on a quantised line, group width fixed; Radosavovic et al. 2020."""
    rng = b.rng
    size = image_size(b, 64, 320)
    group_width = rng.choice([8, 8, 16, 16, 24, 32, 40, 48, 64])
    first = rng.choice([24, 32, 48, 56, 64, 80, 96, 128])
    slope = rng.uniform(8, 60)
    ratio = rng.uniform(2.0, 3.0)
    depth = rng.randint(8, 28)
    widths: list[int] = []
    for index in range(depth):
        line = first + slope * index
        step = 0
        while first * ratio ** (step + 0.5) < line:
            step += 1
        widths.append(max(1, round(first * ratio**step / group_width)) * group_width)
    excite = rng.choice([0, 4])
    x = conv_block(b, b.image(size), 32, 3, 2)
    previous = 0
    for width in widths:
        stride = 2 if width != previous and x.shape[2] > 3 else 1
        previous = width
        x = residual_block(b, x, width, width, (1, 3, 1), stride, width // group_width, excite, 1)
    classifier(b, x)
