"""Images to images: ESPCN, FSRCNN, EDSR and its kin, style transfer, denoising."""

from tvm_narcost.zoo import operators as ops
from tvm_narcost.zoo.blocks import activation, conv_block, residual, squeeze_excite
from tvm_narcost.zoo.builder import GraphBuilder, Value
from tvm_narcost.zoo.image_blocks import depth_to_space, instance_norm, multiple_size, resize_to

__all__ = ["build_super_resolution"]


def build_super_resolution(b: GraphBuilder) -> None:
    """One of the kinds; Shi 2016, Dong 2016, Lim 2017, Johnson 2016, Zhu 2017, Zhang 2016 and 2018."""
    kinds = [_espcn, _fsrcnn, _residual_chain, _style_transfer, _denoiser, _dense_residual]
    b.rng.choices(kinds, [0.2, 0.18, 0.27, 0.2, 0.08, 0.07])[0](b)


def _few_channels(b: GraphBuilder, low: int, high: int) -> int:
    """A small number of channels: a usual one, or any."""
    usual = [c for c in (8, 12, 16, 24, 32, 48, 56, 64, 64, 96, 128) if low <= c <= high]
    return b.rng.choice(usual) if b.rng.random() < 0.75 else b.rng.randint(low, high)


def _small_image(b: GraphBuilder, low: int = 32, high: int = 512) -> Value:
    """A grey or coloured image."""
    height, width = multiple_size(b, 8, low, high)
    return b.image(height, width, b.rng.choice([1, 1, 3, 3, 3]))


