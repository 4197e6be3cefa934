"""Collecting: measure many networks into a database; stop and go on at any time.

A worker process builds and times, this one writes: each network is one transaction, so that a kill loses at most the
one in flight, and a crash of the runtime costs a restart of the worker and a ``failed`` row.
"""

import multiprocessing
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, Literal, Self

from hardware_profiles import HardwareProfile
from relay_frontend.graph import OpGraph
from relay_frontend.plan import FusionPlan
from tvm_narcost.database import PROTOCOL_VERSION, Measurement, NetworkRecord
from tvm_narcost.database.measurement import VERDICTS, Verdict
from tvm_narcost.errors import MeasurementError, RuntimeMissingError
from tvm_narcost.measure.sources import Source
from tvm_narcost.measure.worker import EngineMaker, receive, runtime_engine, send, work

if TYPE_CHECKING:
    from tvm_narcost.database.store import LatencyDatabase

__all__ = ["CollectReport", "Outcome", "Progress", "collect"]

Outcome = Literal["stable", "noisy", "failed", "skipped"]
Progress = Callable[[Source, Outcome, str], None]
"""Called after each network with its outcome and, when it is noisy or failed, the reason."""

_IsWanted = Callable[[Mapping[str, Any] | str], bool]  # of a source's document, and of a graph's hash once it is built

_NETWORKS_A_WORKER = 200  # then a fresh one, so that a leak in a runtime cannot fill the memory
_FAILURES_IN_A_ROW = 20  # then something is wrong with the machine, not with the networks
_START_LIMIT_S = 120.0


@dataclass(slots=True)
class CollectReport:
    """What a collection did.

    Attributes:
        stable, noisy, failed: rows added, by verdict.
        skipped: measured before, or of a structure that was; with ``again``, measured twice or never.
        elapsed_s: wall time, seconds.
        ended: ``done``, ``budget`` (spent) or ``interrupted`` (Ctrl-C).
        failures: (name, reason) of each that failed.
    """

    stable: int = 0
    noisy: int = 0
    failed: int = 0
    skipped: int = 0
    elapsed_s: float = 0.0
    ended: Literal["done", "budget", "interrupted"] = "done"
    failures: list[tuple[str, str]] = field(default_factory=list)

    def count(self, source: Source, outcome: Outcome, reason: str) -> None:
        """Take one outcome in."""
        setattr(self, outcome, getattr(self, outcome) + 1)
        if outcome == "failed":
            self.failures.append((source.name, reason))


def collect(
    sources: Iterable[Source],
    profile: HardwareProfile,
    database: "LatencyDatabase",
    *,
    budget_s: float | None = None,
    progress: Progress | None = None,
    retry: Collection[Verdict] = (),
    again: bool = False,
    limit_s: float | None = None,
    make_engine: EngineMaker = runtime_engine,
) -> CollectReport:
    """Measure each source that the database does not have yet on this profile.

    Args:
        sources: what to measure, in this order.
        profile: where and how.
        database: gets one row a network, in one transaction each.
        budget_s: wall time after which no other network is begun, seconds; None for no limit.
        progress: called after each network.
        retry: measure again what has only measurements of these verdicts.
        again: measure instead what has one stable measurement, so that it has two.
        limit_s: wall time after which building, or timing, one network is given up, seconds; None for twenty times
            the protocol's budget and a minute.
        make_engine: called in the worker process, so it must be importable there.

    Raises:
        RuntimeMissingError: the profile's runtime is not installed.
        MeasurementError: the worker does not start, or many networks in a row failed.
        DatabaseError: the database cannot be written.
    """
    report = CollectReport()
    limit_s = 60.0 + 20.0 * profile.protocol.budget_s if limit_s is None else limit_s
    started = time.monotonic()
    failures_in_a_row = 0
    is_wanted = _once_more(database, profile.id) if again else _missing(database, profile.id, retry)
    worker = _Worker(profile, make_engine, limit_s)
    try:
        with worker:
            for source in sources:
                outcome: Outcome = "skipped"
                reason = ""
                if is_wanted(source.document()):
                    if budget_s is not None and time.monotonic() - started >= budget_s:
                        report.ended = "budget"
                        break
                    outcome, reason = _collect_one(source, profile, database, worker, is_wanted)
                    failures_in_a_row = failures_in_a_row + 1 if outcome == "failed" else 0
                report.count(source, outcome, reason)
                if progress is not None:
                    progress(source, outcome, reason)
                if failures_in_a_row >= _FAILURES_IN_A_ROW:
                    raise MeasurementError(
                        f"{failures_in_a_row} networks in a row failed on {profile.id}, the last ({source.name}) with: "
                        f"{reason}; correct that and run again with --retry-failed"
                    )
    except KeyboardInterrupt:
        report.ended = "interrupted"
    report.elapsed_s = time.monotonic() - started
    return report


