"""What intervals and the out-of-distribution flag are worth on a family never seen: bench/results/uncertainty.json.

Families are dealt out to folds, as ``narcost train`` does. A fold is predicted by an ensemble trained without it, and
its interval is calibrated on every other fold as predicted by an ensemble that saw neither: one training for each fold
and one for each two. Each training's predictions are appended to a scratch file, so that a stopped run goes on where
it was.
"""

import argparse
import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from bench.facts import write_result
from bench.trainings import append_row, deviation, examples, read_rows, run_all, training_pool
from tvm_narcost.models.estimate import far_kernels, is_out_of_distribution
from tvm_narcost.models.interval import ErrorSigns
from tvm_narcost.training.examples import Example
from tvm_narcost.training.fit import dataset_digest, family_folds, hold_out, judged_families, known_kernels
from tvm_narcost.training.intervals import HeldOut, fit_interval
from tvm_narcost.training.loop import TrainingSettings
from tvm_narcost.training.splits import hash_bucket

__all__ = ["JudgedNetwork", "false_alarms", "judge_family", "risk_coverage", "summarise"]

_SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_SPLITS = 5
_FEWEST_FOLDS = 3  # one to test, two to calibrate on

Task = tuple[tuple[str, ...], int]
"""Families left out, seed."""


def main() -> None:
    """Run what is missing, then write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--profile", default="epyc-zen5.onnxruntime")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--members", type=int, default=1, help="networks of an ensemble, beside its trees")
    parser.add_argument("--epochs", type=int, default=TrainingSettings().epochs)
    parser.add_argument("--networks", type=int, help="most of a family that take part (default: all)")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--scratch", type=Path, default=Path("build/uncertainty.jsonl"))
    parser.add_argument("--name", default="uncertainty")
    arguments = parser.parse_args()
    with training_pool(arguments.jobs, arguments.dataset, arguments.profile, arguments.networks) as pool:
        data = pool.submit(_describe).result()
        folds = family_folds(data["families"], arguments.folds)
        if len(folds) < _FEWEST_FOLDS:
            parser.error(f"{len(folds)} folds of {data['families']}, expected {_FEWEST_FOLDS} at least: see --folds")
        setup = {"digest": data["digest"], "members": arguments.members, "epochs": arguments.epochs}
        done = _read_scratch(arguments.scratch, setup)
        missing = [task for task in _tasks(folds, arguments.seeds) if task not in done]
        calls = [(task, arguments.members, arguments.epochs) for task in missing]
        for number, (task, networks) in enumerate(run_all(pool, _predict, calls), 1):
            done[task] = networks
            row = {"setup": setup, "left_out": task[0], "seed": task[1], "networks": list(map(_to_json, networks))}
            append_row(arguments.scratch, row)
            print(f"{number}/{len(missing)}: without {', '.join(task[0])}, seed {task[1]}", flush=True)
    by_seed = [
        [
            judge_family(
                [one for one in done[fold, seed] if one.family == family], _calibration(fold, folds, done, seed)
            )
            for fold in folds
            for family in fold
        ]
        for seed in range(arguments.seeds)
    ]
    summary = summarise([run for runs in by_seed for run in runs])
    averages = [summarise(runs)["average"] for runs in by_seed]
    summary["seeds"] = {
        name: {"of_each": [average[name] for average in averages], "std": deviation([own[name] for own in averages])}
        for name in ("mape", "coverage")
    }
    print(json.dumps({name: value for name, value in summary.items() if name != "families"}, indent=1))
    result = {"setup": setup, "data": data, "summary": summary}
    write_result(arguments.name, "bench.uncertainty", arguments.profile, result)


def _describe() -> dict[str, Any]:
    return {
        "digest": dataset_digest(examples),
        "networks": len(examples),
        "families": judged_families(examples),
        "false_alarms": false_alarms(examples),
    }


def _predict(task: Task, members: int, epochs: int) -> tuple[Task, list[HeldOut]]:
    families, seed = task
    settings = dataclasses.replace(TrainingSettings(), epochs=epochs)
    return task, hold_out(examples, families, settings, range(seed * members, (seed + 1) * members))


def _tasks(folds: Sequence[tuple[str, ...]], seeds: int) -> list[Task]:
    left_out = [*folds, *(first + second for first, second in combinations(folds, 2))]
    return [(families, seed) for seed in range(seeds) for families in left_out]


def _calibration(
    tested: tuple[str, ...], folds: Sequence[tuple[str, ...]], done: Mapping[Task, Sequence[HeldOut]], seed: int
) -> list[HeldOut]:
    """Predictions of every other fold by an ensemble that saw neither it nor ``tested``."""
    return [
        network
        for pair in combinations(folds, 2)
        if tested in pair
        for network in done[pair[0] + pair[1], seed]
        if network.family not in tested
    ]


def _to_json(network: HeldOut) -> dict[str, Any]:
    return dataclasses.asdict(network)


def _read_scratch(path: Path, setup: Mapping[str, Any]) -> dict[Task, list[HeldOut]]:
    """What earlier runs of the same setup left."""
    done: dict[Task, list[HeldOut]] = {}
    for row in read_rows(path):
        if row["setup"] == setup:
            done[tuple(row["left_out"]), row["seed"]] = [
                HeldOut(**{**network, "signs": ErrorSigns(**network["signs"])}) for network in row["networks"]
            ]
    return done


@dataclasses.dataclass(frozen=True)
class JudgedNetwork:
    """One network of the family held out.

    Attributes:
        error: |predicted - measured| / measured.
        log_ratio: half its interval, in logarithms.
        covered: the interval holds the measurement.
        constant_log_ratio, constant_covered: the same for one width for all, calibrated alike.
    """

    family: str
    error: float
    log_ratio: float
    covered: bool
    constant_log_ratio: float
    constant_covered: bool
    out_of_distribution: bool


def judge_family(test: Sequence[HeldOut], calibration: Sequence[HeldOut]) -> list[JudgedNetwork]:
    """Calibrate on other families, judge on one."""
    model = fit_interval(calibration).model
    plain = ErrorSigns(0.0, 0.0, 0.0, 0.0)
    constant = fit_interval([dataclasses.replace(network, signs=plain) for network in calibration]).model
    constant_log_ratio = constant.log_ratio(plain)
    return [
        JudgedNetwork(
            family=network.family,
            error=abs(network.predicted_ms - network.measured_ms) / network.measured_ms,
            log_ratio=model.log_ratio(network.signs),
            covered=network.log_error <= model.log_ratio(network.signs),
            constant_log_ratio=constant_log_ratio,
            constant_covered=network.log_error <= constant_log_ratio,
            out_of_distribution=network.out_of_distribution,
        )
        for network in test
    ]


def summarise(judged: Sequence[Sequence[JudgedNetwork]]) -> dict[str, Any]:
    """Figures over runs, each of one family with one seed; in ``average`` families are weighed alike."""
    from scipy.stats import spearmanr

    every = [network for run in judged for network in run]
    families: dict[str, list[JudgedNetwork]] = {}
    for network in every:
        families.setdefault(network.family, []).append(network)
    figures = {family: _figures(found) for family, found in sorted(families.items())}
    flagged = [network for network in every if network.out_of_distribution]
    others = [network for network in every if not network.out_of_distribution]
    correlation = spearmanr([network.log_ratio for network in every], [network.error for network in every]).statistic
    return {
        "average": {name: _mean(found[name] for found in figures.values()) for name in _figures(every)},
        "all_networks": _figures(every),
        "lowest_coverage": min(figures, key=lambda family: figures[family]["coverage"]),
        "width_error_spearman": round(float(correlation), 3),
        "risk_coverage": risk_coverage(every),
        "flagged": _figures(flagged) if flagged else None,
        "not_flagged": _figures(others) if others else None,
        "families": figures,
    }


def risk_coverage(networks: Sequence[JudgedNetwork]) -> list[dict[str, float]]:
    """MAPE of the most certain networks, those of the narrowest intervals, for several shares of all."""
    errors = np.array([network.error for network in sorted(networks, key=lambda network: network.log_ratio)])
    counts = [max(round(share * len(errors)), 1) for share in _SHARES]
    return [
        {"most_certain": round(100 * share), "mape": round(100 * float(errors[:count].mean()), 2)}
        for share, count in zip(_SHARES, counts, strict=True)
    ]


def _figures(networks: Sequence[JudgedNetwork]) -> dict[str, float]:
    """Percentages, but for the number of networks."""
    return {
        "networks": len(networks),
        "mape": _percent(network.error for network in networks),
        "coverage": _percent(network.covered for network in networks),
        "width": _percent(_width(network.log_ratio) for network in networks),
        "constant_coverage": _percent(network.constant_covered for network in networks),
        "constant_width": _percent(_width(network.constant_log_ratio) for network in networks),
        "out_of_distribution": _percent(network.out_of_distribution for network in networks),
    }


def _width(log_ratio: float) -> float:
    """From the low end to the high end, over the prediction."""
    return float(np.exp(log_ratio) - np.exp(-log_ratio))


def _mean(values: Iterable[float]) -> float:
    return round(float(np.mean(list(values))), 2)


def _percent(values: Iterable[float]) -> float:
    return _mean(100 * float(value) for value in values)


def false_alarms(examples: Sequence[Example]) -> dict[str, float]:
    """Percent of networks that the flag marks though training has their family, by family and for ``all``.

    A fifth of the graphs is left out in turn; shares are of the measured time.
    """
    marked: dict[str, list[bool]] = {}
    for test, train in _splits(examples):
        known = known_kernels(train)
        for example in test:
            distance = known.distance(example.operators, example.tokens)
            far_share = float(example.share[far_kernels(distance)].sum())
            marked.setdefault(example.family, []).append(is_out_of_distribution(distance, far_share))
    judged = judged_families(examples)
    rates = {family: _percent(marked[family]) for family in judged}
    return {**rates, "all": _percent(mark for family in judged for mark in marked[family])}


def _splits(examples: Sequence[Example]) -> Iterator[tuple[list[Example], list[Example]]]:
    part = [hash_bucket(example.graph, _SPLITS) for example in examples]
    for number in range(_SPLITS):
        rows = list(zip(examples, part, strict=True))
        yield [one for one, own in rows if own == number], [one for one, own in rows if own != number]


if __name__ == "__main__":
    main()
