"""Convolution stages, then attention stages: MobileViT, CoAtNet, EfficientFormer, PoolFormer, LeViT, PVT."""

from tvm_narcost.zoo import operators as ops
from tvm_narcost.zoo.attention import attend, feed_forward, heads_of, transformer_block
from tvm_narcost.zoo.blocks import activation, classifier, conv_block, layer_norm, residual
from tvm_narcost.zoo.builder import GraphBuilder, Value
from tvm_narcost.zoo.image_blocks import group_norm, multiple_size
from tvm_narcost.zoo.mobile import inverted_residual

__all__ = ["build_hybrid"]


def build_hybrid(b: GraphBuilder) -> None:
    """One of the kinds; Mehta 2021, Dai 2021, Li 2022, Yu 2021, Graham 2021, Wang 2021."""
    kinds = [_mobilevit, _coatnet, _poolformer, _levit, _pyramid]
    b.rng.choices(kinds, [0.25, 0.2, 0.27, 0.14, 0.14])[0](b)


def _tokens(b: GraphBuilder, x: Value) -> Value:
    """[n, c, h, w] to [n, h * w, c]."""
    n, c, h, w = x.shape
    return ops.transpose(b, ops.reshape(b, x, (n, c, h * w)), (0, 2, 1))


def _image(b: GraphBuilder, x: Value, height: int, width: int) -> Value:
    """[n, h * w, c] to [n, c, h, w]."""
    n, _, c = x.shape
    return ops.reshape(b, ops.transpose(b, x, (0, 2, 1)), (n, c, height, width))


