"""Relax's operators as the canonical ones: a table, and nothing of TVM imported.

relax.py turns each call of a module into a :class:`RelaxCall`; the table says which canonical operators it stands for.
Most are one for one. ``silu``, ``rsqrt`` and their like, which ONNX has no operator for, become two.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from relay_frontend.errors import UnsupportedOperatorError
from relay_frontend.graph import AttributeValue, Edge, TensorType

__all__ = ["CALL_TIR_OPERATORS", "CONSTANT_OPERATORS", "CONVERTERS", "Emit", "RelaxCall"]


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

    def axis(self, name: str = "axis") -> int:
        """An axis attribute, counted from the front."""
        return int(getattr(self.attributes, name)) % max(1, len(self.input_types[0].shape))


Attributes = Mapping[str, AttributeValue]
Emit = Callable[[str, tuple[Edge, ...], tuple[TensorType, ...], Attributes], Edge]
Converter = Callable[[RelaxCall, Emit], Edge]


def _plain(op: str, attributes: Callable[[RelaxCall], Attributes] = lambda call: {}) -> Converter:
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


def _conv(op: str) -> Converter:
    def attributes(call: RelaxCall) -> Attributes:
        _require_layout(call, data_layout=("NCW", "NCHW", "NCDHW"), kernel_layout=_KERNEL_LAYOUTS[op])
        found: dict[str, AttributeValue] = {
            "dilations": call.ints("dilation"),
            "group": int(call.attributes.groups),
            "kernel_shape": call.input_types[1].shape[2:],
            "pads": call.ints("padding"),
            "strides": call.ints("strides"),
        }
        if op == "ConvTranspose":
            found["output_padding"] = call.ints("output_padding")
        return found

    return _plain(op, attributes)


_KERNEL_LAYOUTS = {"Conv": ("OIW", "OIHW", "OIDHW"), "ConvTranspose": ("IOW", "IOHW", "IODHW")}


def _pool(op: str) -> Converter:
    def attributes(call: RelaxCall) -> Attributes:
        _require_layout(call, layout=("NCW", "NCHW", "NCDHW"))
        found: dict[str, AttributeValue] = {
            "ceil_mode": int(call.attributes.ceil_mode),
            "dilations": call.ints("dilation"),
            "kernel_shape": call.ints("pool_size"),
            "pads": call.ints("padding"),
            "strides": call.ints("strides"),
        }
        if op == "AveragePool":
            found["count_include_pad"] = int(call.attributes.count_include_pad)
        return found

    return _plain(op, attributes)


def _adaptive_average_pool(call: RelaxCall, emit: Emit) -> Edge:
    _require_layout(call, layout=("NCW", "NCHW", "NCDHW"))
    given, wanted = call.input_types[0].shape[2:], call.outputs[0].shape[2:]
    if all(extent == 1 for extent in wanted):
        return emit("GlobalAveragePool", call.inputs, call.outputs, {})
    if any(whole % part for whole, part in zip(given, wanted, strict=True)):
        raise UnsupportedOperatorError(
            f"{call.op} takes {given} to {wanted}: windows of unequal size have no canonical operator, expected an "
            "output size that divides the input's"
        )
    window = tuple(whole // part for whole, part in zip(given, wanted, strict=True))
    fixed: Attributes = {
        "ceil_mode": 0,
        "count_include_pad": 0,
        "dilations": (1,) * len(window),
        "kernel_shape": window,
        "pads": (0,) * (2 * len(window)),
        "strides": window,
    }
    return emit("AveragePool", call.inputs, call.outputs, fixed)


def _reduce(op: str) -> Converter:
    def attributes(call: RelaxCall) -> Attributes:
        rank = len(call.input_types[0].shape)
        axes = sorted(axis % rank for axis in call.ints("axis")) or range(rank)
        return {"axes": tuple(axes), "keepdims": int(call.attributes.keepdims)}

    return _plain(op, attributes)


def _arg(op: str) -> Converter:
    return _plain(op, lambda call: {"axis": call.axis(), "keepdims": int(call.attributes.keepdims)})


def _transpose(call: RelaxCall) -> Attributes:
    rank = len(call.input_types[0].shape)
    return {"perm": tuple(axis % rank for axis in call.ints("axes")) or tuple(reversed(range(rank)))}


def _slice(call: RelaxCall) -> Attributes:
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


def _split(call: RelaxCall) -> Attributes:
    axis = call.axis()
    return {"axis": axis, "split": tuple(kind.shape[axis] for kind in call.outputs)}


def _pad(call: RelaxCall) -> Attributes:
    """Relax has (before, after) an axis; ONNX all befores and then all afters."""
    widths = call.ints("pad_width")
    return {
        "mode": str(call.attributes.pad_mode),
        "pads": widths[::2] + widths[1::2],
        "value": float(call.attributes.pad_value),
    }


def _output_shape(call: RelaxCall) -> Attributes:
    return {"shape": call.outputs[0].shape}


def _stack(call: RelaxCall, emit: Emit) -> Edge:
    """ONNX's ConcatFromSequence with new_axis; here a Concat of inputs that gain an axis on the way."""
    return emit("Concat", call.inputs, call.outputs, {"axis": int(call.attributes.axis), "new_axis": 1})


