"""Predictions of single kernels against their times inside the network, by kind: bench/results/breakdown.json.

Made from what ``python -m bench.accuracy`` left in its scratch file: for each family and seed the predictors were
trained without it and predicted the kernels of its networks. Each kernel weighs as its share of its network's measured
time, so the errors of all kinds add up to the network's.
"""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from bench.facts import write_result
from bench.trainings import deviation, read_rows

__all__ = ["PREDICTORS", "summarise"]

PREDICTORS = ("narformer", "kernel_sum")

Row = dict[str, Any]
"""A line of the scratch file of bench/accuracy.py."""


def main() -> None:
    """Sum up and write the table's data."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", default="epyc-zen5.onnxruntime")
    parser.add_argument("--scratch", type=Path, default=Path("build/accuracy.jsonl"))
    parser.add_argument("--name", default="breakdown")
    arguments = parser.parse_args()
    rows = [row for row in read_rows(arguments.scratch) if row["predictor"] in PREDICTORS]
    shared = _in_all(rows)
    if not shared:
        parser.error(
            f"{arguments.scratch}: no family and seed there with all of {', '.join(PREDICTORS)}, expected what "
            f"`python -m bench.accuracy --predictors {','.join(PREDICTORS)}` leaves"
        )
    chosen = [row for row in rows if (row["family"], row["seed"]) in shared]
    write_result(arguments.name, "bench.breakdown", arguments.profile, {"summary": summarise(chosen)})


def _in_all(rows: Iterable[Row]) -> set[tuple[str, int]]:
    """Families and seeds that every predictor was run on."""
    run: dict[str, set[tuple[str, int]]] = {predictor: set() for predictor in PREDICTORS}
    for row in rows:
        run[row["predictor"]].add((row["family"], row["seed"]))
    return set.intersection(*run.values())


def summarise(rows: Sequence[Row]) -> dict[str, Any]:
    """Over all families: each kind's share of time, mean error and bias, mean and spread over seeds; percent.

    A kind's ``error`` is the mean of |predicted / measured - 1| and ``bias`` of predicted / measured - 1, both weighted
    by share of time. ``all`` is over the kernels of every kind, ``network`` over networks. Seeds count that were run on
    every family.
    """
    families = {row["family"] for row in rows}
    seeds = [
        seed
        for seed in sorted({row["seed"] for row in rows})
        if {row["family"] for row in rows if row["seed"] == seed} == families
    ]
    runs = {
        predictor: [[row for row in rows if row["predictor"] == predictor and row["seed"] == seed] for seed in seeds]
        for predictor in PREDICTORS
    }
    pooled = {predictor: [_pool(run) for run in by_seed] for predictor, by_seed in runs.items()}
    first = pooled[PREDICTORS[0]][0]
    networks = sum(len(row["measured_ms"]) for row in runs[PREDICTORS[0]][0])
    kinds = {
        kind: {
            "kernels": first[kind]["kernels"],
            "share": round(100 * first[kind]["share"] / networks, 3),
            **{name: _figures([sums[kind] for sums in by_seed]) for name, by_seed in pooled.items()},
        }
        for kind in sorted(first, key=lambda kind: -float(first[kind]["share"]))
    }
    network = {name: _network_figures(by_seed) for name, by_seed in runs.items()}
    return {"networks": networks, "families": sorted(families), "seeds": seeds, "kinds": kinds, "network": network}


def _pool(rows: Iterable[Row]) -> dict[str, dict[str, float]]:
    """The sums of several families, by kind, and those of all kinds."""
    pooled: dict[str, dict[str, float]] = {}
    for row in rows:
        for kind, sums in row["kernels"].items():
            for name in (kind, "all"):
                into = pooled.setdefault(name, dict.fromkeys(sums, 0.0))
                for figure, value in sums.items():
                    into[figure] += value
    return pooled


def _figures(sums: Sequence[dict[str, float]]) -> dict[str, float]:
    """Error and bias of one kind over seeds."""
    errors, biases = ([100 * found[part] / found["share"] for found in sums] for part in ("absolute", "signed"))
    return {"error": round(mean(errors), 2), "error_std": deviation(errors), "bias": round(mean(biases), 2)}


def _network_figures(runs: Sequence[Sequence[Row]]) -> dict[str, float]:
    """MAPE of networks, each counted once as kernels' networks are."""
    errors = []
    for rows in runs:
        total = sum(row["metrics"]["mape"] * len(row["measured_ms"]) for row in rows)
        errors.append(total / sum(len(row["measured_ms"]) for row in rows))
    return {"error": round(mean(errors), 2), "error_std": deviation(errors)}


if __name__ == "__main__":
    main()
