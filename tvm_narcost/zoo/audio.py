"""Sound: encoders of raw waves and of spectrograms, mostly by convolutions over one axis."""

from tvm_narcost.zoo import operators as ops
from tvm_narcost.zoo.attention import attend, heads_of, transformer_block
from tvm_narcost.zoo.blocks import activation, classifier, conv_block, depth_separable, layer_norm, residual
from tvm_narcost.zoo.builder import GraphBuilder, Value
from tvm_narcost.zoo.image_blocks import group_norm, instance_norm
from tvm_narcost.zoo.sequence_blocks import conv_1d, conv_block_1d, glu

__all__ = ["build_audio"]


def build_audio(b: GraphBuilder) -> None:
    """One of the kinds; Baevski 2020, Radford 2022, Bai 2018, Zhang 2017, Gulati 2020, Kriman 2019, Dai 2016."""
    kinds = [_wave_encoder, _whisper, _temporal, _keyword, _conformer, _quartz, _raw_classifier]
    b.rng.choices(kinds, [0.16, 0.15, 0.17, 0.18, 0.17, 0.1, 0.07])[0](b)


def _width(b: GraphBuilder, low: int, high: int) -> int:
    usual = [w for w in (32, 48, 64, 80, 96, 128, 144, 192, 256, 384, 512, 512, 768) if low <= w <= high]
    return b.rng.choice(usual) if b.rng.random() < 0.75 else 8 * b.rng.randint(-(-low // 8), high // 8)


def _heads(b: GraphBuilder, width: int) -> int:
    return b.rng.choice([k for k in (1, 2, 4, 4, 6, 8, 8, 12) if width % k == 0 and width // k >= 16])


def _turned(b: GraphBuilder, x: Value) -> Value:
    """[n, c, t] to [n, t, c] and back."""
    return ops.transpose(b, x, (0, 2, 1))


def _channel_norm(b: GraphBuilder, x: Value) -> Value:
    return _turned(b, layer_norm(b, _turned(b, x)))


def _wave_encoder(b: GraphBuilder) -> None:
    """wav2vec 2.0 and HuBERT: strided convolutions over the wave, projection, grouped positions, transformer."""
    rng = b.rng
    channels, width = _width(b, 32, 512), _width(b, 64, 768)
    layered = rng.random() < 0.4  # normalised over the channels after every convolution, or only after the first
    x = b.input((b.batch, 1, rng.choice([4000, 8000, 16000, 16000, 32000, rng.randint(3000, 30000)])))
    kernels = [(10, 5), (3, 2), (3, 2), (3, 2), (3, 2), (2, 2), (2, 2)]
    for index, (kernel, stride) in enumerate(kernels[: rng.choice([5, 6, 7, 7, 7])]):
        x = conv_1d(b, x, channels, kernel, stride, padding=0, bias=layered)
        if layered:
            x = _channel_norm(b, x)
        elif index == 0:
            x = instance_norm(b, x)
        x = activation(b, x, "Gelu")
    y = ops.gemm(b, layer_norm(b, _turned(b, x)), width)
    if rng.random() < 0.7:
        kernel, groups = rng.choice([(128, 16), (64, 8), (19, 4)])
        groups = groups if width % groups == 0 else 1
        place = conv_1d(b, _turned(b, y), width, kernel, padding=kernel // 2, groups=groups)
        if kernel % 2 == 0:  # one position too many
            place = ops.slice_axis(b, place, 2, 0, place.shape[2] - 1)
        y = ops.add(b, y, _turned(b, activation(b, place, "Gelu")))
    heads, pre_norm = _heads(b, width), rng.random() < 0.5
    y = y if pre_norm else layer_norm(b, y)
    for _ in range(rng.choice([0, 1, 2, 4, 6, 12])):
        y = transformer_block(b, y, heads, 4 * width, pre_norm=pre_norm)
    b.output(ops.gemm(b, y, rng.choice([29, 32, 64])) if rng.random() < 0.6 else y)


def _whisper(b: GraphBuilder) -> None:
    """Two convolutions over a mel spectrogram, the second strided, then a pre-norm transformer."""
    rng = b.rng
    frames = rng.choice([100, 200, 300, 500, 500, 1000, 2 * rng.randint(40, 500)])
    width = _width(b, 64, 768)
    x = b.input((b.batch, rng.choice([40, 64, 80, 80, 128]), frames))
    x = activation(b, conv_1d(b, x, width, 3), "Gelu")
    x = activation(b, conv_1d(b, x, width, 3, 2), "Gelu")
    y = ops.add(b, _turned(b, x), b.weight((x.shape[2], width), 0.2))
    heads = _heads(b, width)
    for _ in range(rng.choice([1, 2, 4, 4, 6, 12])):
        y = transformer_block(b, y, heads, 4 * width, pre_norm=True)
    b.output(layer_norm(b, y))


def _temporal(b: GraphBuilder) -> None:
    """TCN, WaveNet or Conv-TasNet blocks: convolutions of growing dilation, added to their input."""
    rng = b.rng
    length = rng.choice([64, 128, 256, 512, 1000, 2000, 4000, rng.randint(50, 4000)])
    width, kernel = _width(b, 32, 384), rng.choice([2, 3, 3, 5, 7])
    kind = rng.choice(["tcn", "tcn", "wavenet", "tasnet"])
    x = b.input((b.batch, rng.choice([1, 2, 16, 64, 80]), length))
    x = conv_1d(b, x, width, 1)
    skips: list[Value] = []
    blocks, most = rng.choice([2, 3, 4, 6, 8, 8, 12, 16]), rng.choice([3, 4, 6, 8])
    for index in range(blocks):
        dilation = 2 ** (index % most)
        if kind == "tcn":
            y = x
            for _ in range(2):
                y = ops.unary(b, "Relu", _causal(b, y, width, kernel, dilation))
            x = ops.unary(b, "Relu", residual(b, y, x))
        elif kind == "wavenet":
            y = _causal(b, x, 2 * width, kernel, dilation)
            left, right = ops.split(b, y, (width, width))
            y = ops.mul(b, activation(b, left, "Tanh"), activation(b, right, "Sigmoid"))
            skips.append(conv_1d(b, y, width, 1))
            x = residual(b, conv_1d(b, y, width, 1), x) if index < blocks - 1 else x
        else:
            y = activation(b, conv_1d(b, x, 2 * width, 1), "PRelu")
            y = group_norm(b, y, 1)
            y = conv_1d(b, y, 2 * width, 3, dilation=dilation, groups=2 * width)
            y = group_norm(b, activation(b, y, "PRelu"), 1)
            x = residual(b, x, conv_1d(b, y, width, 1))
    for index, skip in enumerate(skips):
        x = ops.add(b, x, skip) if index else skip
    x = ops.unary(b, "Relu", x) if skips else x
    if rng.random() < 0.5:
        b.output(conv_1d(b, x, rng.choice([1, 2, 10, 64, 256]), 1))
    else:
        last = b.node("Gather", [x, b.constant([length - 1], ())], (b.batch, width), axis=2)
        classifier(b, last, rng.choice([2, 10, 35]))


def _causal(b: GraphBuilder, x: Value, channels: int, kernel: int, dilation: int) -> Value:
    """Sees the past only: padded on both sides and cut, or padded on the left by Pad or by the convolution."""
    reach = (kernel - 1) * dilation
    how = b.rng.choice(["cut", "cut", "pad", "asymmetric"])
    if how == "cut":
        y = conv_1d(b, x, channels, kernel, padding=reach, dilation=dilation)
        return ops.slice_axis(b, y, 2, 0, x.shape[2])
    if how == "pad":
        padded = ops.pad(b, x, (0, 0, reach, 0, 0, 0))
        return conv_1d(b, padded, channels, kernel, padding=0, dilation=dilation)
    return conv_1d(b, x, channels, kernel, padding=(reach, 0), dilation=dilation)


def _keyword(b: GraphBuilder) -> None:
    """DS-CNN, TC-ResNet, plain CNN for keywords, and VGGish: 2-D or 1-D convolutions over a spectrogram."""
    rng = b.rng
    frames, bands = rng.choice([(49, 10), (98, 40), (101, 40), (96, 64), (128, 64), (298, 64), (500, 80), (998, 128)])
    width = _width(b, 32, 384)
    if rng.random() < 0.3:  # TC-ResNet: the bands are channels
        x = conv_1d(b, b.input((b.batch, bands, frames)), width, 3)
        for _ in range(rng.choice([2, 3, 6])):
            channels = min(x.shape[1] + 16 * rng.randint(0, 3), 512)
            stride = 2 if x.shape[2] > 8 else 1
            y = conv_block_1d(b, conv_block_1d(b, x, channels, 9, stride), channels, 9, act=None)
            x = ops.unary(b, "Relu", residual(b, y, conv_block_1d(b, x, channels, 1, stride)))
        classifier(b, ops.reduce_mean(b, x, (2,), keepdims=False), rng.choice([10, 12, 35]))
        return
    x = b.image(frames, bands, 1)
    kind = rng.choice(["separable", "separable", "vggish", "residual"])
    if kind == "separable":
        x = conv_block(b, x, width, (10, 4), 2)
        for _ in range(rng.choice([4, 4, 5, 8])):
            x = depth_separable(b, x, width, 3)
    elif kind == "residual":
        x = conv_block(b, x, width, 3)
        x = ops.pool(b, x, "AveragePool", (4, 2), (4, 2)) if rng.random() < 0.5 else x
        for index in range(rng.choice([2, 4, 6])):
            y = conv_block(b, conv_block(b, x, width, 3, dilation=2 ** (index // 3)), width, 3, act=None)
            x = residual(b, ops.unary(b, "Relu", y), x)
    else:
        for stage in range(rng.choice([2, 3, 4])):
            x = conv_block(b, x, min(width * 2**stage, 512), 3)
            x = ops.pool(b, conv_block(b, x, x.shape[1], 3), "MaxPool", 2, 2, ceil=rng.random() < 0.5)
    classifier(b, x, rng.choice([10, 12, 35, 50, 527]))


def _conformer_block(b: GraphBuilder, x: Value, heads: int, kernel: int, biased: bool) -> Value:
    """Half a feed-forward layer, attention, a gated depthwise convolution, the other half, normalised."""
    s, width = x.shape[1:]

    def half(y: Value) -> Value:
        z = ops.gemm(b, activation(b, ops.gemm(b, layer_norm(b, y), 4 * width), "Swish"), width)
        return residual(b, y, ops.mul(b, z, b.scalar(0.5)))

    x = half(x)
    y = layer_norm(b, x)
    q, k, v = (heads_of(b, ops.gemm(b, y, width), heads) for _ in range(3))
    bias = b.weight((1, heads, s, s), 0.2) if biased else None
    x = residual(b, x, ops.gemm(b, attend(b, q, k, v, bias), width))
    y = glu(b, conv_1d(b, _turned(b, layer_norm(b, x)), 2 * width, 1))
    y = ops.batch_norm(b, conv_1d(b, y, width, kernel, groups=width))
    y = conv_1d(b, activation(b, y, "Swish"), width, 1)
    return layer_norm(b, half(residual(b, x, _turned(b, y))))


def _conformer(b: GraphBuilder) -> None:
    """Two strided 2-D convolutions, a projection, Conformer blocks, scores of characters at every step."""
    rng = b.rng
    width, frames = _width(b, 96, 512), rng.choice([128, 200, 256, 400, 512, 800, rng.randint(80, 1000)])
    channels = rng.choice([32, 64, width])
    x = b.image(frames, rng.choice([40, 64, 80, 80]), 1)
    for index in range(2):
        if index and rng.random() < 0.4:
            x = ops.conv(b, x, channels, 3, 2, groups=channels)
            x = ops.conv(b, x, channels, 1)
        else:
            x = ops.conv(b, x, channels, 3, 2, padding=rng.choice([0, 1]))
        x = ops.unary(b, "Relu", x)
    n, c, steps, bands = x.shape
    y = ops.reshape(b, ops.transpose(b, x, (0, 2, 1, 3)), (n, steps, c * bands))
    y = ops.gemm(b, y, width)
    heads, kernel, biased = _heads(b, width), rng.choice([7, 15, 31, 31]), rng.random() < 0.4
    for _ in range(rng.choice([1, 2, 4, 8, 12, 16])):
        y = _conformer_block(b, y, heads, kernel, biased)
    b.output(ops.softmax(b, ops.gemm(b, y, rng.choice([29, 128, 1024]))))


def _quartz(b: GraphBuilder) -> None:
    """QuartzNet and Jasper: blocks of wide 1-D convolutions, separable or dense, each with a skip connection."""
    rng = b.rng
    separable, width = rng.random() < 0.65, _width(b, 64, 512)
    x = b.input((b.batch, rng.choice([64, 64, 80]), rng.choice([128, 256, 512, 800, rng.randint(64, 1200)])))
    repeats = rng.choice([1, 2, 3, 5])
    x = _quartz_unit(b, x, width, 33 if separable else 11, separable, 2)
    for index in range(rng.choice([1, 3, 5, 5, 10])):
        channels = min(width * (1 + index // 3), 768)
        y = x
        for unit in range(repeats):
            y = _quartz_unit(b, y, channels, rng.choice([11, 33, 39, 51, 63]), separable, 1, unit < repeats - 1)
        x = ops.unary(b, "Relu", residual(b, y, conv_block_1d(b, x, channels, 1, act=None)))
    b.output(ops.softmax(b, _turned(b, conv_1d(b, x, 29, 1))))


def _quartz_unit(
    b: GraphBuilder, x: Value, channels: int, kernel: int, separable: bool, stride: int, active: bool = True
) -> Value:
    if separable:
        x = conv_1d(b, x, x.shape[1], kernel, stride, groups=x.shape[1], bias=False)
        return conv_block_1d(b, x, channels, 1, act="Relu" if active else None)
    return conv_block_1d(b, x, channels, kernel, stride, act="Relu" if active else None)


def _raw_classifier(b: GraphBuilder) -> None:
    """M5 to M18 and 1-D ResNets for waves, sensors and electrocardiograms: convolutions and pools over one axis."""
    rng = b.rng
    base = _width(b, 32, 192)
    length = rng.choice([1000, 5000, 8000, 16000, 32000, rng.randint(800, 16000)])
    x = b.input((b.batch, rng.choice([1, 1, 3, 8, 12]), length))
    x = conv_block_1d(b, x, base, rng.choice([80, 15, 7]), 4)
    skips = rng.random() < 0.5
    for stage in range(rng.choice([2, 3, 4])):
        shape = (b.batch, x.shape[1], (x.shape[2] - 4) // 4 + 1)
        x = b.node("MaxPool", [x], shape, kernel_shape=(4,), strides=(4,))
        for _ in range(rng.choice([1, 2, 3])):
            y = conv_block_1d(b, x, min(base * 2**stage, 512), 3)
            x = residual(b, y, x) if skips and y.shape == x.shape else y
    classifier(b, ops.reduce_mean(b, x, (2,), keepdims=False), rng.choice([2, 5, 10, 35]))
