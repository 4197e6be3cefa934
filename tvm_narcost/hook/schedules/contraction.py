"""Sums of products of two operands: what convolutions and matrix products have in common, and how they are tiled.

One axis of the output, its last, runs over the lanes of vectors. Another one, along which only one operand changes,
is unrolled, so that each vector loaded is used several times and all partial sums of a tile stay in registers. What
follows a contraction is computed on the tile while it is there.
"""

from dataclasses import dataclass
from math import prod
from typing import Any

import tvm
import tvm_ffi
from tvm import s_tir, tirx

from tvm_narcost.hook.schedules.injective import PARTITION, in_order, spread, vectorize
from tvm_narcost.hook.schedules.kernel import Block, Kernel, extents, loads
from tvm_narcost.tokens.machine import Machine
from tvm_narcost.tokens.tiles import Tile, best_tile

__all__ = ["Contraction", "find_contraction", "operands_of", "schedule_contraction", "tile_of"]


@dataclass(frozen=True, slots=True)
class Contraction:
    """A block that sums products, and the part that each of its axes plays.

    Attributes:
        block: the block.
        vector: position of the axis that is vectorised, the last one of the output.
        group: elements of the vector axis that see the same channels of the other operand; all of them, unless the
            convolution is grouped.
        tiled: position of the axis that is unrolled, or None where there is none.
        depthwise: whether both operands change along the vector axis.
        strided: whether the operand that changes along the vector axis does not lie along it side by side.
        outermost: positions of axes that are looped over before all others.
    """

    block: Block
    vector: int
    group: int
    tiled: int | None
    depthwise: bool
    strided: bool = False
    outermost: tuple[int, ...] = ()


def find_contraction(block: Block) -> Contraction | None:
    """Recognise a reduction along whose output's last axis all operands lie side by side, or do not change.

    A product of two operands is recognised as well where the one that changes lies otherwise.
    """
    operands = operands_of(block)
    if block.is_injective or not operands:
        return None
    variables = block.variables
    last = [index for index in block.store.indices if not isinstance(index, tirx.IntImm)]
    vector = next((at for at, variable in enumerate(variables) if last and last[-1].same_as(variable)), None)
    if vector is None or block.kinds[vector] != "S":
        return None
    used = [_Use.of(operand, variables[vector]) for operand in operands]
    strided = not any(use.stride_one for use in used)
    if strided and not (len(used) == 2 and sum(use.plain for use in used) == 1 and _is_product(block)):
        return None
    group = min((use.divisor for use in used if use.divisor), default=block.extents[vector])
    depthwise = all(use.plain for use in used)
    tiled = _tiled(block, operands, vector)
    return Contraction(block, vector, group, tiled, depthwise, strided)


def _is_product(block: Block) -> bool:
    value = block.store.value
    return isinstance(value, tirx.Add) and any(isinstance(term, tirx.Mul) for term in (value.a, value.b))


@dataclass(frozen=True, slots=True)
class _Use:
    """How one operand is indexed by the vector axis: as it is, divided, as the last index with stride one."""

    plain: bool
    divisor: int
    stride_one: bool

    @classmethod
    def of(cls, operand: Any, variable: Any) -> "_Use":
        divisors: list[int] = []
        divided: list[Any] = []

        def visit(node: Any) -> None:
            if node.a.same_as(variable) and isinstance(node.b, tirx.IntImm):
                divisors.append(int(node.b))
                divided.append(node.a)

        for index in operand.indices:
            tvm_ffi.structural_walk(index, (tirx.FloorDiv, visit))
        uses = sum(_count(index, variable) for index in operand.indices)
        plain = uses > len(divided)
        last = operand.indices[-1]
        once = plain and uses == 1 and _count(last, variable) == 1
        return cls(plain, min(divisors, default=0), once and _has_unit_stride(last, variable))


def _count(expression: Any, variable: Any) -> int:
    found: list[Any] = []
    tvm_ffi.structural_walk(expression, (type(variable), found.append))
    return sum(bool(node.same_as(variable)) for node in found)


