"""Roofline terms of each kernel (Williams et al., 2009), with the bandwidth of the cache its data is expected in."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hardware_profiles import HardwareProfile
from tvm_narcost.tokens.facts import KernelFacts

__all__ = ["LEVELS", "Roofline", "cache_level", "compute_us", "data_us", "overhead_us", "roofline", "weights_us"]


@dataclass(frozen=True)
class Roofline:
    """Lower bounds on the time of each kernel, microseconds, each float64 [kernels].

    Attributes:
        compute_us: FLOPs that are really done over the peak of all threads.
        memory_us: bytes over the bandwidth of the cache level that holds them.
        total_us: the larger of the two, plus its share of the overhead of one call; they sum to the network's bound.
            Of a compiler that tiles the sum of the two, which is no bound: see tiled.py.
    """

    compute_us: NDArray[np.float64]
    memory_us: NDArray[np.float64]
    total_us: NDArray[np.float64]

    @property
    def yardstick_us(self) -> NDArray[np.float64]:
        """What learned times are a multiple of: half a microsecond more, for kernels that compute and move nothing."""
        yardstick: NDArray[np.float64] = self.total_us + 0.5
        return yardstick


def roofline(facts: KernelFacts, profile: HardwareProfile) -> Roofline:
    """Bound each kernel of a plan on a profile."""
    compute = compute_us(facts, profile)
    memory = data_us(facts, profile) + weights_us(facts, profile)
    return Roofline(compute, memory, np.maximum(compute, memory) + overhead_us(facts, profile))


# 1 GFLOP/s is 1e3 FLOP a microsecond, 1 GB/s is 1e3 bytes a microsecond.


def compute_us(facts: KernelFacts, profile: HardwareProfile) -> NDArray[np.float64]:
    """Time of each kernel's FLOPs at the peak of all threads, without those of padding, [kernels]."""
    peak_gflops = dict(profile.device.peak_gflops)["float32"] * profile.runtime.threads
    times_us: NDArray[np.float64] = (facts.column("flops") - facts.column("padding_flops")) / (peak_gflops * 1e3)
    return times_us


def data_us(facts: KernelFacts, profile: HardwareProfile) -> NDArray[np.float64]:
    """Time that what each kernel reads takes to come, without weights, and what it writes to go, [kernels]."""
    moved = facts.column("input_bytes") + facts.column("output_bytes")
    times_us: NDArray[np.float64] = (
        facts.column("input_bytes") / _bandwidth(facts.column("oldest_age_bytes") + moved, profile)
        + facts.column("output_bytes") / _bandwidth(moved, profile)
    ) / 1e3
    return times_us


def weights_us(facts: KernelFacts, profile: HardwareProfile, share: float = 1.0) -> NDArray[np.float64]:
    """Time that each kernel's weights take to come from where those of the whole plan lie, [kernels].

    Args:
        facts: of the plan.
        profile: where it runs.
        share: of a cache that weights find.
    """
    parameter_bytes = facts.column("parameter_bytes")
    footprint = parameter_bytes.sum() + facts.column("output_bytes").max(initial=0.0)
    times_us: NDArray[np.float64] = parameter_bytes / _bandwidth(np.full(len(facts), footprint / share), profile) / 1e3
    return times_us


def overhead_us(facts: KernelFacts, profile: HardwareProfile) -> float:
    """Each kernel's share of the overhead of one call."""
    return profile.device.call_overhead_us / max(len(facts), 1)


LEVELS = ("l1", "l2", "l3", "memory")
"""Where data may lie, the nearest first."""


def cache_level(working_set_bytes: NDArray[np.float64], profile: HardwareProfile) -> NDArray[np.intp]:
    """Place in LEVELS of the smallest cache that holds each working set; a device may have no L3."""
    device = profile.device
    sizes = [device.l1d_bytes, device.l2_bytes, device.l3_bytes]
    there = [(place, size) for place, size in enumerate(sizes) if size > 0]
    return np.select(
        [working_set_bytes <= size for _, size in there], [place for place, _ in there], len(LEVELS) - 1
    ).astype(np.intp)


def _bandwidth(working_set_bytes: NDArray[np.float64], profile: HardwareProfile) -> NDArray[np.float64]:
    """GB/s of the smallest cache that holds a working set."""
    known = dict(profile.device.bandwidth_gb_s)
    level = cache_level(working_set_bytes, profile)
    return np.array([known.get(name, known["memory"]) for name in LEVELS])[level]
