"""One trunk that is told the profile against one model a profile: bench/results/one_trunk.json.

``one a profile`` is what ``narcost train`` makes: a NAR-Former and trees for each profile, from its measurements alone.
``one trunk`` is what ``narcost train --beside`` makes: one NAR-Former and one set of trees from the measurements of all
profiles together, told the profile of each kernel. Both are trained for as many passes over their networks and judged
on families that neither saw on any profile: the last of five folds of the zoo's families, as in ``bench.adapt``.

Results are appended to a scratch file, so that a stopped run goes on where it was.
"""

import argparse
import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from bench.adapt import LEFT_OUT, split_networks
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
from hardware_profiles import load_profile
from tvm_narcost.cli.options import profile_and_file
from tvm_narcost.training.ensemble import ensemble_us, train_ensemble
from tvm_narcost.training.evaluate import network_ms
from tvm_narcost.training.examples import Example
from tvm_narcost.training.fit import dataset_digest
from tvm_narcost.training.loop import TrainingSettings
from tvm_narcost.training.trunk import train_trunk

__all__ = ["summarise"]

profiles: dict[str, list[Example]] = {}
"""Profile -> its measured networks, in a process of the pool."""


def main() -> None:
    """Run what is missing, then write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", action="append", required=True, metavar="PROFILE=FILE", type=profile_and_file)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=TrainingSettings().epochs)
    parser.add_argument("--alone", action="append", metavar="PROFILE", help="train this one by itself (default: each)")
    parser.add_argument("--most", type=int, help="networks of a family that take part (default: all)")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--scratch", type=Path, default=Path("build/one_trunk.jsonl"))
    parser.add_argument("--name", default="one_trunk")
    arguments = parser.parse_args()
    with one_thread_pool(arguments.jobs, _open, arguments.target, arguments.most) as pool:
        digests = pool.submit(_digests).result()
        alone = arguments.alone or list(digests)
        unknown = sorted(set(alone) - set(digests))
        if unknown:
            parser.error(f"--alone {unknown[0]}: no --target of that profile, expected one of {', '.join(digests)}")
        setup = {"digests": digests, "epochs": arguments.epochs}
        rows = [row for row in read_rows(arguments.scratch) if row["setup"] == setup]
        known = {(row["variant"], row["trained_on"], row["seed"]) for row in rows}
        wanted = [
            (variant, trained_on, seed)
            for seed in range(arguments.seeds)
            for variant, trained_on in [("one trunk", "all"), *(("one a profile", profile) for profile in alone)]
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
        trunk = train_trunk({load_profile(profile): rest for profile, (_, rest) in split.items()}, settings, (seed,))
        predicted = {
            profile: network_ms(ensemble_us(trunk.of(load_profile(profile)), test))
            for profile, (test, _) in split.items()
        }
    else:
        test, rest = split[trained_on]
        predicted = {trained_on: network_ms(ensemble_us(train_ensemble(rest, settings, (seed,)), test))}
    errors = {profile: _errors(predicted[profile], split[profile][0]) for profile in predicted}
    return {"variant": variant, "trained_on": trained_on, "seed": seed, "mape": errors}


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
