"""One spelling for every attribute, whatever opset and exporter wrote it."""

from collections.abc import Callable, Sequence

from relay_frontend.errors import InvalidGraphError
from relay_frontend.graph import AttributeValue, TensorType
from relay_frontend.onnx.attributes_uncommon import UNCOMMON_RULES
from relay_frontend.onnx.call import Call
from relay_frontend.onnx.inference import attribute_defaults
from relay_frontend.onnx.source import Array, SourceNode, dtype_name
from relay_frontend.onnx.value_inputs import REDUCTIONS, value_slots
from relay_frontend.onnx.windows import resolve_transposed_window, resolve_window

__all__ = ["canonical_attributes"]


_SCALARS = {
    "min", "max", "axis", "ratio", "training_mode", "depth", "value", "k", "dft_length", "frame_step", "frame_length",
    "max_output_boxes_per_class", "iou_threshold", "score_threshold",
}  # fmt: skip

# Attributes without bearing on what is computed at inference, or that the canonical form says in another way.
_DROPPED = {
    "allowzero", "antialias", "auto_pad", "broadcast", "consumed_inputs", "exclude_outside", "is_test", "momentum",
    "noop_with_empty_axes", "num_outputs", "round_mode", "saturate", "seed", "spatial", "stash_type", "storage_order",
}  # fmt: skip


def canonical_attributes(
    node: SourceNode, inputs: Sequence[TensorType], outputs: Sequence[TensorType], values: dict[str, Array]
) -> dict[str, AttributeValue]:
    """The attributes of a standard operator: defaults spelled out, axes counted from 0, shapes resolved.

    Args:
        node: the operator, as the file has it.
        inputs: types of the inputs that are present, in order.
        outputs: types of its outputs.
        values: constants that come in as inputs, under the name of the attribute that they become.
    """
    attributes = dict(node.attributes)
    for name, value in attribute_defaults(node.op, node.version):
        attributes.setdefault(name, value)
    for name, constant in values.items():
        if constant.size or name in {"axes", "shape"}:
            attributes[name] = _plain(constant, name)
    call = Call(node.label, node.op, node.version, attributes, inputs, outputs)
    rule = _RULES.get(node.op)
    if rule is not None and not _depends_on_data(node, values):
        rule(call)
    return {name: value for name, value in attributes.items() if name not in _DROPPED}


def _depends_on_data(node: SourceNode, values: dict[str, Array]) -> bool:
    """Whether an input that says how is computed while the network runs; there is nothing to resolve then."""
    return any(
        slot < len(node.inputs) and node.inputs[slot] and attribute not in values
        for slot, attribute in value_slots(node.op, node.version)
    )


def _plain(constant: Array, name: str) -> AttributeValue:
    if name in _SCALARS:
        value = constant.reshape(-1)[0].item()
        return int(value) if isinstance(value, bool) else value
    return tuple(constant.reshape(-1).tolist())


def _axis_of_input(call: Call) -> None:
    call.attributes["axis"] = call.axis(call.integer("axis", 0), len(call.inputs[0].shape))


def _axis_of_output(call: Call) -> None:
    call.attributes["axis"] = call.axis(call.integer("axis", -1), len(call.outputs[0].shape))


def _softmax(call: Call) -> None:
    """Before opset 13 everything from ``axis`` on was one axis; kept as ``flatten`` where that makes a difference."""
    _axis_of_input(call)
    shape, axis = call.inputs[0].shape, call.integer("axis", 0)
    if call.version < 13 and any(extent != 1 for extent in shape[axis + 1 :]):
        inner = [index for index in range(axis, len(shape)) if shape[index] != 1]
        if len(inner) == 1:
            call.attributes["axis"] = inner[0]
        else:
            call.attributes["flatten"] = 1


def _flatten(call: Call) -> None:
    rank = len(call.inputs[0].shape)
    axis = call.integer("axis", 1)
    call.attributes["axis"] = axis + rank if axis < 0 else axis


def _reduce(call: Call) -> None:
    rank, axes = len(call.inputs[0].shape), call.ints("axes")
    if not axes and not call.integer("noop_with_empty_axes", 0):
        axes = tuple(range(rank))
    call.attributes["axes"] = tuple(sorted(call.axis(axis, rank) for axis in axes or ()))


def _squeeze(call: Call) -> None:
    shape, axes = call.inputs[0].shape, call.ints("axes")
    if axes is None:
        axes = tuple(axis for axis, extent in enumerate(shape) if extent == 1)
    call.attributes["axes"] = tuple(sorted(call.axis(axis, len(shape)) for axis in axes))


def _unsqueeze(call: Call) -> None:
    rank = len(call.outputs[0].shape)
    call.attributes["axes"] = tuple(sorted(call.axis(axis, rank) for axis in call.ints("axes") or ()))