def _has_unit_stride(index: Any, variable: Any) -> bool:
    """Whether an index grows by one with the variable: the variable itself, or plus something."""
    if index.same_as(variable):
        return True
    if isinstance(index, tirx.Add | tirx.Sub):
        return _has_unit_stride(index.a, variable) or (
            isinstance(index, tirx.Add) and _has_unit_stride(index.b, variable)
        )
    return False


def operands_of(block: Block) -> list[Any]:
    """What the block reads besides its own partial results."""
    return [load for load in loads(block.store.value) if not load.source.same_as(block.written)]


def _tiled(block: Block, operands: list[Any], vector: int) -> int | None:
    """The last spatial axis, besides the vector's, along which vectors are used again; else any along which one is."""
    again: list[int] = []
    once: list[int] = []
    for at, variable in enumerate(block.variables):
        if at == vector or block.kinds[at] != "S":
            continue
        changing = [operand for operand in operands if _depends(operand, variable)]
        if len(operands) != 2 or len(changing) == 1:
            once.append(at)
            if len(operands) == 2 and not _depends(changing[0], block.variables[vector]):
                again.append(at)
    return max(again or once, default=None)


def _depends(operand: Any, variable: Any) -> bool:
    return any(_count(index, variable) for index in operand.indices)


def tile_of(contraction: Contraction, machine: Machine, *, filled: bool = False) -> Tile:
    """The tile of a contraction, see :func:`best_tile`.

    Args:
        contraction: what is computed.
        machine: what computes it.
        filled: whether tiles may reach beyond the vector axis, which is then filled up.
    """
    block = contraction.block
    rows = block.extents[contraction.tiled] if contraction.tiled is not None else 1
    whole_axis = contraction.group == block.extents[contraction.vector]
    tile, _ = best_tile(
        rows, contraction.group, machine, block.bits, filled=filled, cut=whole_axis, depthwise=contraction.depthwise
    )
    return tile


