"""Accuracy of every predictor on families held out, over seeds: bench/results/accuracy.json.

``--predictors`` takes ablations too (training/ablations.py), by name or all as ``ablations``; ``--families`` names
families, or ``others``, all of the zoo's that are neither NNLQP's nor of the corpus, or ``all``, both of those.

By default each family is held out alone. With ``--folds N`` the families are dealt out to N groups, and those of a
group are held out together: fewer trainings, each with less to learn from, every family still unseen.

Each (predictor, families held out, seed) is fitted without any network of those; its results are appended to a scratch
file, so that a stopped run goes on where it was. Where a predictor times each kernel, the scratch file keeps its errors
by kind of kernel too, from which bench/breakdown.py makes its table.
"""

import argparse
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from statistics import mean
from typing import Any

from bench.facts import write_result
from bench.kernel_kinds import errors_by_kind
from bench.trainings import append_row, deviation, examples, read_rows, run_all, training_pool
from hardware_profiles import HardwareProfile, load_profile
from tvm_narcost.training.ablations import ABLATIONS
from tvm_narcost.training.evaluate import KERNEL_PREDICTORS, PREDICTORS, judge_families_held_out, network_ms
from tvm_narcost.training.examples import Example
from tvm_narcost.training.fit import family_folds
from tvm_narcost.training.splits import Split
from tvm_narcost.zoo import CORPUS_FAMILIES, FAMILIES, NNLQP_FAMILIES

# The first three know no chance; the last takes too long for more on a CPU.
_ONE_SEED = ("flops", "flops_bytes", "roofline", "narformer_paper")
Row = dict[str, Any]
"""Figures of one predictor and seed on one family; a line of the scratch file."""

OTHER_FAMILIES = tuple(family for family in FAMILIES if family not in (*NNLQP_FAMILIES, *CORPUS_FAMILIES))


def main() -> None:
    """Run what is missing, then write the table's data."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--profile", default="epyc-zen5.onnxruntime")
    parser.add_argument("--predictors", default=",".join(PREDICTORS))
    parser.add_argument("--families", default=",".join(NNLQP_FAMILIES))
    parser.add_argument("--folds", type=int, help="groups of families that are held out together (default: each alone)")
    parser.add_argument("--networks", type=int, help="most of a family that take part (default: all)")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--scratch", type=Path, default=Path("build/accuracy.jsonl"))
    parser.add_argument("--name", default="accuracy")
    arguments = parser.parse_args()
    done = [row for row in read_rows(arguments.scratch) if row["networks"] == arguments.networks]
    known = {(row["predictor"], tuple(row["held_out"]), row["seed"]) for row in done}
    predictors, families = _predictors(arguments.predictors), _families(arguments.families)
    wanted = [
        (predictor, group, seed)
        for predictor in predictors
        for seed in range(1 if predictor in _ONE_SEED else arguments.seeds)
        for group in family_folds(families, arguments.folds or len(families))
    ]
    missing = [(*task, arguments.profile, arguments.networks) for task in wanted if task not in known]
    with training_pool(arguments.jobs, arguments.dataset, arguments.profile, arguments.networks) as pool:
        for rows in run_all(pool, _one, missing):
            for row in rows:
                done.append(row)
                append_row(arguments.scratch, row)
                mape = row["metrics"]["mape"]
                print(f"{row['predictor']} {row['family']} seed {row['seed']}: MAPE {mape:.2f} %", flush=True)
    chosen = [_kept(row) for row in done if (row["predictor"], tuple(row["held_out"]), row["seed"]) in set(wanted)]
    write_result(arguments.name, "bench.accuracy", arguments.profile, {"summary": summarise(chosen), "runs": chosen})


def _kept(row: Row) -> Row:
    """What a result file has of a row: not its kernels, and of an ablation, which many are, no single networks."""
    dropped = ("kernels", "predicted_ms", "measured_ms") if row["predictor"] in ABLATIONS else ("kernels",)
    return {name: value for name, value in row.items() if name not in dropped}


def _predictors(text: str) -> list[str]:
    return [one for name in text.split(",") for one in (ABLATIONS if name == "ablations" else (name,))]


def _families(text: str) -> tuple[str, ...]:
    named = {"others": OTHER_FAMILIES, "all": tuple(sorted((*NNLQP_FAMILIES, *OTHER_FAMILIES)))}
    return named.get(text) or tuple(text.split(","))


def _one(predictor: str, held_out: tuple[str, ...], seed: int, profile: str, networks: int | None) -> list[Row]:
    kernels: dict[str, Any] = {}

    def fit(split: Split[Example], profile: HardwareProfile, seed: int) -> list[float]:
        times_us = KERNEL_PREDICTORS[predictor](split, profile, seed)
        for family in held_out:
            places = [place for place, example in enumerate(split.test) if example.family == family]
            kernels[family] = errors_by_kind(
                [split.test[place] for place in places], [times_us[place] for place in places]
            )
        return network_ms(times_us)

    chosen = fit if predictor in KERNEL_PREDICTORS else {**PREDICTORS, **ABLATIONS}[predictor]
    results = judge_families_held_out(examples, predictor, held_out, seed, load_profile(profile), chosen)
    rows = []
    for result in results:
        row = {**asdict(result), "held_out": held_out, "networks": networks}
        for name in ("predicted_ms", "measured_ms"):
            row[name] = [round(value, 4) for value in row[name]]
        rows.append({**row, "kernels": kernels.get(result.family, {})})
    return rows


def summarise(rows: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """For each predictor: figures a family as mean and spread over seeds, and the mean over families a seed.

    ``average`` has the MAPE, ``acc_10`` and ``kendall_tau`` the same for those, and ``worst`` names the family of the
    highest mean MAPE.
    """
    grouped: dict[str, dict[str, dict[int, dict[str, float]]]] = {}
    for row in rows:
        grouped.setdefault(row["predictor"], {}).setdefault(row["family"], {})[row["seed"]] = row["metrics"]
    return {predictor: _summary(families) for predictor, families in grouped.items()}


def _summary(families: dict[str, dict[int, dict[str, float]]]) -> dict[str, Any]:
    """``families``: family -> seed -> metrics. A seed counts in the averages when every family was run with it."""
    complete = sorted(set.intersection(*(set(seeds) for seeds in families.values())))
    figures = {
        family: _spread([metrics["mape"] for metrics in seeds.values()]) for family, seeds in sorted(families.items())
    }

    def over_families(name: str) -> list[float]:
        return [mean(seeds[seed][name] for seeds in families.values()) for seed in complete]

    return {
        "families": figures,
        "average": _spread(over_families("mape")),
        "acc_10": round(mean(over_families("acc_10")), 2),
        "kendall_tau": round(mean(over_families("kendall_tau")), 4),
        "worst": max(figures, key=lambda family: figures[family]["mape_mean"]),
    }


def _spread(values: list[float]) -> dict[str, float]:
    return {"mape_mean": round(mean(values), 2), "mape_std": deviation(values), "seeds": len(values)}


if __name__ == "__main__":
    main()
