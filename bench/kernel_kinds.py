"""Errors of predicted kernels against their times inside the network, by kind of kernel."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_narcost.tokens.facts import KernelFacts, kernel_facts
from tvm_narcost.training.examples import Example

__all__ = ["errors_by_kind", "kernel_kinds"]


def errors_by_kind(examples: Sequence[Example], predicted_us: Sequence[NDArray[np.float64]]) -> dict[str, Any]:
    """Sums over the kernels of some networks, by kind.

    Each kernel weighs as its share of its network's measured time. For each kind: the number of ``kernels``, the sum of
    their shares, the sums of the absolute and of the signed error, each as a fraction of its network's time.

    Args:
        examples: measured networks.
        predicted_us: time of each kernel of each, microseconds, [kernels].
    """
    kinds: dict[str, dict[str, Any]] = {}
    for example, times_us in zip(examples, predicted_us, strict=True):
        names = np.array(kernel_kinds(kernel_facts(example.plan)))
        error = (times_us - example.kernels_us) / example.latency_us
        for kind in np.unique(names):
            is_kind = names == kind
            sums = kinds.setdefault(str(kind), {"kernels": 0, "share": 0.0, "absolute": 0.0, "signed": 0.0})
            sums["kernels"] += int(is_kind.sum())
            sums["share"] += float(example.share[is_kind].sum())
            sums["absolute"] += float(np.abs(error[is_kind]).sum())
            sums["signed"] += float(error[is_kind].sum())
    return kinds


def kernel_kinds(facts: KernelFacts) -> list[str]:
    """Operator of each kernel; convolutions told apart by what they cost: 1x1, depthwise, grouped, others."""
    kernels = zip(
        facts.ops, *(facts.column(name) for name in ("group", "in_channels", "kernel_h", "kernel_w")), strict=True
    )
    return [op if op != "Conv" else _convolution(*extents) for op, *extents in kernels]


def _convolution(group: float, channels: float, height: float, width: float) -> str:
    if group > 1:
        return "Conv, depthwise" if group == channels else "Conv, grouped"
    return "Conv, 1x1" if height * width == 1 else "Conv"
