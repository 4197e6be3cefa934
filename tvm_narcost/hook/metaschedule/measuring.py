"""MetaSchedule's builder and runner on this machine, each candidate in a process of its own.

TVM's LocalBuilder and LocalRunner start a Python process that imports TVM anew: with torch installed that takes longer
than they wait. Here one server without torch imports TVM once and forks a child for each candidate, within limits of
time and memory, so that a crash, a hang or a leak is a failed measurement and nothing else.
Modules travel as TVM's JSON, never as pickles.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any

import tvm
from tvm.ir.utils import derived_object
from tvm.s_tir import meta_schedule as ms

from hardware_profiles import HardwareProfile
from tvm_narcost.errors import MeasurementError

__all__ = ["MeasureSettings", "MeasureTimes", "Measuring", "measure_modules", "measuring"]

_START_TIMEOUT_S = 120.0
_GRACE_S = 30.0  # beyond a candidate's own limit: the server itself does not answer any more


@dataclass(frozen=True, slots=True)
class MeasureSettings:
    """Limits of a candidate, and how long it is timed.

    Attributes:
        build_timeout_s, run_timeout_s: after this time it is killed and has failed.
        memory_bytes: what building or running it may take beyond what TVM itself takes.
        sample_s: a sample calls the kernel as often as fits in this time, at least once.
        budget_s: as many samples as fit in this time, at least ``min_samples``, at most ``max_samples``; a kernel that
            takes longer than this is called twice.
        real_time: time at the lowest real-time priority (Linux; needs the right to), so that nothing else on the core
            is timed with it. The candidate then has the core for itself for as long as it is timed.
    """

    build_timeout_s: float = 30.0
    run_timeout_s: float = 20.0
    memory_bytes: int = 4 << 30
    sample_s: float = 0.001
    budget_s: float = 0.03
    min_samples: int = 3
    max_samples: int = 15
    real_time: bool = False


@dataclass(slots=True)
class MeasureTimes:
    """Where the time went so far, seconds, and how many candidates were built, run and failed."""

    build_s: float = 0.0
    run_s: float = 0.0
    built: int = 0
    ran: int = 0
    failed: int = 0

    def forget(self) -> None:
        """Count from here on."""
        self.build_s = self.run_s = 0.0
        self.built = self.ran = self.failed = 0


@dataclass(frozen=True, slots=True)
class Measuring:
    """``builder`` and ``runner`` as MetaSchedule takes them, and the time that they took."""

    builder: ms.builder.Builder
    runner: ms.runner.Runner
    times: MeasureTimes


@contextmanager
def measuring(profile: HardwareProfile, work_dir: Path, settings: MeasureSettings | None = None) -> Iterator[Measuring]:
    """Builder and runner for ``profile``; they are served by one process, which ends with the context.

    Args:
        profile: its runtime's ``threads`` is the number of threads that a kernel runs with.
        work_dir: libraries are built in a folder under it.
        settings: limits; the defaults by default.

    Raises:
        MeasurementError: the process cannot be started.
    """
    server = _Server()
    times = MeasureTimes()
    settings = settings or MeasureSettings()
    try:
        server.start()
        yield Measuring(_Builder(server, times, settings, work_dir), _Runner(server, times, settings, profile), times)
    finally:
        server.stop()


def measure_modules(
    measured: Measuring, target: tvm.target.Target, modules: Sequence[tuple[tvm.IRModule, Sequence[Any]]]
) -> list[ms.runner.RunnerResult]:
    """Build all, then run all, so that no build disturbs a run; one result each, in order.

    Args:
        measured: builder and runner.
        target: TVM's.
        modules: each with one function ``main``, and what MetaSchedule calls its ``args_info``.
    """
    built = measured.builder.build([ms.builder.BuilderInput(module, target) for module, _ in modules])
    results: list[ms.runner.RunnerResult] = []
    for (_, args_info), product in zip(modules, built, strict=True):
        if product.error_msg is not None:
            results.append(ms.runner.RunnerResult(None, product.error_msg))
            continue
        asked = ms.runner.RunnerInput(product.artifact_path, target.kind.name, args_info)
        results.append(measured.runner.run([asked])[0].result())
        shutil.rmtree(Path(product.artifact_path).parent, ignore_errors=True)
    return results


class _Server:
    """The process of measuring_worker.py; started again when it is lost."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None

    def start(self) -> Connection:
        """Start it, unless it runs, and wait until it is ready."""
        if self._connection is not None:
            return self._connection
        ours, theirs = Pipe()
        # The project's own folder may be importable only because this process was started in it.
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        command = [sys.executable, "-m", "tvm_narcost.hook.metaschedule.measuring_worker", str(theirs.fileno())]
        self._process = subprocess.Popen(
            command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=environment
        )
        theirs.close()
        try:
            if not ours.poll(_START_TIMEOUT_S):
                raise EOFError
            ours.recv_bytes()
        except (EOFError, ConnectionResetError):
            ours.close()
            self.stop()
            raise MeasurementError(
                f"the process that measures schedules did not start within {_START_TIMEOUT_S:.0f} s, expected TVM "
                f"to be imported by then: run `{sys.executable} -c 'import tvm'` to see why"
            ) from None
        self._connection = ours
        return ours

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to ``request``; an answer with ``error`` if the server was lost over it."""
        connection = self.start()
        try:
            connection.send_bytes(json.dumps(request).encode())
            if connection.poll(request["timeout_s"] + _GRACE_S):
                answer: dict[str, Any] = json.loads(connection.recv_bytes())
                return answer
        except (EOFError, BrokenPipeError, ConnectionResetError):
            pass
        self.stop()
        return {"error": f"{request['kind']}: the process that measures was lost", "seconds": 0.0}

    def stop(self) -> None:
        """End it."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@derived_object
