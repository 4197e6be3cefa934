"""Collecting: measure many networks into a database; stop and go on at any time.

A worker process builds and times, this one writes: each network is one transaction, so that a kill loses at most the
one in flight, and a crash of the runtime costs a restart of the worker and a ``failed`` row.
"""

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any, Literal

from hardware_profiles import HardwareProfile
from relay_frontend.graph import OpGraph
from tvm_narcost.database import PROTOCOL_VERSION, Measurement, NetworkRecord
from tvm_narcost.database.measurement import VERDICTS, Verdict
from tvm_narcost.errors import MeasurementError
from tvm_narcost.measure.sources import Source
from tvm_narcost.measure.worker import EngineMaker, runtime_engine
from tvm_narcost.measure.worker_handle import PlansWanted, WorkerFailedError, WorkerHandle

if TYPE_CHECKING:
    from tvm_narcost.database.store import LatencyDatabase

__all__ = ["CollectReport", "Outcome", "Progress", "collect"]

Outcome = Literal["stable", "noisy", "failed", "skipped"]
Progress = Callable[[Source, Outcome, str], None]
"""Called after each network with its outcome and, when it is noisy or failed, the reason."""

_IsWanted = Callable[[Mapping[str, Any] | str], bool]  # of a source's document, and of a graph's hash once it is built

_FAILURES_IN_A_ROW = 20  # then something is wrong with the machine, not with the networks
_FEWEST_REFERENCES = 20  # to say how steady the machine was
_UNSTEADY = 1.6  # of the shipped datasets' machines it is 1.2 to 1.3, of one whose repeats differ by 16 % it is 2


@dataclass(slots=True)
class CollectReport:
    """What a collection did.

    Attributes:
        stable, noisy, failed: rows added, by verdict.
        skipped: measured before, or of a structure that was; with ``again``, measured twice or never.
        elapsed_s: wall time, seconds.
        ended: ``done``, ``budget`` (spent) or ``interrupted`` (Ctrl-C).
        failures: (name, reason) of each that failed.
        references_us: median of the reference kernel beside each row, which is the same work every time.
    """

    stable: int = 0
    noisy: int = 0
    failed: int = 0
    skipped: int = 0
    elapsed_s: float = 0.0
    ended: Literal["done", "budget", "interrupted"] = "done"
    failures: list[tuple[str, str]] = field(default_factory=list)
    references_us: list[float] = field(default_factory=list)

    def count(self, source: Source, row: "_Row") -> None:
        """Take one outcome in."""
        setattr(self, row.outcome, getattr(self, row.outcome) + 1)
        if row.outcome == "failed":
            self.failures.append((source.name, row.reason))
        if row.reference_us is not None:
            self.references_us.append(row.reference_us)

    def unsteady_us(self) -> tuple[float, float] | None:
        """10th and 90th percentile of the reference kernel's time if they are far apart, else nothing.

        Samples of one network that agree do not tell of a machine that is now fast, now slow, for minutes each.
        """
        if len(self.references_us) < _FEWEST_REFERENCES:
            return None
        low, *_, high = quantiles(self.references_us, n=10)
        return (low, high) if high > _UNSTEADY * low else None


@dataclass(frozen=True, slots=True)
class _Row:
    """What came of a network, or of one of its plans; ``reference_us`` is None where nothing was timed."""

    outcome: Outcome
    reason: str = ""
    reference_us: float | None = None


