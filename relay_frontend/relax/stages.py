"""A PrimFunc as the stages that it is made of: blocks of loops that each compute one buffer.

Only what LegalizeOps, FuseOps and FuseTIR write is taken apart: one root block, and under it loop nests with one block
each that stores to buffers. Loops may have been split and bound to threads, as long as the blocks are still those.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from relay_frontend.relax.objects import entries_of, kind_of
from relay_frontend.relax.types import evaluate

__all__ = [
    "Axis",
    "Buffer",
    "Expression",
    "Load",
    "Program",
    "Stage",
    "UnrecoverableError",
    "affine",
    "constants",
    "find",
    "loads_of",
    "program_of",
]

Expression = Any
Buffer = Any  # a buffer's variable; equal if it is the same one


class UnrecoverableError(Exception):
    """A PrimFunc is not written as the operator whose name it has; never leaves this package."""


@dataclass(frozen=True, slots=True)
class Axis:
    """An iteration variable of a block."""

    variable: Expression
    extent: int
    reduces: bool


@dataclass(frozen=True, slots=True)
class Load:
    """One read of a buffer."""

    buffer: Buffer
    indices: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Stage:
    """One block.

    Attributes:
        name: of the block, without the number that tells it from its namesakes.
        axes: its iteration variables.
        stores: (buffer, indices, value) of each store; more than one where a pair is reduced, as in argmax.
        annotations: the block's own.
    """

    name: str
    axes: tuple[Axis, ...]
    stores: tuple[tuple[Buffer, tuple[Expression, ...], Expression], ...]
    annotations: Mapping[str, Any]

    @property
    def value(self) -> Expression:
        """What the first store stores."""
        return self.stores[0][2]

    @property
    def indices(self) -> tuple[Expression, ...]:
        """Where the first store stores."""
        return self.stores[0][1]

    def axis_of(self, variable: Expression) -> Axis | None:
        """The axis of this variable."""
        return next((axis for axis in self.axes if _same(axis.variable, variable)), None)


@dataclass(frozen=True, slots=True)
class Program:
    """A PrimFunc: its parameters' buffers, inputs first, and its stages in order."""

    parameters: tuple[Buffer, ...]
    stages: tuple[Stage, ...]


def program_of(function: Any) -> Program:
    """Take a PrimFunc apart.

    Raises:
        UnrecoverableError: it is not written as LegalizeOps and FuseTIR write it.
    """
    body = function.body
    if kind_of(body) in ("SBlockRealize", "BlockRealize"):
        block = body.block
        if len(block.iter_vars) == 0:  # the root; a block with axes is the only one
            body = block.body
    return Program(tuple(function.params), tuple(map(_stage, _blocks(body))))


def _blocks(body: Any) -> Iterator[Any]:
    waiting = [body]
    while waiting:
        node = waiting.pop()
        kind = kind_of(node)
        if kind == "SeqStmt":
            waiting.extend(reversed(node.seq))
        elif kind == "For":
            waiting.append(node.body)
        elif kind in ("SBlockRealize", "BlockRealize"):
            yield node.block
        else:
            raise UnrecoverableError(f"a {kind or 'value'} beside blocks")


def _stage(block: Any) -> Stage:
    axes = tuple(Axis(item.var, _extent(item.dom), int(item.iter_type) == _REDUCES) for item in block.iter_vars)
    stores = []
    named: dict[Any, Expression] = {}  # argmax names its pair before it stores it
    waiting = [block.body]
    while waiting:
        statement = waiting.pop()
        kind = kind_of(statement)
        if kind == "SeqStmt":
            waiting.extend(reversed(statement.seq))
        elif kind in ("Bind", "LetStmt"):
            named[statement.var] = statement.value
            waiting.extend([statement.body] if kind == "LetStmt" else [])
        elif kind == "BufferStore":
            value = statement.value
            value = named.get(value, value) if kind_of(value) == "Var" else value
            stores.append((statement.buffer, tuple(statement.indices), value))
        else:
            raise UnrecoverableError(f"block {block.name_hint} holds a {kind}")
    if not stores:
        raise UnrecoverableError(f"block {block.name_hint} stores nothing")
    name = re.sub(r"_?\d+$", "", str(block.name_hint))
    return Stage(name, axes, tuple(stores), dict(entries_of(block.annotations)))


