"""What is computed from constants alone is computed once, here: by numpy where that is the same, else by TVM.

TVM's FoldConstant compiles a function for every shape and folds only what LegalizeOps has lowered, which takes seconds
where a network's weights are transposed for another layout. What moves elements about, and arithmetic of one rounding,
numpy does to the same bits. A plan is ranked by types alone, so that values can be left out altogether.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tvm
from numpy.typing import NDArray
from tvm import relax

from tvm_narcost.hook.bindings import bindings_of, is_call_tir, is_constant, substitute, tensors_of, with_bindings

__all__ = ["fold_constants", "forget_constants"]

Array = NDArray[Any]


def fold_constants(module: tvm.IRModule) -> tvm.IRModule:
    """Compute what numpy computes to the same bits; ``relax.transform.FoldConstant`` does the rest once it is lowered.

    Variables of bindings that stay are kept, here and by :func:`forget_constants`.
    """
    return _replace(module, _computed)


def forget_constants(module: tvm.IRModule) -> tvm.IRModule:
    """A module of the same types whose computed constants have memory and no values: nothing may run it."""
    return _replace(module, lambda call, kind, tensors: _unset(kind))


def _replace(module: tvm.IRModule, compute: Callable[[Any, Any, list[Any]], Any]) -> tvm.IRModule:
    """Replace calls on constants alone by what ``compute`` makes of them, unless it makes None."""
    values: dict[relax.Var, Any] = {}
    bindings = []
    for binding in bindings_of(module["main"]):
        value = substitute(binding.value, values, typed=True)
        if is_constant(value):
            values[binding.var] = value
            continue
        tensors = _constant_operands(value)
        if tensors is not None and _extents(binding.var.ty) is not None:
            found = compute(value, binding.var.ty, tensors)
            if found is not None:
                values[binding.var] = found
                continue
        bindings.append(relax.VarBinding(binding.var, value))
    return with_bindings(module, bindings, substitute(module["main"].body.body, values))


def _computed(call: Any, kind: Any, tensors: list[Any]) -> Any:
    compute = _NUMPY.get(call.op.name.removeprefix("relax."))
    if compute is None:
        return None
    found = compute(call, _extents(kind) or (), [tensor.value.numpy() for tensor in tensors])
    if str(found.dtype) != str(kind.dtype.dtype):
        return None  # of bfloat16 and its like numpy has no arithmetic
    return relax.const(np.ascontiguousarray(found))


def _unset(kind: Any) -> Any:
    return relax.const(tvm.runtime.empty(list(_extents(kind) or ()), str(kind.dtype.dtype)))


def _constant_operands(value: Any) -> list[Any] | None:
    """The tensors that a call reads, if it reads constants alone; of calls that read nothing only PrimFuncs count."""
    if not isinstance(value, tvm.ir.Call) or not isinstance(value.op, tvm.ir.Op):
        return None
    found = tensors_of(value)
    return found if all(map(is_constant, found)) and (found or is_call_tir(value)) else None


def _extents(kind: Any) -> tuple[int, ...] | None:
    if not isinstance(kind, relax.TensorType) or not isinstance(kind.shape, relax.ShapeExpr):
        return None
    if not all(hasattr(extent, "value") for extent in kind.shape.values):
        return None
    return tuple(int(extent) for extent in kind.shape.values)


_Compute = Callable[[Any, tuple[int, ...], list[Array]], Array]  # of the call, the shape of its result, its operands

_NUMPY: Mapping[str, _Compute] = {
    **dict.fromkeys(("expand_dims", "flatten", "reshape", "squeeze"), lambda call, shape, data: data[0].reshape(shape)),
    "broadcast_to": lambda call, shape, data: np.broadcast_to(data[0], shape),
    "permute_dims": lambda call, shape, data: data[0].transpose(
        None if call.attrs.axes is None else [int(axis) for axis in call.attrs.axes]
    ),
    "concat": lambda call, shape, data: np.concatenate(data, axis=int(call.attrs.axis)),
    "add": lambda call, shape, data: data[0] + data[1],
    "subtract": lambda call, shape, data: data[0] - data[1],
    "divide": lambda call, shape, data: data[0] / data[1],
    "multiply": lambda call, shape, data: data[0] * data[1],
    "negative": lambda call, shape, data: -data[0],
    "sqrt": lambda call, shape, data: np.sqrt(data[0]),
}
