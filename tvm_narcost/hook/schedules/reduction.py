"""Reductions of one operand: over rows that lie in memory in one piece, as softmax and normalisations have them."""

from collections.abc import Collection
from dataclasses import dataclass
from math import prod
from typing import Any

from tvm import s_tir, tirx
from tvm.ir import TensorLoad
from tvm.s_tir.dlight.base import ScheduleRule
from tvm.target import Target

from tvm_narcost.hook.schedules.injective import (
    in_order,
    inline_injective,
    schedule_injective,
    spread,
    vectorize,
)
from tvm_narcost.hook.schedules.kernel import Block, Kernel, extents, loads, open_kernel
from tvm_narcost.hook.schedules.rewrite import nest, rebuilt, replaced
from tvm_narcost.tokens.machine import Machine

__all__ = ["RowReduction", "reduce_into_lanes", "vectorize_lanes"]

_COMBINERS = (tirx.Add, tirx.Mul, tirx.Max, tirx.Min)


class RowReduction(ScheduleRule):  # type: ignore[misc]  # TVM ships no types
    """Kernels of row reductions and injective blocks, such as softmax, layer normalisation and mean."""

    def __init__(self, machine: Machine):
        self.machine = machine

    def apply(self, func: tirx.PrimFunc, target: Target, tunable: bool) -> s_tir.Schedule | None:
        """See dlight's ScheduleRule; None where the kernel is no such one."""
        kernel = open_kernel(func)
        if kernel is None:
            return None
        reductions = [block for block in kernel.blocks() if not block.is_injective]
        if not reductions or not all(map(is_row_reduction, reductions)):
            return None
        inline_injective(kernel, keep_rows=True)
        kernel, partial = reduce_into_lanes(kernel, self.machine)
        inner = [name for parts in partial.values() for name in parts]
        names = [block.name for block in kernel.blocks() if block.name not in inner]
        rows = _join_rows(kernel, names, partial, self.machine)
        if not rows:
            for block in map(kernel.block, names):
                if block.is_injective:
                    schedule_injective(kernel, block, self.machine)
        for name in inner:
            vectorize_lanes(kernel, kernel.block(name), rows)
        return kernel.schedule


