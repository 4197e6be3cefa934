"""Networks over rows of features: multi-layer perceptrons, autoencoders, recommendation models."""

from tvm_narcost.zoo import operators as ops
from tvm_narcost.zoo.blocks import activation, layer_norm, residual
from tvm_narcost.zoo.builder import INT64, GraphBuilder, Value

__all__ = ["build_tabular"]

_ACTIVATIONS = ("Relu", "Relu", "Relu", "Relu", "LeakyRelu", "Tanh", "Sigmoid", "Elu", "Selu", "Gelu", "Swish")


def build_tabular(b: GraphBuilder) -> None:
    """One of the kinds at a batch of 1 to 64; Gorishniy 2021, Naumov 2019, Wang 2017, Cheng 2016, Guo 2017, ."""
    b.batch = b.rng.choice([1, 1, 1, 2, 4, 8, 16, 32, 64, b.rng.randint(1, 64)])
    kinds = [_perceptron, _autoencoder, _residual_rows, _dlrm, _cross, _factorised, _two_towers, _feature_tokens]
    b.rng.choices(kinds, [0.3, 0.12, 0.1, 0.14, 0.1, 0.08, 0.08, 0.08])[0](b)


def _features(b: GraphBuilder, low: int = 8, high: int = 4096) -> int:
    """A width between the bounds, spread over the orders of magnitude: a power of two, a round one, or any."""
    drawn: float = low * (high / low) ** b.rng.random()
    kind = b.rng.choice(["power", "power", "round", "any"])
    if kind == "power":
        return min(high, max(low, 1 << (round(drawn) - 1).bit_length()))
    return max(low, round(drawn / 10) * 10 if kind == "round" else round(drawn))


def _normalised(b: GraphBuilder, x: Value, kind: str) -> Value:
    if kind == "batch":
        return ops.batch_norm(b, x)
    return layer_norm(b, x) if kind == "layer" else x


def _stack(b: GraphBuilder, x: Value, widths: list[int], act: str, norm: str = "none") -> Value:
    """Fully connected layers, each normalised and activated."""
    for width in widths:
        x = activation(b, _normalised(b, ops.gemm(b, x, width), norm), act)
    return x


def _style(b: GraphBuilder) -> tuple[str, str]:
    return b.rng.choice(_ACTIVATIONS), b.rng.choices(["none", "batch", "layer"], [0.7, 0.2, 0.1])[0]


def _finish(b: GraphBuilder, x: Value, outputs: int | None = None) -> None:
    """The last layer, then nothing, Sigmoid or Softmax."""
    x = ops.gemm(b, x, outputs or b.rng.choice([1, 1, 2, 3, 6, 10, 64, 128, 1000]))
    ending = b.rng.choice(["none", "Sigmoid", "softmax"])
    if ending == "Sigmoid":
        x = activation(b, x, "Sigmoid")
    b.output(ops.softmax(b, x) if ending == "softmax" and x.shape[1] > 1 else x)


def _perceptron(b: GraphBuilder) -> None:
    """Hidden layers of one width, narrowing, or of any widths."""
    rng = b.rng
    act, norm = _style(b)
    depth, width = rng.choice([1, 2, 2, 3, 4, 6, 10, 16]), _features(b)
    kind = rng.choice(["same", "narrowing", "any"])
    if kind == "same":
        widths = [width] * depth
    elif kind == "narrowing":
        widths = [max(8, width >> index) for index in range(depth)]
    else:
        widths = [_features(b) for _ in range(depth)]
    _finish(b, _stack(b, b.input((b.batch, _features(b))), widths, act, norm))


