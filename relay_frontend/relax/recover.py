"""PrimFuncs back to the calls of Relax that they came from.

What an operator is, its PrimFunc's name says, as LegalizeOps gives it; where FuseTIR's name is cut off or can be read
in two ways, its blocks' names say. Attributes are read off the loops (attributes.py, windows.py). Either way the
result is a call as the module had it before, so that the same table converts both (table.py).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from relay_frontend.graph import TensorType
from relay_frontend.relax import attributes, windows
from relay_frontend.relax.objects import kind_of
from relay_frontend.relax.operators import single
from relay_frontend.relax.segments import Segment
from relay_frontend.relax.stages import Buffer, Expression, UnrecoverableError, affine, loads_of

__all__ = ["KNOWN_NAMES", "Recovered", "Scalar", "needs_no_loops", "recover"]


@dataclass(frozen=True, slots=True)
class Scalar:
    """A constant that TVM wrote into the loops."""

    value: float
    dtype: str

    @property
    def type(self) -> TensorType:
        """Of a tensor that holds it."""
        return TensorType((), self.dtype)


@dataclass(frozen=True, slots=True)
class Recovered:
    """A call of Relax.

    Attributes:
        op: ``relax.nn.conv2d``.
        operands: buffers and constants, in the order of the call.
        attributes: what the operator's converter asks for, under Relax's names.
        literals: arguments that are no tensors.
    """

    op: str
    operands: tuple[Buffer | Scalar, ...]
    attributes: Any = None
    literals: tuple[tuple[int | float, ...], ...] = ()


_Read = Callable[[Segment], Any]

# PrimFuncs that need nothing beside their inputs and types.
_PLAIN = {
    **{name: f"relax.{name}" for name in (
        "bitwise_not", "cumsum", "expand_dims", "flatten", "reshape", "scatter_nd", "squeeze", "tile", "where",
        "erf", "trunc", "broadcast_to", "repeat", "flip")},
    **{f"tir_{name}": f"relax.{name}" for name in (
        "abs", "acos", "acosh", "asin", "asinh", "atan", "atanh", "bitwise_not", "ceil", "cos", "cosh", "exp", "floor",
        "isfinite", "isinf", "isnan", "log", "logical_not", "negative", "round", "rsqrt", "sigmoid", "sign", "sin",
        "sinh", "square", "sqrt", "tan", "tanh", "trunc")},
    **{name: f"relax.nn.{name}" for name in (
        "dropout", "gelu", "gelu_tanh", "prelu", "relu", "selu", "silu", "softplus")},
    "cast": "relax.astype", "matmul": "relax.matmul", "tril": "relax.tril", "triu": "relax.triu",
    **{name: f"relax.{name}" for name in (
        "arange", "eye", "full", "full_like", "ones", "ones_like", "shape_to_tensor", "zeros", "zeros_like")},
}  # fmt: skip
_BINARY = {
    name: f"relax.{name}"
    for name in ("add", "bitwise_and", "bitwise_or", "bitwise_xor", "divide", "equal", "floor_divide", "floor_mod",
                 "greater", "greater_equal", "left_shift", "less", "less_equal", "logical_and", "logical_or",
                 "logical_xor", "maximum", "minimum", "mod", "multiply", "not_equal", "power", "right_shift",
                 "subtract")
}  # fmt: skip
_WITH_ATTRIBUTES: Mapping[str, tuple[str, _Read]] = {
    **{f"conv{n}d": (f"relax.nn.conv{n}d", windows.convolution) for n in (1, 2, 3)},
    **{f"conv{n}d_transpose": (f"relax.nn.conv{n}d_transpose", windows.transposed_convolution) for n in (1, 2, 3)},
    **{f"max_pool{n}d": (f"relax.nn.max_pool{n}d", windows.max_pool) for n in (1, 2, 3)},
    **{f"avg_pool{n}d": (f"relax.nn.avg_pool{n}d", windows.average_pool) for n in (1, 2, 3)},
    **{f"adaptive_avg_pool{n}d": (f"relax.nn.adaptive_avg_pool{n}d", windows.adaptive) for n in (1, 2, 3)},
    **{name: (f"relax.{name}", attributes.reduction) for name in ("max", "mean", "min", "prod", "sum", "variance")},
    **{name: (f"relax.{name}", attributes.arg_reduction) for name in ("argmax", "argmin")},
    **{name: (f"relax.nn.{name}", attributes.softmax) for name in ("softmax", "log_softmax")},
    **{name: (f"relax.nn.{name}", attributes.layer_norm) for name in ("layer_norm", "rms_norm", "instance_norm")},
    **{name: (f"relax.nn.{name}", attributes.attention) for name in ("attention", "attention_bias")},
    "batch_norm": ("relax.nn.batch_norm", attributes.batch_norm),
    "concatenate": ("relax.concat", attributes.concat),
    "einsum": ("relax.einsum", attributes.equation),
    "gather": ("relax.gather_elements", attributes.gather),
    "group_norm": ("relax.nn.group_norm", attributes.group_norm),
    "te_gather_nd": ("relax.gather_nd", attributes.gather_nd),
    "leaky_relu": ("relax.nn.leakyrelu", attributes.leaky),
    "pad": ("relax.nn.pad", attributes.pad),
    "resize2d": ("relax.image.resize2d", attributes.resize),
    "split": ("relax.split", attributes.split),
    "stack": ("relax.stack", attributes.stack),
    "take": ("relax.take", attributes.gather),
    "transpose": ("relax.permute_dims", attributes.permutation),
}
_WITH_LITERALS: Mapping[str, tuple[str, _Read]] = {
    "strided_slice": ("relax.strided_slice", attributes.slice_literals),
    "tir_clip": ("relax.clip", attributes.clip_bounds),
}

KNOWN_NAMES = frozenset((*_PLAIN, *_BINARY, *_WITH_ATTRIBUTES, *_WITH_LITERALS))

# What a last block's name says where FuseTIR's does not; ``compute`` says nothing, its expression does.
_BLOCKS = {
    **{f"T_{name}": name for name in _BINARY}, **{f"T_{name}": name for name in _PLAIN},
    "T_concat": "concatenate", "T_softmax_norm": "softmax", "T_split": "strided_slice",
    "T_split_sections": "strided_slice", "T_stack": "stack", "T_strided_slice": "strided_slice", "T_take": "take",
    "T_transpose": "transpose", "T_layer_norm": "layer_norm", "T_rms_norm": "rms_norm", "matmul": "matmul",
}  # fmt: skip
_INTRINSICS = {"erf": "erf", **{name: f"tir_{name}" for name in (
    "acos", "acosh", "asin", "asinh", "atan", "atanh", "ceil", "cos", "cosh", "exp", "fabs", "floor", "log", "round",
    "rsqrt", "sigmoid", "sin", "sinh", "sqrt", "tan", "tanh", "trunc")}, "fabs": "tir_abs"}  # fmt: skip


def needs_no_loops(name: str) -> str | None:
    """The operator of a PrimFunc that its name and types alone tell; None if its loops are needed."""
    return _PLAIN.get(name)


def recover(segment: Segment) -> Recovered:
    """The call that a segment came from.

    Raises:
        UnrecoverableError: it is of no known name, or not written as the operator of that name.
    """
    name = segment.name or _name_by_blocks(segment)
    if name in _PLAIN:
        return Recovered(_PLAIN[name], _ordered(segment, name))
    if name in _BINARY:
        return Recovered(_BINARY[name], _operands(segment))
    if name in _WITH_LITERALS:
        op, read = _WITH_LITERALS[name]
        return Recovered(op, segment.inputs, literals=read(segment))
    if name not in _WITH_ATTRIBUTES:
        raise UnrecoverableError("a name that no operator has")
    op, read = _WITH_ATTRIBUTES[name]
    operands = _ordered(segment, name)
    return Recovered(op, operands, read(_with_inputs(segment, operands)))


def _name_by_blocks(segment: Segment) -> str:
    last = segment.stages[-1]
    if last.name.startswith("T_split") and len(segment.stages) > 1:
        return "split"
    for stage in segment.stages:
        for block, name in (("conv", "conv{}d"), ("pool_max", "max_pool{}d"), ("pool_sum", "avg_pool{}d"),
                            ("adaptive_pool_sum", "adaptive_avg_pool{}d")):  # fmt: skip
            if stage.name.startswith((block, f"group_{block}", f"depthwise_{block}")):
                return name.format(len(stage.indices) - 2)
    if (last.name in _BLOCKS and len(segment.stages) <= 2) or last.name in (
        "T_softmax_norm",
        "T_layer_norm",
        "T_rms_norm",
    ):
        return _BLOCKS.get(last.name, "")
    kind = kind_of(last.value)
    if kind == "Call":
        return _INTRINSICS.get(attributes.intrinsic_of(last.value), "")
    if kind == "Cast":
        return "cast"
    if kind == "Max" and kind_of(last.value.a) == "Min":
        return "tir_clip"
    return "relu" if kind == "Max" and kind_of(last.value.b) in ("FloatImm", "IntImm") else ""


def _operands(segment: Segment) -> tuple[Buffer | Scalar, ...]:
    """The two sides of an expression: a buffer each, or a constant."""
    value = segment.stages[-1].value
    if kind_of(value) in ("LE", "LT") and segment.name.startswith("greater"):
        return _operands_of(segment, (value.b, value.a))  # TVM turns a > b into b < a
    sides = tuple(value.args) if kind_of(value) == "Call" else (getattr(value, "a", None), getattr(value, "b", None))
    return _operands_of(segment, sides)


def _operands_of(segment: Segment, sides: tuple[Expression, ...]) -> tuple[Buffer | Scalar, ...]:
    found = [_operand(side) for side in sides]
    if len(segment.stages) == 1 and len(found) == 2 and None not in found:
        return tuple(side for side in found if side is not None)
    if len(segment.inputs) != 2:
        raise UnrecoverableError("no two sides")
    return segment.inputs


def _operand(side: Expression) -> "Buffer | Scalar | None":
    while kind_of(side) == "Cast":
        side = side.value
    if kind_of(side) in ("BufferLoad", "TensorLoad"):
        return loads_of(side)[0].buffer
    if kind_of(side) in ("FloatImm", "IntImm"):
        dtype = side.ty.dtype if hasattr(side.ty, "dtype") else side.dtype
        dtype = str(getattr(dtype, "dtype", dtype))
        return Scalar(single(side.value) if dtype == "float32" else float(side.value), dtype)
    return None


def _ordered(segment: Segment, name: str) -> tuple[Buffer, ...]:
    """Inputs in the order of the call, where the order of use is another.

    The last part of a Concat or Stack is read first, and statistics of a normalisation before its data.
    """
    if segment.alone:
        return segment.inputs
    if name in ("einsum", "matmul"):
        own = {buffer for stage in segment.stages for buffer, _, _ in stage.stores}
        return tuple(load.buffer for load in loads_of(segment.stages[-1].value) if load.buffer not in own)
    if name.startswith("attention"):
        first = [loads_of(stage.value)[0].buffer for stage in segment.stages if stage.name == "T_transpose"]
        used = tuple(buffer for buffer in first if buffer in segment.inputs)
        return (*used, *(buffer for buffer in segment.inputs if buffer not in used))
    if name == "stack":
        return tuple(load.buffer for load in reversed(loads_of(segment.stages[-1].value)))
    if name == "concatenate":
        loads = loads_of(segment.stages[-1].value)
        return tuple(load.buffer for load in sorted(loads, key=lambda load: -sum(affine(i)[1] for i in load.indices)))
    if name.endswith("_norm"):
        shape = segment.output_types[0].shape
        return tuple(sorted(segment.inputs, key=lambda buffer: segment.types[buffer].shape != shape))
    return segment.inputs


def _with_inputs(segment: Segment, inputs: tuple[Buffer, ...]) -> Segment:
    return Segment(segment.name, segment.stages, inputs, segment.outputs, segment.types, segment.alone)
