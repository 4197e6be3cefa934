"""One trunk that is told the profile against one model a profile: bench/results/one_trunk.json.

``one a profile`` is what ``narcost train`` makes: a NAR-Former and trees for each profile, from its measurements alone.
``one trunk`` is one NAR-Former and one set of trees from the measurements of all profiles together; each token has the
profile's numbers as columns besides, which to a linear embedding is a profile token added to every kernel's. Both are
trained for as many passes over their networks and judged on families that neither saw on any profile: the last of five
folds of the zoo's families, as in ``bench.adapt``.

Results are appended to a scratch file, so that a stopped run goes on where it was.
"""

import argparse
import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.adapt import LEFT_OUT, split_networks, target
from bench.facts import write_result
from bench.trainings import (
    append_row,
    deviation,
    family_metrics,
    one_thread_pool,
    read_examples,
    read_rows,
    run_all,
)
from hardware_profiles import HardwareProfile, load_profile
from tvm_narcost.models.kernel_ensemble import TREE_COLUMNS, KernelEnsemble
from tvm_narcost.models.kernel_sum import fit_trees
from tvm_narcost.tokens import default
from tvm_narcost.training.ensemble import ensemble_us, kernel_weight, train_ensemble
from tvm_narcost.training.evaluate import network_ms
from tvm_narcost.training.examples import Example
from tvm_narcost.training.fit import dataset_digest
from tvm_narcost.training.loop import DEFAULT_CONFIG, TrainingSettings, train_network

__all__ = ["PROFILE_COLUMNS", "RUNTIMES", "profile_columns", "summarise", "with_profile"]

RUNTIMES = ("onnxruntime", "openvino", "tvm")
_LOGGED = (
    "threads", "cores", "vector_bytes", "l1d_bytes", "l2_bytes", "l3_bytes", "peak_gflops", "l1_gb_s", "l2_gb_s",
    "l3_gb_s", "memory_gb_s", "call_overhead_us",
)  # fmt: skip
PROFILE_COLUMNS = (*_LOGGED, *RUNTIMES)

profiles: dict[str, list[Example]] = {}
"""Profile -> its measured networks, in a process of the pool."""


def main() -> None:
    """Run what is missing, then write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", action="append", required=True, metavar="PROFILE=DATASET", type=target)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=TrainingSettings().epochs)
    parser.add_argument("--most", type=int, help="networks of a family that take part (default: all)")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--scratch", type=Path, default=Path("build/one_trunk.jsonl"))
    parser.add_argument("--name", default="one_trunk")
    arguments = parser.parse_args()
    with one_thread_pool(arguments.jobs, _open, arguments.target, arguments.most) as pool:
        digests = pool.submit(_digests).result()
        setup = {"digests": digests, "epochs": arguments.epochs}
        rows = [row for row in read_rows(arguments.scratch) if row["setup"] == setup]
        known = {(row["variant"], row["trained_on"], row["seed"]) for row in rows}
        wanted = [
            (variant, trained_on, seed)
            for seed in range(arguments.seeds)
            for variant, trained_on in [("one trunk", "all"), *(("one a profile", profile) for profile in digests)]
        ]
        calls = [(*task, arguments.epochs) for task in wanted if task not in known]
        for found in run_all(pool, _one, calls):
            rows.append({"setup": setup, **found})
            append_row(arguments.scratch, rows[-1])
            errors = {profile: round(mean(families.values()), 2) for profile, families in found["mape"].items()}
            print(f"{found['variant']} of {found['trained_on']}, seed {found['seed']}: {errors}", flush=True)
    rows = [row for row in rows if (row["variant"], row["trained_on"], row["seed"]) in wanted]
    first = arguments.target[0][0]
    result = {"left_out": LEFT_OUT, "setup": setup, "summary": summarise(rows), "runs": rows}
    write_result(arguments.name, "bench.one_trunk", first, result)


def _open(targets: Sequence[tuple[str, Path]], most: int | None) -> None:
    for profile, dataset in targets:
        profiles[profile] = list(read_examples(dataset, profile, most))


def _digests() -> dict[str, str]:
    return {profile: dataset_digest(measured) for profile, measured in profiles.items()}


def _one(variant: str, trained_on: str, seed: int, epochs: int) -> dict[str, Any]:
    settings = dataclasses.replace(TrainingSettings(), epochs=epochs)
    split = {profile: split_networks(measured) for profile, measured in profiles.items()}
    if variant == "one trunk":
        predicted = _one_trunk({load_profile(profile): parts for profile, parts in split.items()}, settings, seed)
    else:
        test, rest = split[trained_on]
        predicted = {trained_on: network_ms(ensemble_us(train_ensemble(rest, settings, (seed,)), test))}
    errors = {profile: _errors(predicted[profile], split[profile][0]) for profile in predicted}
    return {"variant": variant, "trained_on": trained_on, "seed": seed, "mape": errors}


def _one_trunk(
    split: Mapping[HardwareProfile, tuple[Sequence[Example], Sequence[Example]]], settings: TrainingSettings, seed: int
) -> dict[str, list[float]]:
    """Milliseconds of each profile's test networks; the mean of the network's and the trees' logarithms."""
    train = [with_profile(example, profile) for profile, (_, rest) in split.items() for example in rest]
    config = dataclasses.replace(DEFAULT_CONFIG, token_width=default.WIDTH + len(PROFILE_COLUMNS))
    network = KernelEnsemble((train_network(train, settings, seed, config=config),), None)
    trees = fit_trees(
        np.concatenate([_tree_columns(example) for example in train]),
        np.concatenate([example.log_efficiency for example in train]),
        np.concatenate([kernel_weight(example) for example in train]),
        seed,
    )
    predicted: dict[str, list[float]] = {}
    for profile, (test, _) in split.items():
        for example in (with_profile(plain, profile) for plain in test):
            logs = (network.log_efficiency([example.tokens])[0] + trees.predict(_tree_columns(example))) / 2
            predicted.setdefault(profile.id, []).append(float(example.yardstick_us @ np.exp(logs)) / 1e3)
    return predicted


