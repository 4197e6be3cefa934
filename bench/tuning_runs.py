"""One run of the tuning benchmark, in a process that is pinned to a core: bench/tuning.py asks for it."""

import dataclasses
import json
import math
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from statistics import geometric_mean, mean
from typing import Any

import numpy as np
from scipy.stats import kendalltau, spearmanr
from tvm.ir.utils import derived_object
from tvm.s_tir import meta_schedule as ms

from bench.trainings import one_thread_pool
from bench.tuning_figures import POINTS, best_after, pairwise_accuracy, place_after
from bench.tuning_workloads import held_out_workloads
from hardware_profiles import HardwareProfile, load_profile
from tvm_narcost.hook import NarFormerCostModel
from tvm_narcost.hook.metaschedule.candidates import Space
from tvm_narcost.hook.metaschedule.collect import measure_candidates
from tvm_narcost.hook.metaschedule.measuring import MeasureSettings, Measuring, measuring
from tvm_narcost.hook.metaschedule.tune import TuneSettings, new_cost_model
from tvm_narcost.hook.metaschedule.tuning_database import commit
from tvm_narcost.hook.metaschedule.workloads import Workload
from tvm_narcost.hook.target import target_of
from tvm_narcost.measure.pinning import allowed_cores

__all__ = ["FIXED_SEED", "RunSettings", "measure_again", "measure_fixed", "run_pool", "tune_kernel"]

FIXED_SEED = 1000  # of the random schedules that all models are judged on
_ROUND = 16
_FIXED = 64
_AGAIN_ROUNDS = 5


@dataclasses.dataclass(frozen=True)
class RunSettings:
    """What all runs of a command share: profile, folder of narcost's weights if not the profile's, and priority."""

    profile: str
    weights: Path | None
    real_time: bool


@dataclasses.dataclass(frozen=True)
class _Here:
    """What a process of the pool has."""

    settings: RunSettings
    profile: HardwareProfile
    workloads: Mapping[str, Workload]
    measured: Measuring
    folder: tempfile.TemporaryDirectory[str]  # goes with the process


_here: list[_Here] = []


def run_pool(jobs: int, settings: RunSettings) -> ProcessPoolExecutor:
    """Processes for :func:`tune_kernel` and the others, each pinned to a core of its own."""
    cores = get_context("spawn").Queue()
    for core in allowed_cores()[-jobs:]:
        cores.put(core)
    return one_thread_pool(jobs, _open, cores, settings)


def _open(cores: Any, settings: RunSettings) -> None:
    os.sched_setaffinity(0, {cores.get(timeout=60)})
    profile = load_profile(settings.profile)
    folder = tempfile.TemporaryDirectory(prefix="narcost-tuning-")
    # Left open: the process that measures ends when this one hangs up.
    measured = measuring(profile, Path(folder.name), MeasureSettings(real_time=settings.real_time)).__enter__()
    _here.append(_Here(settings, profile, held_out_workloads(profile), measured, folder))


def measure_fixed(kernel: str) -> dict[str, Any]:
    """Random schedules, the same ones in every run, with their measured times."""
    (here,) = _here
    space = Space(here.workloads[kernel].module, target_of(here.profile), FIXED_SEED)
    results = measure_candidates(here.measured, space, candidates := space.draw(_FIXED))
    return {
        "kernel": kernel,
        "model": "fixed",
        "seed": FIXED_SEED,
        "trials": 0,
        "name": here.workloads[kernel].name,
        "kind": here.workloads[kernel].kind,
        "traces": [_trace(candidate) for candidate in candidates],
        "us": [_us(result) for result in results],
    }


def tune_kernel(kernel: str, model_name: str, seed: int, trials: int, fixed: Mapping[str, Any]) -> dict[str, Any]:
    """One kernel with one model: the times of its candidates in the order of measuring, and where the time went."""
    (here,) = _here
    measured = here.measured
    model = _Timed(_model(model_name, here.profile, seed, here.settings.weights))
    space = Space(here.workloads[kernel].module, target_of(here.profile), seed)
    judged = _judge(model, space, fixed)
    database = ms.database.MemoryDatabase()
    evolution = space.evolution(database, model, TuneSettings().search(), _ROUND)
    latencies_us: list[float] = []
    tried: list[ms.MeasureCandidate] = []
    split = {"search": 0.0, "predict": 0.0, "update": 0.0, "build": 0.0, "run": 0.0}
    before = (measured.times.build_s, measured.times.run_s)
    model._inst.reset()
    started = time.perf_counter()
    while len(latencies_us) < trials:
        drawn = time.perf_counter()
        candidates = (evolution.draw() or space.draw(_ROUND))[: trials - len(latencies_us)]
        split["search"] += time.perf_counter() - drawn
        if not candidates:
            break  # the space has no other
        results = measure_candidates(measured, space, candidates)
        commit(database, space.module, space.target, candidates, results)
        model.update(space.context, candidates, results)
        evolution.notify(candidates, results)
        latencies_us += [_us(result) for result in results]
        tried += candidates
    elapsed_s = time.perf_counter() - started
    split["predict"], split["update"] = model._inst.predict_s, model._inst.update_s
    split["search"] -= split["predict"]
    split["build"], split["run"] = measured.times.build_s - before[0], measured.times.run_s - before[1]
    points = [point for point in POINTS if point <= trials]
    best = {str(point): _trace(tried[place_after(latencies_us, point)]) for point in points}
    return {
        "kernel": kernel,
        "model": model_name,
        "seed": seed,
        "trials": trials,
        "latencies_us": latencies_us,
        "best_us": {str(point): best_after(latencies_us, point) for point in points},
        "best": {point: _key(trace) for point, trace in best.items()},
        "traces": {_key(trace): trace for trace in best.values()},
        "zero": judged,
        "elapsed_s": elapsed_s,
        "features_s": model._inst.features_s(),
        "split_s": split,
    }


