"""Micro-graphs over images: pooling plus addition, long epilogues, dense joins, residual diamonds."""

from tvm_narcost.zoo import operators as ops
from tvm_narcost.zoo.blocks import activation, residual
from tvm_narcost.zoo.builder import GraphBuilder, Value
from tvm_narcost.zoo.corpus.draws import width
from tvm_narcost.zoo.micro.draws import affine, dear, image, step

__all__ = ["build_concat", "build_epilogue", "build_pool_add", "build_residual"]

_ACTIVATIONS = ("Relu", "Relu", "Swish", "Gelu", "HardSwish", "LeakyRelu", "Sigmoid")
_MOST_FLOPS_A_CONVOLUTION = 3e8


def build_pool_add(b: GraphBuilder) -> None:
    """Pooling of something element-wise, then an addition (apache/tvm issue 20401)."""
    rng = b.rng
    x = image(b)
    for index in range(rng.choice([1, 1, 2])):
        if rng.random() < 0.5:
            x = step(b, x)
        kernel = rng.choice([2, 2, 3, 3, 5])
        stride = rng.choice([1, 2, 2]) if x.shape[2] >= 8 else 1
        kind = rng.choice(["MaxPool", "MaxPool", "AveragePool"])
        x = ops.pool(b, x, kind, kernel, stride, (kernel - 1) // 2)
        how = rng.choice(["same", "same", "channel", "scalar"])
        if how == "same":
            x = ops.add(b, x, b.input(x.shape, f"skip{index}"))
        elif how == "channel":
            x = affine(b, x)
        else:
            x = ops.add(b, x, b.scalar(0.25))
        if rng.random() < 0.5:
            x = step(b, x)
    b.output(x)


def _conv(b: GraphBuilder, x: Value, channels: int) -> Value:
    """Pointwise, dense 3x3 where that is affordable, or depthwise."""
    rng = b.rng
    kind = rng.choice(["1x1", "1x1", "3x3", "depthwise"])
    flops = 18.0 * x.elements * channels
    if kind == "3x3" and flops > _MOST_FLOPS_A_CONVOLUTION:
        kind = "1x1"
    if kind == "depthwise":
        return ops.conv(b, x, x.shape[1], 3, groups=x.shape[1])
    return ops.conv(b, x, channels, 1 if kind == "1x1" else 3)


def build_epilogue(b: GraphBuilder) -> None:
    """Convolutions with long epilogues: scale, shift, activation, residual sums, gates."""
    rng = b.rng
    x = image(b, 8, 256)
    for index in range(rng.randint(1, 2)):
        x = _conv(b, x, width(rng, 8, 256))
        for _ in range(rng.randint(2, 7)):
            kind = rng.choice(["affine", "act", "act", "skip", "step", "gate"])
            if kind == "affine":
                x = affine(b, x, shift=rng.random() < 0.7)
            elif kind == "act":
                x = activation(b, x, rng.choice(_ACTIVATIONS))
            elif kind == "skip":
                x = ops.add(b, x, b.input(x.shape, f"skip{index}_{len(b.inputs)}"))
            elif kind == "gate":
                x = ops.mul(b, x, dear(b, x, "Sigmoid"))
            else:
                x = step(b, x)
    b.output(x)


def build_concat(b: GraphBuilder) -> None:
    """Layers that each read all before them, joined: normalised anew for every reader, as DenseNet does."""
    rng = b.rng
    x = image(b, 8, 128)
    growth = width(rng, 4, 48)
    for _ in range(rng.randint(2, 5)):
        y = affine(b, x) if rng.random() < 0.8 else x
        y = activation(b, y, rng.choice(["Relu", "Relu", "Swish", "Sigmoid"]))
        y = _conv(b, y, growth)
        x = ops.concat(b, [x, y])
    if rng.random() < 0.6:
        x = activation(b, affine(b, x), "Relu")
    b.output(x)


def build_residual(b: GraphBuilder) -> None:
    """Diamonds: a value goes through a branch, or two, and meets itself."""
    rng = b.rng
    x = image(b, 8, 256)
    for _ in range(rng.randint(2, 4)):
        left = x
        for _ in range(rng.randint(1, 3)):
            left = step(b, left, 0.5)
        if rng.random() < 0.5:
            left = ops.conv(b, left, x.shape[1], rng.choice([1, 1, 3]), groups=rng.choice([1, x.shape[1]]))
        right = step(b, x, 0.5) if rng.random() < 0.5 else x
        x = residual(b, left, right)
        if rng.random() < 0.6:
            x = activation(b, x, rng.choice(_ACTIVATIONS))
        x = ops.binary(b, "Mul", x, b.scalar(0.5), min(x.level * 0.5, 2.0))
    b.output(x)
