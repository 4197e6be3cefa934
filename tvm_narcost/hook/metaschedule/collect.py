"""Collects measured schedules of many workloads: what the cost model is trained on.

Workloads take turns in small batches, so that all are covered from the beginning on. Each has a folder of its own;
every batch is on disk before the next begins, and a second run of the same command goes on where the first one ended.
"""

import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Literal

from tvm.s_tir import meta_schedule as ms

from hardware_profiles import HardwareProfile
from tvm_narcost.hook.metaschedule.candidates import Evolution, Space
from tvm_narcost.hook.metaschedule.interrupts import until_interrupted
from tvm_narcost.hook.metaschedule.measuring import MeasureSettings, Measuring, measure_modules, measuring
from tvm_narcost.hook.metaschedule.tuning_database import claim, commit, open_tuning_database, records_of_module
from tvm_narcost.hook.metaschedule.workloads import Workload
from tvm_narcost.hook.target import target_of

__all__ = ["ScheduleReport", "collect_schedules", "folder_name", "measure_candidates"]

_BATCH = 8
_ABOUT = "workload.json"
_LIBRARIES = ".libraries"


@dataclass(slots=True)
class ScheduleReport:
    """What came of it: candidates measured and failed now, those found on disk, and why it ended."""

    measured: int = 0
    failed: int = 0
    found: int = 0
    exhausted: int = 0
    elapsed_s: float = 0.0
    ended: Literal["done", "budget", "interrupted"] = "done"
    failures: list[str] = field(default_factory=list)


def collect_schedules(
    workloads: Sequence[Workload],
    profile: HardwareProfile,
    folder: Path,
    *,
    candidates: int,
    budget_s: float | None = None,
    found: Callable[[int], object] | None = None,
    progress: Callable[[Workload, int, int], None] | None = None,
    settings: MeasureSettings | None = None,
) -> ScheduleReport:
    """Measure up to ``candidates`` different schedules of each workload.

    Args:
        workloads: what to measure.
        profile: what to measure for; the folder is of this profile alone.
        folder: one folder a workload lies under it, a database of MetaSchedule's each.
        candidates: of each workload, those already on disk included; fewer where a design space has not as many.
        budget_s: begin no other batch after this time.
        found: called once with the number of candidates that were on disk.
        progress: called after each batch with the workload, how many were measured and how many of those failed.
        settings: limits of a candidate.

    Raises:
        DatabaseError: the folder is of another profile, or has other content.
        CompileError: the profile has no TVM target.
        MeasurementError: the process that measures does not start.
    """
    report = ScheduleReport()
    started = time.monotonic()
    runtime = profile.runtime
    claim(folder, {"profile": profile.id, "tvm_target": runtime.tvm_target, "threads": runtime.threads})
    shutil.rmtree(folder / _LIBRARIES, ignore_errors=True)  # what a killed run left
    collections = [_Collection(workload, profile, folder / folder_name(workload)) for workload in workloads]
    try:
        with until_interrupted() as interrupt, measuring(profile, folder / _LIBRARIES, settings) as measured:
            report.found = sum(collection.open() for collection in collections)
            if found is not None:
                found(report.found)
            waiting = [collection for collection in collections if collection.count < candidates]
            while waiting:
                for collection in list(waiting):
                    if budget_s is not None and time.monotonic() - started > budget_s:
                        report.ended = "budget"
                        return report
                    done, failed = collection.step(measured, candidates)
                    report.measured += done
                    report.failed += failed
                    report.failures += collection.failures
                    if progress is not None:
                        progress(collection.workload, done, failed)
                    if collection.is_exhausted or collection.count >= candidates:
                        report.exhausted += collection.count < candidates
                        waiting.remove(collection)
        if interrupt.came:
            report.ended = "interrupted"
    finally:
        shutil.rmtree(folder / _LIBRARIES, ignore_errors=True)
        report.elapsed_s = time.monotonic() - started
    return report


def folder_name(workload: Workload) -> str:
    """A workload's folder: its kind, and a digest of its function."""
    return f"{workload.kind}-{sha256(workload.module.script().encode()).hexdigest()[:12]}"


def measure_candidates(
    measured: Measuring, space: Space, candidates: Sequence[ms.MeasureCandidate]
) -> list[ms.runner.RunnerResult]:
    """What they take; one result each, in order."""
    return measure_modules(measured, space.target, [(one.sch.mod, one.args_info) for one in candidates])


class _Collection:
    """One workload: its folder, its design space and whose turn it is, chance's or evolution's."""

    def __init__(self, workload: Workload, profile: HardwareProfile, folder: Path) -> None:
        self.workload = workload
        self.count = 0
        self.is_exhausted = False
        self.failures: list[str] = []
        self._profile = profile
        self._folder = folder
        self._space: Space | None = None
        self._evolution: Evolution | None = None

    def open(self) -> int:
        """Read what is on disk; how many candidates that is."""
        self._folder.mkdir(parents=True, exist_ok=True)
        facts = {"name": self.workload.name, "kind": self.workload.kind, "origin": self.workload.origin}
        (self._folder / _ABOUT).write_text(json.dumps(facts) + "\n")
        self._database = open_tuning_database(self._folder)
        self.count = len(self._database)
        return self.count

    def step(self, measured: Measuring, most: int) -> tuple[int, int]:
        """Measure the next batch; how many, and how many of them failed.

        Batches are drawn at random and evolved from the best so far in turn, so that a cost model sees bad schedules
        and good ones. What evolution repeats is drawn at random instead.
        """
        space = self._open_space()
        wanted = min(_BATCH, most - self.count)
        chosen = []
        if self._evolution is not None and self.count // _BATCH % 2:
            chosen = self._evolution.draw()[:wanted]
        chosen += space.draw(wanted - len(chosen)) if len(chosen) < wanted else []
        if not chosen:
            self.is_exhausted = True
            return 0, 0
        results = measure_candidates(measured, space, chosen)
        failed = commit(self._database, space.module, space.target, chosen, results)
        self.failures = [str(one.error_msg) for one in results if one.error_msg is not None]
        self.count += len(chosen)
        if self._evolution is None:
            search = ms.search_strategy.EvolutionarySearch(
                population_size=32, init_measured_ratio=0.6, init_min_unmeasured=8, genetic_num_iters=1
            )
            self._evolution = space.evolution(self._database, ms.cost_model.RandomModel(), search, _BATCH)
        return len(chosen), failed

    def _open_space(self) -> Space:
        if self._space is None:
            # Another seed a run: the same one would draw what is on disk already.
            seed = int(sha256(f"{self.workload.name} {self.count}".encode()).hexdigest()[:7], 16)
            self._space = Space(self.workload.module, target_of(self._profile), seed)
            self._space.know([record.trace for record in records_of_module(self._database, self._space.module)])
        return self._space