def measure_again(kernel: str, traces: Mapping[str, str]) -> dict[str, Any]:
    """Time schedules side by side, in turn: a time a round of each, microseconds.

    The least of many noisy times flatters whoever tried most; this one was not chosen by.
    """
    (here,) = _here
    space = Space(here.workloads[kernel].module, target_of(here.profile), FIXED_SEED)
    candidates = [_candidate(space, trace) for trace in traces.values()]
    built = here.measured.builder.build([ms.builder.BuilderInput(one.sch.mod, space.target) for one in candidates])
    us: dict[str, list[float]] = {key: [] for key in traces}
    for _ in range(_AGAIN_ROUNDS):
        for key, candidate, product in zip(traces, candidates, built, strict=True):
            if product.error_msg is not None:
                us[key].append(math.inf)
                continue
            asked = ms.runner.RunnerInput(product.artifact_path, space.target.kind.name, candidate.args_info)
            us[key].append(_us(here.measured.runner.run([asked])[0].result()))
    for product in built:
        if product.error_msg is None:
            shutil.rmtree(Path(product.artifact_path).parent, ignore_errors=True)
    return {"kernel": kernel, "model": "again", "seed": 0, "trials": 0, "us": us}


def _model(name: str, profile: HardwareProfile, seed: int, weights: Path | None) -> Any:
    if name == "scratch":
        return NarFormerCostModel(profile, seed=seed)
    if name == "xgb":
        return ms.cost_model.XGBModel(num_tuning_cores=1, config=ms.cost_model.xgb_model.XGBConfig(seed=seed + 1))
    if name == "narcost":
        return new_cost_model("narcost", profile, seed, weights)
    return new_cost_model("random", profile, seed)


@derived_object
class _Timed(ms.cost_model.PyCostModel):  # type: ignore[misc]
    """A cost model that says how long it took, its features apart where it has any."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.extractor: _TimedExtractor | None = None
        if hasattr(model, "extractor"):  # XGBModel's
            self.extractor = _TimedExtractor(model._inst.extractor)
            model._inst.extractor = self.extractor
        self.reset()

    def reset(self) -> None:
        """Count from here on."""
        self.predict_s = self.update_s = 0.0
        self.features_before = 0.0
        self.features_before = self.features_s()

    def features_s(self) -> float:
        """Seconds spent on features, those of updates counted; part of the others."""
        if self.extractor is not None:
            return self.extractor.seconds - self.features_before
        seconds = getattr(self.model, "seconds", None)
        return 0.0 if seconds is None else float(seconds["features"]) - self.features_before

    def predict(self, context: Any, candidates: Any) -> Any:
        """See TVM."""
        started = time.perf_counter()
        scores = self.model.predict(context, candidates)
        self.predict_s += time.perf_counter() - started
        return np.asarray(scores, dtype=np.float64)

    def update(self, context: Any, candidates: Any, results: Any) -> None:
        """See TVM."""
        started = time.perf_counter()
        self.model.update(context, candidates, results)
        self.update_s += time.perf_counter() - started


class _TimedExtractor:
    def __init__(self, extractor: Any) -> None:
        self.extractor, self.seconds = extractor, 0.0

    def extract_from(self, context: Any, candidates: Any) -> Any:
        started = time.perf_counter()
        found = self.extractor.extract_from(context, candidates)
        self.seconds += time.perf_counter() - started
        return found


def _judge(model: Any, space: Space, fixed: Mapping[str, Any]) -> dict[str, float]:
    """What a model that has measured nothing here says of the fixed schedules."""
    candidates = [_candidate(space, trace) for trace in fixed["traces"]]
    us = fixed["us"]
    scores = [float(score) for score in model.predict(space.context, candidates)]
    ran = [place for place, measured_us in enumerate(us) if math.isfinite(measured_us)]
    slow = [us[place] for place in ran]
    liked = [-scores[place] for place in ran]
    return {
        "chosen_us": us[max(ran, key=lambda place: scores[place])],
        "random_us": geometric_mean(slow),
        "best_us": min(slow),
        "kendall": _number(kendalltau(liked, slow)[0]),
        "spearman": _number(spearmanr(liked, slow)[0]),
        "pairwise": pairwise_accuracy(liked, slow),
    }


def _candidate(space: Space, trace: str) -> ms.MeasureCandidate:
    """The candidate of a trace; MetaSchedule reads traces as part of tuning records."""
    record = json.loads(f"[{trace}, null, null, null]")
    return ms.database.TuningRecord.from_json(record, ms.database.Workload(space.module)).as_measure_candidate()


def _trace(candidate: ms.MeasureCandidate) -> str:
    return json.dumps(_plain(candidate.sch.trace.as_json()))


def _key(trace: str) -> str:
    return sha256(trace.encode()).hexdigest()[:16]


def _plain(value: Any) -> Any:
    """TVM's containers as lists and numbers."""
    if isinstance(value, str | int | float | type(None)):
        return value
    if hasattr(value, "value"):
        return value.value
    return [_plain(one) for one in value]


def _number(value: Any) -> float:
    return float(value) if math.isfinite(float(value)) else 0.0


def _us(result: Any) -> float:
    return math.inf if result.run_secs is None else mean(float(one) for one in result.run_secs) * 1e6