def _heads(b: GraphBuilder, width: int) -> int:
    return b.rng.choice([k for k in (1, 2, 4, 4, 8) if width % k == 0 and width // k >= 8])


def _base(b: GraphBuilder) -> int:
    """Channels of the first stage, a multiple of 8."""
    return b.rng.choice([16, 24, 32, 32, 40, 48, 64, 64, 80, 96, 8 * b.rng.randint(2, 14)])


def _mobilevit_block(b: GraphBuilder, x: Value, width: int, depth: int, patch: int) -> Value:
    """Local convolutions, a transformer over pixels of equal place in their patches, joined with the input."""
    n, c, h, w = x.shape
    rows, columns, area = h // patch, w // patch, patch * patch
    y = ops.conv(b, conv_block(b, x, c, 3, act="Swish"), width, 1, bias=False)
    y = ops.reshape(b, y, (n * width * rows, patch, columns, patch))
    y = ops.reshape(b, ops.transpose(b, y, (0, 2, 1, 3)), (n, width, rows * columns, area))
    y = ops.reshape(b, ops.transpose(b, y, (0, 3, 2, 1)), (n * area, rows * columns, width))
    heads = _heads(b, width)
    for _ in range(depth):
        y = transformer_block(b, y, heads, 2 * width, pre_norm=True, act="Swish")
    y = ops.reshape(b, layer_norm(b, y), (n, area, rows * columns, width))
    y = ops.reshape(b, ops.transpose(b, y, (0, 3, 2, 1)), (n * width * rows, columns, patch, patch))
    y = ops.reshape(b, ops.transpose(b, y, (0, 2, 1, 3)), (n, width, h, w))
    y = conv_block(b, y, c, 1, act="Swish")
    return conv_block(b, ops.concat(b, [x, y]), c, 3, act="Swish")


def _mobilevit(b: GraphBuilder) -> None:
    """Inverted residuals, and transformer blocks at the three smallest sizes."""
    rng = b.rng
    height, width = multiple_size(b, 64, 64, 320)
    base, expansion = _base(b), rng.choice([2, 2, 4])
    x = conv_block(b, b.image(height, width), 16, 3, 2, act="Swish")
    x = inverted_residual(b, x, base, expansion, 3, 1, "Swish")
    for index in range(rng.randint(1, 3)):
        x = inverted_residual(b, x, base * 3 // 2, expansion, 3, 1 if index else 2, "Swish")
    inner = rng.choice([48, 64, 80, 96, 144, 8 * rng.randint(4, 20)])
    for stage, depth in enumerate(rng.choice([(2, 4, 3), (1, 2, 1), (1, 1), (2, 3)])):
        x = inverted_residual(b, x, base * (2 + stage), expansion, 3, 2, "Swish")
        x = _mobilevit_block(b, x, inner + 24 * stage // 8 * 8, depth, 2)
    classifier(b, conv_block(b, x, 4 * x.shape[1], 1, act="Swish"))


def _relative_block(b: GraphBuilder, x: Value, heads: int, hidden: int) -> Value:
    """Pre-norm attention with a bias by relative position, then a feed-forward layer."""
    s, width = x.shape[1:]
    y = layer_norm(b, x)
    q, k, v = (heads_of(b, ops.gemm(b, y, width), heads) for _ in range(3))
    x = residual(b, x, ops.gemm(b, attend(b, q, k, v, b.weight((1, heads, s, s), 0.2)), width))
    return residual(b, x, feed_forward(b, layer_norm(b, x), hidden))


def _coatnet(b: GraphBuilder) -> None:
    """Convolutional stem, stages of inverted residuals with squeeze-excitation, stages of relative attention."""
    rng = b.rng
    height, width = multiple_size(b, 32, 64, 288)
    base, act = _base(b), rng.choice(["Gelu", "Gelu", "Swish"])
    x = conv_block(b, conv_block(b, b.image(height, width), base, 3, 2, act=act), base, 3, act=act)
    depths = rng.choice([(2, 3, 5, 2), (2, 2, 2, 2), (1, 1, 2, 1), (2, 6, 4, 2)])
    convolutional = rng.choice([2, 2, 1, 3])
    for stage, depth in enumerate(depths):
        channels = base * 2 ** min(stage, 3)
        if stage < convolutional:
            for index in range(depth):
                excite = max(channels // 4, 4)
                x = inverted_residual(b, x, channels, 4, 3, 1 if index else 2, act, excite, "Sigmoid", act)
            continue
        x = ops.conv(b, ops.pool(b, x, "MaxPool", 2, 2), channels, 1)
        h, w = x.shape[2:]
        y = _tokens(b, x)
        heads = _heads(b, channels)
        for _ in range(depth):
            y = _relative_block(b, y, heads, 4 * channels)
        x = _image(b, y, h, w)
    classifier(b, x)


def _pool_block(b: GraphBuilder, x: Value, hidden: int, style: tuple[str, str], scaled: bool) -> Value:
    """An average of neighbours less the input as token mixer, then two 1x1 convolutions; both scaled and added."""
    norm, act = style
    channels = x.shape[1]

    def scale(y: Value) -> Value:
        return ops.mul(b, b.weight((channels, 1, 1), 0.7), y) if scaled else y

    y = group_norm(b, x, 1) if norm == "group" else x
    mixed = ops.binary(b, "Sub", ops.pool(b, y, "AveragePool", 3, 1, 1), y, y.level)
    x = residual(b, x, scale(mixed))
    if norm == "batch":  # EfficientFormer: normalised after each convolution
        y = conv_block(b, conv_block(b, x, hidden, 1, act=act), channels, 1, act=None)
    else:
        y = group_norm(b, x, 1)
        y = ops.conv(b, activation(b, ops.conv(b, y, hidden, 1), act), channels, 1)
    return residual(b, x, scale(y))


def _poolformer(b: GraphBuilder) -> None:
    """PoolFormer, or EfficientFormer: the same blocks with batch normalisation, attention at the end."""
    rng = b.rng
    height, width = multiple_size(b, 32, 64, 320)
    base, ratio, scaled = _base(b), rng.choice([4, 4, 3, 2]), rng.random() < 0.8
    efficient = rng.random() < 0.5
    style = ("batch" if efficient else "group", rng.choice(["Gelu", "Gelu", "Gelu", "Relu"]))
    x = b.image(height, width)
    if efficient:
        x = conv_block(b, conv_block(b, x, max(base // 2, 8), 3, 2), base, 3, 2)
    else:
        x = ops.conv(b, x, base, 7, 4, padding=3 if height % 4 == 0 else 2)
    depths = rng.choice([(2, 2, 6, 2), (3, 2, 6, 4), (4, 4, 12, 4), (1, 1, 2, 1)])
    for stage, depth in enumerate(depths):
        if stage:
            x = ops.conv(b, x, base * 2**stage, 3, 2) if not efficient else conv_block(
                b, x, base * 2**stage, 3, 2, act=None)  # fmt: skip
        attentive = efficient and stage == len(depths) - 1
        for _ in range(depth if not attentive else depth // 2):
            x = _pool_block(b, x, ratio * x.shape[1], style, scaled)
        if attentive:
            h, w = x.shape[2:]
            y = _tokens(b, x)
            heads = _heads(b, y.shape[2])
            for _ in range(max(1, depth // 2)):
                y = _relative_block(b, y, heads, ratio * y.shape[2])
            x = _image(b, y, h, w)
    if efficient:
        classifier(b, x)
    else:
        classifier(b, group_norm(b, x, 1))


def _normed_linear(b: GraphBuilder, x: Value, features: int) -> Value:
    """LeViT's layer over tokens: MatMul, then batch normalisation on the flattened rows."""
    n, s, width = x.shape
    y = b.node("MatMul", [x, b.weight((width, features), 1 / (width * x.level))], (n, s, features), 1.0,
               2.0 * x.elements * features)  # fmt: skip
    return ops.reshape(b, ops.batch_norm(b, ops.reshape(b, y, (n * s, features))), (n, s, features))


def _levit_attention(b: GraphBuilder, x: Value, heads: int, size: int, width: int, side: int, stride: int) -> Value:
    """Narrow queries and keys, wide values, a bias by place; with a stride the queries come from every other place."""
    n, s, c = x.shape
    source = x
    if stride > 1:
        grid = ops.reshape(b, x, (n, side, side, c))
        grid = ops.slice_axis(b, ops.slice_axis(b, grid, 1, 0, side, stride), 2, 0, side, stride)
        source = ops.reshape(b, grid, (n, grid.shape[1] * grid.shape[2], c))
    q = heads_of(b, _normed_linear(b, source, heads * size), heads)
    k = heads_of(b, _normed_linear(b, x, heads * size), heads)
    v = heads_of(b, _normed_linear(b, x, heads * 2 * size), heads)
    y = attend(b, q, k, v, b.weight((1, heads, source.shape[1], s), 0.2))
    return _normed_linear(b, activation(b, y, "HardSwish"), width)


def _levit(b: GraphBuilder) -> None:
    """Four strided convolutions, then attention at three sizes with hard swish."""
    rng = b.rng
    side = 16 * rng.choice([8, 8, 10, 12, 14, 14, 14, 16])
    base, size = 16 * rng.choice([4, 6, 8, 8, 12, 16, 16, 24]), rng.choice([16, 16, 32])
    x = b.image(side)
    for divisor in (8, 4, 2, 1):
        x = conv_block(b, x, base // divisor, 3, 2, act="HardSwish" if divisor > 1 else None)
    y, side = _tokens(b, x), x.shape[2]
    widths = [base, base * 3 // 2, base * 2]
    for stage, depth in enumerate(rng.choice([(2, 3, 4), (4, 4, 4), (1, 2, 1), (1, 1)])):
        if stage:
            heads = max(2, y.shape[2] // size)
            y = _levit_attention(b, y, heads, size, widths[stage], side, 2)
            side = (side + 1) // 2
        heads = max(2, widths[stage] // 64 if size == 32 else widths[stage] // 32)
        for _ in range(depth):
            y = residual(b, y, _levit_attention(b, y, heads, size, widths[stage], side, 1))
            hidden = activation(b, _normed_linear(b, y, 2 * widths[stage]), "HardSwish")
            y = residual(b, y, _normed_linear(b, hidden, widths[stage]))
    classifier(b, ops.reduce_mean(b, y, (1,), keepdims=False))


def _pyramid(b: GraphBuilder) -> None:
    """PVT and SegFormer: attention whose keys and values come from a strided convolution; v2 mixes by depthwise."""
    rng = b.rng
    height, width = multiple_size(b, 32, 64, 320)
    base, depthwise = _base(b), rng.random() < 0.5
    x = b.image(height, width)
    for stage, depth in enumerate(rng.choice([(2, 2, 2, 2), (1, 1, 1, 1), (3, 4, 6, 3), (2, 2, 4)])):
        channels, kernel, stride = base * (1, 2, 5, 8)[stage], 7 if stage == 0 else 3, 4 if stage == 0 else 2
        x = ops.conv(b, x, channels, kernel, stride, padding=kernel // 2)
        h, w = x.shape[2:]
        y, heads = layer_norm(b, _tokens(b, x)), _heads(b, channels)
        for _ in range(depth):
            y = _reduced_attention(b, y, heads, (h, w), (8, 4, 2, 1)[stage])
            z = ops.gemm(b, layer_norm(b, y), 4 * channels)
            if depthwise:
                grid = ops.conv(b, _image(b, z, h, w), 4 * channels, 3, groups=4 * channels)
                z = _tokens(b, grid)
            y = residual(b, y, ops.gemm(b, activation(b, z, "Gelu"), channels))
        x = _image(b, layer_norm(b, y), h, w)
    classifier(b, x)


def _reduced_attention(b: GraphBuilder, x: Value, heads: int, size: tuple[int, int], factor: int) -> Value:
    y = layer_norm(b, x)
    width, source = y.shape[2], y
    if factor > 1:
        grid = ops.conv(b, _image(b, y, *size), width, factor, factor, padding=0)
        source = layer_norm(b, _tokens(b, grid))
    q = heads_of(b, ops.gemm(b, y, width), heads)
    k, v = (heads_of(b, ops.gemm(b, source, width), heads) for _ in range(2))
    return residual(b, x, ops.gemm(b, attend(b, q, k, v), width))
