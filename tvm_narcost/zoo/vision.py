"""Vision networks after the transformer: ViT, Swin, MLP-Mixer, ConvNeXt."""

from tvm_narcost.zoo import operators as ops
from tvm_narcost.zoo.attention import attend, feed_forward, heads_of, transformer_block
from tvm_narcost.zoo.blocks import activation, classifier, layer_norm, residual
from tvm_narcost.zoo.builder import GraphBuilder, Value
from tvm_narcost.zoo.sizes import image_size

__all__ = ["build_convnext", "build_mlp_mixer", "build_swin", "build_vit", "window_attention"]

_HEAD_SIZES = (16, 24, 32, 32, 48, 64, 64)


def _patches(b: GraphBuilder, size: int, patch: int, width: int) -> Value:
    """Image to tokens [n, s, width] by a convolution whose stride is its kernel."""
    x = ops.conv(b, b.image(size), width, patch, patch, padding=0)
    n, c, h, w = x.shape
    return ops.transpose(b, ops.reshape(b, x, (n, c, h * w)), (0, 2, 1))


def _pooled(b: GraphBuilder, x: Value) -> None:
    classifier(b, ops.reduce_mean(b, x, (1,), keepdims=False))


def build_vit(b: GraphBuilder) -> None:
    """ViT and DeiT, tiny to base; Dosovitskiy et al. 2020."""
    rng = b.rng
    patch = rng.choice([8, 14, 16, 16, 16, 32])
    size = image_size(b, 32, 320) // patch * patch
    head = rng.choice(_HEAD_SIZES)
    heads = rng.randint(2, 12)
    width = min(head * heads, 1024) // heads * heads
    depth = rng.randint(1, 12)
    ratio = rng.choice([4, 4, 4, 3, 2])
    x = _patches(b, size, patch, width)
    with_class = rng.random() < 0.7
    if with_class:
        token = b.weight((x.shape[0], 1, width), 0.3)
        x = ops.concat(b, [token, x], 1)
    x = ops.add(b, x, b.weight((1, x.shape[1], width), 0.4))
    act = rng.choice(["Gelu", "Gelu", "Gelu", "Relu"])
    for _ in range(depth):
        x = transformer_block(b, x, heads, width * ratio, pre_norm=True, act=act)
    x = layer_norm(b, x)
    if with_class:
        classifier(b, b.node("Gather", [x, b.constant([0], ())], (x.shape[0], width), axis=1))
    else:
        _pooled(b, x)


def _roll(b: GraphBuilder, x: Value, shift: int) -> Value:
    """Move rows and columns round by ``shift``: Slice, Slice, Concat on each axis."""
    for axis in (1, 2):
        at = shift % x.shape[axis]
        parts = [ops.slice_axis(b, x, axis, at, x.shape[axis]), ops.slice_axis(b, x, axis, 0, at)]
        x = ops.concat(b, parts, axis)
    return x


