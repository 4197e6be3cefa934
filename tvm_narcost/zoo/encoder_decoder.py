"""Transformers of two parts, and the other spellings of encoders: T5, BART, CLIP, ALBERT, DistilBERT, DETR."""

import functools

from tvm_narcost.zoo import operators as ops
from tvm_narcost.zoo.attention import attend, feed_forward, heads_of, transformer_block
from tvm_narcost.zoo.blocks import activation, layer_norm, residual
from tvm_narcost.zoo.builder import FLOAT, INT64, GraphBuilder, Value
from tvm_narcost.zoo.image_blocks import backbone, multiple_size
from tvm_narcost.zoo.sequence_blocks import repeated
from tvm_narcost.zoo.t5 import t5_network
from tvm_narcost.zoo.text_blocks import (
    causal_mask,
    draw_length,
    draw_vocabulary,
    draw_width_and_heads,
    linear,
    padding_mask,
    token_rows,
)

__all__ = ["build_encoder_decoder"]


def build_encoder_decoder(b: GraphBuilder) -> None:
    """One of the kinds; Raffel 2019, Lewis 2019, Radford 2021, Lan 2019, Sanh 2019, Carion 2020."""
    kinds = [t5_network, _bart, _clip, _albert, _distilbert, _detr]
    b.rng.choices(kinds, [0.24, 0.2, 0.17, 0.12, 0.12, 0.15])[0](b)


# ---- layers with biases: BART, Marian, DETR


def _attention(b: GraphBuilder, x: Value, source: Value, heads: int, mask: Value | None = None,
               places: tuple[Value | None, Value | None] = (None, None)) -> Value:  # fmt: skip
    """Queries from ``x``, keys and values from ``source``; places are added to queries and keys only."""
    width = x.shape[2]
    asked = x if places[0] is None else ops.add(b, x, places[0])
    keyed = source if places[1] is None else ops.add(b, source, places[1])
    q, k = heads_of(b, ops.gemm(b, asked, width), heads), heads_of(b, ops.gemm(b, keyed, width), heads)
    v = heads_of(b, ops.gemm(b, source, width), heads)
    return ops.gemm(b, attend(b, q, k, v, mask), width)


def _decoder_block(b: GraphBuilder, x: Value, memory: Value, heads: int, hidden: int, pre_norm: bool,
                   mask: Value | None, places: tuple[Value | None, Value | None] = (None, None),
                   act: str = "Gelu") -> Value:  # fmt: skip
    """Self-attention, attention to the encoder's result, feed-forward layer; normalised before or after each."""
    query, key = places
    if pre_norm:
        y = layer_norm(b, x)
        x = residual(b, x, _attention(b, y, y, heads, mask, (query, query)))
        x = residual(b, x, _attention(b, layer_norm(b, x), memory, heads, None, (query, key)))
        return residual(b, x, feed_forward(b, layer_norm(b, x), hidden, act))
    x = layer_norm(b, residual(b, x, _attention(b, x, x, heads, mask, (query, query))))
    x = layer_norm(b, residual(b, x, _attention(b, x, memory, heads, None, (query, key))))
    return layer_norm(b, residual(b, x, feed_forward(b, x, hidden, act)))


def _bart(b: GraphBuilder) -> None:
    """BART and Marian (post-norm), Pegasus and the original Transformer (pre-norm); learned positions."""
    rng = b.rng
    part = rng.choice(["both", "both", "both", "decoder"])
    length, steps = draw_length(b), draw_length(b, 128)
    width, heads = draw_width_and_heads(b)
    hidden, depth = width * rng.choice([4, 4, 2]), rng.choice([1, 2, 3, 6, 6, 12])
    pre_norm, act = rng.random() < 0.4, rng.choice(["Gelu", "Gelu", "Relu", "Swish"])
    table = b.weight((draw_vocabulary(b), width), 0.5)
    mask = causal_mask(b, steps)
    if part == "decoder":
        memory = b.input((b.batch, length, width), "encoder_hidden_states")
    else:
        padding = padding_mask(b, length) if rng.random() < 0.5 else None
        x = ops.add(b, token_rows(b, "input_ids", length, table), b.weight((1, length, width), 0.3))
        memory = layer_norm(b, x)
        for _ in range(depth):
            memory = transformer_block(b, memory, heads, hidden, pre_norm=pre_norm, act=act, mask=padding)
    x = ops.add(b, token_rows(b, "decoder_input_ids", steps, table), b.weight((1, steps, width), 0.3))
    x = layer_norm(b, x)
    for _ in range(depth):
        x = _decoder_block(b, x, memory, heads, hidden, pre_norm, mask, act=act)
    b.output(linear(b, x, draw_vocabulary(b)))


