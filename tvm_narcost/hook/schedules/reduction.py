"""Reductions of one operand: over rows that lie in memory in one piece, as softmax and normalisations have them."""

from tvm import s_tir, tirx
from tvm.s_tir.dlight.base import ScheduleRule
from tvm.target import Target

from tvm_narcost.hook.schedules.injective import (
    PARTITION,
    in_order,
    inline_injective,
    schedule_injective,
    spread,
    vectorize,
)
from tvm_narcost.hook.schedules.kernel import Block, Kernel, extents, loads, open_kernel
from tvm_narcost.hook.schedules.machine import Machine

__all__ = ["RowReduction", "is_row_reduction", "schedule_row_reduction"]


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
        inline_injective(kernel)
        names = [block.name for block in kernel.blocks()]
        partial = {}
        for name in names:
            if not kernel.block(name).is_injective:
                partial[name] = schedule_row_reduction(kernel, kernel.block(name), self.machine)
        if not _join_rows(kernel, names, partial, self.machine):
            for name in names:
                if kernel.block(name).is_injective:
                    schedule_injective(kernel, kernel.block(name), self.machine)
        return kernel.schedule


def _join_rows(kernel: Kernel, names: list[str], partial: dict[str, str | None], machine: Machine) -> bool:
    """Compute all blocks of one row before the next row. False where the kernel's blocks have other rows."""
    last = kernel.block(names[-1])
    rows = {name: kernel.block(name).kinds.replace("R", "").count("S") for name in partial}
    depth = min(rows.values())
    if not last.is_injective or not depth or None in partial.values() or len(last.extents) <= depth:
        return False
    work = max(kernel.block(name).volume for name in names) * last.bits // 8
    trial = kernel.schedule.copy()
    try:
        _compute_at_rows(trial, names, partial, depth, machine, work)
    except s_tir.ScheduleError:
        return False
    _compute_at_rows(kernel.schedule, names, partial, depth, machine, work)
    return True


def _compute_at_rows(
    schedule: s_tir.Schedule, names: list[str], partial: dict[str, str | None], depth: int, machine: Machine, work: int
) -> None:
    loops = schedule.get_loops(schedule.get_sblock(names[-1]))
    lanes = machine.vector_bytes // 4
    row = loops[depth - 1]
    for name in reversed(names[:-1]):
        schedule.compute_at(schedule.get_sblock(name), row)
        if name in partial:
            schedule.compute_at(schedule.get_sblock(partial[name]), row)
    for name in names:
        if name not in partial:
            vectorize(schedule, schedule.get_loops(schedule.get_sblock(name))[-1], lanes)
    rows = in_order(schedule, loops[:depth], machine)
    schedule.reorder(*rows)
    spread(schedule, rows[0], machine, work)


def is_row_reduction(block: Block) -> bool:
    """Whether the block reduces over its last axes, and reads along the last of them with stride one."""
    kinds = block.kinds
    if block.is_injective or "RS" in kinds:
        return False
    last = block.variables[-1]
    read = [load for load in loads(block.store.value) if not load.source.same_as(block.written)]
    return any(load.indices[-1].same_as(last) for load in read if load.indices)


def schedule_row_reduction(kernel: Kernel, block: Block, machine: Machine) -> str | None:
    """Reduce into the lanes of a vector first, and then over the lanes.

    Returns:
        The name of the block that reduces into lanes; None for a row that fills no vector, which is left alone.
    """
    schedule = kernel.schedule
    loops = schedule.get_loops(schedule.get_sblock(block.name))
    rows, reduced = loops[: block.kinds.count("S")], loops[block.kinds.count("S") :]
    lanes = machine.lanes(block.bits)
    extent = extents(schedule, reduced[-1:])[0]
    if extent < lanes:
        return None
    _outer, inner = schedule.split(reduced[-1], [None, lanes])
    partial = schedule.rfactor(inner, len(block.written.shape))  # side by side, whatever the rows are
    around = schedule.get_loops(partial)
    if extent % lanes:
        for loop in around[-2:]:
            schedule.annotate(loop, PARTITION, 1)
    schedule.vectorize(around[-1])
    schedule.decompose_reduction(partial, around[len(rows)])
    return str(schedule.get(partial).name_hint)