def _raised(b: GraphBuilder, x: Value, channels: int, factor: int) -> Value:
    """Enlarge by pixel shuffle, in steps of two where the factor is a power of two."""
    steps = [2] * (factor // 2) if factor in (2, 4) and b.rng.random() < 0.7 else [factor]
    for step in steps:
        x = depth_to_space(b, ops.conv(b, x, channels * step * step, 3), step)
    return x


def _espcn(b: GraphBuilder) -> None:
    """A few convolutions at the small size, then one pixel shuffle."""
    rng = b.rng
    x = _small_image(b)
    factor, colours = rng.choice([2, 3, 3, 4]), x.shape[1]
    act = rng.choice(["Relu", "Tanh", "Relu"])
    width = _few_channels(b, 8, 96)
    kernels = [5, 3, 3][: rng.choice([2, 3, 3])] + [3] * rng.choice([0, 0, 0, 2, 5])
    for index, kernel in enumerate(kernels):
        x = activation(b, ops.conv(b, x, width if index < 2 else max(width // 2, 4), kernel), act)
    x = depth_to_space(b, ops.conv(b, x, colours * factor * factor, 3), factor)
    b.output(ops.clip(b, x, 0.0, 1.0) if rng.random() < 0.3 else x)


def _fsrcnn(b: GraphBuilder) -> None:
    """Shrink by 1x1, map, widen by 1x1, one transposed convolution with a large kernel; or SRCNN."""
    rng = b.rng
    x = _small_image(b)
    colours, width, inner = x.shape[1], _few_channels(b, 16, 96), _few_channels(b, 8, 32)
    if rng.random() < 0.25:  # SRCNN: enlarged first
        factor = rng.choice([2, 3])
        x = resize_to(b, x, factor * x.shape[2], factor * x.shape[3], rng.choice(["cubic", "linear"]))
        x = ops.unary(b, "Relu", ops.conv(b, x, width, 9))
        x = ops.unary(b, "Relu", ops.conv(b, x, inner, rng.choice([1, 5])))
        b.output(ops.conv(b, x, colours, 5))
        return
    act = rng.choice(["PRelu", "PRelu", "Relu"])
    x = activation(b, ops.conv(b, x, width, 5), act)
    x = activation(b, ops.conv(b, x, inner, 1), act)
    for _ in range(rng.randint(1, 8)):
        x = activation(b, ops.conv(b, x, inner, 3), act)
    x = activation(b, ops.conv(b, x, width, 1), act)
    b.output(ops.conv_transpose(b, x, colours, 9, rng.choice([2, 3, 4])))


def _residual_chain(b: GraphBuilder) -> None:
    """EDSR, SRResNet with batch normalisation and PReLU, RCAN with channel attention, IMDN's splits."""
    rng = b.rng
    x = _small_image(b, 32, 320)
    colours, width, factor = x.shape[1], _few_channels(b, 8, 128), rng.choice([1, 2, 2, 3, 4, 4])
    kind = rng.choice(["edsr", "edsr", "srresnet", "rcan", "distil"])
    scale = rng.choice([None, None, 0.1])
    head = x = ops.conv(b, x, width, rng.choice([3, 3, 9]))
    for _ in range(rng.choice([1, 2, 4, 8, 16, 16])):
        x = _image_block(b, x, kind, scale)
    x = residual(b, ops.conv(b, x, width, 3), head)
    if factor > 1:
        x = _raised(b, x, width if rng.random() < 0.6 else max(width // 4, 4), factor)
    b.output(ops.conv(b, x, colours, rng.choice([3, 3, 9])))


def _image_block(b: GraphBuilder, x: Value, kind: str, scale: float | None) -> Value:
    width = x.shape[1]
    if kind == "srresnet":
        return residual(b, conv_block(b, conv_block(b, x, width, 3, act="PRelu"), width, 3, act=None), x)
    if kind == "distil":
        kept, y = max(width // 4, 1), x
        parts = []
        for _ in range(3):
            y = activation(b, ops.conv(b, y, width, 3), "LeakyRelu")
            part, y = ops.split(b, y, (kept, width - kept))
            parts.append(part)
        parts.append(ops.conv(b, y, kept, 3))
        return residual(b, ops.conv(b, ops.concat(b, parts), width, 1), x)
    y = ops.conv(b, ops.unary(b, "Relu", ops.conv(b, x, width, 3)), width, 3)
    if kind == "rcan":
        y = squeeze_excite(b, y, max(width // 16, 4))
    return residual(b, ops.mul(b, y, b.scalar(scale)) if scale else y, x)


def _bordered(b: GraphBuilder, x: Value, channels: int, kernel: int, stride: int, mode: str | None) -> Value:
    """Convolution with reflected or repeated borders; None pads with zeros."""
    edge = kernel // 2
    if mode is None:
        return ops.conv(b, x, channels, kernel, stride, padding=edge)
    x = ops.pad(b, x, (0, 0, edge, edge, 0, 0, edge, edge), mode)
    return ops.conv(b, x, channels, kernel, stride, padding=0)


def _style_transfer(b: GraphBuilder) -> None:
    """Johnson's network and CycleGAN's generator: down by strides, residual blocks, up again; instance norm."""
    rng = b.rng
    height, width = multiple_size(b, 8, 64, 512)
    base, mode = _few_channels(b, 8, 64), rng.choice(["reflect", "reflect", "reflect", "edge", None])
    kernel, by = rng.choice([9, 9, 7]), rng.choice(["nearest", "nearest", "deconv", "linear"])
    act = rng.choice(["Relu", "Relu", "LeakyRelu"])
    levels = rng.choice([1, 2, 2, 2, 3])
    x = activation(b, instance_norm(b, _bordered(b, b.image(height, width), base, kernel, 1, mode)), act)
    for level in range(levels):
        x = activation(b, instance_norm(b, _bordered(b, x, base * 2 ** (level + 1), 3, 2, mode)), act)
    for _ in range(rng.choice([1, 3, 5, 5, 6, 9])):
        y = activation(b, instance_norm(b, _bordered(b, x, x.shape[1], 3, 1, mode)), act)
        x = residual(b, x, instance_norm(b, _bordered(b, y, x.shape[1], 3, 1, mode)))
    for level in reversed(range(levels)):
        if by == "deconv":
            x = ops.conv_transpose(b, x, base * 2**level, 3, 2)
        else:
            x = resize_to(b, x, 2 * x.shape[2], 2 * x.shape[3], by)
            x = _bordered(b, x, base * 2**level, 3, 1, mode)
        x = activation(b, instance_norm(b, x), act)
    x = _bordered(b, x, 3, kernel, 1, mode)
    b.output(activation(b, x, "Tanh") if rng.random() < 0.4 else x)


def _denoiser(b: GraphBuilder) -> None:
    """DnCNN and VDSR: 3x3 convolutions in a row, the noise subtracted from the image or the detail added."""
    rng = b.rng
    x = image = _small_image(b, 32, 320)
    width, normed = _few_channels(b, 8, 64), rng.random() < 0.5
    x = ops.unary(b, "Relu", ops.conv(b, x, width, 3))
    for _ in range(rng.randint(2, 18)):
        x = conv_block(b, x, width, 3) if normed else ops.unary(b, "Relu", ops.conv(b, x, width, 3))
    x = ops.conv(b, x, image.shape[1], 3)
    b.output(ops.binary(b, rng.choice(["Sub", "Add"]), image, x, 1.0))


def _dense_residual(b: GraphBuilder) -> None:
    """RDN and ESRGAN: dense blocks inside residual ones."""
    rng = b.rng
    x = _small_image(b, 32, 256)
    colours, width, growth = x.shape[1], _few_channels(b, 16, 64), _few_channels(b, 8, 32)
    head = x = ops.conv(b, x, width, 3)
    for _ in range(rng.choice([1, 2, 4, 6])):
        parts = [x]
        for _ in range(rng.choice([3, 4, 4])):
            joined = ops.concat(b, parts) if len(parts) > 1 else x
            parts.append(activation(b, ops.conv(b, joined, growth, 3), "LeakyRelu"))
        y = ops.conv(b, ops.concat(b, parts), width, rng.choice([1, 3]))
        x = residual(b, ops.mul(b, y, b.scalar(0.2)), x)
    x = residual(b, ops.conv(b, x, width, 3), head)
    x = resize_to(b, x, 2 * x.shape[2], 2 * x.shape[3]) if rng.random() < 0.5 else _raised(b, x, width, 2)
    b.output(ops.conv(b, activation(b, ops.conv(b, x, width, 3), "LeakyRelu"), colours, 3))