def _join_rows(kernel: Kernel, names: list[str], partial: dict[str, list[str]], machine: Machine) -> int:
    """Compute all blocks of one row before the next row.

    Returns:
        How many loops go over the rows; none where the kernel's blocks have other rows.
    """
    last = kernel.block(names[-1])
    reduced = [block for block in map(kernel.block, names) if not block.is_injective]
    depth = min(block.kinds.count("S") for block in reduced)
    if not last.is_injective or not depth or len(last.extents) <= depth or not partial:
        return 0
    trial = kernel.schedule.copy()
    try:
        _compute_at_rows(trial, names, partial, depth)
    except s_tir.ScheduleError:
        return 0
    if any(_rounds(trial, name) > _rounds(kernel.schedule, name) for name in names):
        return 0  # a row is read by several rows of the last block, and would be computed for each
    loops = _compute_at_rows(kernel.schedule, names, partial, depth)
    for block in map(kernel.block, names):
        inner = kernel.schedule.get_loops(kernel.schedule.get_sblock(block.name))[depth:]
        if block.is_injective and inner:
            vectorize(kernel.schedule, inner[-1], machine.lanes(block.bits))
    rows = in_order(kernel.schedule, loops[:depth], machine)
    if len(rows) > 1:
        kernel.schedule.reorder(*rows)
    spread(kernel.schedule, rows[0], machine, last.volume * last.bits // 8)
    return depth


def _rounds(schedule: s_tir.Schedule, name: str) -> int:
    return prod(extents(schedule, schedule.get_loops(schedule.get_sblock(name))))


def _compute_at_rows(
    schedule: s_tir.Schedule, names: list[str], partial: dict[str, list[str]], depth: int
) -> list[Any]:
    loops = schedule.get_loops(schedule.get_sblock(names[-1]))
    for name in reversed(names[:-1]):
        for moved in (name, *reversed(partial.get(name, []))):
            schedule.compute_at(schedule.get_sblock(moved), loops[depth - 1], preserve_unit_loops=moved != name)
    return list(loops)


def is_row_reduction(block: Block) -> bool:
    """Whether the block reduces over its last axes, and reads along the last of them with stride one."""
    kinds = block.kinds
    if block.is_injective or "RS" in kinds:
        return False
    last = block.variables[-1]
    read = [load for load in loads(block.store.value) if not load.source.same_as(block.written)]
    if not isinstance(block.store.value, _COMBINERS):
        return False
    return any(load.indices[-1].same_as(last) for load in read if load.indices)


def reduce_into_lanes(
    kernel: Kernel, machine: Machine, *, besides: Collection[str] = ()
) -> tuple[Kernel, dict[str, list[str]]]:
    """Put blocks that reduce into the lanes of a vector before each row reduction, which then reduces the lanes.

    The first one takes the whole vectors of a row, the second one the part of a vector that is left. (rfactor would
    guard it by a predicate, which compute_at loses.) The blocks named in ``besides`` are left alone.

    Returns:
        The new kernel, and for each block that reduces lanes the names of those before it.
    """
    partial: dict[str, list[str]] = {}
    for block in kernel.blocks():
        if block.name not in besides and is_row_reduction(block):
            kernel, partial[block.name] = _split(kernel, block, machine.lanes(block.bits))
    return kernel, partial


def _split(kernel: Kernel, block: Block, lanes: int) -> tuple[Kernel, list[str]]:
    """Blocks that reduce into lanes and one that reduces these, in the place of one that reduces rows."""
    whole, rest = divmod(block.extents[-1], lanes)
    parts = []
    if whole:
        parts.append(_Part.of(block, "lanes", lanes, 0, whole))
    if rest:
        parts.append(_Part.of(block, "rest", rest, whole * lanes, 1))
    spatial = block.kinds.count("S")

    def over_lanes(now: list[Any]) -> tuple[Any, Any]:
        values = dict(zip(block.variables[:spatial], now[:spatial], strict=True))
        at = [replaced(index, values) for index in block.store.indices]
        value = parts[0].read(at, now[-1])
        for part in parts[1:]:
            both = _combined(block, value, part.read(at, tirx.min(now[-1], part.width - 1)))
            value = tirx.if_then_else(now[-1] < part.width, both, value)
        value = _combined(block, tirx.BufferLoad(block.written, at), value)
        return tirx.BufferStore(block.written, value, at), tirx.BufferStore(block.written, block.stmt.init.value, at)

    nests = [nest(part.name, part.axes, part.body, like=block) for part in parts]
    rows = [("S", extent) for extent in block.extents[:spatial]]
    nests.append(nest(block.name, [*rows, ("R", parts[0].width)], over_lanes, like=block))
    kernel = rebuilt(kernel.schedule.mod["main"], {block.name: nests}, [part.buffer for part in parts])
    return kernel, [part.name for part in parts]


@dataclass(frozen=True, slots=True)
class _Part:
    """A block that reduces some elements of each row into lanes.

    Attributes:
        block: what reduces whole rows.
        name: of the new block.
        width, first, count: it takes ``count`` times ``width`` elements from the ``first`` on.
        buffer: what it writes, [rows.., width].
    """

    block: Block
    name: str
    width: int
    first: int
    count: int
    buffer: Any

    @classmethod
    def of(cls, block: Block, suffix: str, width: int, first: int, count: int) -> "_Part":
        """A part that is named after its block."""
        name, written = f"{block.name}_{suffix}", block.written
        buffer = tirx.decl_buffer([*map(int, written.shape), width], written.dtype, f"{written.name}_{name}")
        return cls(block, name, width, first, count, buffer)

    @property
    def axes(self) -> list[tuple[str, int]]:
        """The rows, the lane, and what is reduced."""
        axes = list(zip(self.block.kinds, self.block.extents, strict=True))
        spatial = self.block.kinds.count("S")
        return [*axes[:spatial], ("S", self.width), *axes[spatial:-1], ("R", self.count)]

    def body(self, now: list[Any]) -> tuple[Any, Any]:
        """What is stored, and what is stored first, where the variables of the block are these."""
        block, spatial = self.block, self.block.kinds.count("S")
        lane = now[spatial]
        values = dict(zip(block.variables, [*now[:spatial], *now[spatial + 1 :]], strict=True))
        values[block.variables[-1]] = now[-1] * self.width + lane + self.first
        at = [*(replaced(index, values) for index in block.store.indices), lane]
        value = _combined(block, tirx.BufferLoad(self.buffer, at), replaced(_term(block), values))
        return tirx.BufferStore(self.buffer, value, at), tirx.BufferStore(self.buffer, block.stmt.init.value, at)

    def read(self, row: list[Any], lane: Any) -> Any:
        """What is in a lane of a row."""
        return tirx.BufferLoad(self.buffer, [*row, lane])


def _term(block: Block) -> Any:
    """What a reduction combines with what it has so far."""
    value = block.store.value
    is_own = isinstance(value.a, TensorLoad) and bool(value.a.source.same_as(block.written))
    return value.b if is_own else value.a


def _combined(block: Block, own: Any, term: Any) -> Any:
    value = block.store.value
    kind: Any = next(kind for kind in _COMBINERS if isinstance(value, kind))
    return kind(own, term)


def vectorize_lanes(kernel: Kernel, block: Block, rows: int) -> None:
    """Vectorise the lanes of a block that reduces into them, inside of so many loops over rows."""
    schedule = kernel.schedule
    partial = schedule.get_sblock(block.name)
    loops = schedule.get_loops(partial)
    at = rows + block.kinds.index("R") - 1
    loops = [*loops[:at], *loops[at + 1 :], loops[at]]
    schedule.reorder(*loops[at:])
    schedule.vectorize(loops[-1])
    schedule.decompose_reduction(partial, loops[-1 - block.kinds.count("R")])
