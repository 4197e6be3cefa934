"""Blocks without a reduction: inlined into each other where that computes nothing twice, the rest vectorised."""

from math import prod
from typing import Any

import tvm_ffi
from tvm import s_tir, tirx
from tvm.ir import TensorLoad
from tvm.s_tir.dlight.base import ScheduleRule
from tvm.target import Target

from tvm_narcost.hook.schedules.kernel import Block, Kernel, extents, has_call, is_dear, loads, open_kernel
from tvm_narcost.tokens.machine import Machine

__all__ = [
    "PARTITION",
    "Injective",
    "in_order",
    "inline_injective",
    "schedule_injective",
    "spread",
    "vectorize",
]

_BRANCH = frozenset({"tirx.if_then_else"})
PARTITION = "pragma_loop_partition_hint"  # of a loop whose last round is less than the others: compile that by itself
_PARALLEL_WORK = 1 << 16  # bytes moved, or multiply-adds: less is done before a second thread has started
_BALANCED = 0.9  # share of the time that threads are to be busy


class Injective(ScheduleRule):  # type: ignore[misc]  # TVM ships no types
    """What is injective: elementwise, broadcast, transpose, concatenate, gather. The last rule to be tried.

    Reductions among it that no other rule takes, such as pools with strides along the last axis, stay in their plain
    loops: putting vectors together element by element is no faster.
    """

    def __init__(self, machine: Machine):
        self.machine = machine

    def apply(self, func: tirx.PrimFunc, target: Target, tunable: bool) -> s_tir.Schedule | None:
        """See dlight's ScheduleRule; None where nothing is injective."""
        kernel = open_kernel(func)
        if kernel is None or not any(block.is_injective for block in kernel.blocks()):
            return None
        inline_injective(kernel, keep_rows=True)
        for block in kernel.blocks():
            if block.is_injective:
                schedule_injective(kernel, block, self.machine)
        return kernel.schedule


def inline_injective(kernel: Kernel, *, keep_rows: bool = False) -> None:
    """Inline each injective block into its readers, unless that would compute something dear more than once.

    Nor is one transcendental function inlined into another: each is expanded into arithmetic that uses its argument
    several times, and TVM takes exponentially long over a chain of them.

    Args:
        kernel: is changed.
        keep_rows: leave what reorders elements, such as a transpose, out of reductions, which then read along rows.
    """
    for name in [block.name for block in kernel.blocks()]:
        block = kernel.block(name)  # as it is by now, with what was inlined into it
        readers = kernel.readers(block.name)
        if keep_rows and not _reads_rows(block) and not all(reader.is_injective for reader in readers):
            continue
        if block.is_injective and _pays(block, readers):
            try:
                kernel.schedule.compute_inline(kernel.schedule.get_sblock(block.name))
            except s_tir.ScheduleError:
                continue  # an output of the kernel, or an index that cannot be turned around


def _pays(block: Block, readers: list[Block]) -> bool:
    if not readers:
        return False
    value = block.store.value
    if isinstance(value, TensorLoad):
        return True
    if has_call(value, _BRANCH) and any(not reader.is_injective for reader in readers):
        return False  # padding would be tested for in the innermost loop
    if is_dear(value) and any(is_dear(reader.store.value) for reader in readers):
        return False
    read = sum(reader.volume * _reads(reader, block) for reader in readers)
    if read <= block.volume:
        return True
    return all(reader.is_injective for reader in readers) and not is_dear(value)


def _read_across(block: Block, machine: Machine) -> int | None:
    """The position of a long axis, not the last, along which lies side by side what a transposed block reads."""
    last = block.variables[-1]
    for load in loads(block.store.value):
        *before, index = load.indices or [None]
        if index is None or not any(_uses(other, last) for other in before):
            continue
        for at, variable in enumerate(block.variables[:-1]):
            if _same(index, variable) and block.extents[at] > machine.lanes(block.bits):
                return at
    return None


