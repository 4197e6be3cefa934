"""From scheduled tensor programs to their stores: loops, and how each access moves along them.

TVM's own features (``PerStoreFeature``) lower a copy of the program first, which is nearly all of their time. Loops,
block bindings and indices say the same before that, and reading them takes a tenth of a millisecond or two. Candidates
of one workload share much of their programs as objects, the indices of all accesses above all: each is read once.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from tvm import ir, tirx
from tvm.s_tir import SBlockRealize
from tvm_ffi import _ffi_api

from tvm_narcost.errors import CompileError
from tvm_narcost.tokens.stores import OPERATIONS, Access, Loop, Step, Store

__all__ = ["read_stores"]

_KINDS = ("serial", "parallel", "vectorized", "unrolled", "serial")  # by tirx.ForKind; a bound thread is one of one
_REDUCE = 2  # IterVar.CommReduce
_CONDITIONS = ("prim.if_then_else", "tirx.if_then_else")
_ADD, _MULTIPLY, _DIVIDE, _COMPARE, _SPECIAL, _CAST, _SELECT, _INTEGER = range(len(OPERATIONS))
_BINARY: dict[type, int] = {
    tirx.Add: _ADD, tirx.Sub: _ADD, tirx.Mul: _MULTIPLY, tirx.Div: _DIVIDE, tirx.FloorDiv: _DIVIDE,
    tirx.FloorMod: _DIVIDE, tirx.Mod: _DIVIDE, tirx.Min: _COMPARE, tirx.Max: _COMPARE, tirx.EQ: _COMPARE,
    tirx.NE: _COMPARE, tirx.LT: _COMPARE, tirx.LE: _COMPARE, tirx.GT: _COMPARE, tirx.GE: _COMPARE,
    tirx.And: _INTEGER, tirx.Or: _INTEGER,
}  # fmt: skip

# loop number -> (coefficient, span): one iteration moves the index by the one, all of them by the other
_Affine = dict[int, tuple[float, float]]
_Bindings = dict[int, _Affine]  # by the variable's hash, which is its address


@dataclass(slots=True)
class _Found:
    """A store as found, before intermediate buffers are known in full."""

    loops: tuple[Loop, ...]
    reduced: frozenset[int]
    accesses: list[tuple[int, Access]]  # the buffer's key, and how it is accessed
    operations: tuple[int, ...]
    initialises: bool
    guarded: bool
    unroll: tuple[int, bool]


@dataclass(frozen=True, slots=True)
class _Value:
    """What a store computes: operations, and the buffers and indices that it loads."""

    operations: tuple[int, ...]
    loads: tuple[tuple[Any, Any], ...]
    constant: bool


@dataclass(slots=True)
class _Cache:
    """What programs of one batch share, by the object's address; the objects are kept, so that none is used again."""

    kept: list[Any] = field(default_factory=list)
    buffers: dict[int, tuple[tuple[int, ...], float]] = field(default_factory=dict)
    indices: dict[int, tuple[Any, ...]] = field(default_factory=dict)
    values: dict[int, _Value] = field(default_factory=dict)
    axes: dict[int, tuple[tuple[int, bool], ...]] = field(default_factory=dict)
    arguments: dict[int, tuple[frozenset[int], float]] = field(default_factory=dict)


@dataclass(slots=True)
class _Walk:
    cache: _Cache
    arguments: frozenset[int]
    loops: list[Loop] = field(default_factory=list)
    bindings: _Bindings = field(default_factory=dict)
    reduced: frozenset[int] = frozenset()  # loops along which an axis is reduced
    guards: int = 0
    unroll: tuple[int, bool] = (0, False)
    found: list[_Found] = field(default_factory=list)


def read_stores(functions: Sequence[Any]) -> tuple[list[list[Store]], list[float]]:
    """Stores of scheduled PrimFuncs, each in the order in which they run, and the bytes of each one's arguments.

    Raises:
        CompileError: a loop whose extent is no number, or a program that stores nothing.
    """
    cache = _Cache()
    candidates, argument_bytes = [], []
    for function in functions:
        keys, held = _arguments(function.params, cache)
        walk = _Walk(cache, keys)
        _walk(function.body, walk)
        if not walk.found:
            raise CompileError("candidate: stores nothing, expected a program with a buffer store")
        _compact_intermediates(walk.found)
        candidates.append(_stores(walk.found))
        argument_bytes.append(held)
    return candidates, argument_bytes


