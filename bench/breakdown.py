"""Predictions of single kernels against their times inside the network, by kind: bench/results/breakdown.json.

Leave one family out, as bench/accuracy.py: for each family and seed the predictors are trained without it and predict
the kernels of its networks. Each kernel weighs as its share of its network's measured time, so the errors of all kinds
add up to the network's. What is done is in a scratch file, so that a stopped run goes on where it was.
"""

import argparse
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.facts import write_result
from bench.trainings import append_row, examples, read_rows, run_all, training_pool
from tvm_narcost.tokens.facts import KernelFacts, kernel_facts
from tvm_narcost.training.ensemble import ensemble_us, train_ensemble
from tvm_narcost.training.evaluate import fit_kernel_sum_to, hold_family_out, kernel_sum_us
from tvm_narcost.training.examples import Example
from tvm_narcost.training.loop import TrainingSettings
from tvm_narcost.zoo import NNLQP_FAMILIES

__all__ = ["PREDICTORS", "compare_kernels", "kernel_kinds", "summarise"]

PREDICTORS = ("narformer", "kernel_sum")


def main() -> None:
    """Run what is missing, then write the table's data."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--profile", default="epyc-zen5.onnxruntime")
    parser.add_argument("--families", default=",".join(NNLQP_FAMILIES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=TrainingSettings().epochs)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--scratch", type=Path, default=Path("build/breakdown.jsonl"))
    parser.add_argument("--name", default="breakdown")
    arguments = parser.parse_args()
    digest = hashlib.sha256(arguments.dataset.read_bytes()).hexdigest()[:16]
    setting = {"dataset": digest, "epochs": arguments.epochs}
    done = {(row["family"], row["seed"]): row for row in read_rows(arguments.scratch) if row["setting"] == setting}
    wanted = [(family, seed) for seed in range(arguments.seeds) for family in arguments.families.split(",")]
    missing = [(*task, arguments.epochs) for task in wanted if task not in done]
    with training_pool(arguments.jobs, arguments.dataset, arguments.profile) as pool:
        for found in run_all(pool, _one, missing):
            row = {"setting": setting, **found}
            done[row["family"], row["seed"]] = row
            append_row(arguments.scratch, row)
            errors = ", ".join(f"{name} {row['network_mape'][name]:.2f} %" for name in PREDICTORS)
            print(f"{row['family']} seed {row['seed']}: MAPE {errors}", flush=True)
    chosen = [done[task] for task in wanted]
    result = {"setting": {"file": arguments.dataset.name, **setting}, "summary": summarise(chosen), "runs": chosen}
    write_result(arguments.name, "bench.breakdown", arguments.profile, result)


def _one(family: str, seed: int, epochs: int) -> dict[str, Any]:
    return {"family": family, "seed": seed, **predict_family(examples, family, seed, epochs)}


def predict_family(examples: Sequence[Example], family: str, seed: int, epochs: int) -> dict[str, Any]:
    """Train both predictors without a family and compare their kernels on its networks.

    Raises:
        TrainingError: no network of that family, or none of others.
    """
    split = hold_family_out(examples, family)
    ensemble = train_ensemble(split.train, replace(TrainingSettings(), epochs=epochs), (seed,))
    predicted = {
        "narformer": ensemble_us(ensemble, split.test),
        "kernel_sum": kernel_sum_us(fit_kernel_sum_to(split.train, seed), split.test),
    }
    return compare_kernels(split.test, predicted)


def compare_kernels(
    examples: Sequence[Example], predicted_us: Mapping[str, Sequence[NDArray[np.float64]]]
) -> dict[str, Any]:
    """Sums over the kernels of some networks, by kind.

    For each kind the number of kernels and the sum of their shares; for each predictor the sums of the absolute and of
    the signed error, each as a fraction of its network's time. ``network_mape`` is that of the sums, percent.
    """
    kinds: dict[str, dict[str, Any]] = {}
    for position, example in enumerate(examples):
        names = np.array(kernel_kinds(kernel_facts(example.plan)))
        errors = {
            name: (predicted[position] - example.kernels_us) / example.latency_us
            for name, predicted in predicted_us.items()
        }
        for kind in np.unique(names):
            is_kind = names == kind
            sums = kinds.setdefault(str(kind), {"kernels": 0, "share": 0.0, **{name: [0.0, 0.0] for name in errors}})
            sums["kernels"] += int(is_kind.sum())
            sums["share"] += float(example.share[is_kind].sum())
            for name, error in errors.items():
                sums[name][0] += float(np.abs(error[is_kind]).sum())
                sums[name][1] += float(error[is_kind].sum())
    mape = {
        name: 100 * mean(
            abs(float(kernels_us.sum()) / example.latency_us - 1)
            for example, kernels_us in zip(examples, predicted, strict=True)
        )
        for name, predicted in predicted_us.items()
    }  # fmt: skip
    return {"networks": len(examples), "network_mape": mape, "kinds": kinds}


def kernel_kinds(facts: KernelFacts) -> list[str]:
    """Operator of each kernel; convolutions told apart by what they cost: 1x1, depthwise, grouped, others."""
    kernels = zip(
        facts.ops, *(facts.column(name) for name in ("group", "in_channels", "kernel_h", "kernel_w")), strict=True
    )
    return [op if op != "Conv" else _convolution(*extents) for op, *extents in kernels]


def _convolution(group: float, channels: float, height: float, width: float) -> str:
    if group > 1:
        return "Conv, depthwise" if group == channels else "Conv, grouped"
    return "Conv, 1x1" if height * width == 1 else "Conv"


def summarise(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Over all families: each kind's share of time, mean error and bias, mean and spread over seeds; percent.

    A kind's ``error`` is the mean of |predicted / measured - 1| and ``bias`` of predicted / measured - 1, both weighted
    by share of time. ``all`` is over the kernels of every kind, ``network`` over networks.
    """
    seeds = sorted({row["seed"] for row in rows})
    by_seed = [_pool(row for row in rows if row["seed"] == seed) for seed in seeds]
    networks = sum(row["networks"] for row in rows if row["seed"] == seeds[0])
    kinds = {
        kind: {
            "kernels": by_seed[0][kind]["kernels"],
            "share": round(100 * by_seed[0][kind]["share"] / networks, 3),
            **{name: _figures([pooled[kind] for pooled in by_seed], name) for name in PREDICTORS},
        }
        for kind in sorted(by_seed[0], key=lambda kind: -float(by_seed[0][kind]["share"]))
    }
    network = {name: _network_figures(rows, seeds, name) for name in PREDICTORS}
    return {"networks": networks, "kinds": kinds, "network": network}


