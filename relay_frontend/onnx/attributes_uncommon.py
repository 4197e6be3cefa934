"""Attribute rules of the operators that few networks have: transforms, random numbers, quantisation, recurrence."""

from collections.abc import Callable, Mapping

from relay_frontend.errors import InvalidGraphError
from relay_frontend.onnx.call import Call
from relay_frontend.onnx.source import dtype_name
from relay_frontend.onnx.windows import resolve_window

__all__ = ["UNCOMMON_RULES"]

_DEFAULT_ACTIVATIONS = {"RNN": ("Tanh",), "GRU": ("Sigmoid", "Tanh"), "LSTM": ("Sigmoid", "Tanh", "Tanh")}
_FEWER_WORDS = {"bilinear": "linear", "bicubic": "cubic"}  # how opset 16 called what opset 20 does


def _dtype(*names: str) -> Callable[[Call], None]:
    """Element types by name instead of ONNX's number; 0 says nothing."""

    def rule(call: Call) -> None:
        for name in names:
            number = call.integer(name, 0)
            call.attributes.pop(name, None)
            if number:
                call.attributes[name] = dtype_name(number, call.label)

    return rule


def _optional_axis(call: Call) -> None:
    if "axis" in call.attributes:
        call.attributes["axis"] = call.axis(call.integer("axis", 0), len(call.inputs[0].shape))


def _quantization(call: Call) -> None:
    """The axis means something only where there are several scales along it."""
    _dtype("output_dtype", "precision")(call)
    rank, scales = len(call.inputs[0].shape), call.inputs[1]
    if scales.elements > 1 and rank:
        call.attributes["axis"] = call.axis(call.integer("axis", 1), rank)
    else:
        call.attributes.pop("axis", None)
    if not call.integer("block_size", 0):
        call.attributes.pop("block_size", None)


def _deformable(call: Call) -> None:
    data, weight = call.inputs[0], call.inputs[1]
    group = call.integer("group", 1)
    if not 3 <= len(data.shape) == len(weight.shape):
        raise InvalidGraphError(
            f"{call.label} reads {list(data.shape)} with weights {list(weight.shape)}, expected as many dimensions, 3 "
            "or more"
        )
    if group < 1 or data.shape[1] != weight.shape[1] * group or weight.shape[0] % group:
        raise InvalidGraphError(
            f"{call.label} has {data.shape[1]} channels in {group} groups, expected weights for them, got "
            f"{list(weight.shape)}"
        )
    call.attributes["kernel_shape"] = call.ints("kernel_shape") or weight.shape[2:]
    resolve_window(call.label, call.attributes, data.shape[2:])


def _unpool(call: Call) -> None:
    resolve_window(call.label, call.attributes, call.inputs[0].shape[2:])
    call.attributes.pop("output_shape", None)  # the output's type says it


def _columns_to_image(call: Call) -> None:
    """Col2Im; the window's extents are ``block_shape``."""
    rank = len(call.outputs[0].shape) - 2
    for name, default in (("strides", 1), ("dilations", 1)):
        call.attributes[name] = call.ints(name) or (default,) * rank
    call.attributes["pads"] = call.ints("pads") or (0,) * (2 * rank)


def _crop(call: Call) -> None:
    rank = len(call.inputs[0].shape)
    axes = call.ints("axes")
    call.attributes["axes"] = tuple(range(rank)) if axes is None else tuple(call.axis(axis, rank) for axis in axes)


def _fourier(call: Call) -> None:
    call.attributes["axis"] = call.axis(call.integer("axis", -2), len(call.inputs[0].shape))


def _grid_sample(call: Call) -> None:
    mode = str(call.attributes.get("mode", "linear"))
    call.attributes["mode"] = _FEWER_WORDS.get(mode, mode)


def _variance(call: Call) -> None:
    rank, axes = len(call.inputs[0].shape), call.ints("axes") or ()
    call.attributes["axes"] = tuple(sorted(call.axis(axis, rank) for axis in axes))


def _recurrent(call: Call) -> None:
    """The width of the state is that of the weights; activations are named only where they are not the usual ones."""
    if len(call.inputs) < 3 or len(call.inputs[2].shape) != 3:
        raise InvalidGraphError(f"{call.label} reads {call.inputs}, expected weights of three dimensions")
    directions, _, hidden = call.inputs[2].shape
    call.attributes["hidden_size"] = hidden
    usual = _DEFAULT_ACTIVATIONS[call.op] * directions
    named = call.attributes.get("activations", ())
    if named == usual or (call.op == "RNN" and named == ("Tanh", "Tanh")):
        call.attributes.pop("activations", None)


UNCOMMON_RULES: Mapping[str, Callable[[Call], None]] = {
    "Bernoulli": _dtype("dtype"),
    "BitCast": _dtype("to"),
    "BlackmanWindow": _dtype("output_datatype"),
    "CenterCropPad": _crop,
    "Col2Im": _columns_to_image,
    "Compress": _optional_axis,
    "DFT": _fourier,
    "DeformConv": _deformable,
    "DequantizeLinear": _quantization,
    "EyeLike": _dtype("dtype"),
    "GRU": _recurrent,
    "GridSample": _grid_sample,
    "HammingWindow": _dtype("output_datatype"),
    "HannWindow": _dtype("output_datatype"),
    "LSTM": _recurrent,
    "MaxUnpool": _unpool,
    "MeanVarianceNormalization": _variance,
    "MelWeightMatrix": _dtype("output_datatype"),
    "Multinomial": _dtype("dtype"),
    "QuantizeLinear": _quantization,
    "RNN": _recurrent,
    "RandomNormal": _dtype("dtype"),
    "RandomNormalLike": _dtype("dtype"),
    "RandomUniform": _dtype("dtype"),
    "RandomUniformLike": _dtype("dtype"),
    "Unique": _optional_axis,
}
