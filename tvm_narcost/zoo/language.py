"""Language models: BERT-like encoders and GPT-like decoders (GPT-2 and Llama spellings)."""

from tvm_narcost.zoo import operators as ops
from tvm_narcost.zoo.attention import attend, heads_of, transformer_block
from tvm_narcost.zoo.blocks import layer_norm, residual, swish
from tvm_narcost.zoo.builder import INT64, GraphBuilder, Value
from tvm_narcost.zoo.text_blocks import causal_mask, linear, padding_mask, rms_norm

__all__ = ["build_bert", "build_gpt"]

_LENGTHS = (8, 12, 16, 24, 32, 48, 64, 64, 96, 128, 128, 160, 192, 256, 256, 320, 384)
_HEAD_SIZES = (16, 24, 32, 32, 48, 64, 64, 64)


def _embedding(b: GraphBuilder, length: int, width: int, vocabulary: int) -> Value:
    """Tokens to vectors, plus positions."""
    ids = b.input((b.batch, length), "input_ids", INT64)
    x = ops.gather_rows(b, vocabulary, width, ids)
    if b.rng.random() < 0.5:
        return ops.add(b, x, b.weight((1, length, width), 0.3))
    positions = b.constant(list(range(length)), (1, length))
    return ops.add(b, x, ops.gather_rows(b, max(512, length), width, positions))


def _width_and_heads(b: GraphBuilder) -> tuple[int, int]:
    """Hidden size 64 to 1024 and the number of heads."""
    head = b.rng.choice(_HEAD_SIZES)
    heads = b.rng.choice([count for count in (2, 3, 4, 6, 8, 8, 12, 12, 16) if 64 <= count * head <= 1024])
    return head * heads, heads


def build_bert(b: GraphBuilder) -> None:
    """BERT, tiny to base, with or without padding mask and segments; Devlin et al. 2018."""
    rng = b.rng
    length = rng.choice(_LENGTHS) if rng.random() < 0.85 else rng.randint(8, 384)
    width, heads = _width_and_heads(b)
    depth = rng.randint(1, 12)
    hidden = width * rng.choice([4, 4, 4, 2, 3])
    act = rng.choice(["Gelu", "Gelu", "Gelu", "Gelu", "Relu"])
    x = _embedding(b, length, width, rng.choice([1000, 4000, 8000, 30522]))
    if rng.random() < 0.4:
        segments = b.input((b.batch, length), "token_type_ids", INT64)
        x = ops.add(b, x, ops.gather_rows(b, 2, width, segments))
    x = layer_norm(b, x)
    mask = padding_mask(b, length) if rng.random() < 0.6 else None
    for _ in range(depth):
        x = transformer_block(b, x, heads, hidden, pre_norm=False, act=act, mask=mask)
    b.output(x)
    if rng.random() < 0.6:
        first = b.node("Gather", [x, b.constant([0], ())], (b.batch, width), axis=1)
        pooled = ops.unary(b, "Tanh", ops.gemm(b, first, width), 0.7)
        b.output(ops.gemm(b, pooled, rng.choice([2, 3, 5])))


def _rotated(b: GraphBuilder, x: Value, cosine: Value, sine: Value) -> Value:
    """Rotary position embedding of [n, heads, s, d]: x cos + concat(-second half, first half) sin."""
    half = x.shape[3] // 2
    first, second = ops.slice_axis(b, x, 3, 0, half), ops.slice_axis(b, x, 3, half, x.shape[3])
    turned = ops.concat(b, [ops.unary(b, "Neg", second), first], 3)
    return ops.binary(b, "Add", ops.mul(b, x, cosine), ops.mul(b, turned, sine), x.level)


def _llama_block(b: GraphBuilder, x: Value, heads: int, hidden: int, mask: Value, angles: tuple[Value, Value]) -> Value:
    """RMSNorm, rotary attention without biases, gated feed-forward layer; Touvron et al. 2023."""
    y = rms_norm(b, x)
    q, k, v = (heads_of(b, linear(b, y, y.shape[2]), heads) for _ in range(3))
    q, k = (_rotated(b, part, *angles) for part in (q, k))
    x = residual(b, x, linear(b, attend(b, q, k, v, mask), x.shape[2]))
    y = rms_norm(b, x)
    gated = ops.mul(b, swish(b, linear(b, y, hidden)), linear(b, y, hidden))
    return residual(b, x, linear(b, gated, x.shape[2]))


def build_gpt(b: GraphBuilder) -> None:
    """GPT-2 (pre-norm, causal mask, tanh GELU mostly) or Llama blocks, with the vocabulary's projection at the end."""
    rng = b.rng
    length = rng.choice(_LENGTHS) if rng.random() < 0.85 else rng.randint(8, 384)
    width, heads = _width_and_heads(b)
    vocabulary = rng.choice([256, 1000, 4000, 8000, 16000])
    depth = rng.randint(1, 12)
    ratio = rng.choice([4, 4, 4, 3, 2])
    llama = rng.random() < 0.3
    mask = causal_mask(b, length)
    x = _embedding(b, length, width, vocabulary)
    if llama:
        angles = (b.weight((1, 1, length, width // heads), 0.8), b.weight((1, 1, length, width // heads), 0.6))
        for _ in range(depth):
            x = _llama_block(b, x, heads, width * ratio * 2 // 3, mask, angles)
        x = rms_norm(b, x)
    else:
        for _ in range(depth):
            x = transformer_block(b, x, heads, width * ratio, pre_norm=True, mask=mask)
        x = layer_norm(b, x)
    if rng.random() < 0.4:  # only the last position predicts
        x = ops.slice_axis(b, x, 1, length - 1, length)
    b.output(linear(b, x, vocabulary))
