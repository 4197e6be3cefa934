"""Relay's calls as canonical operators, with the attributes as the ONNX reader spells them.

An operator that the runtime splits or that ONNX does not have (``rsqrt``, ``floor_divide``) becomes several.
"""

from collections.abc import Callable, Mapping

from relay_frontend.graph import AttributeValue, Edge, TensorType
from relay_frontend.relay.call import Call, Converter, Host

__all__ = [
    "arg_reduce",
    "axis_only",
    "batch_norm",
    "bias_add",
    "clip",
    "cumulative",
    "depth_to_space",
    "gather",
    "leading",
    "lrn",
    "mirror_pad",
    "norm",
    "one_hot",
    "one_to_one",
    "output_shape",
    "pad",
    "prelu",
    "reduce",
    "resize",
    "reverse",
    "roi_align",
    "softmax",
    "split",
    "stack",
    "strided_slice",
    "then",
    "to_dtype",
    "topk",
    "transpose",
    "trilu",
    "variance",
]

Attributes = Mapping[str, AttributeValue]
Spell = Callable[[Call], Attributes]


def one_to_one(op: str, attributes: Spell = lambda call: {}) -> Converter:
    """One canonical operator that reads what the call reads."""
    return lambda call, host: host.emit(op, call.edges, call.outputs, attributes(call))


def leading(op: str, count: int, attributes: Spell = lambda call: {}) -> Converter:
    """The same for the first ``count`` inputs; the others are scales and zero points."""
    return lambda call, host: host.emit(op, call.edges[:count], call.outputs, attributes(call))


def then(first: str, second: str) -> Converter:
    """``first`` and then ``second`` of its result."""

    def convert(call: Call, host: Host) -> Edge:
        middle = TensorType(call.outputs[0].shape, call.dtype)
        if first in ("Equal",):
            middle = call.outputs[0]
        return host.emit(second, (host.emit(first, call.edges, (middle,)),), call.outputs)

    return convert


def output_shape(call: Call) -> Attributes:
    """``shape`` is that of the output."""
    return {"shape": call.outputs[0].shape}


def to_dtype(call: Call) -> Attributes:
    """``to`` is the dtype of the output."""
    return {"to": call.outputs[0].dtype}


def transpose(call: Call) -> Attributes:
    """The permutation."""
    rank = len(call.shape)
    return {"perm": call.axes("axes", rank) if call.attributes.get("axes") else tuple(reversed(range(rank)))}


def axis_only(default: int) -> Spell:
    """One axis, counted from the front."""
    return lambda call: {"axis": call.axis(call.integer("axis", default), len(call.outputs[0].shape))}


def softmax(call: Call) -> Attributes:
    """One axis, the last by default."""
    return axis_only(-1)(call)


def reduce(call: Call) -> Attributes:
    """The axes in order."""
    rank = len(call.shape)
    axes = set(call.axes("axis", rank))
    if call.attributes.get("exclude") and call.attributes.get("axis") is not None:
        axes = set(range(rank)) - axes
    return {"axes": tuple(sorted(axes)), "keepdims": int(bool(call.attributes.get("keepdims")))}


def arg_reduce(op: str) -> Converter:
    """The place of an extremum along one axis; over all of them, of the flattened data."""

    def convert(call: Call, host: Host) -> Edge:
        axes, edges = reduce(call)["axes"], call.edges
        axis = axes[0] if isinstance(axes, tuple) and len(axes) == 1 else 0
        if isinstance(axes, tuple) and len(axes) > 1:
            if len(axes) != len(call.shape):
                raise call.refuse(f"axes {axes}", "one, or all of them")
            flat = TensorType((call.inputs[0].elements,), call.dtype)
            edges = (host.emit("Reshape", edges, (flat,), {"shape": flat.shape}),)
        keep = int(bool(call.attributes.get("keepdims")))
        return host.emit(op, edges, call.outputs, {"axis": int(axis), "keepdims": keep})

    return convert


def variance(call: Call, host: Host) -> Edge:
    """data, mean: the mean of the squared distance."""
    attributes, data = reduce(call), call.inputs[0]
    centred = host.emit("Sub", call.edges, (data,))
    squared = host.emit("Mul", (centred, centred), (data,))
    return host.emit("ReduceMean", (squared,), call.outputs, attributes)


