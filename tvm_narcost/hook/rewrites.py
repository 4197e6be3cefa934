"""Rewrites of a module that compute the same in another way; which of them pay is for the cost model to say."""

from collections.abc import Callable, Mapping

import tvm
from tvm import relax

from tvm_narcost.hook.batch_norm import fold_batch_norm
from tvm_narcost.hook.variant import REWRITE_NAMES

__all__ = ["REWRITES", "apply_rewrites"]


REWRITES: Mapping[str, Callable[[tvm.IRModule], tvm.IRModule]] = {
    "fold_batch_norm": fold_batch_norm,
    "adjust_matmul_order": relax.transform.AdjustMatmulOrder(),
    "expand_matmul_of_sum": relax.transform.ExpandMatmulOfSum(),
    "combine_parallel_matmul": relax.transform.CombineParallelMatmul(),
}


def apply_rewrites(module: tvm.IRModule, names: tuple[str, ...]) -> tvm.IRModule:
    """Apply the rewrites of these names, in the order of ``REWRITE_NAMES``; the module is not changed."""
    for name in REWRITE_NAMES:
        if name in names:
            module = REWRITES[name](module)
    return module
