"""How calls of Relax's operators become canonical ones, with the attributes as the ONNX reader spells them.

Nothing of TVM is imported: reader.py turns each call of a module into a :class:`RelaxCall`, table.py says which
of the functions here converts it.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from relay_frontend.errors import UnsupportedOperatorError
from relay_frontend.graph import AttributeValue, Edge, TensorType

__all__ = [
    "CHANNELS_LAST_KERNELS",
    "Attributes",
    "Converter",
    "Emit",
    "RelaxCall",
    "adaptive_average_pool",
    "arg",
    "attention",
    "batch_norm",
    "clip",
    "conv",
    "epsilon",
    "layer_norm",
    "one_to_one",
    "output_shape",
    "pad",
    "pool",
    "reduce",
    "resize",
    "single",
    "slice_window",
    "split",
    "stack",
    "then",
    "transpose",
    "variance",
]


@dataclass(frozen=True, slots=True)
class RelaxCall:
    """One call of an operator.

    Attributes:
        op: Relax's name, ``relax.nn.conv2d``; of a ``call_tir``, its PrimFunc's without the number at its end.
        inputs: the tensors that it reads, tuples flattened.
        input_types: their types.
        literals: arguments that are no tensors: prim values, shapes and tuples of prim values, in order.
        attributes: Relax's own attribute object, or None.
        outputs: types of the results.
    """

    op: str
    inputs: tuple[Edge, ...]
    input_types: tuple[TensorType, ...]
    literals: tuple[tuple[int | float, ...], ...]
    attributes: Any
    outputs: tuple[TensorType, ...]

    def ints(self, name: str) -> tuple[int, ...]:
        """A tuple attribute as ints; empty when Relax holds None."""
        value = getattr(self.attributes, name)
        return () if value is None else tuple(int(item) for item in value)

    def axis(self) -> int:
        """The axis attribute, counted from the front; None, which flattens the input first, only of a vector."""
        value, rank = self.attributes.axis, len(self.input_types[0].shape)
        if value is None and rank > 1:
            raise UnsupportedOperatorError(f"{self.op} has no axis, expected one: flatten its input in the module")
        return int(value or 0) % max(1, rank)


Attributes = Mapping[str, AttributeValue]
Emit = Callable[[str, tuple[Edge, ...], tuple[TensorType, ...], Attributes], Edge]
Converter = Callable[[RelaxCall, Emit], Edge]


def single(value: Any) -> float:
    """A number as float32 holds it, which is what ONNX has: 9.999999747378752e-06 of 1e-05."""
    try:
        return float(struct.unpack("<f", struct.pack("<f", float(value)))[0])
    except OverflowError:
        return float(value)


def one_to_one(op: str, attributes: Callable[[RelaxCall], Attributes] = lambda call: {}) -> Converter:
    """One canonical operator that reads what the call reads."""
    return lambda call, emit: emit(op, call.inputs, call.outputs, attributes(call))


def _require_layout(call: RelaxCall, **expected: tuple[str, ...]) -> None:
    for name, layouts in expected.items():
        layout = str(getattr(call.attributes, name))
        if layout not in layouts:
            raise UnsupportedOperatorError(
                f"{call.op} has {name} {layout}, expected {' or '.join(layouts)}: read the module before its layouts "
                "are rewritten (relax.transform.ConvertLayout)"
            )


def conv(op: str) -> Converter:
    """A convolution; both write pads as all befores, then all afters.

    One with channels last has the attribute ``channels_last``, and its weight in ONNX's layout: the reader sees to it.
    """

    def attributes(call: RelaxCall) -> Attributes:
        last = op == "Conv" and str(call.attributes.data_layout) in _CHANNELS_LAST
        if last:
            _require_layout(call, kernel_layout=tuple(CHANNELS_LAST_KERNELS))
        else:
            _require_layout(call, data_layout=_CHANNELS_FIRST, kernel_layout=_KERNEL_LAYOUTS[op])
        found: dict[str, AttributeValue] = {
            "dilations": call.ints("dilation"),
            "group": int(call.attributes.groups),
            "kernel_shape": call.input_types[1].shape[2:],
            "pads": call.ints("padding"),
            "strides": call.ints("strides"),
            **_channels_last(last),
        }
        if op == "ConvTranspose":
            found["output_padding"] = call.ints("output_padding")
        return found

    return one_to_one(op, attributes)


CHANNELS_LAST_KERNELS = ("WIO", "HWIO", "DHWIO")
_CHANNELS_FIRST = ("NCW", "NCHW", "NCDHW")
_CHANNELS_LAST = ("NWC", "NHWC", "NDHWC")
_KERNEL_LAYOUTS = {"Conv": ("OIW", "OIHW", "OIDHW"), "ConvTranspose": ("IOW", "IOHW", "IODHW")}


def _channels_last(last: bool) -> dict[str, AttributeValue]:
    return {"channels_last": 1} if last else {}


def pool(op: str) -> Converter:
    """A pooling window."""

    def attributes(call: RelaxCall) -> Attributes:
        _require_layout(call, layout=(*_CHANNELS_FIRST, *_CHANNELS_LAST))
        found: dict[str, AttributeValue] = {
            **_channels_last(str(call.attributes.layout) in _CHANNELS_LAST),
            "ceil_mode": int(call.attributes.ceil_mode),
            "dilations": call.ints("dilation"),
            "kernel_shape": call.ints("pool_size"),
            "pads": call.ints("padding"),
            "strides": call.ints("strides"),
        }
        if op == "AveragePool":
            found["count_include_pad"] = int(call.attributes.count_include_pad)
        return found

    return one_to_one(op, attributes)


def adaptive_average_pool(call: RelaxCall, emit: Emit) -> Edge:
    """GlobalAveragePool down to one; AveragePool where all windows are equal."""
    _require_layout(call, layout=(*_CHANNELS_FIRST, *_CHANNELS_LAST))
    last = str(call.attributes.layout) in _CHANNELS_LAST
    given, wanted = (kind.shape[1:-1] if last else kind.shape[2:] for kind in (call.input_types[0], call.outputs[0]))
    if all(extent == 1 for extent in wanted):
        return emit("GlobalAveragePool", call.inputs, call.outputs, _channels_last(last))
    if any(whole % part for whole, part in zip(given, wanted, strict=True)):
        raise UnsupportedOperatorError(
            f"{call.op} takes {given} to {wanted}: windows of unequal size have no canonical operator, expected an "
            "output size that divides the input's"
        )
    window = tuple(whole // part for whole, part in zip(given, wanted, strict=True))
    fixed: Attributes = {
        **_channels_last(last),
        "ceil_mode": 0,
        "count_include_pad": 0,
        "dilations": (1,) * len(window),
        "kernel_shape": window,
        "pads": (0,) * (2 * len(window)),
        "strides": window,
    }
    return emit("AveragePool", call.inputs, call.outputs, fixed)


def reduce(op: str) -> Converter:
    """A reduction over named axes, or over all."""

    def attributes(call: RelaxCall) -> Attributes:
        rank = len(call.input_types[0].shape)
        axes = sorted(axis % rank for axis in call.ints("axis")) or range(rank)
        return {"axes": tuple(axes), "keepdims": int(call.attributes.keepdims)}

    return one_to_one(op, attributes)


def arg(op: str) -> Converter:
    """The place of an extremum along an axis."""
    return one_to_one(op, lambda call: {"axis": call.axis(), "keepdims": int(call.attributes.keepdims)})


def transpose(call: RelaxCall) -> Attributes:
    """The permutation; reversed where Relax names none."""
    rank = len(call.input_types[0].shape)
    return {"perm": tuple(axis % rank for axis in call.ints("axes")) or tuple(reversed(range(rank)))}


def slice_window(call: RelaxCall) -> Attributes:
    """Axes in order, bounds within the extent, axes that are taken whole left out: as the ONNX reader has it."""
    shape = call.input_types[0].shape
    axes, starts, ends, *rest = (tuple(int(item) for item in literal) for literal in call.literals)
    steps = rest[0] if rest else (1,) * len(axes)
    windows = []
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        extent = shape[axis]
        low, high, stride = slice(start, end, step).indices(extent)
        if (low, high, stride) != (0, extent, 1):
            windows.append((axis % len(shape), low, -1 if step < 0 and end < -extent else high, stride))
    windows.sort()
    return {
        name: tuple(window[position] for window in windows)
        for position, name in enumerate(("axes", "starts", "ends", "steps"))
    }


def split(call: RelaxCall) -> Attributes:
    """Axis and the extent of each part."""
    axis = call.axis()
    return {"axis": axis, "split": tuple(kind.shape[axis] for kind in call.outputs)}


def pad(call: RelaxCall) -> Attributes:
    """Relax has (before, after) an axis; ONNX all befores and then all afters."""
    widths = call.ints("pad_width")
    return {
        "mode": str(call.attributes.pad_mode),
        "pads": widths[::2] + widths[1::2],
        "value": single(call.attributes.pad_value),
    }


def output_shape(call: RelaxCall) -> Attributes:
    """``shape`` is that of the output."""
    return {"shape": call.outputs[0].shape}


def stack(call: RelaxCall, emit: Emit) -> Edge:
    """ONNX's ConcatFromSequence with new_axis; here a Concat of inputs that gain an axis on the way."""
    return emit("Concat", call.inputs, call.outputs, {"axis": int(call.attributes.axis), "new_axis": 1})


