"""Types of Relax's values as tensors, with symbolic dimensions bound to what the caller says."""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from relay_frontend.errors import DynamicShapeError, InvalidGraphError
from relay_frontend.graph import TensorType
from relay_frontend.limits import DEFAULT_LIMITS, Limits
from relay_frontend.relax.objects import kind_of

__all__ = ["Dimensions", "evaluate"]

_ARITHMETIC: Mapping[str, Callable[[int, int], int]] = {
    "Add": operator.add,
    "FloorDiv": operator.floordiv,
    "FloorMod": operator.mod,
    "Max": max,
    "Min": min,
    "Mul": operator.mul,
    "Sub": operator.sub,
}
_DEPTH = 64  # of an expression; a dimension is a sum of products, not a novel


def evaluate(expression: Any, known: Mapping[Any, int], depth: int = 0) -> int | None:
    """The value of a whole-number expression; None if it depends on variables that are not ``known``."""
    kind = kind_of(expression)
    if kind == "IntImm":
        return int(expression.value)
    if kind in ("SizeVar", "Var"):
        return known.get(expression)
    if kind == "Cast" and depth < _DEPTH:
        return evaluate(expression.value, known, depth + 1)
    if kind not in _ARITHMETIC or depth >= _DEPTH:
        return None
    first, second = (evaluate(part, known, depth + 1) for part in (expression.a, expression.b))
    if first is None or second is None or (kind.startswith("Floor") and second == 0):
        return None
    return _ARITHMETIC[kind](first, second)


@dataclass(slots=True)
class Dimensions:
    """What is known of symbolic dimensions, and the types of values under it."""

    limits: Limits = DEFAULT_LIMITS
    known: dict[Any, int] = field(default_factory=dict)

    def bind(self, kind: Any, shape: Sequence[int], name: str) -> None:
        """Let the symbolic dimensions of the input ``name`` have those extents.

        Raises:
            InvalidGraphError: the input has another rank or other extents, or a dimension would have two values.
        """
        extents = _extents(kind)
        if extents is None:
            return
        if len(extents) != len(shape):
            raise InvalidGraphError(f"--shape gives {name!r} {len(shape)} dimensions, its module has {len(extents)}")
        for extent, value in zip(extents, shape, strict=True):
            if kind_of(extent) in ("SizeVar", "Var") and extent not in self.known:
                self.known[extent] = value
            found = evaluate(extent, self.known)
            if found is not None and found != value:
                raise InvalidGraphError(
                    f"--shape gives {name!r} {'x'.join(map(str, shape))}, its module has {found} where that says "
                    f"{value}: give the shape that the module has, or make the module's dimension symbolic"
                )

    def tensors(self, kind: Any, what: str) -> tuple[TensorType, ...]:
        """The tensors of a type, tuples flattened; none for shapes, prim values and objects.

        Raises:
            DynamicShapeError: a dimension has no value.
            LimitError: a tensor is larger, or a tuple longer, than limits allow.
        """
        found: list[TensorType] = []
        waiting = [(kind, 0)]
        while waiting:
            kind, depth = waiting.pop()
            if kind_of(kind) == "TupleType":
                self.limits.check_nesting(depth, f"the type of {what!r}")
                waiting.extend((item, depth + 1) for item in reversed(kind.fields))
                self.limits.check_nodes(len(found) + len(waiting), f"the type of {what!r}")
            elif kind_of(kind) == "TensorType":
                found.append(self._tensor(kind, what))
        return tuple(found)

    def _tensor(self, kind: Any, what: str) -> TensorType:
        extents = _extents(kind)
        if extents is None:
            raise DynamicShapeError(f"{what!r} has unknown rank or shape, expected a static shape: {_BIND}")
        values = [evaluate(extent, self.known) for extent in extents]
        if None in values:
            spelt = [_spell(extent) for extent in extents]
            unbound = [text for text, value in zip(spelt, values, strict=True) if value is None]
            raise DynamicShapeError(
                f"{what!r} has shape ({', '.join(spelt)}) with {', '.join(dict.fromkeys(unbound))} unbound, expected "
                f"ints: {_BIND}"
            )
        shape = tuple(value for value in values if value is not None)
        self.limits.check_shape(shape, repr(what))
        dtype = getattr(kind.dtype, "dtype", kind.dtype)  # a PrimType, or None where it is not known
        return TensorType(shape, str(dtype).replace("_", "") if dtype else "unknown")


def _extents(kind: Any) -> tuple[Any, ...] | None:
    shape: Any = getattr(kind, "shape", None)
    return tuple(shape.values) if kind_of(shape) == "ShapeExpr" else None


_SIGNS = {"Add": "+", "FloorDiv": "//", "FloorMod": "%", "Mul": "*", "Sub": "-"}


def _spell(expression: Any, depth: int = 0) -> str:
    kind = kind_of(expression)
    if kind == "IntImm":
        return str(int(expression.value))
    if kind in ("SizeVar", "Var"):
        return str(expression.name)
    if kind not in _SIGNS or depth > 4:
        return kind
    return f"{_spell(expression.a, depth + 1)} {_SIGNS[kind]} {_spell(expression.b, depth + 1)}"


_BIND = "give the inputs' shapes with --shape, or bind them with relax.transform.BindSymbolicVars"
