"""Arithmetic on small constants: what exporters write to compute shapes, done while the graph is read."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import onnx
from onnx import helper

from relay_frontend.errors import InvalidGraphError
from relay_frontend.graph import TensorType
from relay_frontend.onnx.source import MAX_KNOWN_ELEMENTS, Array, SourceNode, decode_tensor, tensor_type

__all__ = ["FOLDABLE", "NOT_CONSTANT", "constant_of", "filled_type", "fold", "shape_of"]

# These give another value each time, so that constant inputs do not make their output constant.
NOT_CONSTANT = {"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Bernoulli", "Multinomial"}

_MOST_ELEMENTS = 2**63 - 1  # what an int64 can count
_INTEGERS = {"bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"}

_Rule = Callable[[SourceNode, Sequence[Array | None]], "Array | None"]
_Inputs = Sequence[Array | None]


def constant_of(node: SourceNode) -> onnx.TensorProto | Array:
    """The value of a Constant node, not yet decoded when it is a tensor."""
    for name, proto in node.tensors.items():
        if name == "value":
            return proto
    for name, dtype in (("value_int", np.int64), ("value_ints", np.int64), ("value_float", np.float32),
                        ("value_floats", np.float32)):  # fmt: skip
        if name in node.attributes:
            return np.array(node.attributes[name], dtype=dtype)
    raise InvalidGraphError(
        f"{node.label} has attributes {sorted(node.attributes)}, expected value, value_int(s) or value_float(s)"
    )


def filled_type(node: SourceNode, shape: Array) -> tuple[TensorType, Array | None]:
    """Type of what ConstantOfShape makes, and its value when it is small and of integers."""
    extents = tuple(shape.reshape(-1).tolist())
    if not all(isinstance(extent, int) and extent >= 0 for extent in extents):
        raise InvalidGraphError(f"{node.label} is asked for shape {extents}, expected integers of 0 or more")
    proto = node.tensors.get("value")
    if proto is None:
        return TensorType(extents, "float32"), None
    stored = tensor_type(proto, node.label)
    if stored.elements != 1:
        raise InvalidGraphError(f"{node.label} fills with {stored.elements} values, expected one")
    kind = TensorType(extents, stored.dtype)
    if kind.elements > MAX_KNOWN_ELEMENTS or stored.dtype not in _INTEGERS:
        return kind, None  # most are weights, whose value nobody asks for
    fill = decode_tensor(proto, f"value of {node.label}").reshape(-1)
    return kind, np.full(extents, fill[0])


def shape_of(node: SourceNode, kind: TensorType) -> Array:
    """The value of Shape or Size of a tensor of a known type."""
    if node.op == "Size":
        if kind.elements > _MOST_ELEMENTS:
            raise InvalidGraphError(f"{node.label} reads {kind.elements} elements, expected at most {_MOST_ELEMENTS}")
        return np.array(kind.elements, dtype=np.int64)
    start, end = node.attributes.get("start", 0), node.attributes.get("end", len(kind.shape))
    if not isinstance(start, int) or not isinstance(end, int):
        raise InvalidGraphError(f"{node.label} has start={start!r} and end={end!r}, expected integers")
    return np.array(kind.shape[start:end], dtype=np.int64)


def fold(node: SourceNode, inputs: Sequence[Array | None]) -> Array | None:
    """The value of the first output of ``node``, or None where it is not small or there is no rule for it.

    Raises:
        InvalidGraphError: the values do not fit the operator.
    """
    rule = _RULES.get(node.op)
    if rule is None:
        return None
    try:
        with np.errstate(all="ignore"):
            value = rule(node, inputs)
    except (ArithmeticError, IndexError, KeyError, TypeError, ValueError, AttributeError) as error:
        given = [None if value is None else value.tolist() for value in inputs]
        raise InvalidGraphError(f"{node.label} does not fit the constants {given}: {error!r}") from error
    if value is None or value.size > MAX_KNOWN_ELEMENTS:
        return None
    return value


def _one(value: Array | None) -> Array:
    if value is None:
        raise ValueError("an input is missing")
    return value


def _ints(node: SourceNode, inputs: _Inputs, slot: int, name: str) -> tuple[int, ...] | None:
    """An integer list that is an input in new opsets and an attribute in old ones."""
    if len(inputs) > slot and inputs[slot] is not None:
        return tuple(int(item) for item in _one(inputs[slot]).reshape(-1))
    value = node.attributes.get(name)
    return None if value is None else tuple(int(item) for item in value)  # type: ignore[union-attr]


def _int(node: SourceNode, name: str, default: int) -> int:
    value = node.attributes.get(name, default)
    if not isinstance(value, int):
        raise TypeError(f"{name} is {value!r}")
    return value


def _bounded(shape: Sequence[int]) -> bool:
    """Whether a result of this shape may be made at all."""
    return all(extent >= 0 for extent in shape) and math.prod(shape) <= MAX_KNOWN_ELEMENTS


def _divide(left: Array, right: Array) -> Array:
    if left.dtype.kind == "f":
        return np.divide(left, right)
    if not np.all(right):
        raise ZeroDivisionError("integer division by zero")
    quotient = np.floor_divide(np.abs(left), np.abs(right))  # ONNX truncates towards zero
    return (quotient * np.sign(left) * np.sign(right)).astype(left.dtype)


def _mod(node: SourceNode, inputs: _Inputs) -> Array:
    left, right = _one(inputs[0]), _one(inputs[1])
    if right.dtype.kind != "f" and not np.all(right):
        raise ZeroDivisionError("integer division by zero")
    return np.fmod(left, right) if _int(node, "fmod", 0) else np.mod(left, right)


def _cast(node: SourceNode, inputs: _Inputs) -> Array:
    return _one(inputs[0]).astype(helper.tensor_dtype_to_np_dtype(_int(node, "to", 0)))


def _squeeze(node: SourceNode, inputs: _Inputs) -> Array:
    return np.squeeze(_one(inputs[0]), axis=_ints(node, inputs, 1, "axes"))


def _unsqueeze(node: SourceNode, inputs: _Inputs) -> Array:
    axes = _ints(node, inputs, 1, "axes") or ()
    if len(axes) > 64:
        raise ValueError("too many axes")
    return np.expand_dims(_one(inputs[0]), axes)


def _slice(node: SourceNode, inputs: _Inputs) -> Array:
    data = _one(inputs[0])
    starts, ends = _ints(node, inputs, 1, "starts") or (), _ints(node, inputs, 2, "ends") or ()
    axes = _ints(node, inputs, 3, "axes") or tuple(range(len(starts)))
    steps = _ints(node, inputs, 4, "steps") or (1,) * len(starts)
    window = [slice(None)] * data.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        last = None if step < 0 and end < -data.shape[axis] else end  # "to the first element" when going backwards
        window[axis] = slice(start, last, step)
    return data[tuple(window)]


def _reshape(node: SourceNode, inputs: _Inputs) -> Array:
    data, wanted = _one(inputs[0]), _ints(node, inputs, 1, "shape") or ()
    if not _int(node, "allowzero", 0):
        wanted = tuple(data.shape[axis] if extent == 0 else extent for axis, extent in enumerate(wanted))
    return data.reshape(wanted)


def _expand(node: SourceNode, inputs: _Inputs) -> Array | None:
    data, wanted = _one(inputs[0]), _ints(node, inputs, 1, "shape") or ()
    shape = np.broadcast_shapes(data.shape, wanted) if _bounded(wanted) else ()
    return np.broadcast_to(data, shape) if _bounded(wanted) and _bounded(shape) else None


def _tile(node: SourceNode, inputs: _Inputs) -> Array | None:
    data, repeats = _one(inputs[0]), _ints(node, inputs, 1, "repeats") or ()
    if not _bounded([extent * count for extent, count in zip(data.shape, repeats, strict=True)]):
        return None
    return np.tile(data, repeats)


def _range(node: SourceNode, inputs: _Inputs) -> Array | None:
    start, limit, delta = (_one(value).item() for value in inputs)
    if (limit - start) / delta > MAX_KNOWN_ELEMENTS:
        return None
    return np.arange(start, limit, delta, dtype=_one(inputs[0]).dtype)


def _reducer(reduce: Callable[..., Array]) -> _Rule:
    def rule(node: SourceNode, inputs: _Inputs) -> Array:
        data, axes = _one(inputs[0]), _ints(node, inputs, 1, "axes")
        if axes is None and _int(node, "noop_with_empty_axes", 0):
            return data
        keep = bool(_int(node, "keepdims", 1))
        return np.asarray(reduce(data, axis=axes, keepdims=keep)).astype(data.dtype)

    return rule


def _unary(function: Callable[[Array], Array]) -> _Rule:
    return lambda node, inputs: np.asarray(function(_one(inputs[0])))


def _binary(function: Callable[[Array, Array], Array]) -> _Rule:
    def rule(node: SourceNode, inputs: _Inputs) -> Array | None:
        left, right = _one(inputs[0]), _one(inputs[1])
        if left.size * right.size > MAX_KNOWN_ELEMENTS**2 or not _bounded(np.broadcast_shapes(left.shape, right.shape)):
            return None
        return np.asarray(function(left, right))

    return rule


def _variadic(function: Callable[[Array, Array], Array]) -> _Rule:
    def rule(node: SourceNode, inputs: _Inputs) -> Array | None:
        total = _one(inputs[0])
        for value in inputs[1:]:
            if not _bounded(np.broadcast_shapes(total.shape, _one(value).shape)):
                return None
            total = np.asarray(function(total, _one(value)))
        return total

    return rule


_RULES: dict[str, _Rule] = {
    "Abs": _unary(np.abs),
    "Add": _binary(np.add),
    "And": _binary(np.logical_and),
    "Cast": _cast,
    "Ceil": _unary(np.ceil),
    "Concat": lambda node, inputs: np.concatenate([_one(value) for value in inputs], _int(node, "axis", 1)),
    "Div": _binary(_divide),
    "Equal": _binary(np.equal),
    "Expand": _expand,
    "Floor": _unary(np.floor),
    "Gather": lambda node, inputs: np.take(_one(inputs[0]), _one(inputs[1]).astype(np.int64), _int(node, "axis", 0)),
    "Greater": _binary(np.greater),
    "GreaterOrEqual": _binary(np.greater_equal),
    "Identity": _unary(np.asarray),
    "Less": _binary(np.less),
    "LessOrEqual": _binary(np.less_equal),
    "Max": _variadic(np.maximum),
    "Min": _variadic(np.minimum),
    "Mod": _mod,
    "Mul": _binary(np.multiply),
    "Neg": _unary(np.negative),
    "Not": _unary(np.logical_not),
    "Or": _binary(np.logical_or),
    "Range": _range,
    "ReduceMax": _reducer(np.max),
    "ReduceMin": _reducer(np.min),
    "ReduceProd": _reducer(np.prod),
    "ReduceSum": _reducer(np.sum),
    "Reshape": _reshape,
    "Slice": _slice,
    "Sqrt": _unary(np.sqrt),
    "Squeeze": _squeeze,
    "Sub": _binary(np.subtract),
    "Sum": _variadic(np.add),
    "Tile": _tile,
    "Transpose": lambda node, inputs: np.transpose(
        _one(inputs[0]), None if "perm" not in node.attributes else _ints(node, (), 0, "perm")
    ),
    "Unsqueeze": _unsqueeze,
    "Where": lambda node, inputs: np.where(_one(inputs[0]), _one(inputs[1]), _one(inputs[2])),
}

# Operators that never reach the graph when what they read is constant, so that the operator table need not know them.
FOLDABLE = frozenset(_RULES) | {"Constant", "ConstantOfShape", "Shape", "Size"}