def batch_norm(call: Call) -> Attributes:
    """``axis`` only where it is not the second one."""
    axis = call.axis(call.integer("axis", 1), len(call.shape))
    found: dict[str, AttributeValue] = {"epsilon": call.number("epsilon", 1e-5), "training_mode": 0}
    return found if axis == 1 else {**found, "axis": axis}


def norm(default_axis: int, *names: str) -> Spell:
    """Epsilon, and of ``names`` the axis and the number of groups."""

    def spell(call: Call) -> Attributes:
        found: dict[str, AttributeValue] = {"epsilon": call.number("epsilon", 1e-5)}
        if "axis" in names:
            found["axis"] = call.axis(call.integer("axis", default_axis), len(call.shape))
        if "num_groups" in names:
            found["num_groups"] = call.integer("num_groups", 1)
        return found

    return spell


def bias_add(call: Call, host: Host) -> Edge:
    """An Add whose vector is spread over the axes behind its own."""
    axis = call.axis(call.integer("axis", 1), len(call.shape))
    bias, behind = call.inputs[1], len(call.shape) - 1 - axis
    edge = call.edges[1]
    if behind and bias.shape:
        kind = TensorType((*bias.shape, *(1,) * behind), bias.dtype)
        name = host.parameter_name(edge)
        edge = host.emit("Reshape", (edge,), (kind,), {"shape": kind.shape}) if name is None else (
            host.add_parameter(name, kind)
        )  # fmt: skip
    return host.emit("Add", (call.edges[0], edge), call.outputs)


def prelu(call: Call, host: Host) -> Edge:
    """A slope a channel, spread over the axes behind it."""
    axis = call.axis(call.integer("axis", 1), len(call.shape))
    kind = TensorType((*call.input(1).shape, *(1,) * (len(call.shape) - 1 - axis)), call.dtype)
    name = host.parameter_name(call.edges[1])
    slope = call.edges[1] if name is None or len(call.input(1).shape) != 1 else host.add_parameter(name, kind)
    return host.emit("PRelu", (call.edges[0], slope), call.outputs)


def clip(call: Call) -> Attributes:
    """Both bounds; one at the end of the float range bounds nothing."""
    bounds = {"max": call.number("a_max"), "min": call.number("a_min")}
    return {name: bound for name, bound in bounds.items() if abs(bound) < 3.4e38}


def lrn(call: Call) -> Attributes:
    """Of channels."""
    if call.axis(call.integer("axis", 1), len(call.shape)) != 1:
        raise call.refuse(f"axis {call.attributes.get('axis')}", "1: read the module before its layouts are rewritten")
    defaults = {"alpha": 1e-4, "beta": 0.75, "bias": 2.0}
    return {**{name: call.number(name, value) for name, value in defaults.items()}, "size": call.integer("size", 5)}


def _widths(call: Call) -> tuple[int, ...]:
    widths = call.attributes.get("pad_width")
    pairs = [pair for pair in widths if isinstance(pair, tuple)] if isinstance(widths, tuple) else []
    return tuple(int(str(pair[side])) for side in (0, 1) for pair in pairs)


def pad(call: Call, host: Host) -> Edge:
    """Relay has (before, after) an axis, and the value as an input; ONNX all befores and then all afters."""
    value = call.values[1] if len(call.values) > 1 else None
    attributes: Attributes = {
        "mode": call.text("pad_mode", "constant"),
        "pads": _widths(call),
        "value": float(value[0]) if value else 0.0,
    }
    return host.emit("Pad", call.edges[:1], call.outputs, attributes)


def mirror_pad(call: Call) -> Attributes:
    """REFLECT leaves the border out, SYMMETRIC repeats it; both read as much."""
    return {"mode": "reflect", "pads": _widths(call), "value": 0.0}


