"""Measurement: what was timed, how, where, and whether to trust it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from tvm_narcost.errors import DatabaseError

__all__ = ["PASSING_FACTS", "PROTOCOL_VERSION", "VERDICTS", "KernelTime", "Measurement", "Verdict"]

PROTOCOL_VERSION = 1

Verdict = Literal["stable", "noisy", "failed"]
PASSING_FACTS = frozenset({"load_average", "profiler_overhead_us"})
"""What of a fingerprint differs from measurement to measurement; the rest is stored once for all that share it."""

VERDICTS: tuple[Verdict, ...] = ("stable", "noisy", "failed")


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

    @property
    def lasting_facts(self) -> tuple[tuple[str, str], ...]:
        """Its fingerprint without what passes: equal for all that one environment measured."""
        return tuple(pair for pair in self.fingerprint if pair[0] not in PASSING_FACTS)

    @property
    def passing_facts(self) -> tuple[tuple[str, str], ...]:
        """What of its fingerprint is of this measurement alone."""
        return tuple(pair for pair in self.fingerprint if pair[0] in PASSING_FACTS)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; :meth:`from_json` is its inverse."""
        return {
            "graph_hash": self.graph_hash,
            "plan_hash": self.plan_hash,
            "profile_id": self.profile_id,
            "samples_us": list(self.samples_us),
            "reference_us": list(self.reference_us),
            "kernels": [[time.kernel, *time.samples_us] for time in self.kernels],
            "fingerprint": [list(pair) for pair in self.fingerprint],
            "protocol_version": self.protocol_version,
            "verdict": self.verdict,
            "reason": self.reason,
            "measured_at": self.measured_at,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote.

        Raises:
            DatabaseError: a field is missing or of the wrong kind.
        """
        try:
            verdict = document["verdict"]
            if verdict not in VERDICTS:
                raise ValueError(f"verdict {verdict!r}, expected one of {VERDICTS}")
            return cls(
                graph_hash=str(document["graph_hash"]),
                plan_hash=str(document["plan_hash"]),
                profile_id=str(document["profile_id"]),
                samples_us=_floats(document["samples_us"]),
                reference_us=_floats(document["reference_us"]),
                kernels=tuple(KernelTime(int(kernel), _floats(times)) for kernel, *times in document["kernels"]),
                fingerprint=tuple((str(name), str(value)) for name, value in document["fingerprint"]),
                protocol_version=int(document["protocol_version"]),
                verdict=verdict,
                reason=str(document["reason"]),
                measured_at=str(document["measured_at"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DatabaseError(
                f"measurement document: {error!r}, expected what Measurement.to_json writes; measure again"
            ) from error


def _floats(values: Any) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
