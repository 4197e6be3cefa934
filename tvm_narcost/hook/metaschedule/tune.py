"""Tunes the kernels of a whole network with MetaSchedule; what it finds is a database for ``hook.schedules.schedule``.

What is measured is on disk after each round: a second run with the same folder goes on, and counts what is there.
"""

import logging
import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import tvm
from tvm.ir.utils import derived_object
from tvm.s_tir import meta_schedule as ms

from hardware_profiles import HardwareProfile
from tvm_narcost.errors import CompileError
from tvm_narcost.hook.default_groups import tvm_plan
from tvm_narcost.hook.grouping import group
from tvm_narcost.hook.metaschedule.candidates import Space
from tvm_narcost.hook.metaschedule.cost_model import NarFormerCostModel
from tvm_narcost.hook.metaschedule.interrupts import until_interrupted
from tvm_narcost.hook.metaschedule.intrinsics import import_intrinsics
from tvm_narcost.hook.metaschedule.measuring import MeasureSettings, MeasureTimes, measuring
from tvm_narcost.hook.metaschedule.own_schedules import (
    are_measured,
    kernel_key,
    measure_own_schedules,
    read_own_times,
)
from tvm_narcost.hook.metaschedule.tuning_database import mean_s, open_tuning_database, records_of_module
from tvm_narcost.hook.prepare import prepare
from tvm_narcost.hook.stderr import silent_stderr
from tvm_narcost.hook.target import target_of
from tvm_narcost.hook.variant import Variant, variant_of
from tvm_narcost.models.folders import ranker_folder

__all__ = [
    "COST_MODELS",
    "UNMEASURED_S",
    "CostModelName",
    "KernelTuning",
    "TuneReport",
    "TuneSettings",
    "fused_module",
    "new_cost_model",
    "tune",
]

CostModelName = Literal["narcost", "xgb", "random"]
COST_MODELS: tuple[CostModelName, ...] = ("narcost", "xgb", "random")

UNMEASURED_S = 1e9
"""Stands where a time would in the record of a schedule that was chosen by prediction: any measured one is better, and
unlike the 1e10 of a failed candidate MetaSchedule takes it for valid."""

_LIBRARIES = ".libraries"


