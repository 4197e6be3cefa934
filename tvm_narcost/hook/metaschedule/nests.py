"""From a scheduled tensor program to its stores: loops, and how each access moves along them.

TVM's own features (``PerStoreFeature``) lower a copy of the program first, which is nearly all of their time. Loops,
block bindings and indices say the same before that, and reading them takes microseconds.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from tvm_narcost.errors import CompileError
from tvm_narcost.tokens.stores import OPERATIONS, Access, Loop, Store

__all__ = ["read_stores"]

_KINDS = ("serial", "parallel", "vectorized", "unrolled", "serial")  # by tirx.ForKind; a bound thread is one of one
_REDUCE = 2  # IterVar.CommReduce
_ADD, _MULTIPLY, _DIVIDE, _COMPARE, _SPECIAL, _CAST, _SELECT, _INTEGER = range(len(OPERATIONS))
_BINARY = {
    "Add": _ADD, "Sub": _ADD, "Mul": _MULTIPLY, "Div": _DIVIDE, "FloorDiv": _DIVIDE, "FloorMod": _DIVIDE,
    "Mod": _DIVIDE, "Min": _COMPARE, "Max": _COMPARE, "EQ": _COMPARE, "NE": _COMPARE, "LT": _COMPARE, "LE": _COMPARE,
    "GT": _COMPARE, "GE": _COMPARE, "And": _INTEGER, "Or": _INTEGER,
}  # fmt: skip

# loop number -> (coefficient, span): one iteration moves the index by the one, all of them by the other
_Affine = dict[int, tuple[float, float]]


@dataclass
class _Frame:
    """A loop that is being walked under."""

    key: int  # of the For, so that two stores know which loops they share
    extent: int
    kind: str


@dataclass
class _Found:
    """A store as found, before intermediate buffers are known in full."""

    frames: list[_Frame]
    loops: tuple[Loop, ...]
    accesses: list[tuple[int, Access]]  # the buffer's key, and how it is accessed
    operations: list[int]
    initialises: bool
    guarded: bool
    unroll: tuple[int, bool]


@dataclass
class _Walk:
    arguments: set[int]
    frames: list[_Frame] = field(default_factory=list)
    bindings: dict[int, _Affine] = field(default_factory=dict)  # variable -> along the loops
    reduced: set[int] = field(default_factory=set)  # loops along which an axis is reduced
    guards: int = 0
    unroll: tuple[int, bool] = (0, False)
    found: list[_Found] = field(default_factory=list)


def read_stores(function: Any) -> tuple[list[Store], float]:
    """Stores of a scheduled PrimFunc in the order in which they run, and the bytes of its arguments and results.

    Raises:
        CompileError: a loop whose extent is no number, or no store at all.
    """
    walk = _Walk({hash(parameter) for parameter in function.params})
    _walk(function.body, walk)
    if not walk.found:
        raise CompileError("candidate: stores nothing, expected a program with a buffer store")
    _compact_intermediates(walk.found)
    shared = [_shared(before, after) for before, after in pairwise(walk.found)]
    stores = [
        Store(
            loops=found.loops,
            accesses=_ordered(found.accesses),
            operations=tuple(found.operations),
            initialises=found.initialises,
            guarded=found.guarded,
            unroll_limit=found.unroll[0],
            unroll_explicit=found.unroll[1],
            shared_before=before,
            shared_after=after,
        )
        for found, before, after in zip(walk.found, [0, *shared], [*shared, 0], strict=True)
    ]
    return stores, sum(_argument_bytes(function))


def _argument_bytes(function: Any) -> Iterator[float]:
    for parameter in function.params:
        kind = parameter.ty
        if hasattr(kind, "shape"):
            elements = 1
            for size in kind.shape:
                elements *= _number(size, "the shape of an argument")
            yield elements * _element_bytes(kind)


def _number(value: Any, what: str) -> int:
    if type(value).__name__ != "IntImm":
        raise CompileError(f"candidate: {what} is {value}, expected a number; bind dynamic dimensions before tuning")
    return int(value.value)


def _element_bytes(kind: Any) -> float:
    text = str(kind.dtype)
    digits = "".join(character for character in text.split("x", maxsplit=1)[0] if character.isdigit())
    return float(digits or 8) / 8


# ------------------------------------------------------------------------------------------------ statements


def _walk(node: Any, walk: _Walk) -> None:
    name = type(node).__name__
    if name == "For":
        _walk_loop(node, walk)
    elif name == "SBlockRealize":
        _walk_block(node, walk)
    elif name == "BufferStore":
        _store(node, walk)
    elif name == "SeqStmt":
        for part in node.seq:
            _walk(part, walk)
    elif name == "IfThenElse":
        walk.guards += 1
        _walk(node.then_case, walk)
        if node.else_case is not None:
            _walk(node.else_case, walk)
        walk.guards -= 1
    elif name == "Bind":
        walk.bindings[hash(node.var)] = _affine(node.value, walk.bindings)
    elif name == "AttrStmt":
        _walk(node.body, walk)


def _walk_loop(node: Any, walk: _Walk) -> None:
    extent = _number(node.extent, f"the extent of loop {node.loop_var}")
    before = walk.unroll
    annotations = node.annotations
    if len(annotations):
        limit, explicit = before
        if "pragma_auto_unroll_max_step" in annotations:
            limit = int(annotations["pragma_auto_unroll_max_step"])
        if "pragma_unroll_explicit" in annotations:
            explicit = bool(int(annotations["pragma_unroll_explicit"]))
        walk.unroll = limit, explicit
    if extent == 1:
        walk.bindings[hash(node.loop_var)] = {}
        _walk(node.body, walk)
    else:
        place = len(walk.frames)
        walk.bindings[hash(node.loop_var)] = {place: (1.0, extent - 1.0)}
        walk.frames.append(_Frame(hash(node), extent, _KINDS[int(node.kind)]))
        _walk(node.body, walk)
        walk.frames.pop()
        walk.reduced.discard(place)
    walk.unroll = before


def _walk_block(node: Any, walk: _Walk) -> None:
    block = node.block
    reduced: set[int] = set()
    for axis, value in zip(block.iter_vars, node.iter_values, strict=True):
        moves = _affine(value, walk.bindings)
        walk.bindings[hash(axis.var)] = moves
        if int(axis.iter_type) == _REDUCE:
            reduced |= moves.keys()
    fresh = reduced - walk.reduced
    walk.reduced |= fresh
    guarded = type(node.predicate).__name__ != "IntImm"
    walk.guards += guarded
    if block.init is not None:
        _walk(block.init, walk)
    _walk(block.body, walk)
    walk.guards -= guarded
    walk.reduced -= fresh


def _store(node: Any, walk: _Walk) -> None:
    operations = [0] * len(OPERATIONS)
    loads: list[Any] = []
    _count(node.value, operations, loads)
    written = _access(node.buffer, node.indices, walk, writes=True)
    accesses = [written]
    accumulates = False
    for load in loads:
        read = _access(load.source, load.indices, walk, writes=False)
        same = next((own for key, own in accesses if key == read[0] and own.steps == read[1].steps), None)
        if same is None:
            accesses.append(read)
        else:
            accumulates = accumulates or same is written[1]
            same.reads = True
    loops = tuple(Loop(frame.extent, frame.kind, place in walk.reduced) for place, frame in enumerate(walk.frames))
    initialises = not loads and type(node.value).__name__ in ("FloatImm", "IntImm") and not accumulates
    walk.found.append(_Found(list(walk.frames), loops, accesses, operations, initialises, walk.guards > 0, walk.unroll))


def _access(buffer: Any, indices: Any, walk: _Walk, *, writes: bool) -> tuple[int, Access]:
    kind, key = buffer.ty, hash(buffer)
    steps = [
        (dimension, loop, coefficient, span)
        for dimension, index in enumerate(indices)
        for loop, (coefficient, span) in _affine(index, walk.bindings).items()
    ]
    shape = [_number(size, f"the shape of buffer {buffer.name}") for size in kind.shape]
    return key, Access(shape, _element_bytes(kind), not writes, writes, key not in walk.arguments, steps)


# ----------------------------------------------------------------------------------------------- expressions


def _count(node: Any, operations: list[int], loads: list[Any]) -> None:
    """Count what an expression computes, and collect what it loads; indices of loads are not computed values."""
    name = type(node).__name__
    if name in _BINARY:
        operations[_BINARY[name]] += 1
        _count(node.a, operations, loads)
        _count(node.b, operations, loads)
    elif name == "TensorLoad":
        loads.append(node)
        for index in node.indices:
            _count_gathers(index, operations, loads)
    elif name == "Call":
        conditional = node.op.name in ("prim.if_then_else", "tirx.if_then_else")
        operations[_SELECT if conditional else _SPECIAL] += 1
        for argument in node.args:
            _count(argument, operations, loads)
    elif name == "Cast":
        operations[_CAST] += 1
        _count(node.value, operations, loads)
    elif name == "Select":
        operations[_SELECT] += 1
        for part in (node.condition, node.true_value, node.false_value):
            _count(part, operations, loads)
    elif name == "Not":
        operations[_INTEGER] += 1
        _count(node.a, operations, loads)
    elif name == "Let":
        _count(node.value, operations, loads)
        _count(node.body, operations, loads)


def _count_gathers(index: Any, operations: list[int], loads: list[Any]) -> None:
    """An index that is itself loaded."""
    name = type(index).__name__
    if name in _BINARY:
        _count_gathers(index.a, operations, loads)
        _count_gathers(index.b, operations, loads)
    elif name not in ("Var", "IntImm"):
        _count(index, operations, loads)


def _affine(node: Any, bindings: dict[int, _Affine]) -> _Affine:
    """How an index moves along the loops; of what is no sum of products, along which at all."""
    name = type(node).__name__
    if name == "Var":
        return bindings.get(hash(node), {})
    if name == "IntImm":
        return {}
    rule = _RULES.get(name)
    if rule is not None:
        return rule(node, bindings)
    return _spread(node, bindings)


def _sum(node: Any, bindings: dict[int, _Affine]) -> _Affine:
    left, right = _affine(node.a, bindings), _affine(node.b, bindings)
    if not right:
        return left
    sign = -1.0 if type(node).__name__ == "Sub" else 1.0
    if not left and sign > 0:
        return right
    total = dict(left)
    for loop, (coefficient, span) in right.items():
        own = total.get(loop, (0.0, 0.0))
        total[loop] = (own[0] + sign * coefficient, own[1] + span)
    return total


def _product(node: Any, bindings: dict[int, _Affine]) -> _Affine:
    for factor, other in ((node.b, node.a), (node.a, node.b)):
        if type(factor).__name__ == "IntImm":
            scale = float(factor.value)
            moves = _affine(other, bindings)
            return {loop: (scale * coefficient, abs(scale) * span) for loop, (coefficient, span) in moves.items()}
    return _spread(node, bindings)


def _quotient(node: Any, bindings: dict[int, _Affine]) -> _Affine:
    if type(node.b).__name__ != "IntImm":
        return _spread(node, bindings)
    divisor = float(node.b.value)
    moves = _affine(node.a, bindings)
    return {loop: (coefficient / divisor, span / divisor) for loop, (coefficient, span) in moves.items()}


def _remainder(node: Any, bindings: dict[int, _Affine]) -> _Affine:
    if type(node.b).__name__ != "IntImm":
        return _spread(node, bindings)
    divisor = float(node.b.value)
    moves = _affine(node.a, bindings)
    return {
        loop: (coefficient, min(span, divisor - 1))
        for loop, (coefficient, span) in moves.items()
        if coefficient % divisor
    }


def _spread(node: Any, bindings: dict[int, _Affine]) -> _Affine:
    """Of an expression without a rule: moves along every loop that a part of it moves along, as that part does."""
    total: _Affine = {}
    for part in _parts(node):
        for loop, move in _affine(part, bindings).items():
            total[loop] = max(total.get(loop, move), move)
    return total


def _parts(node: Any) -> tuple[Any, ...]:
    name = type(node).__name__
    if name in _BINARY:
        return (node.a, node.b)
    if name == "Call":
        return tuple(node.args)
    if name == "TensorLoad":
        return tuple(node.indices)
    if name == "Cast":
        return (node.value,)
    if name == "Select":
        return (node.true_value, node.false_value)
    return ()


_RULES: dict[str, Callable[[Any, dict[int, _Affine]], _Affine]] = {
    "Add": _sum, "Sub": _sum, "Mul": _product, "FloorDiv": _quotient, "FloorMod": _remainder,
}  # fmt: skip


# -------------------------------------------------------------------------------------------------- buffers


def _shared(before: _Found, after: _Found) -> int:
    """Loops that two stores run under together."""
    count = 0
    for one, other in zip(before.frames, after.frames, strict=False):
        if one.key != other.key:
            break
        count += 1
    return count


def _compact_intermediates(found: list[_Found]) -> None:
    """Shrink each intermediate buffer to what it holds inside the loops that all its accesses share, as TVM will."""
    users: dict[int, list[tuple[_Found, Access]]] = {}
    for store in found:
        for key, access in store.accesses:
            if access.intermediate:
                users.setdefault(key, []).append((store, access))
    for accesses in users.values():
        first = accesses[0][0]
        shared = min((_shared(first, other) for other, _ in accesses), default=0)
        if not shared:
            continue
        held = list(accesses[0][1].shape)
        needed = [1.0] * len(held)
        for _, access in accesses:
            spans = [0.0] * len(held)
            for dimension, loop, _, span in access.steps:
                if loop >= shared:
                    spans[dimension] += span
            needed = [max(most, 1 + span) for most, span in zip(needed, spans, strict=True)]
        for _, access in accesses:
            access.shape = [min(size, int(most)) for size, most in zip(held, needed, strict=True)]


def _ordered(accesses: list[tuple[int, Access]]) -> tuple[Access, ...]:
    """The write, then the reads from what touches most to what touches least."""
    written, *reads = (access for _, access in accesses)
    return (written, *sorted(reads, key=_touched, reverse=True))


def _touched(access: Access) -> float:
    spans = [0.0] * len(access.shape)
    for dimension, _, _, span in access.steps:
        spans[dimension] += span
    touched = 1.0
    for size, span in zip(access.shape, spans, strict=True):
        touched *= min(size, 1 + span)
    return touched
