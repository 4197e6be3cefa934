"""Several resolutions at once: HRNet's parallel branches with exchange, Res2Net's splits inside a block."""

from tvm_narcost.zoo import operators as ops
from tvm_narcost.zoo.blocks import classifier, conv_block, residual, squeeze_excite
from tvm_narcost.zoo.builder import GraphBuilder, Value
from tvm_narcost.zoo.image_blocks import multiple_size, resize_to
from tvm_narcost.zoo.residual import residual_block
from tvm_narcost.zoo.sizes import image_size, scaled

__all__ = ["build_hrnet"]


def build_hrnet(b: GraphBuilder) -> None:
    """HRNet or Res2Net; Sun et al. 2019, Gao et al. 2019."""
    b.rng.choices([_high_resolution, _res2net], [0.65, 0.35])[0](b)


def _exchanged(b: GraphBuilder, branches: list[Value], mode: str) -> list[Value]:
    """Every branch becomes the sum of all, those finer strided down, those coarser resized up."""
    mixed = []
    for to, target in enumerate(branches):
        total: Value | None = None
        for source, x in enumerate(branches):
            y = x
            if source > to:
                y = conv_block(b, y, target.shape[1], 1, act=None)
                y = resize_to(b, y, target.shape[2], target.shape[3], mode)
            for step in range(to - source):
                last = step == to - source - 1
                y = conv_block(b, y, target.shape[1] if last else x.shape[1], 3, 2, act=None if last else "Relu")
            total = y if total is None else residual(b, total, y)
        mixed.append(ops.unary(b, "Relu", total) if total is not None else target)
    return mixed


def _high_resolution(b: GraphBuilder) -> None:
    rng = b.rng
    height, width = multiple_size(b, 32, 64, 512)
    base = scaled(b, 32, 0.25, 1.5)
    stages, blocks = rng.choice([2, 3, 3, 4]), rng.choice([1, 1, 2, 4])
    kernels = rng.choice([(3, 3), (3, 3), (1, 3, 1)])
    mode = rng.choice(["nearest", "nearest", "nearest", "linear"])
    stem = rng.choice([32, 64])
    x = conv_block(b, conv_block(b, b.image(height, width), stem, 3, 2), stem, 3, 2)
    for _ in range(rng.randint(1, 4)):
        x = residual_block(b, x, stem, 4 * stem if blocks > 1 else 2 * stem, (1, 3, 1), 1, 1, 0, 1)
    branches = [conv_block(b, x, base, 3)]
    for stage in range(1, stages):
        source = x if stage == 1 else branches[-1]
        branches.append(conv_block(b, source, base * 2**stage, 3, 2))
        for _ in range(rng.choice([1, 1, 2, 3]) if stage > 1 else 1):
            for index, branch in enumerate(branches):
                y = branch
                for _ in range(blocks):
                    y = residual_block(b, y, y.shape[1], y.shape[1], kernels, 1, 1, 0, 0)
                branches[index] = y
            branches = _exchanged(b, branches, mode)
    _head(b, branches, mode, (height, width))


def _head(b: GraphBuilder, branches: list[Value], mode: str, size: tuple[int, int]) -> None:
    """Classes of the image, heat maps, or classes of every pixel."""
    rng = b.rng
    kind = rng.choice(["classes", "heat", "pixels"])
    if kind == "classes":  # fine to coarse, adding
        x = conv_block(b, branches[0], 2 * branches[0].shape[1], 1)
        for branch in branches[1:]:
            wide = conv_block(b, branch, 2 * branch.shape[1], 1)
            x = residual(b, wide, conv_block(b, x, wide.shape[1], 3, 2))
        classifier(b, conv_block(b, x, rng.choice([512, 1024, 2048]), 1))
        return
    first = branches[0]
    raised = [resize_to(b, branch, first.shape[2], first.shape[3], "linear" if kind == "pixels" else mode)
              for branch in branches[1:]]  # fmt: skip
    x = conv_block(b, ops.concat(b, [first, *raised]), first.shape[1] * rng.choice([1, 2, 4]), 1)
    x = ops.conv(b, x, rng.choice([1, 14, 17, 19, 21]), rng.choice([1, 3]))
    b.output(resize_to(b, x, *size, "linear") if kind == "pixels" and rng.random() < 0.5 else x)


def _split_block(b: GraphBuilder, x: Value, width: int, scale: int, channels: int, stride: int, excite: bool) -> Value:
    """Bottleneck whose 3x3 runs on slices of the channels, each fed with the result of the one before."""
    y = conv_block(b, x, width * scale, 1)
    parts = ops.split(b, y, (width,) * scale)
    done: list[Value] = []
    for index, part in enumerate(parts[:-1]):
        start = ops.add(b, done[-1], part) if index and stride == 1 else part
        done.append(conv_block(b, start, width, 3, stride))
    done.append(parts[-1] if stride == 1 else ops.pool(b, parts[-1], "AveragePool", 3, stride, 1))
    y = conv_block(b, ops.concat(b, done), channels, 1, act=None)
    if excite:
        y = squeeze_excite(b, y, max(channels // 16, 4))
    skip = x
    if stride != 1 or x.shape[1] != channels:
        skip = conv_block(b, x, channels, 1, stride, padding=0, act=None)
    return ops.unary(b, "Relu", residual(b, y, skip))


def _res2net(b: GraphBuilder) -> None:
    rng = b.rng
    scale, width = rng.choice([2, 4, 4, 4, 6, 8]), rng.choice([8, 14, 16, 26, 26, 48])
    base, excite = scaled(b, 64, 0.25, 1.25), rng.random() < 0.2
    x = conv_block(b, b.image(image_size(b, 64, 320)), base, 7, 2)
    x = ops.pool(b, x, "MaxPool", 3, 2, 1)
    depths = rng.choice([(3, 4, 6, 3), (2, 2, 2, 2), (1, 1, 1, 1), (rng.randint(1, 3), rng.randint(1, 8), 2)])
    for stage, depth in enumerate(depths):
        for index in range(depth):
            stride = 2 if index == 0 and stage else 1
            x = _split_block(b, x, width * 2**stage, scale, 4 * base * 2**stage, stride, excite)
    classifier(b, x)