_REDUCES = 2  # tirx.IterVar's kCommReduce


def _extent(domain: Any) -> int:
    found = evaluate(domain.extent, {})
    if found is None:
        raise UnrecoverableError("an axis has no fixed extent")
    return found


def _same(first: Any, second: Any) -> bool:
    return first is second or (hasattr(first, "same_as") and bool(first.same_as(second)))


def _children(expression: Expression) -> tuple[Expression, ...]:
    kind = kind_of(expression)
    if kind in ("TensorLoad", "BufferLoad"):
        return tuple(expression.indices)
    if kind == "Call":
        return tuple(expression.args)
    if kind == "Select":
        return expression.condition, expression.true_value, expression.false_value
    if kind == "Cast":
        return (expression.value,)
    if kind == "Not":
        return (expression.a,)
    if kind in _BINARY:
        return expression.a, expression.b
    return ()


_BINARY = frozenset(
    ("Add", "And", "Div", "EQ", "FloorDiv", "FloorMod", "GE", "GT", "LE", "LT", "Max", "Min", "Mod", "Mul", "NE", "Or",
     "Sub")
)  # fmt: skip
_MOST_PARTS = 10_000  # of one expression; bicubic interpolation has some hundreds


def find(expression: Expression, *kinds: str) -> Iterator[Expression]:
    """Every part of an expression of one of these kinds, from left to right, itself included.

    Raises:
        UnrecoverableError: the expression is larger than any that TVM writes.
    """
    waiting, seen = [expression], 0
    while waiting:
        part = waiting.pop()
        seen += 1
        if seen > _MOST_PARTS:
            raise UnrecoverableError(f"an expression of more than {_MOST_PARTS} parts")
        if kind_of(part) in kinds:
            yield part
        waiting.extend(reversed(_children(part)))


def loads_of(expression: Expression) -> list[Load]:
    """Reads of buffers, from left to right."""
    return [
        Load(part.source if kind_of(part) == "TensorLoad" else part.buffer, tuple(part.indices))
        for part in find(expression, "TensorLoad", "BufferLoad")
    ]


def constants(expression: Expression) -> list[float]:
    """The floating-point constants of an expression, from left to right."""
    return [float(part.value) for part in find(expression, "FloatImm")]


def affine(expression: Expression) -> tuple[dict[Expression, int], int]:
    """A sum of variables times factors, and a constant: (variable -> factor, constant).

    Raises:
        UnrecoverableError: the expression is no such sum.
    """
    factors: dict[Expression, int] = {}
    offset = 0
    waiting = [(expression, 1)]
    for _ in range(_MOST_PARTS):
        if not waiting:
            return factors, offset
        part, factor = waiting.pop()
        kind = kind_of(part)
        value = evaluate(part, {})
        if value is not None:
            offset += factor * value
        elif kind == "Var":
            factors[part] = factors.get(part, 0) + factor
        elif kind == "Cast":
            waiting.append((part.value, factor))
        elif kind in ("Add", "Sub"):
            waiting += [(part.a, factor), (part.b, factor if kind == "Add" else -factor)]
        elif kind == "Mul":
            sides = [(part.a, evaluate(part.b, {})), (part.b, evaluate(part.a, {}))]
            side, scale = next(((side, scale) for side, scale in sides if scale is not None), (None, None))
            if scale is None:
                break
            waiting.append((side, factor * scale))
        else:
            break
    raise UnrecoverableError("an index that is no sum of loop variables")
