"""Cost models of MetaSchedule beside each other on kernels that none was trained on: bench/results/tuning.json.

``python -m bench.tuning`` tunes each kernel of bench/tuning_workloads.py with narcost's model (pretrained, and from
scratch), TVM's XGBModel and RandomModel: the same search, the same number of trials, the same seeds. A run that is
finished is a row of the scratch file; a stopped command goes on from there.

Per kernel, a fixed set of random schedules is measured once. Of it come the zero-trial figures (the schedule that a
model likes best, against a random one) and how well a model's order agrees with the measured one.
"""

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import geometric_mean, mean
from typing import Any

import numpy as np
from scipy.stats import kendalltau, spearmanr
from tvm.ir.utils import derived_object
from tvm.s_tir import meta_schedule as ms

from bench.facts import write_result
from bench.trainings import append_row, deviation, read_rows
from bench.tuning_workloads import HELD_OUT, held_out_workloads
from hardware_profiles import HardwareProfile, load_profile
from tvm_narcost.hook import NarFormerCostModel
from tvm_narcost.hook.metaschedule.candidates import Space
from tvm_narcost.hook.metaschedule.collect import measure_candidates
from tvm_narcost.hook.metaschedule.measuring import MeasureSettings, Measuring, measuring
from tvm_narcost.hook.metaschedule.tune import TuneSettings, new_cost_model
from tvm_narcost.hook.metaschedule.tuning_database import commit
from tvm_narcost.hook.metaschedule.workloads import Workload
from tvm_narcost.hook.target import target_of

__all__ = ["MODELS", "POINTS", "best_after", "pairwise_accuracy", "summarize"]

MODELS = ("narcost", "scratch", "xgb", "random")
POINTS = (8, 16, 32, 64, 128)
_PROFILE = "epyc-zen5.tvm"
_ROUND = 16
_FIXED = 64
_FIXED_SEED = 1000  # of the random schedules that all models are judged on
_FAILED_US = math.inf