def collect(
    sources: Iterable[Source],
    profile: HardwareProfile,
    database: "LatencyDatabase",
    *,
    budget_s: float | None = None,
    progress: Progress | None = None,
    retry: Collection[Verdict] = (),
    again: bool = False,
    plans: int | None = None,
    limit_s: float | None = None,
    make_engine: EngineMaker = runtime_engine,
) -> CollectReport:
    """Measure each source that the database does not have yet on this profile.

    Args:
        sources: what to measure, in this order.
        profile: where and how.
        database: gets one row a network, or a network and plan; one transaction a network.
        budget_s: wall time after which no other network is begun, seconds; None for no limit.
        progress: called after each network.
        retry: measure again what has only measurements of these verdicts.
        again: measure instead what has one stable measurement, so that it has two.
        plans: measure each network under so many fusion plans, as far as it has them, the default one among them; None
            for the one that its runtime would run.
        limit_s: wall time after which building, or timing, one network is given up, seconds; None for twenty times
            the protocol's budget and five seconds, for each plan, and a minute.
        make_engine: called in the worker process, so it must be importable there.

    Raises:
        RuntimeMissingError: the profile's runtime is not installed.
        MeasurementError: the worker does not start, or many networks in a row failed.
        DatabaseError: the database cannot be written.
    """
    report = CollectReport()
    limit_s = 60.0 + (5.0 + 20.0 * profile.protocol.budget_s) * (plans or 1) if limit_s is None else limit_s
    started = time.monotonic()
    failures_in_a_row = 0
    is_wanted = _once_more(database, profile.id) if again else _missing(database, profile.id, retry, plans)
    worker = WorkerHandle(profile, make_engine, limit_s)
    try:
        with worker:
            for source in sources:
                rows = [_Row("skipped")]
                if is_wanted(source.document()):
                    if budget_s is not None and time.monotonic() - started >= budget_s:
                        report.ended = "budget"
                        break
                    rows = _collect_one(source, profile, database, worker, is_wanted, plans)
                    has_failed = all(row.outcome == "failed" for row in rows)
                    failures_in_a_row = failures_in_a_row + 1 if has_failed else 0
                for row in rows:
                    report.count(source, row)
                if progress is not None:
                    progress(source, rows[0].outcome, rows[0].reason)
                if failures_in_a_row >= _FAILURES_IN_A_ROW:
                    raise MeasurementError(
                        f"{failures_in_a_row} networks in a row failed on {profile.id}, the last ({source.name}) with: "
                        f"{rows[0].reason}; correct that and run again with --retry-failed"
                    )
    except KeyboardInterrupt:
        report.ended = "interrupted"
    report.elapsed_s = time.monotonic() - started
    return report


def _missing(database: "LatencyDatabase", profile_id: str, retry: Collection[Verdict], plans: int | None) -> _IsWanted:
    enough = [verdict for verdict in VERDICTS if verdict not in retry]
    if plans is None:
        return lambda key: not database.is_measured(key, profile_id, verdicts=enough)

    def has_fewer(key: Mapping[str, Any] | str) -> bool:
        known = database.plan_hashes(key, profile_id, verdicts=enough)
        return len(known) < plans and (bool(known) or not database.is_measured(key, profile_id, verdicts=enough))

    return has_fewer


def _once_more(database: "LatencyDatabase", profile_id: str) -> _IsWanted:
    return lambda key: database.count_stable(key, profile_id) == 1


def _collect_one(
    source: Source,
    profile: HardwareProfile,
    database: "LatencyDatabase",
    worker: WorkerHandle,
    is_wanted: _IsWanted,
    plans: int | None,
) -> list[_Row]:
    """Measure one network and add its rows; a failure is a row too."""
    graph: OpGraph | None = None
    try:
        graph = worker.build(source)
        network = NetworkRecord(source.family, source.name, source.document(), graph)
        graph_hash = graph.structural_hash()
        if not is_wanted(graph_hash):
            worker.drop()
            if database.is_measured(graph_hash, profile.id):
                database.link(network)
            return [_Row("skipped")]
        known = frozenset[str]() if plans is None else database.plan_hashes(graph_hash, profile.id)
        pairs = worker.measure(None if plans is None else PlansWanted(plans, known))
    except WorkerFailedError as failure:
        network = NetworkRecord(source.family, source.name, source.document(), graph)
        measurement = _failed_measurement(graph, profile, str(failure))
        database.add(network, None, measurement)
        return [_row(measurement)]
    if not pairs:  # it has no other plans
        database.link(network)
        return [_Row("skipped")]
    database.add_plans(network, pairs)
    return [_row(measurement) for _, measurement in pairs]


def _row(measurement: Measurement) -> _Row:
    reference_us = median(measurement.reference_us) if measurement.reference_us else None
    return _Row(measurement.verdict, measurement.reason, reference_us)


def _failed_measurement(graph: OpGraph | None, profile: HardwareProfile, reason: str) -> Measurement:
    return Measurement(
        graph_hash="" if graph is None else graph.structural_hash(),
        plan_hash="",
        profile_id=profile.id,
        samples_us=(),
        reference_us=(),
        kernels=(),
        fingerprint=((profile.runtime.name, profile.runtime.version),),
        protocol_version=PROTOCOL_VERSION,
        verdict="failed",
        reason=reason,
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
