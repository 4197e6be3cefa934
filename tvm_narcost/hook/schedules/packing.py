"""Operands laid out as the tiles of a contraction read them: one piece of memory a tile, filled up with zeros.

Weights are constant, so that they are packed when the network is compiled. What fills up the last tile makes the
output wider than it was; it stays inside of the kernel, and what follows reads what was there before.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import tvm
import tvm_ffi
from numpy.typing import NDArray
from tvm import tirx
from tvm.ir import TensorLoad

from tvm_narcost.hook.schedules.contraction import Contraction, operands_of, tile_of
from tvm_narcost.hook.schedules.kernel import Block, Kernel, loads
from tvm_narcost.hook.schedules.rewrite import nest, rebuilt, replaced
from tvm_narcost.tokens.machine import Machine
from tvm_narcost.tokens.tiles import Tile

__all__ = ["CONSTANTS", "PACKED", "Choice", "Packing", "pack_operand", "packing_of"]

# Attributes of a PrimFunc: positions of the parameters that never change, and {position: Packing} once it is scheduled.
CONSTANTS = "narcost.constants"
PACKED = "narcost.packed"
_MIN_ROWS = 8  # so often an operand must be used for a kernel to pack it while it runs


@dataclass(frozen=True, slots=True)
class Packing:
    """How an operand is laid out anew.

    Attributes:
        axis: the axis along which it is cut into tiles.
        groups: parts of that axis that are filled up each by itself.
        padded: elements of a part, filled up to whole tiles.
        tile: elements of a tile.
    """

    axis: int
    groups: int
    padded: int
    tile: int

    @property
    def facts(self) -> list[int]:
        """The attributes in order, as a PrimFunc can hold them."""
        return [self.axis, self.groups, self.padded, self.tile]

    def shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The shape that a tensor of ``shape`` gets: [tiles, the other axes, tile]."""
        others = [extent for at, extent in enumerate(shape) if at != self.axis]
        return (self.groups * self.padded // self.tile, *others, self.tile)

    def apply(self, tensor: NDArray[np.generic]) -> NDArray[np.generic]:
        """The tensor in the new layout."""
        moved = np.moveaxis(tensor, self.axis, -1)
        others = moved.shape[:-1]
        parts = moved.reshape(*others, self.groups, -1)
        fill = [(0, 0)] * len(others) + [(0, 0), (0, self.padded - parts.shape[-1])]
        tiles = np.pad(parts, fill).reshape(*others, -1, self.tile)
        return np.ascontiguousarray(np.moveaxis(tiles, -2, 0))


@dataclass(frozen=True, slots=True)
class Choice:
    """What is packed, and for which tile.

    Attributes:
        load: the operand, as the contraction reads it.
        packing: how it is laid out.
        tile: what the contraction holds in registers.
    """

    load: Any
    packing: Packing
    tile: Tile


def packing_of(kernel: Kernel, contraction: Contraction, machine: Machine) -> Choice | None:
    """The operand worth packing: constant, or used often and lying or ending where vectors do not fit."""
    block = contraction.block
    channel = block.variables[contraction.vector]
    operands = operands_of(block)
    if contraction.depthwise or len(operands) != 2:
        return None
    along = [at for load in operands for at, index in enumerate(load.indices) if index.same_as(channel)]
    load = next((load for load in operands if any(index.same_as(channel) for index in load.indices)), None)
    if load is None or len(along) != 1 or _count(load, channel) != 1:
        return None
    function = kernel.schedule.mod["main"]
    groups = block.extents[contraction.vector] // contraction.group
    tile = tile_of(contraction, machine, filled=True)
    width = tile.vectors * tile.lanes
    if _constant_position(function, load.source) is None:
        rows = block.volume // prod(int(extent) for extent in load.source.shape)
        fits = along[0] == len(load.indices) - 1 and contraction.group % tile.lanes == 0
        if groups > 1 or fits or rows < _MIN_ROWS:
            return None
    padded = -(-contraction.group // width) * width
    return Choice(load, Packing(along[0], groups, padded, width), tile)


def _can_widen(reader: Block, written: Any) -> bool:
    """Whether a block reads all of the last axis of what a contraction writes along one axis of its own."""
    read = [load.indices[-1] for load in loads(reader.store.value) if load.source.same_as(written)]
    return reader.is_injective and any(
        extent == int(written.shape[-1]) and all(index.same_as(variable) for index in read)
        for variable, extent in zip(reader.variables, reader.extents, strict=True)
    )


def pack_operand(kernel: Kernel, contraction: Contraction, choice: Choice) -> tuple[Kernel, Contraction]:
    """One operand packed, and the output as wide as the packed operand.

    An operand that is a parameter becomes a parameter of the packed shape; whoever calls the kernel packs it. Another
    one is packed by a block of the kernel.

    Args:
        kernel: in normal form; producers are inlined.
        contraction: one of its blocks.
        choice: of :func:`packing_of`.

    Returns:
        The new kernel, whose function says in its attribute ``PACKED`` what its callers have to pack, and the
        contraction in it.
    """
    packing, load = choice.packing, choice.load
    function = kernel.schedule.mod["main"]
    source = load.source
    shape = [int(extent) for extent in source.shape]
    packed = tirx.decl_buffer(packing.shape(shape), source.dtype, f"{source.name}_packed")
    wide = _Wide.of(contraction, packing)
    nests = {contraction.block.name: [wide.contraction(contraction, packed, packing, load)]}
    allocated = [wide.buffer]
    dropped = None
    match kernel.readers(contraction.block.name):
        case [reader] if _can_widen(reader, contraction.block.written):
            nests[reader.name] = [wide.reader(reader, contraction)]
            dropped = contraction.block.written
        case _:  # read by several, or elsewhere than in place, or a result of the kernel
            nests[contraction.block.name].append(wide.copy(contraction))
    parameters = list(function.params)
    position = _constant_position(function, source)
    if position is None:
        nests[contraction.block.name].insert(0, _pack_block(source, packed, packing, contraction))
        allocated.append(packed)
    else:
        parameters[position] = packed
        known = {**function.attrs.get(PACKED, {}), str(position): packing.facts}
        function = function.with_attr(PACKED, known)
    new = rebuilt(function, nests, allocated, parameters=parameters, dropped=dropped)
    return new, wide.found(new, contraction)


def _constant_position(function: tirx.PrimFunc, source: Any) -> int | None:
    """The position of a parameter that is known to be constant; None for any other buffer."""
    known = [int(item) for item in function.attrs.get(CONSTANTS, ())]
    return next((at for at in known if function.params[at].same_as(source)), None)


@dataclass(frozen=True, slots=True)
class _Wide:
    """A contraction's output with its last axis in parts, each filled up: [.., parts, padded].

    Attributes:
        buffer: the output.
        part: elements of a part that are not filling.
    """

    buffer: Any
    part: int

    @classmethod
    def of(cls, contraction: Contraction, packing: Packing) -> "_Wide":
        written = contraction.block.written
        shape = [*(int(extent) for extent in written.shape[:-1]), packing.groups, packing.padded]
        return cls(tirx.decl_buffer(shape, written.dtype, f"{written.name}_wide"), contraction.group)

    def found(self, kernel: Kernel, contraction: Contraction) -> Contraction:
        """The contraction in the new kernel; its vector axis has become three: part, tile and what is inside."""
        at = contraction.vector
        block = kernel.block(contraction.block.name)
        tiled = contraction.tiled
        moved = tiled + 2 if tiled is not None and tiled > at else tiled
        return Contraction(block, at + 2, block.extents[at + 2], moved, False, False, (at, at + 1))

    def contraction(self, contraction: Contraction, packed: Any, packing: Packing, load: Any) -> Any:
        """The contraction over the filled up axis, which becomes two: the part and what is inside of it."""
        block, at = contraction.block, contraction.vector
        tiles = packing.padded // packing.tile
        axes = _axes(block.kinds, block.extents)
        axes[at : at + 1] = [("S", packing.groups), ("S", tiles), ("S", packing.tile)]

        def body(variables: list[Any]) -> tuple[Any, Any]:
            group, tile, inside = variables[at : at + 3]
            now = [*variables[:at], None, *variables[at + 3 :]]
            values = {old: new for old, new in zip(block.variables, now, strict=True) if new is not None}
            channel = block.variables[at]
            output = [replaced(index, values) for index in block.store.indices[:-1]]
            output += [group, tile * packing.tile + inside]

            def rewritten(node: Any) -> Any:
                if node.source.same_as(block.written):
                    return tirx.BufferLoad(self.buffer, output)
                if node.source.same_as(load.source):
                    others = [index for axis, index in enumerate(node.indices) if axis != packing.axis]
                    others = [replaced(index, values) for index in others]
                    return tirx.BufferLoad(packed, [group * tiles + tile, *others, inside])
                indices = [replaced(index, values, channel, group, self.part) for index in node.indices]
                return tirx.BufferLoad(node.source, indices)

            value = tvm_ffi.structural_map(block.store.value, (TensorLoad, rewritten))
            init = replaced(block.stmt.init.value, values)
            return tirx.BufferStore(self.buffer, value, output), tirx.BufferStore(self.buffer, init, output)

        return nest(block.name, axes, body, like=block)

    def reader(self, reader: Block, contraction: Contraction) -> Any:
        """What reads the output, with the axis that ends the output in two."""
        old = contraction.block.written
        channel = next(item.indices[-1] for item in loads(reader.store.value) if item.source.same_as(old))
        at = next(position for position, variable in enumerate(reader.variables) if variable.same_as(channel))
        axes = _axes(reader.kinds, reader.extents)
        axes[at : at + 1] = [("S", reader.extents[at] // self.part), ("S", self.part)]

        def body(variables: list[Any]) -> tuple[Any, Any]:
            group, inside = variables[at : at + 2]
            whole = group * self.part + inside
            now = [*variables[:at], whole, *variables[at + 2 :]]
            values = dict(zip(reader.variables, now, strict=True))

            def rewritten(node: Any) -> Any:
                indices = [replaced(index, values) for index in node.indices]
                if node.source.same_as(old):
                    return tirx.BufferLoad(self.buffer, [*indices[:-1], group, inside])
                return tirx.BufferLoad(node.source, indices)

            # Loads first, from the inside, then what variables are left outside of loads.
            value = replaced(tvm_ffi.structural_map(reader.store.value, (TensorLoad, rewritten)), values)
            indices = [replaced(index, values) for index in reader.store.indices]
            return tirx.BufferStore(reader.written, value, indices), None

        return nest(reader.name, axes, body, like=reader)

    def copy(self, contraction: Contraction) -> Any:
        """A block that writes the output as it was."""
        block = contraction.block
        spatial = [at for at, kind in enumerate(block.kinds) if kind == "S"]
        axes = [("S", block.extents[at]) for at in spatial]
        at = spatial.index(contraction.vector)
        axes[at : at + 1] = [("S", block.extents[contraction.vector] // self.part), ("S", self.part)]

        def body(variables: list[Any]) -> tuple[Any, Any]:
            group, inside = variables[at : at + 2]
            now = [*variables[:at], group * self.part + inside, *variables[at + 2 :]]
            values = {block.variables[position]: value for position, value in zip(spatial, now, strict=True)}
            indices = [replaced(index, values) for index in block.store.indices]
            value = tirx.BufferLoad(self.buffer, [*indices[:-1], group, inside])
            return tirx.BufferStore(block.written, value, indices), None

        return nest(f"{block.name}_out", axes, body, like=block)


def _pack_block(source: Any, packed: Any, packing: Packing, contraction: Contraction) -> Any:
    """A block that packs an operand when the kernel runs."""
    shape = [int(extent) for extent in source.shape]
    part = shape[packing.axis] // packing.groups
    axes = [("S", int(extent)) for extent in packed.shape]

    def body(variables: list[Any]) -> tuple[Any, Any]:
        whole = variables[0] * packing.tile + variables[-1]
        group, inside = tirx.floordiv(whole, packing.padded), tirx.floormod(whole, packing.padded)
        indices = list(variables[1:-1])
        indices.insert(packing.axis, group * part + inside)
        value = tirx.BufferLoad(source, indices)
        if packing.padded != part:
            value = tirx.if_then_else(inside < part, value, tirx.const(0, source.dtype))
        return tirx.BufferStore(packed, value, variables), None

    return nest(f"{contraction.block.name}_pack", axes, body, like=contraction.block)


def _axes(kinds: str, extents: Sequence[int]) -> list[tuple[str, int]]:
    return list(zip(kinds, extents, strict=True))


def _count(expression: Any, variable: Any) -> int:
    found: list[Any] = []
    tvm_ffi.structural_walk(expression, (tvm.ir.Var, found.append))
    return sum(bool(node.same_as(variable)) for node in found)