def main() -> None:
    """Run what the scratch file has not, then write what it has."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", default=",".join(MODELS), help="default: %(default)s")
    parser.add_argument("--kernels", default=",".join(one.short for one in HELD_OUT), help="default: all")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="default: %(default)s")
    parser.add_argument(
        "--trials", type=int, default=POINTS[-1], metavar="N", help="0 judges predictions alone (default: %(default)s)"
    )
    parser.add_argument("--weights", type=Path, metavar="DIR", help="narcost's, in place of the profile's own")
    parser.add_argument("--scratch", type=Path, default=Path("build/tuning.jsonl"), metavar="FILE")
    parser.add_argument("--real-time", action="store_true", help="time at real-time priority, see MeasureSettings")
    parser.add_argument("--write", default="tuning", metavar="NAME", help="of the result (default: %(default)s)")
    args = parser.parse_args()
    profile = load_profile(_PROFILE)
    rows = list(read_rows(args.scratch))
    done = {(row["kernel"], row["model"], row["seed"]) for row in rows if row["trials"] >= args.trials}
    fixed = {row["kernel"]: row for row in rows if row["model"] == "fixed"}
    workloads = held_out_workloads(profile)
    with (
        tempfile.TemporaryDirectory() as folder,
        measuring(profile, Path(folder), MeasureSettings(real_time=args.real_time)) as measured,
    ):
        for kernel in args.kernels.split(","):
            if kernel not in fixed:
                fixed[kernel] = {"kernel": kernel, **_measure_fixed(workloads[kernel], profile, measured)}
                append_row(args.scratch, fixed[kernel])
        for seed in range(args.seeds):
            for kernel in args.kernels.split(","):
                for model in args.models.split(","):
                    if (kernel, model, seed) in done:
                        continue
                    found = _tune(
                        workloads[kernel], profile, measured, model, seed, args.trials, args.weights, fixed[kernel]
                    )
                    append_row(args.scratch, {"kernel": kernel, "model": model, "seed": seed, **found})
                    print(kernel, model, seed, found["best_us"], file=sys.stderr, flush=True)
    rows = list(read_rows(args.scratch))
    shown = [{name: value for name, value in row.items() if name != "traces"} for row in rows]
    write_result(args.write, "bench.tuning", _PROFILE, {"summary": summarize(rows), "rows": shown})
    print(json.dumps(summarize(rows), indent=1))


def _measure_fixed(workload: Workload, profile: HardwareProfile, measured: Measuring) -> dict[str, Any]:
    """Random schedules, the same ones in every run, with their measured times."""
    space = Space(workload.module, target_of(profile), _FIXED_SEED)
    results = measure_candidates(measured, space, candidates := space.draw(_FIXED))
    return {
        "model": "fixed",
        "seed": _FIXED_SEED,
        "trials": 0,
        "name": workload.name,
        "kind": workload.kind,
        "traces": [json.dumps(_plain(candidate.sch.trace.as_json())) for candidate in candidates],
        "us": [_us(result) for result in results],
    }


def _tune(
    workload: Workload,
    profile: HardwareProfile,
    measured: Measuring,
    model_name: str,
    seed: int,
    trials: int,
    weights: Path | None,
    fixed: dict[str, Any],
) -> dict[str, Any]:
    """One kernel with one model: the times of its candidates in the order of measuring, and where the time went."""
    model = _Timed(_model(model_name, profile, seed, weights))
    space = Space(workload.module, target_of(profile), seed)
    judged = _judge(model, space, fixed)
    database = ms.database.MemoryDatabase()
    evolution = space.evolution(database, model, TuneSettings().search(), _ROUND)
    latencies_us: list[float] = []
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
    split["predict"], split["update"] = model._inst.predict_s, model._inst.update_s
    split["search"] -= split["predict"]
    split["build"], split["run"] = measured.times.build_s - before[0], measured.times.run_s - before[1]
    return {
        "trials": trials,
        "latencies_us": latencies_us,
        "best_us": {str(point): best_after(latencies_us, point) for point in POINTS if point <= trials},
        "zero": judged,
        "elapsed_s": time.perf_counter() - started,
        "features_s": model._inst.features_s(),
        "split_s": split,
    }


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


def _judge(model: Any, space: Space, fixed: dict[str, Any]) -> dict[str, float]:
    """What a model that has measured nothing here says of the fixed schedules."""
    candidates, us = [], []
    for trace, measured_us in zip(fixed["traces"], fixed["us"], strict=True):
        record = ms.database.TuningRecord.from_json(json.loads(trace_record(trace)), ms.database.Workload(space.module))
        candidates.append(record.as_measure_candidate())
        us.append(measured_us)
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


def trace_record(trace: str) -> str:
    """A tuning record of a trace alone, as JSON: MetaSchedule reads traces as part of records."""
    return f"[{trace}, null, null, null]"


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
    return _FAILED_US if result.run_secs is None else mean(float(one) for one in result.run_secs) * 1e6


def best_after(latencies_us: Sequence[float], trials: int) -> float:
    """The least of the first ``trials``, fewer if there are fewer."""
    return min(latencies_us[:trials])


def pairwise_accuracy(predicted: Sequence[float], truth: Sequence[float], margin: float = 0.05) -> float:
    """Share of pairs in the right order, of those whose times differ by more than ``margin``; ties count a half."""
    right = pairs = 0.0
    for one in range(len(truth)):
        for other in range(one):
            if abs(truth[one] - truth[other]) <= margin * min(truth[one], truth[other]):
                continue
            pairs += 1
            sign = (predicted[one] - predicted[other]) * (truth[one] - truth[other])
            right += 0.5 if sign == 0 else float(sign > 0)
    return right / pairs if pairs else 1.0


def summarize(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Geometric means over the kernels that each model has tuned with each seed, and narcost beside XGBModel."""
    longest: dict[tuple[str, str, int], dict[str, Any]] = {}
    for row in rows:
        key = (row["kernel"], row["model"], row["seed"])
        if row["model"] != "fixed" and row["trials"] >= longest.get(key, row)["trials"]:
            longest[key] = row
    runs = list(longest.values())
    kernels = sorted({row["kernel"] for row in runs})
    summary: dict[str, Any] = {"kernels": kernels, "models": {}, "comparisons": {}}
    for model in MODELS:
        mine = [row for row in runs if row["model"] == model]
        if not mine:
            continue
        summary["models"][model] = {
            "runs": len(mine),
            "best_us": {
                point: geometric_mean(values)
                for point in map(str, POINTS)
                if (values := [row["best_us"][point] for row in mine if point in row["best_us"]])
            },
            "zero_trials_speedup": geometric_mean(row["zero"]["random_us"] / row["zero"]["chosen_us"] for row in mine),
            **{name: mean(row["zero"][name] for row in mine) for name in ("kendall", "spearman", "pairwise")},
            "split_s": {part: mean(row["split_s"][part] for row in mine) for part in mine[0]["split_s"]},
            "features_s": mean(row["features_s"] for row in mine),
        }
    for model, point, other, other_point in (
        ("narcost", "32", "xgb", "128"), ("narcost", "64", "xgb", "128"), ("narcost", "32", "xgb", "32"),
        ("narcost", "128", "xgb", "128"),
        ("narcost", "32", "random", "32"), ("scratch", "32", "xgb", "32"), ("narcost", "64", "xgb", "64"),
    ):  # fmt: skip
        found = _compare(runs, (model, point), (other, other_point))
        if found:
            summary["comparisons"][f"{model}@{point} over {other}@{other_point}"] = found
    return summary


def _compare(runs: Sequence[dict[str, Any]], one: tuple[str, str], other: tuple[str, str]) -> dict[str, float] | None:
    """Latency of ``one`` over that of ``other``: below 1 it is the faster one. Each is (model, trials)."""
    best = {(row["model"], row["kernel"], row["seed"]): row["best_us"] for row in runs}
    ratios: dict[int, list[float]] = {}
    for (model, kernel, seed), found in best.items():
        against = best.get((other[0], kernel, seed), {})
        if model == one[0] and one[1] in found and other[1] in against:
            ratios.setdefault(seed, []).append(found[one[1]] / against[other[1]])
    if not ratios:
        return None
    by_seed = [geometric_mean(values) for values in ratios.values()]
    every = [value for values in ratios.values() for value in values]
    return {
        "ratio": geometric_mean(every),
        "deviation_over_seeds": deviation(by_seed),
        "least": min(every),
        "most": max(every),
        "pairs": len(every),
    }


if __name__ == "__main__":
    main()
