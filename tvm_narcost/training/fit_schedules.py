"""From measured candidates to a ranker's artifact: figures on workloads held out, the final weights, the facts."""

import hashlib
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tvm_narcost.errors import TrainingError
from tvm_narcost.models.ranker_artifact import RankerFacts, ranker_facts
from tvm_narcost.models.schedule_ranker import ScheduleRanker, predict_log_us
from tvm_narcost.training.schedules import MeasuredSchedules, RankerSettings, log_targets, train_ranker

__all__ = ["RankingFigures", "fit_ranker", "pairwise_accuracy", "ranking_figures"]

_FEWEST_WORKLOADS = 4
_APART = 0.02  # pairs whose times differ by less (2 %) are in no order


@dataclass(frozen=True)
class RankingFigures:
    """How well predictions rank the candidates of each workload, mean over workloads.

    Attributes:
        pairwise_accuracy: share of pairs in the measured order.
        speedup_over_random: time of a random candidate (geometric mean) over that of the one predicted best.
        slowdown_from_best: time of the one predicted best over the best one's; both geometric means over workloads.
    """

    pairwise_accuracy: float
    speedup_over_random: float
    slowdown_from_best: float


def pairwise_accuracy(predicted: NDArray[np.float64], measured: NDArray[np.float64]) -> float:
    """Share of pairs that two logarithms of times put in the same order; NaN if no two measured ones are apart."""
    first, second = np.triu_indices(len(measured), 1)
    apart = np.abs(measured[first] - measured[second]) > _APART
    same = (predicted[first] < predicted[second]) == (measured[first] < measured[second])
    tied = predicted[first] == predicted[second]
    return float(np.where(tied, 0.5, same)[apart].mean()) if apart.any() else float("nan")


def ranking_figures(predicted: NDArray[np.float64], measured: MeasuredSchedules) -> RankingFigures:
    """Compare predicted logarithms of times with measurements; failed candidates count as slowest in their workload.

    Raises:
        TrainingError: no workload has two candidates that measurement tells apart.
    """
    target = log_targets(measured)
    accuracies, gains, losses = [], [], []
    for workload in np.unique(measured.workload):
        own = measured.workload == workload
        accuracy = pairwise_accuracy(predicted[own], target[own])
        if np.isnan(accuracy):
            continue
        chosen = target[own][np.argmin(predicted[own])]
        accuracies.append(accuracy)
        gains.append(target[own].mean() - chosen)
        losses.append(chosen - target[own].min())
    if not accuracies:
        raise TrainingError("schedules: no workload has two candidates of different times, expected at least one")
    return RankingFigures(float(np.mean(accuracies)), float(np.exp(np.mean(gains))), float(np.exp(np.mean(losses))))


def fit_ranker(
    measured: MeasuredSchedules,
    profile_id: str,
    *,
    beside: Mapping[str, MeasuredSchedules] | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    folds: int = 4,
    settings: RankerSettings | None = None,
    command: str = "",
    progress: Callable[[str], None] = lambda step: None,
) -> tuple[ScheduleRanker, RankerFacts]:
    """Train on all workloads, and say from workloads held out how well to expect unseen ones to be ranked.

    For each seed the workloads are dealt out to ``folds`` groups anew, and each group is ranked by a network that was
    trained on the others. The weights that are kept come from the first seed and have seen all workloads.

    Args:
        measured: on the device of the profile.
        profile_id: of the profile.
        beside: profile id -> what was measured on another device, encoded for that. It is trained on and not judged;
            a workload that is held out is held out of it as well.
        seeds: of the deals and of the trainings.
        folds: groups.
        settings: of a training; the defaults by default.
        command: what the user called; kept with the weights.
        progress: told each step.

    Raises:
        TrainingError: too few workloads with two candidates or more.
    """
    sizes = np.bincount(measured.workload, minlength=len(measured.names))
    usable = np.flatnonzero(sizes > 1)
    if len(usable) < _FEWEST_WORKLOADS:
        raise TrainingError(
            f"training: got {len(usable)} workloads with two candidates or more, expected at least "
            f"{_FEWEST_WORKLOADS}; measure some with `narcost profile --schedules N`"
        )
    settings, others = settings or RankerSettings(), list((beside or {}).values())
    found = []
    for seed in seeds:
        dealt = np.random.default_rng(seed).permutation(usable)
        predicted = np.full(len(measured), np.nan)
        for number in range(folds):
            progress(f"seed {seed}: fold {number + 1}/{folds}")
            held_out = dealt[number::folds]
            rest = measured.of(np.setdiff1d(usable, held_out).tolist())
            unseen = {measured.names[index] for index in held_out}
            known = [other.of_names(set(other.names) - unseen) for other in others]
            ranker = train_ranker(rest.joined(known), settings, seed)
            rows = np.flatnonzero(np.isin(measured.workload, held_out))
            predicted[rows] = predict_log_us(ranker, measured.take(rows).tokens)
        rows = np.flatnonzero(np.isfinite(predicted))
        found.append(ranking_figures(predicted[rows], measured.take(rows)))
    progress("all workloads")
    ranker = train_ranker(measured.joined(others), settings, seeds[0])
    dataset = _dataset(measured)
    if beside:
        dataset["beside"] = {profile: _dataset(other) for profile, other in beside.items()}
    facts = ranker_facts(profile_id, ranker.config, dataset=dataset, metrics=_metrics(found), command=command)
    return ranker, facts


def _dataset(measured: MeasuredSchedules) -> dict[str, object]:
    """What it was trained on; the digest is over workload and least time of every candidate, in sorted order."""
    lines = sorted(
        f"{measured.names[workload]} {latency:.3f}"
        for workload, latency in zip(measured.workload, measured.latency_us, strict=True)
    )
    return {
        "digest": hashlib.sha256("\n".join(lines).encode()).hexdigest(),
        "candidates": len(measured),
        "failed": int((~np.isfinite(measured.latency_us)).sum()),
        "workloads": len(np.unique(measured.workload)),
    }


def _metrics(found: Sequence[RankingFigures]) -> dict[str, float]:
    metrics: dict[str, float] = {"seeds": float(len(found))}
    for name in ("pairwise_accuracy", "speedup_over_random", "slowdown_from_best"):
        values = [getattr(figures, name) for figures in found]
        metrics[f"workloads_held_out_{name}"] = statistics.fmean(values)
        metrics[f"workloads_held_out_{name}_std"] = statistics.stdev(values) if len(values) > 1 else 0.0
    return metrics
