"""Types of operators that compute element by element, or over axes."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from relay_frontend.graph import TensorType
from relay_frontend.relay.call import Call, Infer

__all__ = [
    "arange",
    "arg_reduce",
    "batch_norm",
    "bias_add",
    "boolean",
    "broadcast",
    "broadcast_shapes",
    "cast",
    "compare",
    "dropout",
    "einsum",
    "full",
    "like",
    "nll_loss",
    "norm",
    "one_hot",
    "quantized",
    "reduce",
    "same",
    "shape_of",
    "topk",
    "where",
]

Types = tuple[TensorType, ...]


def same(call: Call) -> Types:
    """The type of the first input."""
    return (call.input(0),)


def boolean(call: Call) -> Types:
    """Its shape, with a truth a element."""
    return (replace(call.input(0), dtype="bool"),)


def broadcast_shapes(call: Call, shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """The shape that several are repeated to.

    Raises:
        InvalidGraphError: two extents differ, and neither is 1.
    """
    rank = max(map(len, shapes), default=0)
    found = [1] * rank
    for shape in shapes:
        for axis, extent in enumerate(shape, rank - len(shape)):
            if found[axis] == 1:
                found[axis] = extent
            elif extent not in (1, found[axis]):
                raise call.wrong(f"operands of {[list(shape) for shape in shapes]}", "extents that are equal or 1")
    return tuple(found)


def broadcast(call: Call) -> Types:
    """Of two operands with one dtype."""
    first, second = call.input(0), call.input(1)
    if first.dtype != second.dtype:
        raise call.wrong(f"operands of {first.dtype} and {second.dtype}", "one dtype: cast one of them")
    return (TensorType(broadcast_shapes(call, [first.shape, second.shape]), first.dtype),)


def compare(call: Call) -> Types:
    """Of two operands, a truth an element."""
    return (replace(broadcast(call)[0], dtype="bool"),)


def where(call: Call) -> Types:
    """condition, x, y."""
    shapes = [call.input(index).shape for index in range(3)]
    return (TensorType(broadcast_shapes(call, shapes), call.input(1).dtype),)


def bias_add(call: Call) -> Types:
    """A vector along an axis."""
    axis = call.axis(call.integer("axis", 1), len(call.shape))
    if call.input(1).shape not in ((call.shape[axis],), ()):
        raise call.wrong(f"a bias of {list(call.input(1).shape)}", f"one of [{call.shape[axis]}]")
    return (call.input(0),)


def batch_norm(call: Call) -> Types:
    """data, gamma, beta, mean, variance; the new mean and variance come with it."""
    _check_vectors(call, call.axis(call.integer("axis", 1), len(call.shape)), 4)
    return call.input(0), call.input(3), call.input(4)


def norm(default_axis: int) -> Infer:
    """data, gamma, beta, of the extent of an axis."""

    def infer(call: Call) -> Types:
        _check_vectors(call, call.axis(call.integer("axis", default_axis), len(call.shape)), 2)
        return (call.input(0),)

    return infer


def _check_vectors(call: Call, axis: int, count: int) -> None:
    for index in range(1, count + 1):
        if call.input(index).shape != (call.shape[axis],):
            raise call.wrong(
                f"input {index} of {list(call.input(index).shape)}", f"a vector of {call.shape[axis]}, as axis {axis}"
            )


def dropout(call: Call) -> Types:
    """The data, and the mask in its dtype."""
    return call.input(0), call.input(0)


def cast(call: Call) -> Types:
    """To ``dtype``."""
    return (replace(call.input(0), dtype=call.text("dtype", "float32")),)


def like(shape: int, dtype: int) -> Infer:
    """The shape of one input with the dtype of another."""
    return lambda call: (TensorType(call.input(shape).shape, call.input(dtype).dtype),)


def full(call: Call) -> Types:
    """Of ``shape`` and ``dtype``; the value may be an input."""
    default = call.inputs[0].dtype if call.inputs else "float32"
    dtype = call.text("dtype", default)
    return (TensorType(call.ints("shape"), default if dtype == "void" else dtype),)


def arange(call: Call) -> Types:
    """start, stop, step, all of them constants."""
    bounds = [found[0] if found and len(found) == 1 else None for found in call.values[:3]]
    if len(bounds) != 3 or None in bounds or not bounds[2]:
        raise call.refuse("bounds that are computed", "constants: fold constants in the module")
    start, stop, step = (float(item or 0) for item in bounds)
    count = (stop - start) / step
    if not abs(count) < 2**40:
        raise call.wrong(f"{count} steps", "a finite number of them")
    return (TensorType((max(0, math.ceil(count)),), call.text("dtype", call.dtype)),)


def shape_of(call: Call) -> Types:
    """The shape as a vector."""
    return (TensorType((len(call.shape),), call.text("dtype", "int32")),)


def _reduced(call: Call) -> tuple[int, ...]:
    rank = len(call.shape)
    axes = set(call.axes("axis", rank))
    if call.attributes.get("exclude") and call.attributes.get("axis") is not None:
        axes = set(range(rank)) - axes
    if call.attributes.get("keepdims"):
        return tuple(1 if axis in axes else extent for axis, extent in enumerate(call.shape))
    return tuple(extent for axis, extent in enumerate(call.shape) if axis not in axes)


def reduce(call: Call) -> Types:
    """Over axes, all of them by default."""
    return (TensorType(_reduced(call), call.dtype),)


def arg_reduce(call: Call) -> Types:
    """Places of extrema."""
    return (TensorType(_reduced(call), "int32"),)


def topk(call: Call) -> Types:
    """Values, places, or both."""
    axis = call.axis(call.integer("axis", -1), len(call.shape))
    count = call.integer("k", 1)
    extent = call.shape[axis] if count < 1 else count
    shape = (*call.shape[:axis], extent, *call.shape[axis + 1 :])
    values, places = TensorType(shape, call.dtype), TensorType(shape, call.text("dtype", "int32"))
    return {"values": (values,), "indices": (places,)}.get(call.text("ret_type", "both"), (values, places))


def one_hot(call: Call) -> Types:
    """A new axis of ``depth``."""
    rank = len(call.shape) + 1
    axis = call.axis(call.integer("axis", -1), rank)
    shape = (*call.shape[:axis], call.integer("depth", 1), *call.shape[axis:])
    return (TensorType(shape, call.text("dtype", call.input(1).dtype)),)


def nll_loss(call: Call) -> Types:
    """One number, or one a target."""
    shape = call.input(1).shape if call.text("reduction", "mean") == "none" else ()
    return (TensorType(shape, call.dtype),)


def einsum(call: Call) -> Types:
    """As numpy's, without an ellipsis."""
    inputs, arrow, output = call.text("equation", "").replace(" ", "").partition("->")
    terms = inputs.split(",")
    if len(terms) != len(call.inputs) or "." in inputs or any(
        len(term) != len(kind.shape) for term, kind in zip(terms, call.inputs, strict=True)
    ):  # fmt: skip
        raise call.wrong(f"equation {inputs[:40]!r}", "one term without an ellipsis an operand, one letter an axis")
    extents: dict[str, int] = {}
    for term, kind in zip(terms, call.inputs, strict=True):
        for letter, extent in zip(term, kind.shape, strict=True):
            if extents.setdefault(letter, extent) != extent:
                raise call.wrong(f"axis {letter!r} of {extents[letter]} and {extent}", "one extent")
    if not arrow:
        letters = "".join(terms)
        output = "".join(sorted(letter for letter in set(letters) if letters.count(letter) == 1))
    if not set(output) <= set(extents):
        raise call.wrong(f"an output {output[:20]!r}", "letters of the operands")
    return (TensorType(tuple(extents[letter] for letter in output), call.dtype),)


def quantized(infer: Infer, default: str = "int32") -> Callable[[Call], Types]:
    """The shape that another rule gives, with ``out_dtype``."""

    def inferred(call: Call) -> Types:
        dtype = call.text("out_dtype", default)
        return tuple(replace(kind, dtype=default if dtype == "void" else dtype) for kind in infer(call))

    return inferred