def strided_slice(call: Call) -> Attributes:
    """Axes in order, bounds within the extent, axes that are taken whole left out: as the ONNX reader has it."""
    shape = call.shape
    begins, ends, strides = call.ints("begin"), call.ints("end"), call.ints("strides", (1,))
    by_size = call.text("slice_mode", "end") == "size"
    axes = call.axes("axes", len(shape)) if call.attributes.get("axes") else tuple(range(len(begins)))
    windows = []
    for place, axis in enumerate(axes):
        step = 1 if by_size else strides[place] if place < len(strides) else strides[0] if len(strides) == 1 else 1
        begin, end = begins[place], ends[place]
        if by_size:
            end = shape[axis] if end == -1 else begin + end
        low, high, stride = slice(begin, end, step).indices(shape[axis])
        if (low, high, stride) != (0, shape[axis], 1):
            windows.append((axis, low, -1 if step < 0 and end < -shape[axis] else high, stride))
    windows.sort()
    names = ("axes", "starts", "ends", "steps")
    return {name: tuple(window[position] for window in windows) for position, name in enumerate(names)}


def reverse(call: Call) -> Attributes:
    """A Slice from the end to the beginning."""
    axis = call.axis(call.integer("axis"), len(call.shape))
    return {"axes": (axis,), "starts": (call.shape[axis] - 1,), "ends": (-1,), "steps": (-1,)}


def split(call: Call) -> Attributes:
    """Axis and the extent of each part."""
    axis = call.axis(call.integer("axis", 0), len(call.shape))
    return {"axis": axis, "split": tuple(kind.shape[axis] for kind in call.outputs)}


def stack(call: Call, host: Host) -> Edge:
    """A Concat of inputs that gain an axis on the way."""
    axis = call.axis(call.integer("axis", 0), len(call.outputs[0].shape))
    parts = []
    for edge, kind in zip(call.edges, call.inputs, strict=True):
        wide = TensorType((*kind.shape[:axis], 1, *kind.shape[axis:]), kind.dtype)
        name = host.parameter_name(edge)
        parts.append(host.emit("Reshape", (edge,), (wide,), {"shape": wide.shape}) if name is None else (
            host.add_parameter(name, wide)
        ))  # fmt: skip
    return host.emit("Concat", tuple(parts), call.outputs, {"axis": axis})


def gather(call: Call, host: Host) -> Edge:
    """Rows by number; without an axis of the flattened data."""
    edges = call.edges[:2]
    if call.attributes.get("axis") is None and len(call.shape) != 1:
        flat = TensorType((call.inputs[0].elements,), call.dtype)
        edges = (host.emit("Reshape", edges[:1], (flat,), {"shape": flat.shape}), edges[1])
    axis = call.axis(call.integer("axis", 0), max(1, len(call.shape)))
    return host.emit("Gather", edges, call.outputs, {"axis": axis})


def topk(call: Call) -> Attributes:
    """The largest ones, unless they ascend."""
    axis = call.axis(call.integer("axis", -1), len(call.shape))
    return {"axis": axis, "largest": int(not call.attributes.get("is_ascend")), "sorted": 1}


def one_hot(call: Call) -> Attributes:
    """The new axis."""
    return axis_only(-1)(call)


def trilu(call: Call) -> Attributes:
    """Which triangle stays."""
    return {"upper": int(bool(call.attributes.get("upper", True)))}


def depth_to_space(call: Call) -> Attributes:
    """The block."""
    found: dict[str, AttributeValue] = {"blocksize": call.integer("block_size", 1)}
    if call.op.endswith("depth_to_space"):
        found["mode"] = call.text("mode", "DCR")
    return found


def cumulative(call: Call) -> Attributes:
    """The axis."""
    return {"axis": call.axis(call.integer("axis", 0), len(call.outputs[0].shape))}


_MODES = {"nearest_neighbor": "nearest", "linear": "linear", "bilinear": "linear", "trilinear": "linear",
          "cubic": "cubic", "bicubic": "cubic"}  # fmt: skip


def resize(default: str) -> Spell:
    """The interpolation."""

    def spell(call: Call) -> Attributes:
        method = call.text("method", default)
        if method not in _MODES:
            raise call.refuse(f"method {method}", f"one of {', '.join(_MODES)}")
        return {"mode": _MODES[method]}

    return spell


def roi_align(call: Call) -> Attributes:
    """Samples a bin."""
    return {"sampling_ratio": max(call.integer("sample_ratio", 0), 0)}
