"""The parent's end of worker.py: starts the process, asks it, restarts it when it died or hangs."""

import multiprocessing
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Self

from hardware_profiles import HardwareProfile
from relay_frontend.graph import OpGraph
from relay_frontend.plan import FusionPlan
from tvm_narcost.database.measurement import Measurement
from tvm_narcost.errors import MeasurementError, RuntimeMissingError
from tvm_narcost.measure.sources import Source
from tvm_narcost.measure.worker import EngineMaker, receive, send, work

__all__ = ["PlansWanted", "WorkerFailedError", "WorkerHandle"]

_NETWORKS_A_WORKER = 200  # then a fresh one, so that a leak in a runtime cannot fill the memory
_START_LIMIT_S = 120.0


class WorkerFailedError(Exception):
    """One network failed; the worker may be gone."""


@dataclass(frozen=True, slots=True)
class PlansWanted:
    """How many plans of a network are to be measured, and the hashes of those that are."""

    count: int
    known: frozenset[str]


class WorkerHandle:
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
            WorkerFailedError: it could not.
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

    def measure(self, wanted: PlansWanted | None) -> list[tuple[FusionPlan, Measurement]]:
        """Have the worker time the network that it built: as its runtime plans it, or under the plans wanted.

        Raises:
            WorkerFailedError: it could not.
        """
        request: dict[str, Any] = {"kind": "measure"}
        if wanted is not None:
            request |= {"plans": wanted.count, "known": sorted(wanted.known)}
        answer = self._ask(request, "measuring it")
        return [
            (FusionPlan.from_json(pair["plan"]), Measurement.from_json(pair["measurement"])) for pair in answer["pairs"]
        ]

    def _ask(self, request: dict[str, Any], doing: str) -> dict[str, Any]:
        if self._connection is None:
            raise WorkerFailedError(f"no worker while {doing}")
        try:
            send(self._connection, request)
            if not self._connection.poll(self._limit_s):
                self._stop()
                raise WorkerFailedError(f"{doing} took more than {self._limit_s:.0f} s and was given up")
            answer = receive(self._connection)
        except (EOFError, OSError) as error:
            process = self._process
            process.join(5)
            code = process.exitcode
            self._stop()
            how = f"signal {-code}" if code is not None and code < 0 else f"exit status {code}"
            raise WorkerFailedError(f"the process that was {doing} died ({how})") from error
        if answer["kind"] == "failed":
            raise WorkerFailedError(str(answer["reason"]))
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