def window_attention(b: GraphBuilder, x: Value, heads: int, window: int) -> Value:
    """Attention inside windows of [n, h, w, c], with a bias by relative position."""
    n, h, w, c = x.shape
    rows, columns, area = h // window, w // window, window * window
    x = ops.reshape(b, x, (n, rows, window, columns, window, c))
    x = ops.reshape(b, ops.transpose(b, x, (0, 1, 3, 2, 4, 5)), (n * rows * columns, area, c))
    if b.spelling.fused_qkv:
        qkv = ops.reshape(b, ops.gemm(b, x, 3 * c), (x.shape[0], area, 3, heads, c // heads))
        qkv = ops.transpose(b, qkv, (2, 0, 3, 1, 4))
        shape = qkv.shape[1:]
        q, k, v = (b.node("Gather", [qkv, b.constant([index], ())], shape, axis=0) for index in range(3))
    else:
        q, k, v = (heads_of(b, ops.gemm(b, x, c), heads) for _ in range(3))
    y = ops.gemm(b, attend(b, q, k, v, b.weight((1, heads, area, area), 0.2)), c)
    y = ops.reshape(b, y, (n, rows, columns, window, window, c))
    return ops.reshape(b, ops.transpose(b, y, (0, 1, 3, 2, 4, 5)), (n, h, w, c))


def _merge_patches(b: GraphBuilder, x: Value) -> Value:
    """Four neighbours become one position of twice the channels."""
    n, h, w, c = x.shape
    corners = []
    for column in (0, 1):
        for row in (0, 1):
            part = ops.slice_axis(b, x, 1, row, h, 2)
            corners.append(ops.slice_axis(b, part, 2, column, w, 2))
    x = layer_norm(b, ops.concat(b, corners, 3))
    weight = b.weight((4 * c, 2 * c), 1 / (4 * c * x.level))
    shape = (n, h // 2, w // 2, 2 * c)
    return b.node("MatMul", [x, weight], shape, 1.0, 2.0 * n * h * w * c * 2 * c)


def build_swin(b: GraphBuilder) -> None:
    """Swin: windows that shift from block to block; Liu et al. 2021."""
    rng = b.rng
    window = rng.choice([4, 7, 7, 8])
    stages = rng.choice([3, 4, 4])
    # Whole windows at every stage: the side is window x 2^(stages - 1) x patch times a small factor.
    unit = window * 2 ** (stages - 1) * 4
    size = unit * rng.choice([f for f in (1, 1, 2, 3) if unit * f <= 384] or [1])
    head = rng.choice([8, 16, 24, 32, 32])
    heads = rng.randint(1, 4)
    depths = [rng.choice([1, 2, 2]), rng.choice([1, 2, 2]), rng.choice([2, 4, 6, 6]), 2][:stages]
    ratio = rng.choice([4, 4, 3, 2])
    tokens = _patches(b, size, 4, head * heads)
    side = size // 4
    x = ops.reshape(b, layer_norm(b, tokens), (b.batch, side, side, head * heads))
    for stage, depth in enumerate(depths):
        if stage:
            x = _merge_patches(b, x)
            heads *= 2
        for index in range(depth):
            shift = window // 2 if index % 2 and x.shape[1] > window else 0
            y = layer_norm(b, x)
            y = _roll(b, y, shift) if shift else y
            y = window_attention(b, y, heads, window)
            x = residual(b, x, _roll(b, y, -shift) if shift else y)
            x = residual(b, x, feed_forward(b, layer_norm(b, x), x.shape[3] * ratio))
    n, h, w, c = x.shape
    _pooled(b, ops.reshape(b, layer_norm(b, x), (n, h * w, c)))


def build_mlp_mixer(b: GraphBuilder) -> None:
    """MLP-Mixer: fully connected layers over positions, then over channels; Tolstikhin et al. 2021."""
    rng = b.rng
    patch = rng.choice([8, 16, 16, 16, 32])
    size = image_size(b, 48, 320) // patch * patch
    width = rng.choice([64, 96, 128, 192, 256, 384, 512, 512, 768, rng.randint(48, 768)])
    channels_ratio, positions_ratio = rng.choice([4, 4, 2, 3]), rng.choice([0.5, 0.5, 1, 2])
    x = _patches(b, size, patch, width)
    for _ in range(rng.randint(1, 16)):
        y = ops.transpose(b, layer_norm(b, x), (0, 2, 1))
        y = feed_forward(b, y, max(8, int(width * positions_ratio)))
        x = residual(b, x, ops.transpose(b, y, (0, 2, 1)))
        x = residual(b, x, feed_forward(b, layer_norm(b, x), width * channels_ratio))
    _pooled(b, layer_norm(b, x))


def _channels_last_norm(b: GraphBuilder, x: Value) -> Value:
    """LayerNormalization over the channels of [n, c, h, w], between two transposes."""
    return ops.transpose(b, layer_norm(b, ops.transpose(b, x, (0, 2, 3, 1))), (0, 3, 1, 2))


def build_convnext(b: GraphBuilder) -> None:
    """ConvNeXt: large depthwise kernels, LayerNormalization, GELU, layer scale; Liu et al. 2022."""
    rng = b.rng
    size = image_size(b, 64, 288)
    base = rng.choice([16, 24, 32, 40, 48, 64, 80, 96, 96, 128, rng.randint(16, 128)])
    depths = rng.choice([(3, 3, 9, 3), (2, 2, 6, 2), (1, 1, 2, 1), None, None])
    if depths is None:
        depths = (rng.randint(1, 3), rng.randint(1, 3), rng.randint(1, 9), rng.randint(1, 3))
    kernel = rng.choice([7, 7, 7, 5, 9])
    scaled_layers = rng.random() < 0.8
    by_conv = rng.random() < 0.3  # the 1x1 layers as convolutions, not as MatMul on channels-last
    x = _channels_last_norm(b, ops.conv(b, b.image(size), base, 4, 4, padding=0))
    for stage, depth in enumerate(depths):
        channels = base * 2**stage
        if stage:
            x = ops.conv(b, _channels_last_norm(b, x), channels, 2, 2, padding=0)
        for _ in range(depth):
            y = ops.conv(b, x, channels, kernel, groups=channels)
            if by_conv:
                y = ops.conv(b, _channels_last_norm(b, y), 4 * channels, 1)
                y = ops.conv(b, activation(b, y, "Gelu"), channels, 1)
                y = ops.mul(b, b.weight((channels, 1, 1), 0.9), y) if scaled_layers else y
            else:
                y = layer_norm(b, ops.transpose(b, y, (0, 2, 3, 1)))
                y = feed_forward(b, y, 4 * channels)
                y = ops.mul(b, b.weight((channels,), 0.9), y) if scaled_layers else y
                y = ops.transpose(b, y, (0, 3, 1, 2))
            x = residual(b, x, y)
    classifier(b, x)
