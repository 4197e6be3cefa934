"""A PrimFunc opened for scheduling: its blocks in normal form, told apart by what they compute."""

from dataclasses import dataclass
from math import prod
from typing import Any

import tvm
import tvm_ffi
from tvm import s_tir, tirx
from tvm.ir import TensorLoad
from tvm.s_tir.dlight.analysis import SBlockInfo, get_root_block, normalize_prim_func

from tvm_narcost.hook.schedules.transcendental import as_arithmetic

__all__ = ["Block", "Kernel", "extents", "has_call", "is_dear", "loads", "open_kernel"]

# A block with one of these is not computed more often than it has elements.
_DEAR = frozenset(
    f"tirx.{name}"
    for name in (
        "acos", "asin", "atan", "atan2", "cos", "cosh", "erf", "exp", "exp10", "exp2", "fmod", "log", "log10", "log1p",
        "log2", "pow", "rsqrt", "sigmoid", "sin", "sinh", "sqrt", "tan", "tanh",
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Block:
    """One block of a kernel.

    Attributes:
        name: unique in the kernel.
        kinds: one letter an iteration variable, ``S`` spatial or ``R`` reduced.
        extents: of the iteration variables.
        stmt: the block itself, ``tvm.s_tir.SBlock``.
    """

    name: str
    kinds: str
    extents: tuple[int, ...]
    stmt: Any

    @property
    def is_injective(self) -> bool:
        """Whether each output element is one expression of inputs."""
        return "R" not in self.kinds

    @property
    def store(self) -> Any:
        """The BufferStore that is the block's body; None where the body is something else."""
        return self.stmt.body if isinstance(self.stmt.body, tirx.BufferStore) else None

    @property
    def volume(self) -> int:
        """How often the body runs."""
        return prod(self.extents)

    @property
    def variables(self) -> list[Any]:
        """The iteration variables, one a loop in normal form."""
        return [item.var for item in self.stmt.iter_vars]

    @property
    def written(self) -> Any:
        """The buffer that the block writes."""
        return self.stmt.writes[0].source

    @property
    def bits(self) -> int:
        """Width of an element that the block writes."""
        return int(self.written.dtype.bits)


class Kernel:
    """A schedule with its blocks. The blocks are read anew after each change of the schedule."""

    def __init__(self, schedule: s_tir.Schedule):
        self.schedule = schedule

    def blocks(self) -> list[Block]:
        """The blocks below the root, in the order in which they run."""
        root = get_root_block(self.schedule)
        return [self.block(self.schedule.get(child).name_hint) for child in self.schedule.get_child_blocks(root)]

    def block(self, name: str) -> Block:
        """The block of that name as it is now."""
        stmt = self.schedule.get(self.schedule.get_sblock(name))
        kinds = "".join("R" if item.iter_type == tirx.IterVar.CommReduce else "S" for item in stmt.iter_vars)
        return Block(name, kinds, tuple(int(item.dom.extent) for item in stmt.iter_vars), stmt)

    def readers(self, name: str) -> list[Block]:
        """The blocks that read what a block writes."""
        consumers = self.schedule.get_consumers(self.schedule.get_sblock(name))
        return [self.block(self.schedule.get(consumer).name_hint) for consumer in consumers]


def open_kernel(function: tirx.PrimFunc) -> Kernel | None:
    """A schedule of ``function`` in dlight's normal form: one loop an iteration variable, none of extent one.

    Returns None where a rule could do nothing: the function is no tree of blocks, a shape is symbolic, a block
    does anything but store one value, or one that sorts, scans or calls out is among them.
    """
    if not function.attrs.get("s_tir", True):
        return None
    # Bringing blocks into normal form changes the function that it is given.
    schedule = s_tir.Schedule(s_tir.renew_defs(_narrow(as_arithmetic(function))))
    infos = normalize_prim_func(schedule)
    if not infos or not all(_is_plain(schedule, info) for info in infos):
        return None
    return Kernel(schedule)


def _narrow(function: tirx.PrimFunc) -> tirx.PrimFunc:
    """The function with indices of 32 bits, where no buffer holds 64 or has more elements than they can name.

    TVM narrows them by itself, but later, and forgets which loops are to be partitioned when it does.
    """
    if not all(map(_has_narrow_indices, [*function.params, *function.body.block.alloc_buffers])):
        return function
    module = tirx.transform.ForceNarrowIndexToInt32()(tvm.IRModule({"main": function}))
    return module["main"]


def _has_narrow_indices(buffer: Any) -> bool:
    shape = list(buffer.shape)
    is_static = all(isinstance(extent, tirx.IntImm) for extent in shape)
    return is_static and prod(map(int, shape)) < 2**31 and str(buffer.dtype) not in {"int64", "uint64"}


def _is_plain(schedule: s_tir.Schedule, info: SBlockInfo) -> bool:
    stmt = schedule.get(info.block_rv)
    return (
        "O" not in info.dom_kind()
        and all(isinstance(extent, int) for extent in info.dom())
        and isinstance(stmt.body, tirx.BufferStore)
        and len(stmt.writes) == 1
    )


def loads(expression: Any) -> list[Any]:
    """The BufferLoads in an expression."""
    found: list[Any] = []
    tvm_ffi.structural_walk(expression, (TensorLoad, found.append))
    return found


def is_dear(expression: Any) -> bool:
    """Whether the expression takes many cycles: calls a function, or does the arithmetic that stands for one."""
    found: list[Any] = []
    tvm_ffi.structural_walk(expression, (tirx.Let, found.append))
    return bool(found) or has_call(expression, _DEAR)


def has_call(expression: Any, names: frozenset[str]) -> bool:
    """Whether the expression calls one of the named intrinsics."""
    found: list[Any] = []
    tvm_ffi.structural_walk(expression, (tvm.ir.Call, found.append))
    return any(isinstance(call.op, tvm.ir.Op) and call.op.name in names for call in found)


def extents(schedule: s_tir.Schedule, loops: list[Any]) -> list[int]:
    """The extents of loops."""
    return [int(schedule.get(loop).extent) for loop in loops]