# ---- CLIP


def _quick_gelu_block(b: GraphBuilder, x: Value, heads: int, mask: Value | None, quick: bool) -> Value:
    """Pre-norm block whose activation is x times the sigmoid of 1.702 x, as CLIP's."""
    if not quick:
        return transformer_block(b, x, heads, 4 * x.shape[2], pre_norm=True, mask=mask)
    y = layer_norm(b, x)
    x = residual(b, x, _attention(b, y, y, heads, mask))
    y = ops.gemm(b, layer_norm(b, x), 4 * x.shape[2])
    y = ops.mul(b, y, ops.unary(b, "Sigmoid", ops.mul(b, y, b.scalar(1.702)), 0.7))
    return residual(b, x, ops.gemm(b, y, x.shape[2]))


def _unit_length(b: GraphBuilder, x: Value) -> Value:
    """Divided by its Euclidean norm."""
    norm = ops.reduce_mean(b, x, (1,), op_type="ReduceL2")
    return ops.binary(b, "Div", x, Value(norm.name, norm.shape, x.level * x.shape[1] ** 0.5))


def _clip(b: GraphBuilder) -> None:
    """An image and a text brought into one space; or either part alone."""
    rng = b.rng
    part = rng.choice(["both", "both", "image", "text"])
    joint, quick, found = rng.choice([128, 256, 512, 512, 768]), rng.random() < 0.7, []
    if part != "text":
        patch, (width, heads) = rng.choice([14, 16, 16, 32, 32]), draw_width_and_heads(b)
        x = ops.conv(b, b.image(patch * rng.randint(4, 224 // patch)), width, patch, patch, padding=0, bias=False)
        n, c, h, w = x.shape
        x = ops.transpose(b, ops.reshape(b, x, (n, c, h * w)), (0, 2, 1))
        x = ops.concat(b, [b.weight((n, 1, width), 0.3), x], 1)
        x = layer_norm(b, ops.add(b, x, b.weight((1, x.shape[1], width), 0.4)))
        for _ in range(rng.choice([1, 2, 4, 6, 12])):
            x = _quick_gelu_block(b, x, heads, None, quick)
        x = b.node("Gather", [x, b.constant([0], ())], (n, width), axis=1)
        found.append(_unit_length(b, linear(b, layer_norm(b, x), joint)))
    if part != "image":
        length, (width, heads) = rng.choice([16, 32, 64, 77, 77]), draw_width_and_heads(b)
        x = token_rows(b, "input_ids", length, b.weight((draw_vocabulary(b), width), 0.5))
        x, mask = ops.add(b, x, b.weight((length, width), 0.3)), causal_mask(b, length)
        for _ in range(rng.choice([1, 2, 4, 6, 12])):
            x = _quick_gelu_block(b, x, heads, mask, quick)
        x = layer_norm(b, x)
        x = b.node("Gather", [x, b.constant([length - 1], ())], (b.batch, width), axis=1)
        found.append(_unit_length(b, linear(b, x, joint)))
    if part == "both":
        scores = ops.matmul(b, found[0], ops.transpose(b, found[1], (1, 0)))
        b.output(ops.mul(b, scores, b.scalar(100.0)))
    for vector in found:
        b.output(vector)


# ---- ALBERT and DistilBERT


def _albert(b: GraphBuilder) -> None:
    """A narrow embedding that is widened, one layer whose weights every repetition shares, a classifier."""
    rng = b.rng
    length, (width, heads), narrow = max(8, draw_length(b)), draw_width_and_heads(b), rng.choice([64, 128, 128])
    x = ops.add(b, token_rows(b, "input_ids", length, b.weight((draw_vocabulary(b), narrow), 0.5)),
                b.weight((1, length, narrow), 0.3))  # fmt: skip
    x = ops.gemm(b, layer_norm(b, x), width)
    mask = padding_mask(b, length) if rng.random() < 0.6 else None
    hidden = width * rng.choice([4, 4, 2])
    layer = functools.partial(_post_norm_block, b, heads=heads, hidden=hidden, mask=mask)
    x = repeated(b, x, layer, rng.choice([2, 4, 6, 12]))
    b.output(x)
    if rng.random() < 0.6:
        first = b.node("Gather", [x, b.constant([0], ())], (b.batch, width), axis=1)
        b.output(ops.gemm(b, ops.unary(b, "Tanh", ops.gemm(b, first, width), 0.7), rng.choice([2, 3, 5])))


def _post_norm_block(b: GraphBuilder, x: Value, *, heads: int, hidden: int, mask: Value | None) -> Value:
    return transformer_block(b, x, heads, hidden, pre_norm=False, mask=mask)


def _where_attention(b: GraphBuilder, x: Value, heads: int, blocked: Value) -> Value:
    """DistilBERT's: queries divided before the product, scores replaced by a large negative number where blocked."""
    n, s, width = x.shape
    q, k, v = (heads_of(b, ops.gemm(b, x, width), heads) for _ in range(3))
    q = ops.binary(b, "Div", q, b.scalar((width // heads) ** 0.5))
    scores = ops.matmul(b, q, ops.transpose(b, k, (0, 1, 3, 2)))
    scores = b.node("Where", [blocked, b.scalar(-10000.0), scores], scores.shape, scores.level, dtype=FLOAT)
    shape = (n, heads, s, width // heads)
    mixed = b.node("MatMul", [ops.softmax(b, scores), v], shape, v.level, 2.0 * x.elements * s)
    return ops.gemm(b, ops.reshape(b, ops.transpose(b, mixed, (0, 2, 1, 3)), (n, s, width)), width)


def _distilbert(b: GraphBuilder) -> None:
    """Six post-norm layers with the mask by Equal and Where; answers a class a text, or a pair of scores a token."""
    rng = b.rng
    length, (width, heads) = max(8, draw_length(b)), draw_width_and_heads(b)
    x = token_rows(b, "input_ids", length, b.weight((draw_vocabulary(b), width), 0.5))
    x = layer_norm(b, ops.add(b, x, b.weight((1, length, width), 0.3)))
    mask = b.input((b.batch, length), "attention_mask", INT64)
    blocked = b.node("Equal", [mask, b.constant([0], ())], mask.shape, dtype="bool")
    blocked = ops.reshape(b, blocked, (b.batch, 1, 1, length))
    if rng.random() < 0.5:
        shape = (b.batch, heads, length, length)
        blocked = b.node("Expand", [blocked, b.constant(shape)], shape)
    for _ in range(rng.choice([1, 2, 3, 6, 6])):
        x = layer_norm(b, residual(b, _where_attention(b, x, heads, blocked), x))
        x = layer_norm(b, residual(b, feed_forward(b, x, 4 * width), x))
    if rng.random() < 0.5:
        first = b.node("Gather", [x, b.constant([0], ())], (b.batch, width), axis=1)
        b.output(ops.gemm(b, ops.unary(b, "Relu", ops.gemm(b, first, width)), rng.choice([2, 5])))
        return
    begin, end = ops.split(b, ops.gemm(b, x, 2), (1, 1), 2)
    b.output(ops.squeeze(b, begin, (2,)))
    b.output(ops.squeeze(b, end, (2,)))


# ---- DETR


def _detr(b: GraphBuilder) -> None:
    """Features of a convolutional backbone as tokens, encoder, decoder over learned queries, classes and boxes."""
    rng = b.rng
    height, side = multiple_size(b, 32, 96, 512)
    width, heads = rng.choice([(64, 4), (128, 4), (128, 8), (192, 6), (256, 8), (256, 8)])
    depths = tuple(rng.randint(1, most) for most in (3, 4, 6, 3))
    x = backbone(b, b.image(height, side), rng.choice([16, 24, 32, 48, 64]), depths)[-1]
    x = ops.conv(b, x, width, 1)
    n, c, h, w = x.shape
    memory = ops.transpose(b, ops.reshape(b, x, (n, c, h * w)), (0, 2, 1))
    place = b.weight((1, h * w, width), 0.3)
    hidden, act, pre_norm = width * rng.choice([4, 8]), rng.choice(["Relu", "Relu", "Gelu"]), rng.random() < 0.2
    for _ in range(rng.choice([1, 2, 3, 6])):
        y = layer_norm(b, memory) if pre_norm else memory
        memory = residual(b, memory, _attention(b, y, y, heads, None, (place, place)))
        memory = memory if pre_norm else layer_norm(b, memory)
        y = layer_norm(b, memory) if pre_norm else memory
        memory = residual(b, memory, feed_forward(b, y, hidden, act))
        memory = memory if pre_norm else layer_norm(b, memory)
    queries = rng.choice([25, 50, 100, 100, 300])
    x, query = b.weight((n, queries, width), 0.4), b.weight((1, queries, width), 0.3)
    for _ in range(rng.choice([1, 2, 3, 6])):
        x = _decoder_block(b, x, memory, heads, hidden, pre_norm, None, (query, place), act)
    x = layer_norm(b, x)
    b.output(ops.gemm(b, x, rng.choice([2, 21, 92])))
    box = ops.unary(b, "Relu", ops.gemm(b, ops.unary(b, "Relu", ops.gemm(b, x, width)), width))
    b.output(activation(b, ops.gemm(b, box, 4), "Sigmoid"))
