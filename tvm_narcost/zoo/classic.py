"""AlexNet, VGG, SqueezeNet."""

from tvm_narcost.zoo import operators as ops
from tvm_narcost.zoo.blocks import classifier, conv_block, dropout, flatten, global_pool
from tvm_narcost.zoo.builder import GraphBuilder, Value
from tvm_narcost.zoo.sizes import image_size, scaled

__all__ = ["build_alexnet", "build_squeezenet", "build_vgg", "fire_module", "hidden_layers"]


def hidden_layers(b: GraphBuilder, x: Value, features: int, count: int) -> None:
    """The big fully connected classifier of 2012 to 2014."""
    x = flatten(b, x)
    if b.rng.random() < 0.3:
        x = dropout(b, x)
    for _ in range(count):
        x = dropout(b, ops.unary(b, "Relu", ops.gemm(b, x, features)))
    classifier(b, x)


def _conv_relu(b: GraphBuilder, x: Value, channels: int, kernel: int, stride: int, padding: int | None,
               groups: int = 1) -> Value:  # fmt: skip
    x = ops.conv(b, x, channels, kernel, stride, padding=padding, groups=groups)
    return ops.unary(b, "Relu", x)


def build_alexnet(b: GraphBuilder) -> None:
    """AlexNet and ZFNet: large first kernels, LRN, grouped convolutions, big fully connected layers."""
    rng = b.rng
    size = image_size(b, 96, 320)
    grouped = rng.random() < 0.5
    width = rng.uniform(0.25, 1.5)
    divisor = 2 if grouped or rng.random() < 0.5 else rng.choice([8, 16, 1])
    plan = rng.choice([(96, 256, 384, 384, 256), (64, 192, 384, 256, 256), (96, 256, 512, 1024, 512),
                       (96, 256, 512, 512, 512)])  # fmt: skip
    channels = [max(divisor, round(c * width * rng.uniform(0.8, 1.2) / divisor) * divisor) for c in plan]
    kernel, stride = rng.choice([(11, 4), (11, 4), (7, 2), (9, 3), (5, 2)])
    lrn = rng.choice(["relu_first", "pool_first", "none"])
    pool_kernel = rng.choice([2, 3, 3])
    x = b.image(size)
    pooled_after = {0, 1, len(channels) - 1}
    for index, c in enumerate(channels):
        groups = 2 if grouped and index in (1, 3, 4) else 1
        if index == 0:
            x = _conv_relu(b, x, c, kernel, stride, rng.choice([0, 2, kernel // 2]))
        else:
            k = rng.choice([5, 5, 3]) if index == 1 else 3
            x = _conv_relu(b, x, c, k, 2 if index == 1 and stride == 2 and rng.random() < 0.4 else 1, None, groups)
        if lrn == "relu_first" and index < 2:
            x = ops.lrn(b, x)
        if index in pooled_after:
            x = ops.pool(b, x, "MaxPool", pool_kernel, 2, 0, ceil=rng.random() < 0.3)
        if lrn == "pool_first" and index < 2:
            x = ops.lrn(b, x)
    hidden_layers(b, x, rng.choice([256, 512, 1024, 2048, 3072, 4096, 4096]), rng.choice([1, 2, 2]))


def build_vgg(b: GraphBuilder) -> None:
    """VGG-11 to VGG-19 and thinner ones; Simonyan and Zisserman 2014."""
    rng = b.rng
    published = rng.random() < 0.15  # the sizes of the paper, which the cost draw alone would seldom reach
    size = 224 if published else image_size(b, 32, 256)
    depths: tuple[int, ...] | None = rng.choice(
        [(1, 1, 2, 2, 2), (2, 2, 2, 2, 2), (2, 2, 3, 3, 3), (2, 2, 4, 4, 4), None, None]
    )
    if depths is None:
        depths = tuple(rng.randint(1, 4) for _ in range(5))
    base = 64 if published else scaled(b, 64, 0.2, 1.3)
    normed = rng.random() < 0.35
    kernel = rng.choice([3, 3, 3, 3, 5])
    x = b.image(size)
    for stage, depth in enumerate(depths):
        for _ in range(depth):
            channels = base * min(2**stage, 8)
            x = conv_block(b, x, channels, kernel) if normed else _conv_relu(b, x, channels, kernel, 1, None)
        x = ops.pool(b, x, "MaxPool", 2, 2)
    if rng.random() < 0.2:
        classifier(b, x)
    else:
        hidden_layers(b, x, rng.choice([256, 512, 1024, 2048, 4096, 4096]), rng.choice([1, 2, 2]))


def fire_module(b: GraphBuilder, x: Value, squeezed: int, expand_1: int, expand_3: int, bypass: bool) -> Value:
    """SqueezeNet: narrow by 1x1, widen by 1x1 and 3x3 side by side."""
    narrow = _conv_relu(b, x, squeezed, 1, 1, None)
    left = _conv_relu(b, narrow, expand_1, 1, 1, None)
    right = _conv_relu(b, narrow, expand_3, 3, 1, None)
    joined = ops.concat(b, [left, right])
    if bypass and joined.shape == x.shape:
        return b.node(b.spelling.residual, [joined, x], x.shape, joined.level + x.level)
    return joined


def build_squeezenet(b: GraphBuilder) -> None:
    """SqueezeNet 1.0 and 1.1 with fire modules of random widths; Iandola et al. 2016."""
    rng = b.rng
    size = image_size(b, 64, 320)
    kernel = rng.choice([3, 3, 7, 5])
    base = scaled(b, 16, 0.5, 2.5)
    ratio = rng.choice([4, 4, 3, 2, 6])
    share = rng.choice([0.5, 0.5, 0.5, 0.25, 0.75])
    modules = rng.randint(5, 11)
    pools = set(rng.sample(range(modules - 1), 2))
    bypass = rng.random() < 0.3
    ceil = rng.random() < 0.6
    x = _conv_relu(b, b.image(size), scaled(b, 64, 0.5, 1.6), kernel, 2, rng.choice([0, None]))
    x = ops.pool(b, x, "MaxPool", 3, 2, ceil=ceil)
    for index in range(modules):
        squeezed = base * (1 + index // 2)
        expand = squeezed * ratio
        expand_3 = max(1, round(expand * 2 * share))
        x = fire_module(b, x, squeezed, max(1, expand * 2 - expand_3), expand_3, bypass)
        if index in pools:
            x = ops.pool(b, x, "MaxPool", 3, 2, ceil=ceil)
    classes = rng.choice([10, 100, 1000, 1000])
    x = _conv_relu(b, dropout(b, x), classes, 1, 1, None)
    x = global_pool(b, x)
    if b.spelling.final_softmax and b.spelling.opset < 13:
        b.output(b.node("Softmax", [x], x.shape, axis=1))
    elif rng.random() < 0.7:
        x = flatten(b, x)
        b.output(ops.softmax(b, x) if b.spelling.final_softmax else x)
    else:
        b.output(x)
