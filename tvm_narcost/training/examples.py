"""Example: one measured network, encoded for training."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hardware_profiles import HardwareProfile
from relay_frontend.graph import OpGraph
from relay_frontend.plan import FusionPlan
from tvm_narcost.database import LatencyRecord
from tvm_narcost.database.measurement import Measurement
from tvm_narcost.errors import TrainingError
from tvm_narcost.tokens.encoded import encode_plan

__all__ = ["Example", "encode_record", "encode_records", "measured_latency_us", "share_latency", "undisturbed_mean"]


_RESOLUTION_US = 0.05  # a kernel that the profiler rounds to nothing still has a logarithm


@dataclass(frozen=True)
class Example:
    """One network with what was measured.

    Attributes:
        name, family: where it comes from.
        graph, plan: as read, as run.
        operators: operator of each kernel.
        tokens: float32 [kernels, width], schema ``default``.
        roofline_us: float64 [kernels], the bound.
        yardstick_us: float64 [kernels], what the learned times are a multiple of.
        kernels_us: float64 [kernels], in-network times that sum to ``latency_us``, see :func:`share_latency`.
        latency_us: median end-to-end latency.
        profile_id: where it was measured.
    """

    name: str
    family: str
    graph: OpGraph
    plan: FusionPlan
    operators: tuple[str, ...]
    tokens: NDArray[np.float32]
    roofline_us: NDArray[np.float64]
    yardstick_us: NDArray[np.float64]
    kernels_us: NDArray[np.float64]
    latency_us: float
    profile_id: str

    @property
    def network(self) -> tuple[str, str]:
        """What its plans have in common: where it was measured, and the graph's hash."""
        return self.profile_id, self.graph.structural_hash()

    @property
    def share(self) -> NDArray[np.float64]:
        """Share of each kernel in the network's time, [kernels], sums to 1."""
        share: NDArray[np.float64] = self.kernels_us / self.kernels_us.sum()
        return share

    @property
    def log_efficiency(self) -> NDArray[np.float64]:
        """log(time / yardstick) of each kernel, [kernels]: what the models learn."""
        logs: NDArray[np.float64] = np.log(self.kernels_us / self.yardstick_us)
        return logs


def measured_latency_us(measurement: Measurement) -> float:
    """Median of the end-to-end samples, microseconds."""
    return float(np.median(measurement.samples_us))


def share_latency(raw_us: NDArray[np.float64], latency_us: float) -> NDArray[np.float64]:
    """Split the end-to-end latency over kernels by their profiled times.

    The profiler adds about the same time to every kernel, and the end-to-end samples are free of it: what the kernels
    take together beyond the latency is taken off each alike, but never more than half of it; what remains is scaled
    to sum to the latency.

    Args:
        raw_us: profiled time of each kernel, microseconds, [kernels].
        latency_us: end to end, microseconds.
    """
    surplus_us = max(float(raw_us.sum()) - latency_us, 0.0) / max(len(raw_us), 1)
    corrected = np.maximum(raw_us - surplus_us, 0.5 * raw_us) + _RESOLUTION_US
    shared: NDArray[np.float64] = corrected * (latency_us / corrected.sum())
    return shared


def undisturbed_mean(samples_us: NDArray[np.float64]) -> float:
    """Mean of a kernel's few samples without those in which something else ran: beyond twice the median.

    The mean, because a profiler may count whole microseconds; one of them is allowed on top.
    """
    return float(samples_us[samples_us <= 2 * np.median(samples_us) + 1.0].mean())


def encode_record(record: LatencyRecord, profile: HardwareProfile) -> Example:
    """Encode one measured network.

    Raises:
        TrainingError: a kernel of its plan was not timed.
    """
    encoded = encode_plan(record.plan, profile)
    raw_us = np.full(len(encoded.operators), np.nan)
    for timed in record.measurement.kernels:
        if timed.samples_us:
            raw_us[timed.kernel] = undisturbed_mean(np.array(timed.samples_us))
    if np.isnan(raw_us).any():
        missing = np.flatnonzero(np.isnan(raw_us)).tolist()
        raise TrainingError(
            f"measurement of {record.name!r}: no time of kernels {missing[:20]}, expected times of all "
            f"{len(raw_us)}; measure it again"
        )
    latency_us = measured_latency_us(record.measurement)
    return Example(
        name=record.name,
        family=record.family,
        graph=record.graph,
        plan=record.plan,
        operators=encoded.operators,
        tokens=encoded.tokens,
        roofline_us=encoded.roofline_us,
        yardstick_us=encoded.yardstick_us,
        kernels_us=share_latency(raw_us, latency_us),
        latency_us=latency_us,
        profile_id=profile.id,
    )


def encode_records(records: Iterable[LatencyRecord], profile: HardwareProfile) -> list[Example]:
    """Encode those that are stable and whose kernels were timed; noisy and failed ones take no part in training."""
    return [
        encode_record(record, profile)
        for record in records
        if record.measurement.verdict == "stable" and record.measurement.kernels
    ]
