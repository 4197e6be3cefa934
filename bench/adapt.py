"""A new profile learned from an old one by few networks: bench/results/adapt.json.

For each count of networks and each draw of them: the old profile's models adapted (``narcost adapt``), the same merely
scaled by one factor, and a NAR-Former with trees trained from scratch on the same networks. All are judged on families
that took no part anywhere: the last of five folds of the zoo's families, left out of the source's training, of every
draw, and of calibration. A draw takes one network of each other family in turn, as ``narcost profile --zoo all`` does,
and a larger draw of the same seed holds the smaller ones.

The source is trained once, into ``build``; results are appended to a scratch file, so that a stopped run goes on.
"""

import argparse
import dataclasses
import functools
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np

from bench.facts import write_result
from bench.trainings import append_row, deviation, examples, family_metrics, read_rows, run_all, training_pool
from hardware_profiles import HardwareProfile, load_profile
from tvm_narcost.cli.options import profile_and_file
from tvm_narcost.models.kernel_ensemble import KernelEnsemble
from tvm_narcost.training.adapt import Uncorrected, adapt_models
from tvm_narcost.training.ensemble import ensemble_us, train_ensemble
from tvm_narcost.training.evaluate import network_ms
from tvm_narcost.training.examples import Example
from tvm_narcost.training.fit import FittedModels, dataset_digest, family_folds, fit_models
from tvm_narcost.training.intervals import predict_held_out
from tvm_narcost.training.loop import TrainingSettings
from tvm_narcost.training.splits import leave_families_out
from tvm_narcost.zoo import CORPUS_FAMILIES, FAMILIES

__all__ = ["LEFT_OUT", "METHODS", "draw_networks", "split_networks", "summarise"]

LEFT_OUT = family_folds(sorted(set(FAMILIES) - set(CORPUS_FAMILIES)), 5)[-1]
"""Families to judge on: every fifth by name. Settings of the adaptation were chosen on the first fold."""

_FEWEST_STEPS = 400  # of a training from scratch: ten networks in ten epochs would be ten steps
_SOURCE_FOLDS = 2  # that the source's interval is calibrated on