def _batch_norm(call: RelaxCall) -> Attributes:
    if int(call.attributes.axis) != 1:
        raise UnsupportedOperatorError(
            f"{call.op} has axis {call.attributes.axis}, expected 1: read the module before its layouts are rewritten"
        )
    return {"epsilon": float(call.attributes.epsilon), "training_mode": int(call.attributes.training)}


def _layer_norm(call: RelaxCall) -> Attributes:
    rank = len(call.input_types[0].shape)
    return {"axis": min(axis % rank for axis in call.ints("axes")), "epsilon": float(call.attributes.epsilon)}


def _then(first: str, second: str, *, again: bool) -> Converter:
    """``first`` and then ``second``, which reads the call's input a second time if ``again``."""

    def convert(call: RelaxCall, emit: Emit) -> Edge:
        middle = emit(first, call.inputs, call.outputs, {})
        inputs = (*call.inputs, middle) if again else (middle,)
        return emit(second, inputs, call.outputs, {})

    return convert


def _variance(call: RelaxCall, emit: Emit) -> Edge:
    """The mean of the squared distance from the mean."""
    rank = len(call.input_types[0].shape)
    axes = tuple(sorted(axis % rank for axis in call.ints("axis"))) or tuple(range(rank))
    whole = call.input_types
    kept = TensorType(tuple(1 if axis in axes else n for axis, n in enumerate(whole[0].shape)), whole[0].dtype)
    mean = emit("ReduceMean", call.inputs, (kept,), {"axes": axes, "keepdims": 1})
    centred = emit("Sub", (*call.inputs, mean), whole, {})
    squared = emit("Mul", (centred, centred), whole, {})
    return emit("ReduceMean", (squared,), call.outputs, {"axes": axes, "keepdims": int(call.attributes.keepdims)})


_NO_ATTRIBUTES = {
    "abs": "Abs", "acos": "Acos", "acosh": "Acosh", "add": "Add", "asin": "Asin", "asinh": "Asinh", "atan": "Atan",
    "atanh": "Atanh", "bitwise_and": "BitwiseAnd", "bitwise_not": "BitwiseNot", "bitwise_or": "BitwiseOr",
    "bitwise_xor": "BitwiseXor", "ceil": "Ceil", "cos": "Cos",
    "cosh": "Cosh", "divide": "Div", "equal": "Equal", "erf": "Erf", "exp": "Exp", "floor": "Floor",
    "greater": "Greater", "greater_equal": "GreaterOrEqual", "isinf": "IsInf", "isnan": "IsNaN", "less": "Less",
    "less_equal": "LessOrEqual", "log": "Log", "logical_and": "And", "logical_not": "Not", "logical_or": "Or",
    "logical_xor": "Xor", "matmul": "MatMul", "maximum": "Max", "minimum": "Min", "multiply": "Mul",
    "negative": "Neg", "nn.dropout": "Dropout", "nn.gelu": "Gelu", "nn.prelu": "PRelu", "nn.relu": "Relu",
    "nn.selu": "Selu", "nn.softplus": "Softplus", "power": "Pow",
    "round": "Round", "sigmoid": "Sigmoid", "sign": "Sign", "sin": "Sin", "sinh": "Sinh", "sqrt": "Sqrt",
    "subtract": "Sub", "tan": "Tan", "tanh": "Tanh", "where": "Where",
}  # fmt: skip

_RESIZE_MODES = {"nearest_neighbor": "nearest", "linear": "linear", "cubic": "cubic"}

