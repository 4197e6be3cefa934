"""DenseNet: every layer sees all the layers before it."""

from tvm_narcost.zoo import operators as ops
from tvm_narcost.zoo.blocks import classifier, dropout, norm, often_caffe
from tvm_narcost.zoo.builder import GraphBuilder, Value
from tvm_narcost.zoo.sizes import image_size

__all__ = ["build_densenet", "dense_layer"]


def _norm_relu_conv(b: GraphBuilder, x: Value, channels: int, kernel: int) -> Value:
    """Pre-activation: here BatchNormalization cannot be folded into the convolution before it."""
    x = ops.unary(b, "Relu", norm(b, x))
    return ops.conv(b, x, channels, kernel, bias=b.spelling.norm == "bias")


def dense_layer(b: GraphBuilder, x: Value, growth: int, bottleneck: int) -> Value:
    """DenseNet: ``growth`` new channels, through a 1x1 of ``bottleneck`` times as many (0: none)."""
    y = _norm_relu_conv(b, x, bottleneck * growth, 1) if bottleneck else x
    return dropout(b, _norm_relu_conv(b, y, growth, 3), 0.2)


def build_densenet(b: GraphBuilder) -> None:
    """DenseNet-121 to DenseNet-201 and thinner ones; Huang et al. 2016."""
    rng = b.rng
    often_caffe(b)
    size = image_size(b, 32, 288)
    growth = rng.choice([4, 8, 12, 12, 16, 24, 32, 32, 32, 40, 48, rng.randint(4, 48)])
    depths: tuple[int, ...] | None = rng.choice(
        [(6, 12, 24, 16), (6, 12, 24, 16), (6, 12, 32, 32), (6, 12, 36, 24), None, None, None]
    )
    if depths is None:
        stages = rng.choice([3, 3, 4])
        depths = tuple(rng.randint(2, most) for most in (8, 14, 20, 16)[:stages])
    bottleneck = rng.choice([4, 4, 4, 2, 0])
    compression = rng.choice([0.5, 0.5, 0.5, 1.0])
    joined_at_once = rng.random() < 0.5
    x = b.image(size)
    if size >= 64:
        x = ops.conv(b, x, 2 * growth, rng.choice([7, 7, 5, 3]), 2, bias=False)
        x = ops.unary(b, "Relu", norm(b, x))
        x = ops.pool(b, x, "MaxPool", 3, 2, 1)
    else:
        x = ops.conv(b, x, 2 * growth, 3, bias=False)
    for stage, depth in enumerate(depths):
        features = [x]
        for _ in range(depth):
            new = dense_layer(b, x, growth, bottleneck)
            features.append(new)
            # Two spellings: join all features again at each layer, or the new one to what was joined before.
            x = ops.concat(b, features if joined_at_once else [x, new])
        if stage < len(depths) - 1:
            x = _norm_relu_conv(b, x, max(4, int(x.shape[1] * compression)), 1)
            x = ops.pool(b, x, "AveragePool", 2, 2)
    classifier(b, ops.unary(b, "Relu", norm(b, x)))