class _Builder(ms.builder.PyBuilder):  # type: ignore[misc]
    def __init__(self, server: _Server, times: MeasureTimes, settings: MeasureSettings, work_dir: Path) -> None:
        super().__init__()
        self.server, self.times, self.settings, self.work_dir = server, times, settings, work_dir

    def build(self, build_inputs: list[ms.builder.BuilderInput]) -> list[ms.builder.BuilderResult]:
        """See TVM: one result an input, in order."""
        self.work_dir.mkdir(parents=True, exist_ok=True)
        return [self._build(one) for one in build_inputs]

    def _build(self, one: ms.builder.BuilderInput) -> ms.builder.BuilderResult:
        answer = self.server.ask(
            {
                "kind": "build",
                "module": tvm.ir.save_json(one.mod),
                "target": str(one.target),
                "folder": str(self.work_dir),
                "timeout_s": self.settings.build_timeout_s,
                "memory_bytes": self.settings.memory_bytes,
            }
        )
        self.times.build_s += answer["seconds"]
        self.times.built += 1
        self.times.failed += "error" in answer
        return ms.builder.BuilderResult(answer.get("artifact"), answer.get("error"))


@derived_object
class _Runner(ms.runner.PyRunner):  # type: ignore[misc]
    def __init__(
        self, server: _Server, times: MeasureTimes, settings: MeasureSettings, profile: HardwareProfile
    ) -> None:
        super().__init__()
        self.server, self.times, self.settings, self.profile = server, times, settings, profile

    def run(self, runner_inputs: list[ms.runner.RunnerInput]) -> list[ms.runner.RunnerFuture]:
        """See TVM: one future an input, in order, each done."""
        return [self._run(one) for one in runner_inputs]

    def _run(self, one: ms.runner.RunnerInput) -> ms.runner.RunnerFuture:
        settings = self.settings
        answer = self.server.ask(
            {
                "kind": "run",
                "artifact": str(one.artifact_path),
                "arguments": [[str(kind.dtype), [int(size) for size in kind.shape]] for kind in one.args_info],
                "threads": self.profile.runtime.threads,
                "timeout_s": settings.run_timeout_s,
                "memory_bytes": settings.memory_bytes,
                "sample_s": settings.sample_s,
                "budget_s": settings.budget_s,
                "min_samples": settings.min_samples,
                "max_samples": settings.max_samples,
                "real_time": settings.real_time,
            }
        )
        self.times.run_s += answer["seconds"]
        self.times.ran += 1
        self.times.failed += "error" in answer
        return ms.runner.LocalRunnerFuture(res=answer.get("run_secs"), error_message=answer.get("error"))