def _stores(found: list[_Found]) -> list[Store]:
    shared = [_shared(before, after) for before, after in pairwise(found)]
    return [
        Store(
            loops=own.loops,
            reduced=own.reduced,
            accesses=_ordered(own.accesses),
            operations=own.operations,
            initialises=own.initialises,
            guarded=own.guarded,
            unroll_limit=own.unroll[0],
            unroll_explicit=own.unroll[1],
            shared_before=before,
            shared_after=after,
        )
        for own, before, after in zip(found, [0, *shared], [*shared, 0], strict=True)
    ]


def _arguments(parameters: Any, cache: _Cache) -> tuple[frozenset[int], float]:
    """Keys of the buffers that are arguments or results, and the bytes they hold."""
    key = parameters.__chandle__()  # an array hashes by what is in it
    known = cache.arguments.get(key)
    if known is None:
        held = 0.0
        for parameter in parameters:
            if hasattr(parameter.ty, "shape"):
                shape, element_bytes = _buffer(parameter, hash(parameter), cache)
                elements = 1
                for size in shape:
                    elements *= size
                held += elements * element_bytes
        known = cache.arguments[key] = frozenset(map(hash, parameters)), held
        cache.kept.append(parameters)
    return known


def _buffer(buffer: Any, key: int, cache: _Cache) -> tuple[tuple[int, ...], float]:
    """Shape, and bytes of an element."""
    known = cache.buffers.get(key)
    if known is None:
        kind = buffer.ty
        shape = tuple(_number(size, lambda: f"the shape of buffer {buffer.name}") for size in kind.shape)
        digits = "".join(character for character in str(kind.dtype).split("x")[0] if character.isdigit())
        known = cache.buffers[key] = shape, float(digits or 8) / 8
        cache.kept.append(buffer)
    return known


def _number(value: Any, what: Callable[[], str]) -> int:
    if type(value) is not tirx.IntImm:
        raise CompileError(f"candidate: {what()} is {value}, expected a number; bind dynamic dimensions before tuning")
    return int(value.value)


def _items(array: Any) -> list[Any]:
    """Elements of one of TVM's arrays; its own iterator takes twice as long."""
    get = _ffi_api.ArrayGetItem
    return [get(array, place) for place in range(_ffi_api.ArraySize(array))]


# ------------------------------------------------------------------------------------------------ statements


def _walk(node: Any, walk: _Walk) -> None:
    kind = type(node)
    if kind is tirx.For:
        _walk_loop(node, walk)
    elif kind is SBlockRealize:
        _walk_block(node, walk)
    elif kind is tirx.BufferStore:
        _store(node, walk)
    elif kind is tirx.SeqStmt:
        for part in _items(node.seq):
            _walk(part, walk)
    elif kind is tirx.IfThenElse:
        walk.guards += 1
        _walk(node.then_case, walk)
        if node.else_case is not None:
            _walk(node.else_case, walk)
        walk.guards -= 1
    elif kind is tirx.Bind:
        walk.bindings[hash(node.var)] = _affine(node.value, walk.bindings)
    elif kind is tirx.AttrStmt:
        _walk(node.body, walk)


def _walk_loop(node: Any, walk: _Walk) -> None:
    """A loop and those directly inside it."""
    unroll, depth = walk.unroll, len(walk.loops)
    kind: type = tirx.For
    while kind is tirx.For:
        extent = _number(node.extent, lambda node=node: f"the extent of loop {node.loop_var}")  # type: ignore[misc]
        annotations = node.annotations
        if _ffi_api.MapSize(annotations):
            walk.unroll = _unroll(annotations, walk.unroll)
        variable = hash(node.loop_var)
        if extent == 1:
            walk.bindings[variable] = {}
        else:
            walk.bindings[variable] = {len(walk.loops): (1.0, extent - 1.0)}
            walk.loops.append(Loop(extent, _KINDS[node.kind]))
        node = node.body
        kind = type(node)
    _walk(node, walk)
    del walk.loops[depth:]
    walk.unroll = unroll


def _unroll(annotations: Any, before: tuple[int, bool]) -> tuple[int, bool]:
    limit, explicit = before
    if "pragma_auto_unroll_max_step" in annotations:
        limit = int(annotations["pragma_auto_unroll_max_step"])
    if "pragma_unroll_explicit" in annotations:
        explicit = bool(int(annotations["pragma_unroll_explicit"]))
    return limit, explicit