def schedule_contraction(kernel: Kernel, contraction: Contraction, tile: Tile, machine: Machine) -> str | None:
    """Tile the contraction and compute on each tile what follows, if that can be done there.

    Requires: what precedes is inlined or stands alone.

    Returns:
        The name of the block that has been moved into the tile.
    """
    schedule, name = kernel.schedule, contraction.block.name
    readers = kernel.readers(name)
    block = schedule.get_sblock(name)
    loops = schedule.get_loops(block)
    kinds = contraction.block.kinds
    channel = loops[contraction.vector]
    group, vector_outer, vectors, lanes = schedule.split(
        channel,
        [contraction.block.extents[contraction.vector] // contraction.group, None, tile.vectors, tile.lanes],
    )
    if contraction.group % (tile.vectors * tile.lanes):
        for loop in (vector_outer, vectors, lanes):
            schedule.annotate(loop, PARTITION, 1)
    rows: list[Any] = []
    rows_outer: list[Any] = []
    if contraction.tiled is not None:
        outer, inner = schedule.split(loops[contraction.tiled], [None, tile.rows])
        if contraction.block.extents[contraction.tiled] % tile.rows:
            schedule.annotate(outer, PARTITION, 1)
        rows_outer, rows = [outer], [inner]
    spatial = [
        loop
        for at, loop in enumerate(loops)
        if kinds[at] == "S" and at not in (contraction.vector, contraction.tiled, *contraction.outermost)
    ]
    reduced = [loop for at, loop in enumerate(loops) if kinds[at] == "R"]
    first = [loops[at] for at in contraction.outermost]
    for loop in first[-1:]:  # of the tiles, the last may be filled up
        schedule.annotate(loop, PARTITION, 1)
    outer_loops = in_order(schedule, [*first, group, vector_outer, *spatial, *rows_outer], machine)
    schedule.reorder(*outer_loops, *reduced, *rows, vectors, lanes)
    attached = _attach(kernel, readers, block, outer_loops[-1], tile, filled=bool(contraction.outermost))
    if attached is not None:
        schedule.set_scope(block, 0, "local")
    epilogue = attached or _copied(schedule, block, outer_loops[-1])
    if epilogue is not None:
        _unroll_epilogue(schedule, epilogue, outer_loops[-1], machine, contraction.block.bits)
    for loop in (*rows, vectors):
        schedule.unroll(loop)
    schedule.vectorize(lanes)
    spread(schedule, outer_loops[0], machine, contraction.block.volume)
    schedule.decompose_reduction(block, reduced[0])
    return readers[0].name if attached is not None else None


def _copied(schedule: s_tir.Schedule, block: Any, loop: Any) -> Any:
    """Keep the tile's sums in registers and copy them, where what follows cannot be computed on the tile.

    None where TVM cannot, because what follows names the result twice; the sums are in memory then.
    """
    trial = schedule.copy()
    try:
        trial.cache_write(trial.get_sblock(schedule.get(block).name_hint), 0, "local")
    except tvm.error.InternalError:
        return None
    copy = schedule.cache_write(block, 0, "local")
    schedule.reverse_compute_at(copy, loop)
    return copy


def _attach(kernel: Kernel, readers: list[Block], block: Any, loop: Any, tile: Tile, *, filled: bool) -> Any:
    """Move the one block that reads a contraction into its tile. None where it can only stay where it is."""
    if (
        len(readers) != 1
        or not readers[0].is_injective
        or not _reads_in_place(readers[0], kernel, block, filled=filled)
    ):
        return None
    trial = kernel.schedule.copy()
    try:
        trial.reverse_compute_at(trial.get_sblock(readers[0].name), loop)
    except (s_tir.ScheduleError, ValueError):  # an index that cannot be turned around
        return None
    loops = trial.get_loops(trial.get_sblock(readers[0].name))
    if prod(extents(trial, loops[_depth_of(trial, block, loop) :])) > tile.rows * tile.vectors * tile.lanes:
        return None
    epilogue = kernel.schedule.get_sblock(readers[0].name)
    kernel.schedule.reverse_compute_at(epilogue, loop)
    return epilogue


def _reads_in_place(reader: Block, kernel: Kernel, block: Any, *, filled: bool) -> bool:
    """Whether all elements of a block's result are read, each for the one at the same place, lanes side by side.

    Read otherwise, as by a reshape or a slice, the tile would have to lie in memory to be indexed, not in registers.
    Where the last axis is ``filled`` up to whole tiles, its filling is not read.
    """
    written = kernel.schedule.get(block).writes[0].source
    sizes = [int(extent) for extent in written.shape]
    for load in loads(reader.store.value):
        if not load.source.same_as(written):
            continue
        for axis, (index, size) in enumerate(zip(load.indices, sizes, strict=True)):
            is_last = axis == len(sizes) - 1
            extent = _extent_of(reader, index)
            if extent != size and not (filled and is_last and extent is not None):
                return False
            if is_last and not isinstance(index, tirx.IntImm) and not index.same_as(reader.variables[-1]):
                return False
    return True


def _extent_of(block: Block, index: Any) -> int | None:
    """How many values an index takes that is a variable of the block or a constant; None of any other."""
    if isinstance(index, tirx.IntImm):
        return 1
    places = (at for at, variable in enumerate(block.variables) if index.same_as(variable))
    return next((block.extents[at] for at in places), None)


def _depth_of(schedule: s_tir.Schedule, block: Any, loop: Any) -> int:
    """How many loops are around the body of ``loop``."""
    wanted = schedule.get_sref(loop)
    for depth, candidate in enumerate(schedule.get_loops(block)):
        if schedule.get_sref(candidate).same_as(wanted):
            return depth + 1
    raise ValueError("the loop is not around the block")


def _unroll_epilogue(schedule: s_tir.Schedule, epilogue: Any, loop: Any, machine: Machine, bits: int) -> None:
    inner = schedule.get_loops(epilogue)[_depth_of(schedule, epilogue, loop) :]
    if not inner:
        return
    *others, last = inner
    outer = vectorize(schedule, last, machine.lanes(bits))
    for around in outer[-2:]:
        schedule.annotate(around, PARTITION, 1)  # as the last tile may be filled up
    for around in (*others, *outer[:-1]):
        schedule.unroll(around)
