"""What transformers over tokens share: sizes, rows of a table, masks, layers without bias, RMSNorm."""

from tvm_narcost.zoo import operators as ops
from tvm_narcost.zoo.builder import FLOAT, INT64, GraphBuilder, Value

__all__ = [
    "causal_mask",
    "draw_length",
    "draw_vocabulary",
    "draw_width_and_heads",
    "linear",
    "padding_mask",
    "rms_norm",
    "token_rows",
]


def draw_length(b: GraphBuilder, high: int = 384) -> int:
    """Number of tokens: a usual one, or any."""
    usual = [n for n in (1, 4, 8, 16, 16, 32, 48, 64, 77, 100, 128, 128, 197, 256, 384) if n <= high]
    return b.rng.choice(usual) if b.rng.random() < 0.8 else b.rng.randint(1, high)


def draw_width_and_heads(b: GraphBuilder) -> tuple[int, int]:
    """Hidden size 64 to 1024 and the number of heads."""
    head = b.rng.choice([16, 32, 32, 48, 64, 64, 64, 80])
    heads = b.rng.choice([count for count in (2, 3, 4, 6, 8, 8, 12, 16) if 64 <= count * head <= 1024])
    return head * heads, heads


def draw_vocabulary(b: GraphBuilder) -> int:
    """Rows of the table of tokens."""
    return b.rng.choice([256, 1000, 4000, 8000, 16000, 32128])


def linear(b: GraphBuilder, x: Value, features: int) -> Value:
    """Product with a weight, no bias."""
    weight = b.weight((x.shape[-1], features), 1 / (x.shape[-1] * x.level))
    return b.node("MatMul", [x, weight], (*x.shape[:-1], features), 1.0, 2.0 * x.elements * features)


def rms_norm(b: GraphBuilder, x: Value) -> Value:
    """RMSNorm: Pow, ReduceMean, Add, Sqrt, Div, Mul."""
    squared = ops.binary(b, "Pow", x, b.scalar(2.0), x.level**2)
    mean = ops.add(b, ops.reduce_mean(b, squared, (2,)), b.scalar(1e-6))
    normal = ops.binary(b, "Div", x, ops.unary(b, "Sqrt", mean, x.level), 1.0)
    return ops.mul(b, b.weight((x.shape[2],), 1.0), normal)


def token_rows(b: GraphBuilder, name: str, length: int, table: Value) -> Value:
    """Rows of a table, picked by an input of token numbers."""
    ids = b.input((b.batch, length), name, INT64)
    return b.node("Gather", [table, ids], (b.batch, length, table.shape[1]), dtype=FLOAT, axis=0)


def causal_mask(b: GraphBuilder, length: int) -> Value:
    """0 on and below the diagonal, -10000 above."""
    data = [0.0 if column <= row else -10000.0 for row in range(length) for column in range(length)]
    mask = b.constant(data, (1, 1, length, length), FLOAT)
    return Value(mask.name, mask.shape, 0.1)


def padding_mask(b: GraphBuilder, length: int, name: str = "attention_mask") -> Value:
    """Input of ones and zeros to 0 and a large negative number: Unsqueeze, Cast, Sub, Mul."""
    mask = ops.unsqueeze(b, b.input((b.batch, length), name, INT64), (1, 2))
    mask = b.node("Cast", [mask], mask.shape, 1.0, dtype=FLOAT, to=1)
    return ops.binary(b, "Mul", ops.binary(b, "Sub", b.scalar(1.0), mask, 0.1), b.scalar(-10000.0), 0.1)