def with_profile(example: Example, profile: HardwareProfile) -> Example:
    """The same network; each token has the profile's columns before its position codes."""
    told = np.tile(profile_columns(profile), (len(example.tokens), 1))
    parts = [example.tokens[:, :TREE_COLUMNS], told, example.tokens[:, TREE_COLUMNS:]]
    return dataclasses.replace(example, tokens=np.concatenate(parts, axis=1))


def _tree_columns(example: Example) -> NDArray[np.float32]:
    return example.tokens[:, : TREE_COLUMNS + len(PROFILE_COLUMNS)]


def profile_columns(profile: HardwareProfile) -> NDArray[np.float32]:
    """float32 [PROFILE_COLUMNS]: sizes and rates as powers of two, the peak of all threads, then which runtime.

    Raises:
        ValueError: a runtime that is none of :data:`RUNTIMES`.
    """
    device, runtime = profile.device, profile.runtime
    if runtime.name not in RUNTIMES:
        raise ValueError(f"runtime {runtime.name!r} of {profile.id}, expected one of {RUNTIMES}")
    bandwidth = dict(device.bandwidth_gb_s)
    quantities = (
        runtime.threads, device.cores, device.vector_bytes, device.l1d_bytes, device.l2_bytes, device.l3_bytes,
        dict(device.peak_gflops)["float32"] * runtime.threads,
        *(bandwidth[level] for level in ("l1", "l2", "l3", "memory")), device.call_overhead_us,
    )  # fmt: skip
    logged = [math.log2(1 + quantity) for quantity in quantities]
    return np.array([*logged, *(float(name == runtime.name) for name in RUNTIMES)], np.float32)


def _errors(predicted_ms: Sequence[float], test: Sequence[Example]) -> dict[str, float]:
    """Mean absolute percentage error of each family."""
    return {family: round(found.mape, 3) for family, found in family_metrics(predicted_ms, test).items()}


def summarise(rows: Iterable[dict[str, Any]]) -> dict[str, dict[str, dict[str, float]]]:
    """Profile -> variant -> mean over families, mean and deviation over seeds."""
    grouped: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        for profile, families in row["mape"].items():
            grouped.setdefault(profile, {}).setdefault(row["variant"], []).append(mean(families.values()))
    return {
        profile: {
            variant: {
                "mape_mean": round(mean(errors), 2),
                "mape_std": deviation(errors),
                "seeds": len(errors),
            }
            for variant, errors in sorted(variants.items())
        }
        for profile, variants in sorted(grouped.items())
    }


if __name__ == "__main__":
    main()