def _walk_block(node: Any, walk: _Walk) -> None:
    block = node.block
    axes = block.iter_vars
    key = axes.__chandle__()
    known = walk.cache.axes.get(key)
    if known is None:
        known = tuple((hash(axis.var), int(axis.iter_type) == _REDUCE) for axis in axes)
        walk.cache.axes[key] = known
        walk.cache.kept.append(axes)
    before, reduced = walk.reduced, set(walk.reduced)
    for (variable, reduces), value in zip(known, _items(node.iter_values), strict=True):
        moves = walk.bindings[variable] = _affine(value, walk.bindings)
        if reduces:
            reduced.update(moves)
    walk.reduced = frozenset(reduced)
    guarded = type(node.predicate) is not tirx.IntImm
    walk.guards += guarded
    if block.init is not None:
        _walk(block.init, walk)
    _walk(block.body, walk)
    walk.guards -= guarded
    walk.reduced = before


def _store(node: Any, walk: _Walk) -> None:
    value = _value(node.value, walk.cache)
    written = _access(node.buffer, node.indices, walk, writes=True)
    accesses = [written]
    for buffer, indices in value.loads:
        read = _access(buffer, indices, walk, writes=False)
        for key, own in accesses:
            if key == read[0] and own.steps == read[1].steps:
                own.reads = True
                break
        else:
            accesses.append(read)
    walk.found.append(
        _Found(
            tuple(walk.loops), walk.reduced, accesses, value.operations, value.constant, walk.guards > 0, walk.unroll
        )
    )


def _access(buffer: Any, indices: Any, walk: _Walk, *, writes: bool) -> tuple[int, Access]:
    cache, bindings, key = walk.cache, walk.bindings, hash(buffer)
    shape, element_bytes = _buffer(buffer, key, cache)
    place = indices.__chandle__()
    known = cache.indices.get(place)
    if known is None:
        known = cache.indices[place] = tuple(_items(indices))
        cache.kept.append(indices)
    steps: list[Step] = []
    for dimension, index in enumerate(known):
        for loop, (coefficient, span) in _affine(index, bindings).items():
            steps.append((dimension, loop, coefficient, span))
    return key, Access(shape, element_bytes, not writes, writes, key not in walk.arguments, steps)


# ----------------------------------------------------------------------------------------------- expressions


def _value(node: Any, cache: _Cache) -> _Value:
    key = hash(node)
    known = cache.values.get(key)
    if known is None:
        operations = [0] * len(OPERATIONS)
        loads: list[tuple[Any, Any]] = []
        _count(node, operations, loads)
        known = _Value(tuple(operations), tuple(loads), isinstance(node, tirx.FloatImm | tirx.IntImm))
        cache.values[key] = known
        cache.kept.append(node)
    return known


def _count(node: Any, operations: list[int], loads: list[tuple[Any, Any]]) -> None:
    """Count what an expression computes, and collect what it loads; indices of loads are not computed values."""
    kind = type(node)
    if kind in _BINARY:
        operations[_BINARY[kind]] += 1
        _count(node.a, operations, loads)
        _count(node.b, operations, loads)
    elif kind is ir.TensorLoad:
        indices = node.indices
        loads.append((node.source, indices))
        for index in _items(indices):
            _count_gathers(index, operations, loads)
    elif kind is ir.Call:
        operations[_SELECT if getattr(node.op, "name", "") in _CONDITIONS else _SPECIAL] += 1
        for argument in _items(node.args):
            _count(argument, operations, loads)
    elif kind is tirx.Cast:
        operations[_CAST] += 1
        _count(node.value, operations, loads)
    elif kind is tirx.Select:
        operations[_SELECT] += 1
        for part in (node.condition, node.true_value, node.false_value):
            _count(part, operations, loads)
    elif kind is tirx.Not:
        operations[_INTEGER] += 1
        _count(node.a, operations, loads)
    elif kind is tirx.Let:
        _count(node.value, operations, loads)
        _count(node.body, operations, loads)


def _count_gathers(index: Any, operations: list[int], loads: list[tuple[Any, Any]]) -> None:
    """An index that is itself loaded."""
    kind = type(index)
    if kind in _BINARY:
        _count_gathers(index.a, operations, loads)
        _count_gathers(index.b, operations, loads)
    elif kind is not tirx.Var and kind is not tirx.IntImm:
        _count(index, operations, loads)