def _pool(rows: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The sums of several families, by kind, and those of all kinds."""
    pooled: dict[str, dict[str, Any]] = {}
    for row in rows:
        for kind, sums in row["kinds"].items():
            for name in (kind, "all"):
                into = pooled.setdefault(
                    name, {"kernels": 0, "share": 0.0, **{predictor: [0.0, 0.0] for predictor in PREDICTORS}}
                )
                into["kernels"] += sums["kernels"]
                into["share"] += sums["share"]
                for predictor in PREDICTORS:
                    into[predictor] = [into[predictor][0] + sums[predictor][0], into[predictor][1] + sums[predictor][1]]
    return pooled


def _figures(sums: Sequence[dict[str, Any]], predictor: str) -> dict[str, float]:
    """Error and bias of one kind over seeds."""
    errors, biases = ([100 * found[predictor][part] / found["share"] for found in sums] for part in (0, 1))
    return {"error": round(mean(errors), 2), "error_std": _spread(errors), "bias": round(mean(biases), 2)}


def _network_figures(rows: Sequence[dict[str, Any]], seeds: Sequence[int], predictor: str) -> dict[str, float]:
    """MAPE of networks, each counted once as kernels' networks are."""
    errors = []
    for seed in seeds:
        chosen = [row for row in rows if row["seed"] == seed]
        total = sum(row["network_mape"][predictor] * row["networks"] for row in chosen)
        errors.append(total / sum(row["networks"] for row in chosen))
    return {"error": round(mean(errors), 2), "error_std": _spread(errors)}


def _spread(values: Sequence[float]) -> float:
    return round(stdev(values), 2) if len(values) > 1 else 0.0


if __name__ == "__main__":
    main()
