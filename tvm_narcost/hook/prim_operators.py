"""Operators that the ONNX importer writes as PrimFuncs from the start, found again if they are what they are called."""

from collections.abc import Callable, Mapping
from typing import Any

import tvm
import tvm_ffi
from tvm import relax, te, topi

from relay_frontend.graph import TensorType
from relay_frontend.relax.attributes import pad as read_pad
from relay_frontend.relax.segments import base_name, segments_of
from relay_frontend.relax.stages import UnrecoverableError, program_of
from tvm_narcost.hook.bindings import is_call_tir

__all__ = ["PrimOperators"]

_BINARY: Mapping[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "maximum": (relax.op.maximum, topi.maximum),
    "minimum": (relax.op.minimum, topi.minimum),
}


class PrimOperators:
    """What the PrimFuncs of a module are; each is looked at once."""

    def __init__(self, module: tvm.IRModule) -> None:
        self.module = module
        self._known: dict[tvm.ir.GlobalVar, Callable[..., Any] | None] = {}

    def behind(self, value: Any) -> Any:
        """The call of the operator that a call of a PrimFunc is; None if it is none of those known here."""
        if not is_call_tir(value) or len(value.args) != 2:
            return None
        callee, operands = value.args[0], list(value.args[1].fields)
        if callee not in self._known:
            kinds = [item.ty for item in operands]
            self._known[callee] = _operator(callee.name_hint, self.module[callee], kinds, value.ty_args[0])
        make = self._known[callee]
        return None if make is None else make(*operands)


def _operator(name: str, function: tvm.tirx.PrimFunc, kinds: list[Any], result: Any) -> Callable[..., Any] | None:
    base = base_name(name)
    if not all(
        isinstance(kind, relax.TensorType) and isinstance(kind.shape, relax.ShapeExpr) for kind in (*kinds, result)
    ):
        return None
    tensors = [te.placeholder(list(kind.shape.values), str(kind.dtype.dtype)) for kind in kinds]
    if base in _BINARY and len(kinds) == 2:
        make, compute = _BINARY[base]
        return make if _is(function, tensors, compute(*tensors)) else None
    if base == "pad" and len(kinds) == 1:
        return _pad(name, function, tensors[0], tuple(int(extent) for extent in result.shape.values))
    return None


def _pad(name: str, function: tvm.tirx.PrimFunc, data: te.Tensor, padded: tuple[int, ...]) -> Callable[..., Any] | None:
    given = TensorType(tuple(int(extent) for extent in data.shape), str(data.dtype))
    result = TensorType(padded, given.dtype)
    try:
        (segment,) = segments_of(name, program_of(function), (given,), (result,), frozenset({"pad"}))
        found = read_pad(segment)
    except (UnrecoverableError, ValueError):
        return None
    widths, value = [int(width) for width in found.pad_width], float(found.pad_value)
    if not _is(function, [data], topi.nn.pad(data, widths[::2], widths[1::2], value)):
        return None
    return lambda operand: relax.op.nn.pad(operand, widths, "constant", value)


def _is(function: tvm.tirx.PrimFunc, inputs: list[te.Tensor], output: te.Tensor) -> bool:
    """Whether a PrimFunc computes just that; names are no proof."""
    written = te.create_prim_func([*inputs, output], index_dtype_override="int64")  # as BlockBuilder.call_te does
    bare = [found.without_attr("global_symbol").without_attr("tirx.noalias") for found in (function, written)]
    return bool(tvm_ffi.structural_equal(*bare))