def _affine(node: Any, bindings: _Bindings) -> _Affine:
    """How an index moves along the loops; of what is no sum of products, along which at all."""
    kind = type(node)
    if kind is tirx.Var:
        return bindings.get(hash(node), {})
    if kind is tirx.IntImm:
        return {}
    return _RULES.get(kind, _spread)(node, bindings)


def _sum(node: Any, bindings: _Bindings) -> _Affine:
    left, right = _affine(node.a, bindings), _affine(node.b, bindings)
    if not right:
        return left
    sign = -1.0 if type(node) is tirx.Sub else 1.0
    if not left and sign > 0:
        return right
    total = dict(left)
    for loop, (coefficient, span) in right.items():
        own = total.get(loop, (0.0, 0.0))
        total[loop] = (own[0] + sign * coefficient, own[1] + span)
    return total


def _product(node: Any, bindings: _Bindings) -> _Affine:
    factor, other = node.b, node.a
    if type(factor) is not tirx.IntImm:
        factor, other = other, factor
        if type(factor) is not tirx.IntImm:
            return _spread(node, bindings)
    moves = _affine(other, bindings)
    if not moves:
        return moves
    scale = float(factor.value)
    return {loop: (scale * coefficient, abs(scale) * span) for loop, (coefficient, span) in moves.items()}


def _quotient(node: Any, bindings: _Bindings) -> _Affine:
    if type(node.b) is not tirx.IntImm:
        return _spread(node, bindings)
    divisor = float(node.b.value)
    moves = _affine(node.a, bindings)
    return {loop: (coefficient / divisor, span / divisor) for loop, (coefficient, span) in moves.items()}


def _remainder(node: Any, bindings: _Bindings) -> _Affine:
    if type(node.b) is not tirx.IntImm:
        return _spread(node, bindings)
    divisor = float(node.b.value)
    moves = _affine(node.a, bindings)
    return {
        loop: (coefficient, min(span, divisor - 1))
        for loop, (coefficient, span) in moves.items()
        if coefficient % divisor
    }


def _spread(node: Any, bindings: _Bindings) -> _Affine:
    """Of an expression without a rule: moves along every loop that a part of it moves along, as that part does."""
    total: _Affine = {}
    for part in _parts(node):
        for loop, move in _affine(part, bindings).items():
            total[loop] = max(total.get(loop, move), move)
    return total


def _parts(node: Any) -> Sequence[Any]:
    kind = type(node)
    if kind in _BINARY:
        return (node.a, node.b)
    if kind is ir.Call:
        return _items(node.args)
    if kind is ir.TensorLoad:
        return _items(node.indices)
    if kind is tirx.Cast:
        return (node.value,)
    if kind is tirx.Select:
        return (node.true_value, node.false_value)
    return ()


_RULES: dict[type, Callable[[Any, _Bindings], _Affine]] = {
    tirx.Add: _sum, tirx.Sub: _sum, tirx.Mul: _product, tirx.FloorDiv: _quotient, tirx.FloorMod: _remainder,
}  # fmt: skip


# -------------------------------------------------------------------------------------------------- buffers


def _shared(before: _Found, after: _Found) -> int:
    """Loops that two stores run under together."""
    count = 0
    for one, other in zip(before.loops, after.loops, strict=False):
        if one is not other:
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
        shared = min(_shared(first, other) for other, _ in accesses)
        if not shared:
            continue
        held = accesses[0][1].shape
        needed = [1.0] * len(held)
        for _, access in accesses:
            spans = [1.0] * len(held)
            for dimension, loop, _, span in access.steps:
                if loop >= shared:
                    spans[dimension] += span
            needed = list(map(max, needed, spans))
        shape = tuple(min(size, int(most)) for size, most in zip(held, needed, strict=True))
        for _, access in accesses:
            access.shape = shape


def _ordered(accesses: list[tuple[int, Access]]) -> tuple[Access, ...]:
    """The write, then the reads from what touches most to what touches least."""
    written, *reads = (access for _, access in accesses)
    return (written, *sorted(reads, key=_touched, reverse=True)) if len(reads) > 1 else (written, *reads)


def _touched(access: Access) -> float:
    spans = [1.0] * len(access.shape)
    for dimension, _, _, span in access.steps:
        spans[dimension] += span
    touched = 1.0
    for size, span in zip(access.shape, spans, strict=True):
        touched *= min(size, span)
    return touched