def _slice(call: Call) -> None:
    """Every axis in order, starts and ends within the extent; an axis that is taken whole is not named."""
    starts, ends = call.ints("starts") or (), call.ints("ends") or ()
    shape = call.inputs[0].shape
    axes = call.ints("axes") or tuple(range(len(starts)))
    steps = call.ints("steps") or (1,) * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps):
        raise InvalidGraphError(f"{call.label} has lists of different lengths, expected one start, end, step an axis")
    windows = []
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        if step == 0:
            raise InvalidGraphError(f"{call.label} has a step of 0, expected another number")
        extent = shape[call.axis(axis, len(shape))]
        low, high, stride = slice(start, end, step).indices(extent)
        if step < 0 and end < -extent:
            high = -1
        if (low, high, stride) != (0, extent, 1):
            windows.append((call.axis(axis, len(shape)), low, high, stride))
    windows.sort()
    for name, position in (("axes", 0), ("starts", 1), ("ends", 2), ("steps", 3)):
        call.attributes[name] = tuple(window[position] for window in windows)


def _split(call: Call) -> None:
    _axis_of_input(call)
    axis = call.integer("axis", 0)
    call.attributes["split"] = tuple(kind.shape[axis] for kind in call.outputs)


def _pad(call: Call) -> None:
    """``pads`` for every axis, all starts and then all ends."""
    rank = len(call.inputs[0].shape)
    pads = call.ints("pads") or call.ints("paddings") or ()
    axes = call.ints("axes") or tuple(range(rank))
    if len(pads) != 2 * len(axes):
        raise InvalidGraphError(f"{call.label} has {len(pads)} pads for {len(axes)} axes, expected two an axis")
    full = [0] * (2 * rank)
    for position, axis in enumerate(axes):
        place = call.axis(axis, rank)
        full[place], full[place + rank] = pads[position], pads[position + len(axes)]
    call.attributes.pop("axes", None)
    call.attributes.pop("paddings", None)
    call.attributes["pads"] = tuple(full)
    call.attributes.setdefault("value", 0.0)


def _clip(call: Call) -> None:
    """A bound at the end of the float range bounds nothing."""
    for name in ("min", "max"):
        bound = call.attributes.get(name)
        if isinstance(bound, float) and abs(bound) > 3.4e38:
            del call.attributes[name]


def _reshape(call: Call) -> None:
    given, made = call.inputs[0], call.outputs[0]
    if given.elements != made.elements:
        raise InvalidGraphError(
            f"{call.label} makes {list(made.shape)} of {list(given.shape)}, expected as many elements"
        )
    call.attributes["shape"] = made.shape


def _expand(call: Call) -> None:
    call.attributes["shape"] = call.outputs[0].shape


def _transpose(call: Call) -> None:
    rank = len(call.inputs[0].shape)
    call.attributes["perm"] = call.ints("perm") or tuple(reversed(range(rank)))


def _cast(call: Call) -> None:
    call.attributes["to"] = dtype_name(call.integer("to", 0), call.label)


def _convolution(call: Call) -> None:
    weight = _weight(call, 3 if call.op == "QLinearConv" else 1)
    _check_channels(call, weight.shape[1] * call.integer("group", 1), outputs=weight.shape[0])
    call.attributes["kernel_shape"] = call.ints("kernel_shape") or weight.shape[2:]
    resolve_window(call.label, call.attributes, call.inputs[0].shape[2:])


def _transposed(call: Call) -> None:
    weight = _weight(call, 1)
    _check_channels(call, weight.shape[0], outputs=weight.shape[0])
    call.attributes["kernel_shape"] = call.ints("kernel_shape") or weight.shape[2:]
    resolve_transposed_window(call.label, call.attributes, call.inputs[0].shape[2:])


def _weight(call: Call, slot: int) -> TensorType:
    data, weight = call.inputs[0], call.inputs[slot]
    if not 2 <= len(data.shape) == len(weight.shape):
        raise InvalidGraphError(
            f"{call.label} reads {list(data.shape)} with weights {list(weight.shape)}, expected as many dimensions, 2 "
            "or more"
        )
    return weight


def _check_channels(call: Call, expected: int, *, outputs: int) -> None:
    """ONNX's inference takes the number of channels on trust."""
    channels, group = call.inputs[0].shape[1], call.integer("group", 1)
    if channels != expected or group < 1 or outputs % group:
        raise InvalidGraphError(
            f"{call.label} has {channels} channels in {group} groups, expected weights for {channels}, "
            f"got some for {expected}, and {outputs} filters"
        )


def _pool(call: Call) -> None:
    resolve_window(call.label, call.attributes, call.inputs[0].shape[2:])


_RULES: dict[str, Callable[[Call], None]] = {
    **UNCOMMON_RULES,
    "AveragePool": _pool,
    "Cast": _cast,
    "Clip": _clip,
    "Conv": _convolution,
    "ConvInteger": _convolution,
    "ConvTranspose": _transposed,
    "Expand": _expand,
    "Flatten": _flatten,
    "LogSoftmax": _softmax,
    "Hardmax": _softmax,
    "LpPool": _pool,
    "MaxPool": _pool,
    "OneHot": _axis_of_output,
    "Pad": _pad,
    "QLinearConv": _convolution,
    "Reshape": _reshape,
    "Slice": _slice,
    "Softmax": _softmax,
    "Split": _split,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    **{f"Reduce{kind}": _reduce for kind in REDUCTIONS},
    **dict.fromkeys(
        ("ArgMax", "ArgMin", "Concat", "CumProd", "CumSum", "Gather", "GatherElements", "LayerNormalization",
         "RMSNormalization", "Scatter", "ScatterElements", "TensorScatter", "TopK"),
        _axis_of_input,
    ),
}  # fmt: skip
