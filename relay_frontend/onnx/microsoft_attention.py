"""Shapes of com.microsoft's attention, embeddings and normalisations."""

from collections.abc import Mapping

from relay_frontend.graph import TensorType
from relay_frontend.onnx.microsoft_rule import Attributes, Inputs, Outcome, Rule, given, integer, needed
from relay_frontend.onnx.source import SourceNode

__all__ = ["ATTENTION_RULES"]


def _like_first(node: SourceNode, inputs: Inputs, attributes: Attributes, block: int) -> Outcome:
    return (inputs[0],) * len(node.outputs)


def _normalization(node: SourceNode, inputs: Inputs, attributes: Attributes, block: int) -> Outcome:
    """LayerNormalization and its kin: the result, then statistics, then the sum that Skip variants also write."""
    data = inputs[0]
    statistics = TensorType((*data.shape[:-1], 1), "float32")
    return (data, statistics, statistics, data)


def _self_attention(weight: int, past: int, data_dtype_of: int | None = None) -> Rule:
    """Input and the merged weights of its projections; ``past`` is where the cache comes in."""

    def rule(node: SourceNode, inputs: Inputs, attributes: Attributes, block: int) -> Outcome:
        (batch, sequence, _), dtype = inputs[0].shape, inputs[data_dtype_of or 0].dtype
        sizes, heads = attributes.get("qkv_hidden_sizes"), integer(attributes, "num_heads")
        width = int(sizes[2]) if isinstance(sizes, tuple) and sizes else inputs[weight].shape[1] // 3
        cache = given(node, inputs, past)
        length = sequence + (cache.shape[3] if cache else 0)
        if cache and attributes.get("past_present_share_buffer"):
            length = cache.shape[3]
        present = TensorType((2, batch, heads, length, width // heads), dtype)
        return (TensorType((batch, sequence, width), dtype), present)

    return rule


def _multi_head_attention(node: SourceNode, inputs: Inputs, attributes: Attributes, block: int) -> Outcome:
    query, dtype, heads = inputs[0].shape, inputs[0].dtype, integer(attributes, "num_heads")
    if len(query) == 5:  # queries, keys and values packed: batch, sequence, heads, 3, width of a head
        return (TensorType((query[0], query[1], query[2] * query[4]), dtype),)
    key, value = given(node, inputs, 1), given(node, inputs, 2)
    if key and len(key.shape) == 5:  # keys and values packed: batch, length, heads, 2, width of a head
        return (TensorType((query[0], query[1], key.shape[2] * key.shape[4]), dtype),)
    keys, values = (key.shape, value.shape) if key and value else (query, query)
    width = heads * values[3] if len(values) == 4 else values[2]
    length, size = (keys[2], keys[3]) if len(keys) == 4 else (keys[1], keys[2] // heads)
    past = given(node, inputs, 6)
    length += past.shape[2] if past else 0
    return (
        TensorType((query[0], query[1], width), dtype),
        TensorType((query[0], heads, length, size), dtype),
        TensorType((query[0], heads, length, width // heads), dtype),
    )


def _decoder_attention(node: SourceNode, inputs: Inputs, attributes: Attributes, block: int) -> Outcome:
    """One step of DecoderMaskedMultiHeadAttention; keys of four dimensions are those of cross-attention."""
    (batch, steps, width), heads, dtype = inputs[0].shape, integer(attributes, "num_heads"), inputs[0].dtype
    key, value, past = given(node, inputs, 1), given(node, inputs, 2), given(node, inputs, 5)
    if value is None:
        width //= 3
    else:
        width = value.shape[2] if len(value.shape) == 3 else heads * value.shape[3]
    if key and len(key.shape) == 4:
        length = key.shape[2]
    else:
        shared = bool(attributes.get("past_present_share_buffer"))
        length = (past.shape[2] if past else 0) + (0 if past and shared else steps)
    size = (inputs[0].shape[2] if key else width) // heads
    return (
        TensorType((batch, steps, width), dtype),
        TensorType((batch, heads, length, size), dtype),
        TensorType((batch, heads, length, width // heads), dtype),
        TensorType((batch, heads, steps, length), "float32"),
    )


def _grouped_attention(node: SourceNode, inputs: Inputs, attributes: Attributes, block: int) -> Outcome:
    """GroupQueryAttention. A cache is taken to be the buffer that holds past and present, as ONNX Runtime writes it."""
    batch, sequence, width = inputs[0].shape
    heads, cached_heads = integer(attributes, "num_heads"), integer(attributes, "kv_num_heads")
    packed = given(node, inputs, 1) is None
    size = width // (heads + 2 * cached_heads if packed else heads)
    past = given(node, inputs, 3)
    length = max(past.shape[2] if past else 0, sequence)
    present = TensorType((batch, cached_heads, length, size), past.dtype if past else inputs[0].dtype)
    scores = TensorType((batch, heads, sequence, length), inputs[0].dtype)
    return (TensorType((batch, sequence, heads * size), inputs[0].dtype), present, present, scores)


def _linear_attention(node: SourceNode, inputs: Inputs, attributes: Attributes, block: int) -> Outcome:
    query, key, value = inputs[:3]
    batch, length, width = query.shape
    heads, groups = integer(attributes, "kv_num_heads"), integer(attributes, "q_num_heads")
    key_size, value_size = width // groups, value.shape[2] // heads
    if key.shape[2] != heads * key_size:
        raise ValueError(f"keys are {key.shape[2]} wide, not {heads} x {key_size}")
    past = given(node, inputs, 3)
    state = past or TensorType((batch, heads, key_size, value_size), query.dtype)
    return (TensorType((batch, length, groups * value_size), query.dtype), state)


def _causal_convolution(node: SourceNode, inputs: Inputs, attributes: Attributes, block: int) -> Outcome:
    """Only the plain form, [batch, channels, length]; the others say so in their attributes."""
    data, weight = inputs[0], inputs[1]
    special = ("channels_last", "state_channels_last", "state_window", "state_update_capacity", "input_channels")
    if any(attributes.get(name) for name in special) or attributes.get("ndim", 1) != 1:
        raise ValueError(f"the rule knows none of {special}, and one dimension only")
    dilation = integer(attributes, "dilation", 1)
    state = TensorType((*data.shape[:2], (weight.shape[2] - 1) * dilation), data.dtype)
    return (data, state)


def _embed(node: SourceNode, inputs: Inputs, attributes: Attributes, block: int) -> Outcome:
    (batch, sequence), tables = inputs[0].shape, [kind for kind in inputs if kind.dtype.startswith("float")]
    made = TensorType((batch, sequence, tables[0].shape[1]), tables[0].dtype)
    return (made, TensorType((batch,), "int32"), made)


def _embed_quantized(node: SourceNode, inputs: Inputs, attributes: Attributes, block: int) -> Outcome:
    (batch, sequence), table = inputs[0].shape, needed(node, inputs, 2)
    scale = needed(node, inputs, 8)
    return (TensorType((batch, sequence, table.shape[1]), scale.dtype), TensorType((batch,), "int32"))


def _torch_embedding(node: SourceNode, inputs: Inputs, attributes: Attributes, block: int) -> Outcome:
    table, indices = inputs[0], inputs[1]
    return (TensorType((*indices.shape, *table.shape[1:]), table.dtype),)


ATTENTION_RULES: Mapping[str, Rule] = {
    "Attention": _self_attention(1, 4),
    "CausalConvWithState": _causal_convolution,
    "DecoderMaskedMultiHeadAttention": _decoder_attention,
    "DecoderMaskedSelfAttention": _self_attention(1, 4),
    "EmbedLayerNormalization": _embed,
    "GroupNorm": _like_first,
    "GroupQueryAttention": _grouped_attention,
    "LayerNormalization": _normalization,
    "LinearAttention": _linear_attention,
    "MultiHeadAttention": _multi_head_attention,
    "QAttention": _self_attention(1, 8, data_dtype_of=3),
    "QEmbedLayerNormalization": _embed_quantized,
    "RotaryEmbedding": _like_first,
    "SimplifiedLayerNormalization": _normalization,
    "SkipGroupNorm": _like_first,
    "SkipLayerNormalization": _normalization,
    "SkipSimplifiedLayerNormalization": _normalization,
    "TorchEmbedding": _torch_embedding,
}
