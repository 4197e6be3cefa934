"""FLOPs of attention in all its forms, of rotary embeddings and of recurrences over a state."""

from math import prod

from relay_frontend.flops_rule import Attributes, FlopsRule, Types, integer, integers

__all__ = ["ATTENTION_FLOPS"]


def _recurrent(attributes: Attributes, inputs: Types, outputs: Types) -> tuple[int, int]:
    """2 x MAC of both weight matrices at every step, for each direction; the gates' own arithmetic is not counted."""
    data, weight, recurrence = inputs[:3]
    return 2 * data.shape[0] * data.shape[1] * (weight.elements + recurrence.elements), 0


def _attention(attributes: Attributes, inputs: Types, outputs: Types) -> tuple[int, int]:
    """2 x MAC of both products and 5 a score for the softmax; the fused input projection of com.microsoft Attention.

    A causal mask halves nothing. The types tell the variants apart: [batch, length, width], heads split
    [batch, heads, length, width / heads] or packed [batch, length, heads, 2 or 3, width / heads].
    """
    query, output = inputs[0], outputs[0]
    projected = len(inputs) > 1 and len(inputs[1].shape) == 2  # com.microsoft Attention: [width_in, width_qkv]
    if len(output.shape) == 4:
        batch, heads, length, value_head = output.shape
        query_width, value_width = heads * query.shape[-1], heads * value_head
    else:
        batch, length, value_width = output.shape
        # GroupQueryAttention (the one with both attributes) has heads of one width, and its query may hold all three.
        grouped = "num_heads" in attributes and "kv_num_heads" in attributes
        packed = grouped or projected or len(query.shape) == 5 or len(inputs) < 2
        query_width = value_width if packed else query.shape[-1]
        if projected:
            query_width = integers(attributes, "qkv_hidden_sizes", (query_width,) * 3)[0]
        heads = max(integer(attributes, name, 0) for name in ("num_heads", "q_num_heads")) or 1
        if len(outputs) > 1 and len(outputs[1].shape) == 4:  # present keys say how wide a head is
            query_width = heads * outputs[1].shape[-1]
    total = _attended_length(inputs, outputs, length, projected)
    flops = 2 * batch * length * total * (query_width + value_width) + 5 * batch * heads * length * total
    if projected:
        flops += 2 * batch * length * inputs[1].elements
    return flops, 0


def _attended_length(inputs: Types, outputs: Types, length: int, projected: bool) -> int:
    """Keys that each query attends to: the length of the present key if the operator hands it on, else of the key."""
    if len(outputs) > 1 and len(outputs[1].shape) in (4, 5):
        return outputs[1].shape[-2]
    if projected or len(inputs) < 2:
        return length
    key = inputs[1].shape
    if len(key) == 4:
        return key[2]
    return key[1] if len(key) in (3, 5) else length


def _linear_attention(attributes: Attributes, inputs: Types, outputs: Types) -> tuple[int, int]:
    """2 x MAC of updating the state of every key head and of reading it for every query head, at every step.

    A state is [key width a head, value width a head]. A rule that gates scales it first, 1 an element; one with a
    delta first reads it for the key, 2 x MAC more.
    """
    key, output = inputs[1], outputs[0]
    key_heads = max(integer(attributes, "kv_num_heads", 1), 1)
    query_heads = max(integer(attributes, "q_num_heads", key_heads), 1)
    state = key.shape[-1] // key_heads * (output.shape[-1] // query_heads)
    rule = str(attributes.get("update_rule", "gated_delta"))
    each = 2 + 2 * ("delta" in rule) + ("gated" in rule)
    return prod(output.shape[:2]) * state * (each * key_heads + 2 * query_heads), 0


def _rotary(attributes: Attributes, inputs: Types, outputs: Types) -> tuple[int, int]:
    """3 an element that is rotated: two products and a sum; ``rotary_embedding_dim`` may leave out part of a head."""
    output, rotated = outputs[0], integer(attributes, "rotary_embedding_dim", 0)
    heads = output.shape[1] if len(output.shape) == 4 else integer(attributes, "num_heads", 0)
    if not rotated or not heads:
        return 3 * output.elements, 0
    head = output.shape[-1] if len(output.shape) == 4 else output.shape[-1] // heads
    return 3 * (output.elements // head) * rotated, 0


ATTENTION_FLOPS: dict[str, FlopsRule] = {
    **dict.fromkeys(
        (
            "Attention", "MultiHeadAttention", "GroupQueryAttention", "DecoderMaskedMultiHeadAttention",
            "DecoderMaskedSelfAttention", "QAttention", "FlexAttention",
        ),
        _attention,
    ),
    **dict.fromkeys(("LSTM", "GRU", "RNN", "DynamicQuantizeLSTM"), _recurrent),
    "LinearAttention": _linear_attention,
    "RotaryEmbedding": _rotary,
}  # fmt: skip