def _reads_rows(block: Block) -> bool:
    """Whether neighbours along the block's last axis are neighbours, or one and the same, in all that it reads."""
    last = block.variables[-1] if block.variables else None
    for load in loads(block.store.value):
        *before, index = load.indices or [None]
        if any(_uses(other, last) for other in before) or (_uses(index, last) and not _same(index, last)):
            return False
    return True


def _uses(index: Any, variable: Any) -> bool:
    found: list[Any] = []
    if variable is not None and index is not None:
        tvm_ffi.structural_walk(index, (type(variable), found.append))
    return any(_same(node, variable) for node in found)


def _reads(reader: Block, block: Block) -> int:
    return sum(load.source.same_as(block.written) for load in loads(reader.store.value))


def schedule_injective(kernel: Kernel, block: Block, machine: Machine) -> None:
    """Vectorise one block that stands alone at the root of a kernel, and spread it over the threads."""
    schedule = kernel.schedule
    loops = schedule.get_loops(schedule.get_sblock(block.name))
    if not loops:
        return
    if _is_flat(block):
        # No more than make whole vectors: TVM does not see through an index that is taken apart further.
        lanes = machine.lanes(block.bits)
        counts = range(1, len(loops) + 1)
        count = next((count for count in counts if prod(block.extents[-count:]) % lanes == 0), len(loops))
        loops = [*loops[:-count], schedule.fuse(*loops[-count:]) if count > 1 else loops[-1]]
    inner = vectorize(schedule, loops[-1], machine.lanes(block.bits))
    innermost = inner[-1:]
    across = _read_across(block, machine)
    if across is not None:
        # What a line of the cache holds is read together, before others drive it out.
        loops[across], inside = schedule.split(loops[across], [None, machine.lanes(block.bits)])
        schedule.annotate(loops[across], PARTITION, 1)
        innermost = [inside, *innermost]
    outer = in_order(schedule, [*loops[:-1], *inner[:-1]], machine)
    if outer:
        schedule.reorder(*outer, *innermost)
        spread(schedule, outer[0], machine, block.volume * block.bits // 8)


def in_order(schedule: s_tir.Schedule, loops: list[Any], machine: Machine) -> list[Any]:
    """Spatial loops with the one first that keeps all threads busy for the same time; as they are with one thread."""
    counts = extents(schedule, loops)
    busy = [count / (-(-count // machine.threads) * machine.threads) for count in counts]
    best = next((at for at, share in enumerate(busy) if share >= min(_BALANCED, max(busy))), 0)
    return [*loops[best : best + 1], *loops[:best], *loops[best + 1 :]]


def spread(schedule: s_tir.Schedule, loop: Any, machine: Machine, work: int) -> None:
    """Make an outermost spatial loop parallel, where the profile has threads and there is enough to do."""
    if machine.threads > 1 and work >= _PARALLEL_WORK:
        schedule.parallel(loop)


def vectorize(schedule: s_tir.Schedule, loop: Any, lanes: int) -> list[Any]:
    """Vectorise a loop by whole vectors, or by the widest part of one that divides it where that is no slower.

    Where no such part does, whole vectors run first, and one that is shorter after them.

    Returns:
        The loops that it has become, the vectorised one last.
    """
    extent = extents(schedule, [loop])[0]
    if extent <= lanes:
        schedule.vectorize(loop)
        return [loop]
    width = next(width for width in (lanes >> shift for shift in range(lanes.bit_length())) if extent % width == 0)
    if extent // width <= extent // lanes + (extent % lanes).bit_count():
        outer, inner = schedule.split(loop, [None, width])
    else:
        outer, inner = schedule.split(loop, [None, lanes])
        for around in (outer, inner):
            schedule.annotate(around, PARTITION, 1)
    schedule.vectorize(inner)
    return [outer, inner]


def _is_flat(block: Block) -> bool:
    """Whether everything the block reads and writes lies in memory in the order of its loops, or is one value."""
    variables = block.variables
    for access in (block.store, *loads(block.store.value)):
        used = [index for index in access.indices if not isinstance(index, tirx.IntImm)]
        if used and not (len(used) == len(variables) and all(map(_same, used, variables))):
            return False
    return True


def _same(index: Any, variable: Any) -> bool:
    return bool(index.same_as(variable))
