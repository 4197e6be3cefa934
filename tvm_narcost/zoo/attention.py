"""The transformer's parts: multi-head attention and feed-forward layers, in exporters' spellings."""

import math

from tvm_narcost.zoo import operators as ops
from tvm_narcost.zoo.blocks import activation, layer_norm, residual
from tvm_narcost.zoo.builder import GraphBuilder, Value

__all__ = ["attend", "feed_forward", "heads_of", "self_attention", "transformer_block"]


def heads_of(b: GraphBuilder, x: Value, heads: int) -> Value:
    """[n, s, heads * d] to [n, heads, s, d]."""
    n, s, width = x.shape
    return ops.transpose(b, ops.reshape(b, x, (n, s, heads, width // heads)), (0, 2, 1, 3))


def _fused_projection(b: GraphBuilder, x: Value, heads: int) -> list[Value]:
    """One projection to query, key and value, cut afterwards."""
    n, s, width = x.shape
    qkv = ops.gemm(b, x, 3 * width)
    if b.spelling.flatten == "Reshape":  # as GPT-2: cut the last axis
        return [heads_of(b, part, heads) for part in ops.split(b, qkv, (width,) * 3, axis=2)]
    # As timm: [3, n, heads, s, d], then picked by Gather.
    qkv = ops.transpose(b, ops.reshape(b, qkv, (n, s, 3, heads, width // heads)), (2, 0, 3, 1, 4))
    shape = (n, heads, s, width // heads)
    return [b.node("Gather", [qkv, b.constant([index], ())], shape, axis=0) for index in range(3)]


def attend(b: GraphBuilder, q: Value, k: Value, v: Value, mask: Value | None = None) -> Value:
    """Softmax(q k^T / sqrt(d) + mask) v over [n, heads, s, d], and back to [n, s, heads * d]."""
    n, heads, s, size = q.shape
    scale = math.sqrt(size)
    before = b.rng.random() < 0.3
    if before:
        q = ops.mul(b, q, b.scalar(1 / scale))
    scores = ops.matmul(b, q, ops.transpose(b, k, (0, 1, 3, 2)))
    if not before and b.spelling.linear == "Gemm":
        scores = ops.binary(b, "Div", scores, b.scalar(scale))
    elif not before:
        scores = ops.mul(b, scores, b.scalar(1 / scale))
    if mask is not None:
        scores = ops.binary(b, "Add", scores, mask, scores.level)
    mixed = b.node("MatMul", [ops.softmax(b, scores), v], (n, heads, s, v.shape[3]), v.level, 2.0 * n * heads * s *
                   k.shape[2] * v.shape[3])  # fmt: skip
    return ops.reshape(b, ops.transpose(b, mixed, (0, 2, 1, 3)), (n, s, heads * v.shape[3]))


def self_attention(b: GraphBuilder, x: Value, heads: int, mask: Value | None = None) -> Value:
    """Multi-head self-attention over [n, s, width]."""
    if b.spelling.fused_qkv:
        q, k, v = _fused_projection(b, x, heads)
    else:
        q, k, v = (heads_of(b, ops.gemm(b, x, x.shape[2]), heads) for _ in range(3))
    return ops.gemm(b, attend(b, q, k, v, mask), x.shape[2])


def feed_forward(b: GraphBuilder, x: Value, hidden: int, act: str = "Gelu") -> Value:
    """Two fully connected layers with an activation between them."""
    return ops.gemm(b, activation(b, ops.gemm(b, x, hidden), act), x.shape[-1])


def transformer_block(
    b: GraphBuilder, x: Value, heads: int, hidden: int, *, pre_norm: bool, act: str = "Gelu", mask: Value | None = None
) -> Value:
    """Attention and feed-forward layer, each with its skip connection; normalised before (ViT, GPT) or after (BERT)."""
    if pre_norm:
        x = residual(b, x, self_attention(b, layer_norm(b, x), heads, mask))
        return residual(b, x, feed_forward(b, layer_norm(b, x), hidden, act))
    x = layer_norm(b, residual(b, self_attention(b, x, heads, mask), x))
    return layer_norm(b, residual(b, feed_forward(b, x, hidden, act), x))
