"""T5: no biases, RMSNorm, attention with a bias by distance in the place of scaling."""

from tvm_narcost.zoo import operators as ops
from tvm_narcost.zoo.attention import heads_of
from tvm_narcost.zoo.blocks import activation, residual
from tvm_narcost.zoo.builder import GraphBuilder, Value
from tvm_narcost.zoo.text_blocks import (
    causal_mask,
    draw_length,
    draw_vocabulary,
    draw_width_and_heads,
    linear,
    padding_mask,
    rms_norm,
    token_rows,
)

__all__ = ["t5_network"]


def _t5_attention(b: GraphBuilder, x: Value, source: Value, heads: int, bias: Value | None) -> Value:
    """Attention without scaling or biases of its layers; a bias by distance (and mask) is added to the scores."""
    n, s, width = x.shape
    q = heads_of(b, linear(b, x, width), heads)
    k, v = (heads_of(b, linear(b, source, width), heads) for _ in range(2))
    scores = ops.matmul(b, q, ops.transpose(b, k, (0, 1, 3, 2)))
    scores = ops.add(b, scores, bias) if bias is not None else scores
    weights = ops.softmax(b, scores)
    shape = (n, heads, s, width // heads)
    mixed = b.node("MatMul", [weights, v], shape, v.level, 2.0 * x.elements * source.shape[1])
    return linear(b, ops.reshape(b, ops.transpose(b, mixed, (0, 2, 1, 3)), (n, s, width)), width)


def _t5_feed_forward(b: GraphBuilder, x: Value, hidden: int, gated: bool) -> Value:
    y = linear(b, x, hidden)
    y = ops.mul(b, activation(b, y, "Gelu"), linear(b, x, hidden)) if gated else ops.unary(b, "Relu", y)
    return linear(b, y, x.shape[2])


def _encoder(b: GraphBuilder, table: Value, length: int, heads: int, hidden: int, depth: int, gated: bool) -> Value:
    x = token_rows(b, "input_ids", length, table)
    bias = b.weight((1, heads, length, length), 0.3)
    if b.rng.random() < 0.5:
        bias = ops.binary(b, "Add", bias, padding_mask(b, length), 0.3)
    for _ in range(depth):
        y = rms_norm(b, x)
        x = residual(b, x, _t5_attention(b, y, y, heads, bias))
        x = residual(b, x, _t5_feed_forward(b, rms_norm(b, x), hidden, gated))
    return rms_norm(b, x)


def _decoder(b: GraphBuilder, x: Value, memory: Value, heads: int, hidden: int, depth: int, gated: bool) -> Value:
    steps = x.shape[1]
    bias = ops.binary(b, "Add", b.weight((1, heads, steps, steps), 0.3), causal_mask(b, steps), 0.3)
    for _ in range(depth):
        y = rms_norm(b, x)
        x = residual(b, x, _t5_attention(b, y, y, heads, bias))
        x = residual(b, x, _t5_attention(b, rms_norm(b, x), memory, heads, None))
        x = residual(b, x, _t5_feed_forward(b, rms_norm(b, x), hidden, gated))
    return rms_norm(b, x)


def t5_network(b: GraphBuilder) -> None:
    """T5 as one graph, or its encoder, or its decoder with the encoder's result as an input; Raffel et al. 2019."""
    rng = b.rng
    part = rng.choice(["both", "both", "encoder", "decoder"])
    length, steps = draw_length(b), draw_length(b, 128)
    width, heads = draw_width_and_heads(b)
    hidden, gated, depth = width * rng.choice([4, 4, 2, 3]), rng.random() < 0.4, rng.choice([1, 2, 4, 6, 6, 12])
    table = b.weight((draw_vocabulary(b), width), 0.5)
    if part == "decoder":
        memory = b.input((b.batch, length, width), "encoder_hidden_states")
    else:
        memory = _encoder(b, table, length, heads, hidden, depth, gated)
    if part == "encoder":
        b.output(memory)
        return
    x = token_rows(b, "decoder_input_ids", steps, table)
    b.output(linear(b, _decoder(b, x, memory, heads, hidden, depth, gated), draw_vocabulary(b)))