def main() -> None:
    """Run what is missing, then write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source-profile", default="epyc-zen5.onnxruntime")
    parser.add_argument("--source-dataset", type=Path, required=True)
    parser.add_argument("--target", action="append", required=True, metavar="PROFILE=FILE", type=profile_and_file)
    parser.add_argument("--counts", type=_counts, default=(10, 30, 100, 300), metavar="N[,N...]")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--most", type=int, default=40, help="networks of a family to judge on, and to draw from")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--source", type=Path, default=Path("build/adapt-source"), help="made where it is missing")
    parser.add_argument("--scratch", type=Path, default=Path("build/adapt.jsonl"))
    parser.add_argument("--name", default="adapt")
    arguments = parser.parse_args()
    if not arguments.source.is_dir():
        with training_pool(1, arguments.source_dataset, arguments.source_profile) as pool:
            pool.submit(_train_source, arguments.source_profile, arguments.source).result()
    source = FittedModels.open(arguments.source).narformer.facts
    rows, data = list(read_rows(arguments.scratch)), {}
    tasks = [
        (method, count, seed) for count in arguments.counts for seed in range(arguments.seeds) for method in METHODS
    ]
    for profile, dataset in arguments.target:
        with training_pool(arguments.jobs, dataset, profile, arguments.most) as pool:
            data[profile] = pool.submit(_describe).result()
            setup = {"profile": profile, "digest": data[profile]["digest"], "source": source.dataset["digest"]}
            known = {(row["method"], row["count"], row["seed"]) for row in rows if row["setup"] == setup}
            missing = [(profile, arguments.source, *task) for task in tasks if task not in known]
            for found in run_all(pool, _one, missing):
                rows.append({"setup": setup, **found})
                append_row(arguments.scratch, rows[-1])
                error = mean(found["mape"].values())
                print(f"{profile} {found['method']} {found['count']} seed {found['seed']}: {error:.2f} %", flush=True)
    wanted = [
        row for row in rows
        if (row["method"], row["count"], row["seed"]) in tasks
        and data.get(row["setup"]["profile"], {}).get("digest") == row["setup"]["digest"]
        and row["setup"]["source"] == source.dataset["digest"]
    ]  # fmt: skip
    by_profile = {profile: [row for row in wanted if row["setup"]["profile"] == profile] for profile in data}
    result = {
        "left_out": LEFT_OUT,
        "source": {"profile": source.profile, "dataset": source.dataset, "metrics": source.metrics},
        "data": data,
        "summary": {profile: summarise(own) for profile, own in by_profile.items()},
        "runs": wanted,
    }
    write_result(arguments.name, "bench.adapt", source.profile, result)


def _counts(text: str) -> tuple[int, ...]:
    return tuple(int(count) for count in text.split(","))


def _train_source(profile: str, folder: Path) -> None:
    _, rest = split_networks(examples)
    fit_models(rest, profile, folds=_SOURCE_FOLDS, seeds=(0,), command="python -m bench.adapt").save(folder)


def _describe() -> dict[str, Any]:
    test, rest = split_networks(examples)
    return {"digest": dataset_digest(examples), "judged_on": len(test), "drawn_from": len(rest)}


def split_networks(measured: Sequence[Example]) -> tuple[list[Example], list[Example]]:
    """Networks of the families left out; and the others, without any graph that the former have too."""
    return leave_families_out(measured, LEFT_OUT)


def draw_networks(measured: Sequence[Example], count: int, seed: int) -> list[Example]:
    """So many networks, one of each family in turn, in an order by chance; all of them where there are no more."""
    random = np.random.default_rng(seed)
    queues: dict[str, list[Example]] = {}
    for place in random.permutation(len(measured)).tolist():
        queues.setdefault(measured[place].family, []).append(measured[place])
    families = [sorted(queues)[place] for place in random.permutation(len(queues)).tolist()]
    longest = max(map(len, queues.values()), default=0)
    drawn = [queues[family][turn] for turn in range(longest) for family in families if turn < len(queues[family])]
    return drawn[:count]


def _one(profile_id: str, source: Path, method: str, count: int, seed: int) -> dict[str, Any]:
    test, rest = split_networks(examples)
    few = draw_networks(rest, count, seed)
    found = METHODS[method](_open(source), few, test, load_profile(profile_id), seed)
    predicted = found.pop("predicted_ms")
    figures = family_metrics(predicted, test)
    covered = found.pop("covered", None)
    return {
        "method": method, "count": count, "seed": seed, "networks": len(few),
        "mape": {family: round(metrics.mape, 3) for family, metrics in figures.items()},
        "acc_10": {family: round(metrics.acc_10, 2) for family, metrics in figures.items()},
        "kendall_tau": {family: round(metrics.kendall_tau, 4) for family, metrics in figures.items()},
        **({} if covered is None else {
            "coverage": {
                family: round(
                    100 * mean(own for own, example in zip(covered, test, strict=True) if example.family == family), 2
                )
                for family in figures
            }
        }),
        **found,
    }  # fmt: skip


@functools.cache
def _open(folder: Path) -> FittedModels:
    return FittedModels.open(folder)


def _adapted(
    source: FittedModels, few: Sequence[Example], test: Sequence[Example], profile: HardwareProfile, seed: int
) -> dict[str, Any]:
    model = adapt_models(source, few, profile, seed=seed).narformer
    predicted = predict_held_out(model.ensemble, model.training_kernels, test)
    half = [model.facts.interval.log_ratio(network.signs) for network in predicted]
    return {
        "predicted_ms": [network.predicted_ms for network in predicted],
        "covered": [float(network.log_error <= own) for network, own in zip(predicted, half, strict=True)],
        "interval_factor": round(math.exp(median(half)), 4),
    }


def _scaled(
    source: FittedModels, few: Sequence[Example], test: Sequence[Example], profile: HardwareProfile, seed: int
) -> dict[str, Any]:
    base = Uncorrected(source.narformer.ensemble, few)
    return _judged(base.corrected(base.fit_factor(range(len(few)))), test)


def _from_scratch(
    source: FittedModels, few: Sequence[Example], test: Sequence[Example], profile: HardwareProfile, seed: int
) -> dict[str, Any]:
    settings = TrainingSettings()
    steps = -(-len(few) // settings.batch)
    settings = dataclasses.replace(settings, epochs=max(settings.epochs, -(-_FEWEST_STEPS // steps)))
    return _judged(train_ensemble(few, settings, (seed,)), test)


def _judged(ensemble: KernelEnsemble, test: Sequence[Example]) -> dict[str, Any]:
    return {"predicted_ms": network_ms(ensemble_us(ensemble, test))}


METHODS: dict[
    str, Callable[[FittedModels, Sequence[Example], Sequence[Example], HardwareProfile, int], dict[str, Any]]
] = {"adapted": _adapted, "one factor": _scaled, "from scratch": _from_scratch}


def summarise(rows: Iterable[dict[str, Any]]) -> dict[str, dict[str, dict[str, float]]]:
    """Count -> method -> figures: families alike, mean and deviation over draws; coverage and width where there are."""
    grouped: dict[int, dict[str, list[dict[str, Any]]]] = {}
    for row in rows:
        grouped.setdefault(row["count"], {}).setdefault(row["method"], []).append(row)
    return {
        str(count): {method: _figures(methods[method]) for method in sorted(methods)}
        for count, methods in sorted(grouped.items())
    }


def _figures(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    errors = [mean(row["mape"].values()) for row in rows]
    figures = {
        "mape_mean": round(mean(errors), 2),
        "mape_std": deviation(errors),
        "acc_10": round(mean(mean(row["acc_10"].values()) for row in rows), 1),
        "kendall_tau": round(mean(mean(row["kendall_tau"].values()) for row in rows), 4),
        "draws": len(rows),
    }
    if all("coverage" in row for row in rows):
        figures["coverage"] = round(mean(mean(row["coverage"].values()) for row in rows), 1)
        figures["interval_factor"] = round(mean(row["interval_factor"] for row in rows), 3)
    return figures


if __name__ == "__main__":
    main()