CONVERTERS: Mapping[str, Converter] = {
    **{f"relax.{name}": _plain(op) for name, op in _NO_ATTRIBUTES.items()},
    **{f"relax.nn.conv{n}d": _conv("Conv") for n in (1, 2, 3)},
    **{f"relax.nn.conv{n}d_transpose": _conv("ConvTranspose") for n in (1, 2, 3)},
    **{f"relax.nn.max_pool{n}d": _pool("MaxPool") for n in (1, 2, 3)},
    **{f"relax.nn.avg_pool{n}d": _pool("AveragePool") for n in (1, 2, 3)},
    **{f"relax.nn.adaptive_avg_pool{n}d": _adaptive_average_pool for n in (1, 2, 3)},
    **{f"relax.{name}": _reduce(f"Reduce{name.capitalize()}") for name in ("max", "mean", "min", "prod", "sum")},
    # Views of the same bytes, whatever they are called.
    **{
        f"relax.{name}": _plain("Reshape", _output_shape)
        for name in ("expand_dims", "flatten", "nn.batch_flatten", "reshape", "squeeze")
    },
    "relax.argmax": _arg("ArgMax"),
    "relax.argmin": _arg("ArgMin"),
    "relax.astype": _plain("Cast", lambda call: {"to": call.outputs[0].dtype}),
    "relax.broadcast_to": _plain("Expand", _output_shape),
    "relax.clip": _plain(
        "Clip", lambda call: dict(zip(("min", "max"), map(float, sum(call.literals, ())), strict=True))
    ),
    "relax.concat": _plain("Concat", lambda call: {"axis": call.axis()}),
    "relax.cumsum": _plain("CumSum"),
    "relax.einsum": _plain("Einsum", lambda call: {"equation": str(call.attributes.subscripts)}),
    "relax.gather_elements": _plain("GatherElements", lambda call: {"axis": call.axis()}),
    "relax.gather_nd": _plain("GatherND", lambda call: {"batch_dims": int(call.attributes.batch_dims)}),
    "relax.image.resize2d": _plain("Resize", lambda call: {"mode": _RESIZE_MODES[str(call.attributes.method)]}),
    "relax.nn.batch_norm": _plain("BatchNormalization", _batch_norm),
    "relax.nn.gelu_tanh": _plain("Gelu", lambda call: {"approximate": "tanh"}),
    "relax.nn.group_norm": _plain(
        "GroupNormalization",
        lambda call: {"epsilon": float(call.attributes.epsilon), "num_groups": int(call.attributes.num_groups)},
    ),
    "relax.nn.instance_norm": _plain("InstanceNormalization", lambda call: {"epsilon": float(call.attributes.epsilon)}),
    "relax.nn.layer_norm": _plain("LayerNormalization", _layer_norm),
    "relax.nn.leakyrelu": _plain("LeakyRelu", lambda call: {"alpha": float(call.attributes.alpha)}),
    "relax.nn.log_softmax": _plain("LogSoftmax", lambda call: {"axis": call.axis()}),
    "relax.nn.pad": _plain("Pad", _pad),
    "relax.nn.relu6": _plain("Clip", lambda call: {"max": 6.0, "min": 0.0}),
    "relax.nn.silu": _then("Sigmoid", "Mul", again=True),
    "relax.nn.softmax": _plain("Softmax", lambda call: {"axis": call.axis()}),
    "relax.permute_dims": _plain("Transpose", _transpose),
    "relax.rsqrt": _then("Sqrt", "Reciprocal", again=False),
    "relax.split": _plain("Split", _split),
    "relax.square": lambda call, emit: emit("Mul", (*call.inputs, *call.inputs), call.outputs, {}),
    "relax.stack": _stack,
    "relax.strided_slice": _plain("Slice", _slice),
    "relax.take": _plain("Gather", lambda call: {"axis": call.axis()}),
    "relax.tile": _plain("Tile"),
    "relax.variance": _variance,
    "relax.topk": _plain("TopK", lambda call: {"axis": call.axis(), "largest": int(call.attributes.largest)}),
}

# Constants, since every shape is known when a module is read.
CONSTANT_OPERATORS = frozenset(
    f"relax.{name}"
    for name in ("arange", "eye", "full", "full_like", "ones", "ones_like", "shape_of", "shape_to_tensor",
                 "tensor_to_shape", "zeros", "zeros_like")
)  # fmt: skip

# TVM's ONNX importer writes these as call_tir from the start: PrimFunc's name without its number -> operator.
CALL_TIR_OPERATORS: Mapping[str, Converter] = {
    "maximum": _plain("Max"),
    "minimum": _plain("Min"),
    "mirror_pad": _plain("Pad", lambda call: {"mode": "reflect"}),
    "pad": _plain("Pad", lambda call: {"mode": "constant"}),
    "replicate_pad": _plain("Pad", lambda call: {"mode": "edge"}),
    "tile": _plain("Tile"),
}
