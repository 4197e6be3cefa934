"""Recurrent layers: one operator a layer, as ONNX has them."""

from relay_frontend.graph import PARAMETER, AttributeValue, Edge, TensorType
from relay_frontend.torch_export.call import NOT_MAPPED, Converter, Edges, TorchCall

__all__ = ["RECURRENT"]


def _recurrent(op: str, gates: int, states: int, **attributes: AttributeValue) -> Converter:
    """Layers of LSTM (two states), GRU or RNN."""

    def convert(call: TorchCall) -> Edges | None:
        weights = call.tensors("params")
        layers, biases = call.integer("num_layers", 1), call.flag("has_biases", True)
        ways = 2 if call.flag("bidirectional") else 1
        each = 4 if biases else 2
        if len(weights) != layers * ways * each or (call.flag("train") and call.number("dropout", 0.0)):
            return NOT_MAPPED  # projected states have no operator, neither has dropout between layers
        if not all(edge.source == PARAMETER for edge in weights):
            return NOT_MAPPED
        initial = call.tensors("hx") if states == 2 else (call.tensor("hx"),)
        data = call.tensor("input")
        first = call.flag("batch_first")
        if first:
            data = call.transpose(data, (1, 0, 2))
        hidden = call.type_of(initial[0]).shape[-1]
        fixed: dict[str, AttributeValue] = {
            "direction": "bidirectional" if ways == 2 else "forward", "hidden_size": hidden, **attributes,
        }  # fmt: skip
        if op == "RNN":
            fixed["activations"] = ("Relu" if "relu" in call.call.target else "Tanh",) * ways
        kept = min(call.results_read(), states + 1) - 1  # states that somebody reads
        finals: list[Edges] = []
        for layer in range(layers):
            stored = weights[layer * ways * each : (layer + 1) * ways * each]
            before = tuple(_part(call, edge, layer * ways, ways) for edge in initial)
            data, *after = _layer(call, op, data, stored[::each], gates * hidden, biases, before, kept, fixed)
            finals.append(tuple(after))
        if first:
            data = call.transpose(data, (1, 0, 2))
        joined = [_join(call, [final[place] for final in finals]) for place in range(kept)]
        return (data, *joined)

    return convert


def _layer(
    call: TorchCall, op: str, data: Edge, weights: Edges, rows: int, biases: bool, before: Edges,
    kept: int,     fixed: dict[str, AttributeValue],
) -> Edges:  # fmt: skip
    """One layer: its output as [length, batch, ways x hidden], then the last states."""
    ways, hidden = len(weights), fixed["hidden_size"]
    length, batch, width = call.type_of(data).shape
    dtype = call.type_of(data).dtype
    if not isinstance(hidden, int):
        raise call.wrong("hx", hidden, "states of a known width")
    shapes = [(ways, rows, width), (ways, rows, hidden), *([(ways, 2 * rows)] if biases else [])]
    stored = [call.constant(TensorType(shape, dtype)) for shape in shapes]
    state = TensorType((ways, batch, hidden), dtype)
    made = (TensorType((length, ways, batch, hidden), dtype), *(state for _ in range(kept)))
    found, *after = call.add_all(op, (data, *stored, *before), made, **fixed)
    if ways == 1:
        flat = call.add("Squeeze", (found,), TensorType((length, batch, hidden), dtype), axes=(1,))
    else:
        flat = call.reshape(call.transpose(found, (0, 2, 1, 3)), (length, batch, ways * hidden))
    return (flat, *after)


def _part(call: TorchCall, edge: Edge, start: int, count: int) -> Edge:
    """The states of one layer."""
    kind = call.type_of(edge)
    if kind.shape[0] == count:
        return edge
    made = TensorType((count, *kind.shape[1:]), kind.dtype)
    return call.add("Slice", (edge,), made, axes=(0,), starts=(start,), ends=(start + count,), steps=(1,))


def _join(call: TorchCall, parts: list[Edge]) -> Edge:
    if len(parts) == 1:
        return parts[0]
    kind = call.type_of(parts[0])
    made = TensorType((sum(call.type_of(edge).shape[0] for edge in parts), *kind.shape[1:]), kind.dtype)
    return call.add("Concat", tuple(parts), made, axis=0)


RECURRENT: dict[str, Converter] = {
    "lstm": _recurrent("LSTM", 4, 2),
    "gru": _recurrent("GRU", 3, 1, linear_before_reset=1),
    "rnn_tanh": _recurrent("RNN", 1, 1),
    "rnn_relu": _recurrent("RNN", 1, 1),
}
