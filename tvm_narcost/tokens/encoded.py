"""EncodedPlan: a plan as the models of kernels see it, made once for all of them."""

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hardware_profiles import HardwareProfile
from relay_frontend.graph import OpGraph
from relay_frontend.plan import FusionPlan
from tvm_narcost.tokens.default import encode_kernels
from tvm_narcost.tokens.facts import KernelDescriber, KernelFacts, kernel_facts
from tvm_narcost.tokens.inlining import inlines
from tvm_narcost.tokens.roofline import roofline
from tvm_narcost.tokens.tiled import tiled_bounds

__all__ = ["EncodedPlan", "PlanEncoder", "encode_plan"]


@dataclass(frozen=True, eq=False)
class EncodedPlan:
    """A plan with its tokens and bounds on one profile.

    Attributes:
        plan: what was encoded.
        operators: of each kernel.
        tokens: float32 [kernels, default.WIDTH], schema ``default``.
        roofline_us: float64 [kernels], the bound.
        yardstick_us: float64 [kernels], what the learned times are a multiple of.
    """

    plan: FusionPlan
    operators: tuple[str, ...]
    tokens: NDArray[np.float32]
    roofline_us: NDArray[np.float64]
    yardstick_us: NDArray[np.float64]


@functools.lru_cache(maxsize=16)  # NAR-Former and kernel-sum are asked about the same plan
def encode_plan(plan: FusionPlan, profile: HardwareProfile) -> EncodedPlan:
    """Encode a plan; linear in nodes and edges."""
    facts = kernel_facts(plan, inlining=inlines(profile))
    return _encode(plan, facts, profile)


class PlanEncoder:
    """Encodes plans of one graph as :func:`encode_plan` does; what their kernels share is described once."""

    def __init__(self, graph: OpGraph, profile: HardwareProfile) -> None:
        """Nothing is computed yet."""
        self._profile = profile
        self._describer = KernelDescriber(graph, inlining=inlines(profile))

    def encode(self, plan: FusionPlan) -> EncodedPlan:
        """Encode a plan over the graph."""
        return _encode(plan, self._describer.facts(plan), self._profile)


def _encode(plan: FusionPlan, facts: KernelFacts, profile: HardwareProfile) -> EncodedPlan:
    bounds = (tiled_bounds if inlines(profile) else roofline)(facts, profile)
    tokens = encode_kernels(facts, profile, bounds).values
    for values in (tokens, bounds.total_us):
        values.setflags(write=False)  # the same arrays are given to whoever asks
    return EncodedPlan(plan, facts.ops, tokens, bounds.total_us, bounds.yardstick_us)
