"""Measurement: what was timed, how, where, and whether to trust it."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["PROTOCOL_VERSION", "KernelTime", "Measurement", "Verdict"]

PROTOCOL_VERSION = 1

Verdict = Literal["stable", "noisy", "failed"]


@dataclass(frozen=True, slots=True)
class KernelTime:
    """Time of one kernel of the plan inside the running network.

    Attributes:
        kernel: its index in ``FusionPlan.kernels``.
        samples_us: one per profiled run, microseconds.
    """

    kernel: int
    samples_us: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Measurement:
    """Raw samples of one network on one profile. Never updated, only superseded by a later one.

    Attributes:
        graph_hash: ``OpGraph.structural_hash()`` of the network as read from its file.
        plan_hash: ``FusionPlan.plan_hash()`` of the plan that ran.
        profile_id: ``DEVICE.RUNTIME``.
        samples_us: end-to-end latency of each timed run, microseconds, in order.
        reference_us: time of the fixed reference kernel beside each sample, microseconds; same length.
        kernels: per-kernel times from separate profiled runs (the profiler costs time of its own).
        fingerprint: the environment: CPU model, flags, cores, governor, versions of runtime and narcost.
        protocol_version: of the timing protocol, see measure/protocol.py.
        verdict: ``stable``, ``noisy`` (IQR/median above 25 %) or ``failed``.
        reason: why, when not stable; empty otherwise.
        measured_at: UTC, ISO 8601.
    """

    graph_hash: str
    plan_hash: str
    profile_id: str
    samples_us: tuple[float, ...]
    reference_us: tuple[float, ...]
    kernels: tuple[KernelTime, ...]
    fingerprint: tuple[tuple[str, str], ...]
    protocol_version: int
    verdict: Verdict
    reason: str
    measured_at: str
