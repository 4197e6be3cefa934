"""Convolutions and matrix products: kernels around sums of products, in any layout that ends in a vectorised axis."""

from tvm import s_tir, tirx
from tvm.s_tir.dlight.base import ScheduleRule
from tvm.target import Target

from tvm_narcost.hook.schedules.contraction import Contraction, find_contraction, schedule_contraction, tile_of
from tvm_narcost.hook.schedules.injective import inline_injective, schedule_injective
from tvm_narcost.hook.schedules.kernel import Kernel, open_kernel
from tvm_narcost.hook.schedules.packing import pack_operand, packing_of
from tvm_narcost.hook.schedules.reduction import reduce_into_lanes, vectorize_lanes
from tvm_narcost.tokens.machine import Machine
from tvm_narcost.tokens.tiles import Tile

__all__ = ["Convolution"]


class Convolution(ScheduleRule):  # type: ignore[misc]  # TVM ships no types
    """Kernels with contractions, and blocks of any kind before and after them."""

    def __init__(self, machine: Machine):
        self.machine = machine

    def apply(self, func: tirx.PrimFunc, target: Target, tunable: bool) -> s_tir.Schedule | None:
        """See dlight's ScheduleRule; None where the kernel is no such one."""
        kernel = open_kernel(func)
        if kernel is None or not any(map(find_contraction, kernel.blocks())):
            return None
        inline_injective(kernel)
        kernel, tiles = _packed(kernel, self.machine)
        if not tiles:
            return None
        kernel, partial = reduce_into_lanes(kernel, self.machine, besides=tiles)
        _schedule_blocks(kernel, tiles, self.machine)
        for name in (name for names in partial.values() for name in names):
            vectorize_lanes(kernel, kernel.block(name), 0)
        return kernel.schedule


def _packed(kernel: Kernel, machine: Machine) -> tuple[Kernel, dict[str, tuple[Contraction, Tile]]]:
    """Pack the operands that are worth it, and choose the tile of each contraction."""
    tiles: dict[str, tuple[Contraction, Tile]] = {}
    for name in [block.name for block in kernel.blocks()]:
        contraction = find_contraction(kernel.block(name))
        if contraction is None:
            continue
        choice = packing_of(kernel, contraction, machine)
        if choice is None and contraction.strided:
            continue
        if choice is None:
            tiles[name] = contraction, tile_of(contraction, machine)
        else:
            kernel, contraction = pack_operand(kernel, contraction, choice)
            tiles[name] = contraction, choice.tile
    return kernel, tiles


def _schedule_blocks(kernel: Kernel, tiles: dict[str, tuple[Contraction, Tile]], machine: Machine) -> None:
    """Schedule each block in its own loops, but for what follows a contraction on its tile."""
    injective = [block.name for block in kernel.blocks() if block.is_injective]
    attached: set[str | None] = set()
    for block in kernel.blocks():
        if block.name in tiles:
            attached.add(schedule_contraction(kernel, *tiles[block.name], machine))
    for name in injective:
        if name not in attached:
            schedule_injective(kernel, kernel.block(name), machine)
