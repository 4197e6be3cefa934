"""Rewrites of a module that compute the same in another way; which of them pay is for the cost model to say."""

from collections.abc import Callable, Mapping
from typing import Any

import tvm
from tvm import relax, te

from tvm_narcost.hook.batch_norm import fold_batch_norm
from tvm_narcost.hook.bindings import Emitter, is_call_of, rewrite_main
from tvm_narcost.hook.variant import REWRITE_NAMES

__all__ = ["REWRITES", "apply_rewrites"]


def fuse_transpose_matmul(module: tvm.IRModule) -> tvm.IRModule:
    """Let a product of x and a transposed y read y as it is.

    ``relax.transform.FuseTransposeMatmul`` does that to weights as well, and these are better transposed once.
    """
    return rewrite_main(module, _read_transposed)


def _read_transposed(emitter: Emitter, variable: relax.Var, value: Any) -> Any:
    value = emitter.read(value)
    transposed = emitter.call_behind(value.args[1], "permute_dims") if is_call_of(value, "matmul") else None
    if transposed is None or min(value.args[0].ty.ndim, transposed.ty.ndim) < 2:
        return value
    rank = transposed.args[0].ty.ndim
    swapped = [*range(rank - 2), rank - 1, rank - 2]
    axes = transposed.attrs.axes
    if (
        emitter.is_constant(transposed.args[0])
        or (list(reversed(range(rank))) if axes is None else list(axes)) != swapped
    ):
        return value
    shape = list(variable.ty.shape.values)

    def product(left: te.Tensor, right: te.Tensor) -> te.Tensor:
        inner = te.reduce_axis((0, left.shape[-1]), name="k")
        return te.compute(
            shape,
            lambda *place: te.sum(
                left(*_batch(left, place), place[-2], inner) * right(*_batch(right, place), place[-1], inner),
                axis=inner,
            ),
            name="NT_matmul",
        )

    return emitter.builder.call_te(product, value.args[0], transposed.args[0], primfunc_name_hint="NT_matmul")


def _batch(tensor: te.Tensor, place: tuple[Any, ...]) -> list[Any]:
    """Where in a tensor's leading axes an element of the product lies; axes of extent one are broadcast."""
    leading = tensor.shape[:-2]
    own = place[len(place) - 2 - len(leading) : -2]
    return [0 if int(extent) == 1 else index for extent, index in zip(leading, own, strict=True)]


REWRITES: Mapping[str, Callable[[tvm.IRModule], tvm.IRModule]] = {
    "fold_batch_norm": fold_batch_norm,
    "fuse_transpose_matmul": fuse_transpose_matmul,
    "adjust_matmul_order": relax.transform.AdjustMatmulOrder(),
    "expand_matmul_of_sum": relax.transform.ExpandMatmulOfSum(),
}


def apply_rewrites(module: tvm.IRModule, names: tuple[str, ...]) -> tvm.IRModule:
    """Apply the rewrites of these names, in the order of ``REWRITE_NAMES``; the module is not changed."""
    for name in REWRITE_NAMES:
        if name in names:
            module = REWRITES[name](module)
    return module
