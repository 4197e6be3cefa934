"""Figures of the tuning benchmark, out of its rows: bench/tuning.py says what those are."""

import math
from collections.abc import Mapping, Sequence
from statistics import geometric_mean, mean, median
from typing import Any

from bench.trainings import deviation

__all__ = ["MODELS", "POINTS", "best_after", "pairwise_accuracy", "place_after", "summarize"]

MODELS = ("narcost", "scratch", "xgb", "random")
POINTS = (8, 16, 32, 64, 128)

_COMPARED = (
    ("narcost", "32", "xgb", "128"), ("narcost", "64", "xgb", "128"), ("narcost", "128", "xgb", "128"),
    ("narcost", "32", "xgb", "32"), ("narcost", "32", "random", "32"), ("narcost", "32", "scratch", "32"),
    ("scratch", "32", "xgb", "32"), ("scratch", "128", "xgb", "128"), ("xgb", "128", "random", "128"),
)  # fmt: skip


def best_after(latencies_us: Sequence[float], trials: int) -> float:
    """The least of the first ``trials``, fewer if there are fewer."""
    return min(latencies_us[:trials])


def place_after(latencies_us: Sequence[float], trials: int) -> int:
    """Which of the first ``trials`` that is."""
    first = latencies_us[:trials]
    return min(range(len(first)), key=first.__getitem__)


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


def summarize(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Geometric means over the kernels that each model has tuned with each seed, and narcost beside XGBModel.

    Where the best schedules of a kernel were timed again (rows of model ``again``), that time is what counts.
    """
    again = {row["kernel"]: row for row in rows if row["model"] == "again"}
    runs = [_timed_again(row, again.get(row["kernel"])) for row in _longest(rows)]
    summary: dict[str, Any] = {"kernels": sorted({row["kernel"] for row in runs}), "models": {}, "comparisons": {}}
    for model in MODELS:
        if mine := [row for row in runs if row["model"] == model]:
            summary["models"][model] = _figures(mine)
    for model, point, other, other_point in _COMPARED:
        found = _compare(runs, (model, point), (other, other_point))
        if found:
            summary["comparisons"][f"{model}@{point} over {other}@{other_point}"] = found
    if again:
        summary["timed_again"] = _scatter(runs, list(again.values()))
    return summary


def _longest(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Of each kernel, model and seed the run with the most trials."""
    longest: dict[tuple[str, str, int], Mapping[str, Any]] = {}
    for row in rows:
        key = (row["kernel"], row["model"], row["seed"])
        if row["model"] in MODELS and row["trials"] >= longest.get(key, row)["trials"]:
            longest[key] = row
    return list(longest.values())


def _timed_again(row: Mapping[str, Any], again: Mapping[str, Any] | None) -> dict[str, Any]:
    """The run with the times of its best schedules as they were timed side by side, where they were."""
    if again is None:
        return dict(row)
    times_us = {key: median(rounds) for key, rounds in again["us"].items()}
    best_us = {point: times_us[key] for point, key in row["best"].items() if key in times_us}
    return {**row, "in_run_us": row["best_us"], "best_us": best_us}


def _figures(mine: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "runs": len(mine),
        "best_us": {
            point: geometric_mean(values)
            for point in map(str, POINTS)
            if (values := [row["best_us"][point] for row in mine if point in row["best_us"]])
        },
        "zero_us": geometric_mean(row["zero"]["chosen_us"] for row in mine),
        "zero_trials_speedup": geometric_mean(row["zero"]["random_us"] / row["zero"]["chosen_us"] for row in mine),
        **{name: mean(row["zero"][name] for row in mine) for name in ("kendall", "spearman", "pairwise")},
        "split_s": {part: mean(row["split_s"][part] for row in mine) for part in mine[0]["split_s"]},
        "features_s": mean(row["features_s"] for row in mine),
    }


def _compare(
    runs: Sequence[Mapping[str, Any]], one: tuple[str, str], other: tuple[str, str]
) -> dict[str, float] | None:
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


def _scatter(runs: Sequence[Mapping[str, Any]], again: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """How far rounds of one schedule lie apart, and how much slower than in its run a best schedule is again."""
    apart = [max(rounds) / min(rounds) - 1 for row in again for rounds in row["us"].values()]
    slower = [
        us / row["in_run_us"][point]
        for row in runs
        for point, us in row["best_us"].items()
        if "in_run_us" in row and math.isfinite(row["in_run_us"][point])
    ]
    return {
        "schedules": len(apart),
        "rounds_apart_median": median(apart),
        "over_in_run": geometric_mean(slower) if slower else 1.0,
    }
