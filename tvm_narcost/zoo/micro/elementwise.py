"""Element-wise micro-graphs: broadcasts of something dear, values with several readers, activations spelled out."""

from tvm_narcost.zoo import operators as ops
from tvm_narcost.zoo.blocks import activation
from tvm_narcost.zoo.builder import GraphBuilder, Value
from tvm_narcost.zoo.corpus.draws import log_uniform
from tvm_narcost.zoo.micro.draws import affine, dear, matrix, step

__all__ = ["build_activation", "build_broadcast", "build_multi_consumer"]

_GELUS = ("Gelu", "Swish", "Mish", "HardSwish")


def build_broadcast(b: GraphBuilder) -> None:
    """A chain of transcendental functions on a small tensor, broadcast against a large one (apache/tvm issue 20342).

    Fused whole, the chain is computed anew for every element of the large tensor.
    """
    rng = b.rng
    large_shape, small_shape = _broadcast_shapes(b)
    small = b.input(small_shape, "small")
    for _ in range(rng.randint(1, 6)):
        small = dear(b, small, rng.choice(["Exp", "Exp", None]))
    y = b.input(large_shape, "large")
    if rng.random() < 0.4:
        y = step(b, y)
    for reader in range(rng.choice([1, 1, 2])):
        kind = rng.choice(["Mul", "Add"]) if reader == 0 else rng.choice(["Add", "Sub"])
        y = ops.binary(b, kind, y, small, max(y.level, small.level))
        for _ in range(rng.randint(0, 2)):
            y = step(b, y, 0.3)
    b.output(y)


def _broadcast_shapes(b: GraphBuilder) -> tuple[tuple[int, ...], tuple[int, ...]]:
    rng = b.rng
    how = rng.choice(["row", "column", "channel", "middle"])
    rows, columns = matrix(rng)
    if how == "row":
        return (rows, columns), (columns,)
    if how == "column":
        return (rows, columns), (rows, 1)
    if how == "channel":
        channels = log_uniform(rng, 2, 256)
        side = max(2, round((rows * columns / channels) ** 0.5))
        return (1, channels, side, side), (1, channels, 1, 1)
    outer = log_uniform(rng, 2, 64)
    return (outer, max(1, rows // outer), columns), (1, max(1, rows // outer), columns)


def build_multi_consumer(b: GraphBuilder) -> None:
    """Element-wise arithmetic in which values have several readers: computed once and kept, or anew for each."""
    rng = b.rng
    shape = matrix(rng)
    values = [b.input(shape, f"input{index}") for index in range(rng.randint(1, 3))]
    unread = {value.name for value in values}
    for _ in range(rng.randint(5, 14)):
        x = rng.choice(values[-3:]) if rng.random() < 0.7 else rng.choice(values)
        if rng.random() < 0.5 and len(values) > 1:
            other = rng.choice([value for value in values if value is not x])
            made = ops.binary(b, rng.choice(["Add", "Mul", "Sub", "Max"]), x, other, min(x.level + other.level, 4.0))
            unread.discard(other.name)
        else:
            made = step(b, x, 0.5)
        unread.discard(x.name)
        unread.add(made.name)
        values.append(made)
    _join(b, [value for value in values if value.name in unread])


def _join(b: GraphBuilder, ends: list[Value]) -> None:
    """Add up what nobody reads; sometimes two of them stay outputs of their own."""
    rng = b.rng
    if len(ends) > 1 and rng.random() < 0.4:
        b.output(ends.pop())
    y = ends[0]
    for end in ends[1:]:
        y = ops.add(b, y, end)
    b.output(y)


def build_activation(b: GraphBuilder) -> None:
    """Smooth activations spelled out, in rows and as gates: their input is read several times."""
    rng = b.rng
    rows, columns = matrix(rng)
    x = b.input((rows, columns))
    for _ in range(rng.randint(1, 4)):
        if rng.random() < 0.3 and x.shape[-1] >= 8:
            half = x.shape[-1] // 2
            left, right = ops.split(b, x, (half, x.shape[-1] - half), axis=1)
            right = ops.slice_axis(b, right, 1, 0, half) if right.shape != left.shape else right
            x = ops.mul(b, left, _smooth(b, right, rng.choice(_GELUS)))
        else:
            x = _smooth(b, x, rng.choice(_GELUS))
        if rng.random() < 0.5:
            x = affine(b, x, shift=rng.random() < 0.7)
    b.output(x)


def _smooth(b: GraphBuilder, x: Value, kind: str) -> Value:
    if kind == "Mish":
        return ops.mul(b, x, ops.unary(b, "Tanh", ops.unary(b, "Softplus", x, x.level + 0.7), 0.9))
    return activation(b, x, kind)
