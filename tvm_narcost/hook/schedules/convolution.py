"""Convolutions: dense, grouped and depthwise, in any layout whose output ends in an axis that can be vectorised."""

from tvm import s_tir, tirx
from tvm.s_tir.dlight.base import ScheduleRule
from tvm.target import Target

from tvm_narcost.hook.schedules.contraction import find_contraction, schedule_contraction
from tvm_narcost.hook.schedules.injective import inline_injective, schedule_injective
from tvm_narcost.hook.schedules.kernel import Kernel, open_kernel
from tvm_narcost.hook.schedules.machine import Machine
from tvm_narcost.hook.schedules.reduction import is_row_reduction, schedule_row_reduction

__all__ = ["Convolution"]


class Convolution(ScheduleRule):  # type: ignore[misc]  # TVM ships no types
    """Kernels with one contraction, and injective blocks before and after it."""

    def __init__(self, machine: Machine):
        self.machine = machine

    def apply(self, func: tirx.PrimFunc, target: Target, tunable: bool) -> s_tir.Schedule | None:
        """See dlight's ScheduleRule; None where the kernel is no such one."""
        kernel = open_kernel(func)
        if kernel is None:
            return None
        reductions = [block for block in kernel.blocks() if not block.is_injective]
        if not any(map(find_contraction, reductions)):
            return None
        inline_injective(kernel)
        schedule_blocks(kernel, self.machine)
        return kernel.schedule


def schedule_blocks(kernel: Kernel, machine: Machine) -> None:
    """Schedule each block in its own loops, but for what follows a contraction on its tile."""
    injective = [block.name for block in kernel.blocks() if block.is_injective]
    attached: set[str | None] = set()
    for block in kernel.blocks():
        if block.is_injective:
            continue
        contraction = find_contraction(block)
        if contraction is not None:
            attached.add(schedule_contraction(kernel, contraction, machine))
        elif is_row_reduction(block):
            schedule_row_reduction(kernel, block, machine)
    for name in injective:
        if name not in attached:
            schedule_injective(kernel, kernel.block(name), machine)