@dataclass(frozen=True, slots=True)
class TuneSettings:
    """How MetaSchedule searches.

    Attributes:
        round_size: most candidates that are measured of a kernel before another's turn; fewer where trials are few.
        population, generations: of the evolutionary search, which a cost model leads.
        sample: candidates of a kernel among which prediction alone chooses.
        seed: of the search and of a new cost model.
        limits: of a candidate.
    """

    round_size: int = 32
    population: int = 64
    generations: int = 2
    sample: int = 256
    seed: int = 0
    limits: MeasureSettings = field(default_factory=MeasureSettings)

    def search(self) -> ms.search_strategy.EvolutionarySearch:
        """MetaSchedule's search of these settings."""
        return ms.search_strategy.EvolutionarySearch(
            population_size=self.population,
            init_min_unmeasured=min(50, self.population // 2),
            genetic_num_iters=self.generations,
        )


@dataclass(frozen=True, slots=True)
class KernelTuning:
    """One kernel: its name, how often the network calls it, how many candidates were measured, and what it takes.

    ``best_us`` is the best candidate's time, ``own_us`` that of narcost's own schedule; None where nothing was
    measured, or nothing that ran.
    """

    name: str
    calls: int
    measured: int
    best_us: float | None
    own_us: float | None


@dataclass(frozen=True, slots=True)
class TuneReport:
    """What came of it.

    Attributes:
        kernels: in the order in which MetaSchedule finds them.
        measured: candidates measured now. ``found`` were on disk.
        times: of building and running now.
        elapsed_s: of all.
        ended: ``interrupted`` after Ctrl-C.
    """

    kernels: tuple[KernelTuning, ...]
    measured: int
    found: int
    times: MeasureTimes
    elapsed_s: float
    ended: Literal["done", "interrupted"] = "done"


def fused_module(module: tvm.IRModule, profile: HardwareProfile, variant: Variant | None = None) -> tvm.IRModule:
    """The module with TVM's own groups of operators fused, not scheduled; what the pipeline's default plan has.

    Args:
        module: high-level Relax.
        profile: what it is compiled for.
        variant: how it is written; as the profile's options say by default.

    Raises:
        CompileError: it cannot be prepared.
        FrontendError: it has operators or shapes that the Relax reader refuses.
    """
    prepared = prepare(module, profile, variant=variant or variant_of(profile))
    return group(prepared, tvm_plan(prepared)).module


def new_cost_model(name: CostModelName, profile: HardwareProfile, seed: int, folder: Path | None = None) -> Any:
    """A cost model as MetaSchedule takes it.

    Args:
        name: ``narcost`` is pretrained; ``xgb`` is TVM's XGBModel, ``random`` its RandomModel.
        profile: what schedules are for.
        seed: of ``random``, and of what ``narcost`` learns while it tunes.
        folder: of narcost's weights, in place of those of the profile.

    Raises:
        ArtifactError: there are no weights for this profile.
    """
    if name == "xgb":
        return ms.cost_model.XGBModel(num_tuning_cores=1)
    if name == "random":
        return ms.cost_model.RandomModel(seed=seed)
    weights = folder if folder is not None else ranker_folder(profile.id)
    model = NarFormerCostModel(profile, seed=seed)
    model.load(str(weights))
    return model


def tune(
    module: tvm.IRModule,
    profile: HardwareProfile,
    folder: Path,
    *,
    trials: int,
    cost_model: Any,
    settings: TuneSettings | None = None,
    progress: Callable[[int], object] | None = None,
) -> TuneReport:
    """Tune the kernels of a fused module.

    Args:
        module: as :func:`fused_module` gives it.
        profile: what to tune for.
        folder: MetaSchedule's database goes there.
        trials: candidates to measure, those on disk count; with 0 the cost model chooses a schedule for each kernel
            that has none, out of a sample of its design space, and nothing is measured.
        cost_model: see :func:`new_cost_model`.
        settings: the defaults by default.
        progress: called with the number of candidates that came to be measured, those on disk first.

    Raises:
        CompileError: there is nothing to tune.
        DatabaseError: the folder has other content.
        MeasurementError: the process that measures does not start.
    """
    started = time.monotonic()
    settings = settings or TuneSettings()
    target = target_of(profile)
    import_intrinsics()
    database = open_tuning_database(folder)
    with silent_stderr():
        tasks = list(ms.relax_integration.extract_tasks(module, target))
    if not tasks:
        raise CompileError("the network has no kernels to tune, expected functions that are not scheduled yet")
    known = [records_of_module(database, task.dispatched[0]) for task in tasks]
    found = sum(_is_measured(record) for records in known for record in records)
    tell = progress or (lambda count: None)
    tell(found)
    times, ended = MeasureTimes(), "done"
    if trials == 0:
        _choose(tasks, known, database, target, cost_model, settings, progress)
    elif found < trials or not are_measured(module, folder):
        _remind(cost_model, tasks, known, target)
        try:
            with (
                until_interrupted() as interrupt,
                measuring(profile, folder / _LIBRARIES, settings.limits) as measured,
            ):
                measure_own_schedules(module, profile, folder, measured)
                measured.times.forget()
                times = measured.times
                if found < trials:
                    left = trials - found
                    _run(module, target, folder, left, len(tasks), database, cost_model, settings, measured, tell)
            ended = "interrupted" if interrupt.came else "done"
        finally:
            shutil.rmtree(folder / _LIBRARIES, ignore_errors=True)
    own_s = read_own_times(folder)
    kernels = tuple(_kernel(task, database, own_s) for task in tasks)
    return TuneReport(kernels, times.built, found, times, time.monotonic() - started, ended)  # type: ignore[arg-type]


def _run(
    module: tvm.IRModule,
    target: tvm.target.Target,
    folder: Path,
    trials: int,
    tasks: int,
    database: ms.Database,
    cost_model: Any,
    settings: TuneSettings,
    measured: Any,
    tell: Callable[[int], object],
) -> None:
    """MetaSchedule's own loop, quiet: its log goes to files in the folder."""
    # Its scheduler gives each kernel a round before it compares them: a round must not spend all trials on a few.
    round_size = max(1, min(settings.round_size, math.ceil(trials / (2 * tasks))))
    _quiet_logger()
    ms.relax_integration.tune_relax(
        module,
        {},
        target,
        str(folder),
        max_trials_global=trials,
        num_trials_per_iter=round_size,
        builder=measured.builder,
        runner=measured.runner,
        database=database,
        cost_model=cost_model,
        measure_callbacks=[
            ms.measure_callback.AddToDatabase(),
            ms.measure_callback.UpdateCostModel(),
            ms.measure_callback.RemoveBuildArtifact(),
            _Progress(tell),
        ],
        strategy=settings.search(),
        seed=settings.seed,
    )


def _quiet_logger() -> None:
    """Let MetaSchedule print nothing, and forget the files of an earlier run, which its set-up would write on to."""
    logger = logging.getLogger("tvm.s_tir.meta_schedule")
    logger.setLevel(logging.CRITICAL)
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()


@derived_object
class _Progress(ms.measure_callback.PyMeasureCallback):  # type: ignore[misc]
    def __init__(self, tell: Callable[[int], object]) -> None:
        super().__init__()
        self.tell = tell

    def apply(
        self, task_scheduler: Any, task_id: int, measure_candidates: Any, builder_results: Any, runner_results: Any
    ) -> None:
        """See TVM: called after each round."""
        self.tell(len(measure_candidates))


def _choose(
    tasks: Sequence[Any],
    known: Sequence[Sequence[Any]],
    database: ms.Database,
    target: tvm.target.Target,
    cost_model: Any,
    settings: TuneSettings,
    progress: Callable[[int], object] | None,
) -> None:
    """Write the schedule of each kernel that the cost model likes best; kernels that have one keep it."""
    for index, (task, records) in enumerate(zip(tasks, known, strict=True)):
        if not any(mean_s(record) <= UNMEASURED_S for record in records):
            space = Space(task.dispatched[0], target, settings.seed + index)
            candidates = space.draw(settings.sample)
            if candidates:  # a kernel that cannot be scheduled has none, and keeps the pipeline's own
                scores = [float(score) for score in cost_model.predict(space.context, candidates)]
                best = candidates[max(range(len(candidates)), key=scores.__getitem__)]
                workload = database.commit_workload(space.module)
                database.commit_tuning_record(
                    ms.database.TuningRecord(best.sch.trace, workload, [UNMEASURED_S], target, best.args_info)
                )
        if progress is not None:
            progress(1)


def _remind(cost_model: Any, tasks: Sequence[Any], known: Sequence[Sequence[Any]], target: tvm.target.Target) -> None:
    """Show a cost model what an earlier run measured."""
    for task, records in zip(tasks, known, strict=True):
        mine = [record for record in records if mean_s(record) != UNMEASURED_S]
        if not mine:
            continue
        context = ms.TuneContext(mod=task.dispatched[0], target=target, num_threads=1)
        results = [
            ms.runner.RunnerResult(None, "failed before")
            if not _is_measured(record) else ms.runner.RunnerResult(record.run_secs, None)
            for record in mine
        ]  # fmt: skip
        cost_model.update(context, [record.as_measure_candidate() for record in mine], results)


def _is_measured(record: Any) -> bool:
    return mean_s(record) < UNMEASURED_S


def _kernel(task: Any, database: ms.Database, own_s: Mapping[str, float]) -> KernelTuning:
    module = task.dispatched[0]
    records = [one for one in records_of_module(database, module) if mean_s(one) != UNMEASURED_S]
    best_s = min(map(mean_s, records), default=math.inf)
    own = own_s.get(kernel_key(module["main"]), math.inf)
    return KernelTuning(
        name=str(task.task_name),
        calls=int(task.weight),
        measured=len(records),
        best_us=best_s * 1e6 if best_s < UNMEASURED_S else None,
        own_us=own * 1e6 if math.isfinite(own) else None,
    )
