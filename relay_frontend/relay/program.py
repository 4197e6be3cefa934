"""A Relay module as both readers leave it: functions as flat lists of expressions, each after those that it reads.

Nothing here is nested deeper than a file may ask for, so that nothing that walks it needs a deep stack.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Generic, Literal, TypeVar, cast

from relay_frontend.errors import LimitError
from relay_frontend.limits import Limits

__all__ = [
    "MAX_CONSTANT_ELEMENTS",
    "Constant",
    "Expression",
    "Function",
    "OpenType",
    "Parameter",
    "Plain",
    "Program",
    "RelayType",
    "TupleOf",
    "flatten",
    "make_tuple",
]

MAX_CONSTANT_ELEMENTS = 64  # what shapes, axes and scalars need; the values of longer constants are never decoded
_MAX_FIELDS = 65_536  # of one tuple, nested ones included

Plain = None | bool | int | float | str | tuple["Plain", ...]  # an attribute's value; "?" is a dimension left open

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class TupleOf(Generic[Item]):
    """A tuple of types or of values, nested; ``leaves`` counts what is no tuple."""

    fields: tuple["Item | TupleOf[Item]", ...]
    depth: int
    leaves: int


@dataclass(frozen=True, slots=True)
class OpenType:
    """A tensor's type as a file gives it: None is a dimension that it leaves open."""

    shape: tuple[int | None, ...]
    dtype: str


RelayType = OpenType | TupleOf[OpenType] | None  # None: the file does not say, or it is no tensor


def make_tuple(fields: Sequence[Item | TupleOf[Item]], limits: Limits, what: str) -> TupleOf[Item]:
    """A tuple of these.

    Raises:
        LimitError: it is nested too deep or has too many fields.
    """
    nested = [item for item in fields if isinstance(item, TupleOf)]
    depth = 1 + max((item.depth for item in nested), default=0)
    leaves = len(fields) - len(nested) + sum(item.leaves for item in nested)
    limits.check_nesting(depth, f"a tuple of {what}")
    if leaves > _MAX_FIELDS:
        raise LimitError(f"a tuple of {what} has {leaves} fields, expected at most {_MAX_FIELDS}: is the file damaged?")
    return TupleOf(tuple(fields), depth, leaves)


def flatten(item: Item | TupleOf[Item]) -> Iterator[Item]:
    """What is in a tuple, or the item itself."""
    if isinstance(item, TupleOf):
        for part in item.fields:
            yield from flatten(cast("Item | TupleOf[Item]", part))
    else:
        yield item


@dataclass(frozen=True, slots=True)
class Constant:
    """A constant; ``values`` are its elements in row-major order if it is small, else None."""

    kind: OpenType
    values: tuple[int | float, ...] | None = None


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a function."""

    name: str
    kind: RelayType


@dataclass(frozen=True, slots=True)
class Expression:
    """One expression of a function's body.

    Attributes:
        form: what it is; ``call`` is of an operator, ``invoke`` of a function.
        operands: places in the body: a call's arguments, a tuple's fields, what an item is of; of ``invoke`` the
            function and then its arguments.
        op: the operator, or the name of the global function.
        attributes: the operator's own.
        kind: its type, as far as the file says.
        index: which parameter, or which field of a tuple.
        held: the constant or the function that it is.
        name: where it came from, for people.
    """

    form: Literal["parameter", "constant", "call", "invoke", "tuple", "item", "function", "global"]
    operands: tuple[int, ...] = ()
    op: str = ""
    attributes: Mapping[str, Plain] = field(default_factory=lambda: MappingProxyType({}))
    kind: RelayType = None
    index: int = 0
    held: "Constant | Function | None" = None
    name: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Function:
    """A function; ``primitive`` if it is to be compiled as one kernel."""

    name: str
    parameters: tuple[Parameter, ...]
    body: tuple[Expression, ...]
    result: int
    primitive: bool = False


@dataclass(frozen=True, slots=True)
class Program:
    """A module: its functions by name."""

    functions: Mapping[str, Function]
