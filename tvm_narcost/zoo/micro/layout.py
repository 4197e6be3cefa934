"""Micro-graphs that move data: channel shuffles, transposes before reductions and before products."""

from tvm_narcost.zoo import operators as ops
from tvm_narcost.zoo.blocks import activation
from tvm_narcost.zoo.builder import GraphBuilder, Value
from tvm_narcost.zoo.corpus.draws import log_uniform, width
from tvm_narcost.zoo.micro.draws import MOST_ELEMENTS, affine, dear, image, step
from tvm_narcost.zoo.shuffle import channel_shuffle

__all__ = ["build_matmul", "build_shuffle", "build_transpose_reduce"]


def build_shuffle(b: GraphBuilder) -> None:
    """Channel shuffles with element-wise arithmetic around them: fused, the arithmetic reads with strides."""
    rng = b.rng
    groups = rng.choice([2, 3, 4, 8])
    x = image(b, 16, 512, groups)
    for _ in range(rng.randint(1, 3)):
        for _ in range(rng.randint(0, 2)):
            x = step(b, x)
        if rng.random() < 0.7:
            x = channel_shuffle(b, x, groups)
        else:
            n, c, h, w = x.shape
            x = ops.transpose(b, ops.reshape(b, x, (n, c, h * w)), (0, 2, 1))
            x = ops.reshape(b, step(b, x), (n, c, h, w))
        x = affine(b, x) if rng.random() < 0.4 else dear(b, x, "Sigmoid")
    b.output(x)


def build_transpose_reduce(b: GraphBuilder) -> None:
    """A transpose, something element-wise, a reduction over one axis, and sometimes its result against the input."""
    rng = b.rng
    batch, rows = rng.choice([1, 2, 4, 8]), log_uniform(rng, 8, 512)
    columns = log_uniform(rng, 8, max(8, min(2048, MOST_ELEMENTS // (batch * rows))))
    x = b.input((batch, rows, columns))
    for _ in range(rng.randint(1, 2)):
        x = ops.transpose(b, x, rng.choice([(0, 2, 1), (1, 0, 2), (2, 1, 0), (0, 2, 1)]))
        for _ in range(rng.randint(1, 3)):
            x = step(b, x, 0.5)
        mean = ops.reduce_mean(b, x, (rng.choice([1, 2, 2]),), op_type=rng.choice(["ReduceMean", "ReduceMax"]))
        if rng.random() < 0.35:
            mean = dear(b, mean, "Sigmoid")
        x = ops.binary(b, rng.choice(["Sub", "Mul", "Add"]), x, mean, max(x.level, mean.level))
    if rng.random() < 0.5:
        x = ops.reduce_mean(b, x, (rng.choice([1, 2]),), keepdims=False)
    b.output(x)


def build_matmul(b: GraphBuilder) -> None:
    """Products of a transposed operand, in chains whose order matters, and of sums; with what follows them."""
    rng = b.rng
    rows = rng.choice([1, 1, 4, 16, 64, 128, 256])
    inner = width(rng, 16, 1024)
    x = b.input((inner, rows)) if rng.random() < 0.4 else b.input((rows, inner))
    x = x if x.shape[0] == rows and rows != inner else ops.transpose(b, x, (1, 0))
    for _ in range(rng.randint(1, 3)):
        features = width(rng, 16, 1024)
        if rng.random() < 0.4:  # the weight is an input, and transposed first
            other = b.input((features, x.shape[-1]), f"weight{len(b.inputs)}")
            if rng.random() < 0.5:
                other = ops.mul(b, other, b.scalar(0.03125))
            x = ops.matmul(b, x, ops.transpose(b, other, (1, 0)))
            x = ops.binary(b, "Mul", x, b.scalar(float(f"{1 / x.level:.4g}")), 1.0)
        else:
            x = ops.gemm(b, _sum(b, x) if rng.random() < 0.3 else x, features)
        if rng.random() < 0.6:
            x = activation(b, x, rng.choice(["Gelu", "Swish", "Relu", "Tanh"]))
    b.output(x)


def _sum(b: GraphBuilder, x: Value) -> Value:
    return ops.add(b, x, b.input(x.shape, f"term{len(b.inputs)}"))