def batch_norm(call: RelaxCall) -> Attributes:
    """Of the second axis, as in ONNX, or of the last one."""
    axis = call.axis()
    last = axis == len(call.input_types[0].shape) - 1 > 1
    if axis != 1 and not last:
        raise UnsupportedOperatorError(
            f"{call.op} has axis {call.attributes.axis}, expected 1: read the module before its layouts are rewritten"
        )
    return {
        **_channels_last(last),
        "epsilon": single(call.attributes.epsilon),
        "training_mode": int(call.attributes.training),
    }


def epsilon(call: RelaxCall) -> Attributes:
    """What is added to a variance before its root is taken."""
    return {"epsilon": single(call.attributes.epsilon)}


def layer_norm(call: RelaxCall) -> Attributes:
    """From the first of the axes on, as in ONNX."""
    rank = len(call.input_types[0].shape)
    return {"axis": min(axis % rank for axis in call.ints("axes")), "epsilon": single(call.attributes.epsilon)}


def clip(call: RelaxCall) -> Attributes:
    """Both bounds, which are literals in Relax."""
    low, high = (single(number) for literal in call.literals for number in literal)
    return {"max": high, "min": low}


def resize(call: RelaxCall) -> Attributes:
    """The interpolation."""
    modes = {"nearest_neighbor": "nearest", "linear": "linear", "cubic": "cubic"}
    return {"mode": modes[str(call.attributes.method)]}


