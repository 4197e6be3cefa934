"""Loop nests written by hand and put in the place of others, where no primitive of a schedule does it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tvm
import tvm_ffi
from tvm import s_tir, tirx
from tvm.ir import Range

from tvm_narcost.hook.schedules.kernel import Block, Kernel, loads

__all__ = ["nest", "rebuilt", "replaced"]


def replaced(expression: Any, values: dict[Any, Any], channel: Any = None, group: Any = None, part: int = 0) -> Any:
    """The expression with variables replaced, and ``channel // part`` by the group."""

    def divided(node: Any) -> Any:
        if channel is not None and node.a.same_as(channel) and int(node.b) == part:
            return group
        return node

    def variable(node: Any) -> Any:
        return next((new for old, new in values.items() if node.same_as(old)), node)

    if channel is not None:
        expression = tvm_ffi.structural_map(expression, (tirx.FloorDiv, divided))
    return tvm_ffi.structural_map(expression, (tvm.ir.Var, variable))


def nest(name: str, axes: list[tuple[str, int]], make: Callable[[list[Any]], tuple[Any, Any]], *, like: Block) -> Any:
    """Loops around one block.

    Args:
        name: of the block.
        axes: ``S`` or ``R`` and the extent of each loop.
        make: block variables -> what is stored, and what is stored first (None without a reduction).
        like: a block of the kernel, whose variables say how wide indices are.
    """
    dtype = str(like.variables[0].ty.dtype)
    loops = [tirx.Var(f"i{at}", dtype) for at in range(len(axes))]
    variables = [tirx.Var(f"v{at}", dtype) for at in range(len(axes))]
    kinds = {"S": tirx.IterVar.DataPar, "R": tirx.IterVar.CommReduce}
    iterators = [
        tirx.IterVar(Range(tirx.IntImm(dtype, 0), tirx.IntImm(dtype, extent)), variable, kinds[kind])
        for variable, (kind, extent) in zip(variables, axes, strict=True)
    ]
    store, init = make(variables)
    store = _with_own_variables(store)
    own = store.buffer
    reads = [tirx.BufferRegion(load.source, _point(load.indices)) for load in loads(store.value)]
    reads = [read for read in reads if not read.source.same_as(own)]
    block = s_tir.SBlock(iterators, reads, [tirx.BufferRegion(own, _point(store.indices))], name, store, init)
    body = s_tir.SBlockRealize(loops, True, block)
    for loop, (_, extent) in reversed(list(zip(loops, axes, strict=True))):
        zero, count = tirx.IntImm(dtype, 0), tirx.IntImm(dtype, extent)
        body = tirx.For(loop, zero, count, tirx.ForKind.SERIAL, body)
    return body


def _with_own_variables(store: Any) -> Any:
    """A statement whose Let variables are new: what stands in two nests must not define one twice."""

    def renewed(let: Any) -> Any:
        variable = tirx.Var(let.var.name, let.var.ty.dtype)
        return tirx.Let(variable, let.value, replaced(let.body, {let.var: variable}))

    return tvm_ffi.structural_map(store, (tirx.Let, renewed))


def _point(indices: Sequence[Any]) -> list[Any]:
    return [Range.from_min_extent(index, tirx.const(1, index.ty.dtype)) for index in indices]


def rebuilt(
    function: tirx.PrimFunc,
    nests: Mapping[str, Sequence[Any]],
    allocated: Sequence[Any],
    *,
    parameters: Sequence[Any] | None = None,
    dropped: Any = None,
) -> Kernel:
    """A kernel with some of its loop nests exchanged.

    Args:
        function: with one block in each nest.
        nests: name of a block -> what stands in the place of its nest.
        allocated: buffers that the new nests need.
        parameters: instead of the function's own.
        dropped: a buffer that nothing uses any more.
    """
    root = function.body.block
    old = list(root.body.seq) if isinstance(root.body, tirx.SeqStmt) else [root.body]
    body = [new for loop in old for new in nests.get(_name_of(loop), [loop])]
    buffers = [buffer for buffer in root.alloc_buffers if dropped is None or not buffer.same_as(dropped)]
    block = s_tir.SBlock(
        [], [], [], root.name_hint, tirx.SeqStmt(body), None, [*buffers, *allocated], [], root.annotations
    )
    realize = s_tir.SBlockRealize([], function.body.predicate, block)
    taken = function.params if parameters is None else list(parameters)
    return Kernel(s_tir.Schedule(tirx.PrimFunc(taken, realize, function.ret_type, function.attrs)))


def _name_of(loop: Any) -> str:
    while isinstance(loop, tirx.For):
        loop = loop.body
    return str(loop.block.name_hint)