def _autoencoder(b: GraphBuilder) -> None:
    """Narrowing, then widening again; sometimes variational, the noise as an input."""
    rng = b.rng
    act, norm = _style(b)
    size, code = _features(b, 32), _features(b, 8, 128)
    widths = sorted((_features(b, 32) for _ in range(rng.randint(1, 4))), reverse=True)
    x = _stack(b, b.input((b.batch, size)), widths, act, norm)
    if rng.random() < 0.35:
        mean, spread = ops.gemm(b, x, code), ops.gemm(b, x, code)
        deviation = ops.unary(b, "Exp", ops.mul(b, ops.unary(b, "Tanh", spread, 0.7), b.scalar(0.5)), 1.5)
        noise = b.input((b.batch, code), "noise")
        x = ops.add(b, mean, ops.mul(b, deviation, noise))
    else:
        x = ops.gemm(b, x, code)
    x = ops.gemm(b, _stack(b, x, widths[::-1], act, norm), size)
    b.output(activation(b, x, "Sigmoid") if rng.random() < 0.5 else x)


def _residual_rows(b: GraphBuilder) -> None:
    """ResNet for tables: normalise, widen, narrow, add."""
    rng = b.rng
    width, factor, norm = _features(b, 32, 1024), rng.choice([1, 2, 2, 4]), rng.choice(["batch", "layer"])
    act = rng.choice(_ACTIVATIONS)
    x = ops.gemm(b, b.input((b.batch, _features(b, 8, 1024))), width)
    for _ in range(rng.randint(1, 12)):
        y = ops.gemm(b, _normalised(b, x, norm), width * factor)
        x = residual(b, x, ops.gemm(b, activation(b, y, act), width))
    _finish(b, activation(b, _normalised(b, x, norm), act))


def _sparse(b: GraphBuilder, fields: int, width: int) -> list[Value]:
    """Embeddings [n, width] of categorical fields: one input of indices a field, or one for all that is cut."""
    rows = [_features(b, 8, 30_000) for _ in range(fields)]
    if b.rng.random() < 0.5:
        ids = [b.input((b.batch,), f"field_{index}", INT64) for index in range(fields)]
    else:
        joined = b.input((b.batch, fields), "fields", INT64)
        ids = [
            b.node("Gather", [joined, b.constant([index], ())], (b.batch,), axis=1, dtype=INT64)
            for index in range(fields)
        ]
    return [ops.gather_rows(b, count, width, index) for count, index in zip(rows, ids, strict=True)]


def _stacked(b: GraphBuilder, vectors: list[Value]) -> Value:
    """Vectors [n, width] as rows of [n, count, width]: concatenated and reshaped, or unsqueezed and concatenated."""
    n, width = vectors[0].shape
    if b.rng.random() < 0.5:
        return ops.reshape(b, ops.concat(b, vectors, 1), (n, len(vectors), width))
    return ops.concat(b, [ops.unsqueeze(b, vector, (1,)) for vector in vectors], 1)


def _dlrm(b: GraphBuilder) -> None:
    """Dense features through layers, then products of all pairs of vectors, then layers."""
    rng = b.rng
    fields, width = rng.choice([3, 6, 8, 13, 20, 26, 26, 40]), rng.choice([8, 16, 16, 32, 64, 64, 128])
    bottom = [_features(b, 32, 1024) for _ in range(rng.randint(1, 3))]
    dense = _stack(b, b.input((b.batch, rng.choice([4, 13, 13, 32])), "dense"), [*bottom, width], "Relu")
    rows = _stacked(b, [dense, *_sparse(b, fields, width)])
    count = fields + 1
    products = ops.matmul(b, rows, ops.transpose(b, rows, (0, 2, 1)))
    flat = ops.reshape(b, products, (b.batch, count * count))
    if rng.random() < 0.7:  # below the diagonal only
        below = [row * count + column for row in range(count) for column in range(row)]
        flat = b.node("Gather", [flat, b.constant(below)], (b.batch, len(below)), axis=1)
    x = ops.concat(b, [dense, flat], 1)
    top = sorted((_features(b, 32, 2048) for _ in range(rng.randint(1, 4))), reverse=True)
    _finish(b, _stack(b, x, top, "Relu"), 1)