def attention(call: RelaxCall, emit: Emit) -> Edge:
    """Relax has [batch, length, heads, width], which as ONNX's [batch, length, heads x width] are the same bytes."""

    def joined(kind: TensorType) -> TensorType:
        return TensorType((*kind.shape[:2], kind.shape[2] * kind.shape[3]), kind.dtype)

    flat = []
    for edge, kind in zip(call.inputs[:3], call.input_types, strict=False):
        flat.append(emit("Reshape", (edge,), (joined(kind),), {"shape": joined(kind).shape}))
    heads = [kind.shape[2] for kind in call.input_types[:2]]
    attributes = {"is_causal": int(call.attributes.causal_mask is not None), "kv_num_heads": heads[1],
                  "q_num_heads": heads[0]}  # fmt: skip
    result = emit("Attention", (*flat, *call.inputs[3:]), (joined(call.outputs[0]),), attributes)
    return emit("Reshape", (result,), call.outputs, {"shape": call.outputs[0].shape})


def then(first: str, second: str, *, again: bool) -> Converter:
    """``first`` and then ``second``, which reads the call's input a second time if ``again``."""

    def convert(call: RelaxCall, emit: Emit) -> Edge:
        middle = emit(first, call.inputs, call.outputs, {})
        inputs = (*call.inputs, middle) if again else (middle,)
        return emit(second, inputs, call.outputs, {})

    return convert


def variance(call: RelaxCall, emit: Emit) -> Edge:
    """The mean of the squared distance from the mean."""
    rank = len(call.input_types[0].shape)
    axes = tuple(sorted(axis % rank for axis in call.ints("axis"))) or tuple(range(rank))
    whole = call.input_types
    kept = TensorType(tuple(1 if axis in axes else n for axis, n in enumerate(whole[0].shape)), whole[0].dtype)
    mean = emit("ReduceMean", call.inputs, (kept,), {"axes": axes, "keepdims": 1})
    centred = emit("Sub", (*call.inputs, mean), whole, {})
    squared = emit("Mul", (centred, centred), whole, {})
    return emit("ReduceMean", (squared,), call.outputs, {"axes": axes, "keepdims": int(call.attributes.keepdims)})