def _missing(database: "LatencyDatabase", profile_id: str, retry: Collection[Verdict]) -> _IsWanted:
    enough = [verdict for verdict in VERDICTS if verdict not in retry]
    return lambda key: not database.is_measured(key, profile_id, verdicts=enough)


def _once_more(database: "LatencyDatabase", profile_id: str) -> _IsWanted:
    return lambda key: database.count_stable(key, profile_id) == 1


def _collect_one(
    source: Source,
    profile: HardwareProfile,
    database: "LatencyDatabase",
    worker: "_Worker",
    is_wanted: _IsWanted,
) -> tuple[Outcome, str]:
    """Measure one network and add the row; a failure is a row too."""
    graph: OpGraph | None = None
    plan: FusionPlan | None = None
    try:
        graph = worker.build(source)
        network = NetworkRecord(source.family, source.name, source.document(), graph)
        if not is_wanted(graph.structural_hash()):
            worker.drop()
            if database.is_measured(graph.structural_hash(), profile.id):
                database.link(network)
            return "skipped", ""
        plan, measurement = worker.measure()
    except _FailedError as failure:
        network = NetworkRecord(source.family, source.name, source.document(), graph)
        measurement = _failed_measurement(graph, profile, str(failure))
    database.add(network, plan, measurement)
    return measurement.verdict, measurement.reason


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


class _FailedError(Exception):
    """One network failed; the worker may be gone."""


class _Worker:
    """The parent's end of worker.py; starts a process when it needs one."""

    def __init__(self, profile: HardwareProfile, make_engine: EngineMaker, limit_s: float) -> None:
        self._profile = profile
        self._make_engine = make_engine
        self._limit_s = limit_s
        self._process: Any = None
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        self._connection: Connection | None = None
        self._served = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop()

    def build(self, source: Source) -> OpGraph:
        """Have the worker build one network; its graph.

        Raises:
            _FailedError: it could not.
        """
        if self._served >= _NETWORKS_A_WORKER:
            self._stop()
        if self._connection is None:
            self._start()
        self._served += 1
        answer = self._ask(
            {"kind": "build", "source": source.document(), "path": getattr(source, "path", "")}, "building it"
        )
        return OpGraph.from_json(answer["graph"])

    def drop(self) -> None:
        """Let the network that was built go."""
        if self._connection is not None:
            send(self._connection, {"kind": "drop"})

    def measure(self) -> tuple[FusionPlan, Measurement]:
        """Have the worker time the network that it built.

        Raises:
            _FailedError: it could not.
        """
        answer = self._ask({"kind": "measure"}, "measuring it")
        return FusionPlan.from_json(answer["plan"]), Measurement.from_json(answer["measurement"])

    def _ask(self, request: dict[str, Any], doing: str) -> dict[str, Any]:
        if self._connection is None:
            raise _FailedError(f"no worker while {doing}")
        try:
            send(self._connection, request)
            if not self._connection.poll(self._limit_s):
                self._stop()
                raise _FailedError(f"{doing} took more than {self._limit_s:.0f} s and was given up")
            answer = receive(self._connection)
        except (EOFError, OSError) as error:
            process = self._process
            process.join(5)
            code = process.exitcode
            self._stop()
            how = f"signal {-code}" if code is not None and code < 0 else f"exit status {code}"
            raise _FailedError(f"the process that was {doing} died ({how})") from error
        if answer["kind"] == "failed":
            raise _FailedError(str(answer["reason"]))
        return answer

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would inherit the database and the runtime's threads
        self._connection, theirs = context.Pipe()
        self._scratch = tempfile.TemporaryDirectory(prefix="narcost-", ignore_cleanup_errors=True)
        self._process = context.Process(
            target=work,
            args=(theirs, self._profile, self._make_engine, self._scratch.name),
            name="narcost-measure",
            daemon=True,
        )
        self._process.start()
        theirs.close()
        self._served = 0
        try:
            answer = receive(self._connection) if self._connection.poll(_START_LIMIT_S) else {"kind": "late"}
        except (EOFError, OSError):
            answer = {"kind": "died"}
        if answer["kind"] == "ready":
            return
        self._process.join(1)
        code = self._process.exitcode
        self._stop()
        if answer["kind"] == "missing":
            raise RuntimeMissingError(str(answer["reason"]))
        raise MeasurementError(
            f"the measuring process of {self._profile.id} did not start (exit status {code}), expected it to be ready "
            f"within {_START_LIMIT_S:.0f} s; its own message is above"
        )

    def _stop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._process is not None:
            self._process.kill()  # it holds nothing that would need an orderly end
            with suppress(ValueError):
                self._process.join()
            self._process = None
        if self._scratch is not None:
            self._scratch.cleanup()
            self._scratch = None