def _cross(b: GraphBuilder) -> None:
    """Deep and cross: x0 times a layer of x plus x, beside a stack of layers; version 1 or 2."""
    rng = b.rng
    vectors = _sparse(b, rng.randint(3, 26), rng.choice([4, 8, 16, 32, 64]))
    dense = b.input((b.batch, rng.choice([4, 13, 20])), "dense")
    x = x0 = ops.concat(b, [dense, *vectors], 1)
    full, size = rng.random() < 0.6, x0.shape[1]
    for _ in range(rng.randint(1, 4)):
        y = ops.gemm(b, x, size if full else 1)
        x = ops.add(b, ops.mul(b, x0, y), x)
    act, norm = _style(b)
    deep = _stack(b, x0, [_features(b, 32, 1024) for _ in range(rng.randint(1, 4))], act, norm)
    _finish(b, ops.concat(b, [x, deep], 1), 1)


def _factorised(b: GraphBuilder) -> None:
    """DeepFM: half of square of sum less sum of squares, a linear term, a stack of layers; or Wide and Deep."""
    rng = b.rng
    vectors = _sparse(b, rng.randint(3, 30), rng.choice([8, 10, 16, 32]))
    rows = _stacked(b, vectors)
    flat = ops.reshape(b, rows, (b.batch, rows.shape[1] * rows.shape[2]))
    act, norm = _style(b)
    deep = _stack(b, flat, [_features(b, 32, 1024) for _ in range(rng.randint(1, 4))], act, norm)
    score = ops.add(b, ops.gemm(b, deep, 1), ops.gemm(b, flat, 1))
    if rng.random() < 0.7:
        total = ops.binary(b, "Pow", _summed(b, rows), b.scalar(2.0), 1.0)
        squares = _summed(b, ops.binary(b, "Pow", rows, b.scalar(2.0), 1.0))
        pairs = ops.binary(b, "Sub", total, squares, 1.0)
        mean = ops.reduce_mean(b, pairs, (1,))
        score = ops.add(b, score, ops.mul(b, mean, b.scalar(0.5)))
    b.output(activation(b, score, "Sigmoid"))


def _summed(b: GraphBuilder, rows: Value) -> Value:
    """[n, count, width] to [n, width] by ReduceSum (axes are an input from opset 13 on)."""
    shape = (rows.shape[0], rows.shape[2])
    if b.opset < 13:
        return b.node("ReduceSum", [rows], shape, axes=(1,), keepdims=0)
    return b.node("ReduceSum", [rows, b.constant([1])], shape, keepdims=0)


def _two_towers(b: GraphBuilder) -> None:
    """Neural collaborative filtering and two-tower retrieval: users and items, a product or layers over both."""
    rng = b.rng
    act, norm = _style(b)
    widths = [_features(b, 16, 2048) for _ in range(rng.randint(1, 3))]
    if rng.random() < 0.5:
        towers = [ops.concat(b, part, 1) for part in _halves(_sparse(b, 2 * rng.randint(2, 6), 32))]
    else:
        towers = [b.input((b.batch, _features(b, 16, 1024)), name) for name in ("user", "item")]
    user, item = (_stack(b, tower, widths, act, norm) for tower in towers)
    product = ops.mul(b, user, item)
    if rng.random() < 0.5:
        _finish(b, ops.concat(b, [product, user, item], 1), 1)
    else:
        b.output(activation(b, ops.reduce_mean(b, product, (1,)), "Sigmoid"))


def _halves(values: list[Value]) -> tuple[list[Value], list[Value]]:
    return values[: len(values) // 2], values[len(values) // 2 :]


def _feature_tokens(b: GraphBuilder) -> None:
    """A mixer over fields: every field a vector, layers over the fields and over the channels."""
    rng = b.rng
    x = _stacked(b, _sparse(b, rng.randint(4, 26), rng.choice([16, 32, 64, 96, 128])))
    n, count, width = x.shape
    for _ in range(rng.randint(1, 6)):
        y = ops.transpose(b, layer_norm(b, x), (0, 2, 1))
        y = ops.gemm(b, activation(b, ops.gemm(b, y, 2 * count), "Gelu"), count)
        x = residual(b, x, ops.transpose(b, y, (0, 2, 1)))
        y = activation(b, ops.gemm(b, layer_norm(b, x), 2 * width), "Gelu")
        x = residual(b, x, ops.gemm(b, y, width))
    _finish(b, ops.reshape(b, x, (n, count * width)))
