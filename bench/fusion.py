"""How well fusion plans are ranked: bench/results/fusion.json.

``measure`` times every network of :func:`held_out_sources` under a dozen plans or more, interleaved, in a process of
its own for each pass. ``judge`` trains each predictor on the other networks of a dataset and lets it choose among the
plans that were measured. Networks that are judged took no part in training: whole families, and micro-graphs of their
own seeds, among them the two of apache/tvm issues 20342 and 20401 as CPU cases.

Plans are chosen among for the network as the profile writes it. ``variants`` of the result judges another choice, among
the plans that TVM makes of the network in other layouts and with other rewrites, and ``all`` the choice among both.
"""

import argparse
import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import geometric_mean, mean, stdev
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.facts import write_result
from bench.fusion_cases import write_issue_models
from bench.fusion_passes import Passes, judged_us, last_two, noise_floor, passes_of
from bench.fusion_predictors import (
    DEFAULT_PLANNER,
    PREDICTORS,
    PROFILE,
    Choose,
    Order,
    Rules,
    Training,
    by_all,
    fastest,
)
from hardware_profiles import HardwareProfile, load_profile
from tvm_narcost.cli.options import profile_and_file
from tvm_narcost.database import LatencyRecord, NetworkRecord, open_database
from tvm_narcost.database.dataset import read_dataset
from tvm_narcost.measure.sources import FileSource, Source, ZooSource
from tvm_narcost.measure.worker import runtime_engine
from tvm_narcost.measure.worker_handle import PlansWanted, WorkerFailedError, WorkerHandle
from tvm_narcost.training.examples import Example, encode_records
from tvm_narcost.zoo import MICRO_FAMILIES

__all__ = ["HELD_OUT_FAMILIES", "Judged", "held_out_sources", "judge_network", "main", "measured_once", "summarise"]

HELD_OUT_FAMILIES: dict[str, tuple[int, ...]] = {
    "shufflenet": (204, 208), "vit": (204, 208), "bert": (203, 204), "squeezenet": (202, 207), "convnext": (202, 209),
}  # fmt: skip
"""Families of which no member is trained on, with the seeds that are measured."""

HELD_OUT_MICRO_SEEDS = (0, 1)
"""Of every micro-graph family; other seeds are trained on."""

_PLANS = 14
_LIMIT_S = 900.0


def main() -> None:
    """Measure, or judge and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", default=PROFILE)
    verbs = parser.add_subparsers(dest="verb", required=True)
    measuring = verbs.add_parser("measure")
    measuring.add_argument("--database", required=True)
    measuring.add_argument("--passes", type=int, default=3)
    measuring.add_argument("--plans", type=int, default=_PLANS)
    measuring.add_argument("--scratch", type=Path, default=Path("/tmp/narcost-fusion"))
    judging = verbs.add_parser("judge")
    judging.add_argument("--dataset", type=Path, default=Path("datasets/epyc-zen5.tvm.jsonl.xz"))
    judging.add_argument("--beside", action="append", default=[], type=profile_and_file, metavar="PROFILE=FILE")
    judging.add_argument("--seeds", type=int, default=3)
    judging.add_argument("--name", default="fusion", help="of the result; default: %(default)s")
    judging.add_argument("--predictors", default=",".join(PREDICTORS))
    arguments = parser.parse_args()
    profile = load_profile(arguments.profile)
    if arguments.verb == "measure":
        sources = held_out_sources(arguments.scratch)
        measure(sources, profile, arguments.database, passes=arguments.passes, plans=arguments.plans)
        return
    beside = {load_profile(name): place for name, place in arguments.beside}
    result = judge(arguments.dataset, profile, arguments.predictors.split(","), range(arguments.seeds), beside)
    print(write_result(arguments.name, "bench.fusion", profile.id, result))


# ---- measuring


def held_out_sources(scratch: Path) -> list[Source]:
    """Micro-graphs first, seed by seed, then the networks, so that a stopped run has some of each."""
    micro = [ZooSource(family, seed) for seed in HELD_OUT_MICRO_SEEDS for family in MICRO_FAMILIES]
    networks = [ZooSource(family, seed) for family, seeds in HELD_OUT_FAMILIES.items() for seed in seeds]
    return [*[FileSource.of(path) for path in write_issue_models(scratch)], *micro, *networks]


def measure(sources: Sequence[Source], profile: HardwareProfile, url: str, *, passes: int, plans: int) -> None:
    """Measure all plans of every network ``passes`` times, each pass in a process of its own; goes on where it was."""
    with open_database(url) as database:
        for number in range(passes):
            with WorkerHandle(profile, runtime_engine, _LIMIT_S) as worker:
                for source in sources:
                    if database.count_stable(source.document(), profile.id) > number:
                        continue
                    try:
                        graph = worker.build(source)
                        pairs = worker.measure(PlansWanted(plans, frozenset()))
                    except WorkerFailedError as failure:
                        print(f"pass {number}: {source.name}: {failure}", flush=True)
                        continue
                    database.add_plans(NetworkRecord(source.family, source.name, source.document(), graph), pairs)
                    verdicts = [measurement.verdict for _, measurement in pairs]
                    print(
                        f"pass {number}: {source.name}: {len(pairs)} plans, {verdicts.count('stable')} stable",
                        flush=True,
                    )


# ---- judging


@dataclasses.dataclass(frozen=True)
class Judged:
    """One predictor on one network.

    Attributes:
        network, family: which.
        plans: how many were measured.
        tau: Kendall's, of predicted and measured latencies.
        regret: of the plan that it chooses against the best measured, as a fraction.
        speedup: of the plan that it chooses over TVM's default.
        best_speedup: of the best measured plan over TVM's default.
        default_error: of the prediction of the default plan, as a signed fraction.
    """

    network: str
    family: str
    plans: int
    tau: float
    regret: float
    speedup: float
    best_speedup: float
    default_error: float


def judge_network(
    network: str,
    family: str,
    predicted_us: NDArray[np.float64],
    measured_us: Sequence[float],
    choose_by: Choose = fastest,
    order_by: Order = by_all,
) -> Judged:
    """Let a predictor choose; ``predicted_us`` is [members, plans], the first plan TVM's default, which wins ties."""
    from scipy.stats import kendalltau

    chosen = measured_us[choose_by(predicted_us)]
    order_us = order_by(predicted_us)
    tau = float(np.nan_to_num(kendalltau(order_us, measured_us).statistic)) if len(measured_us) > 1 else 0.0
    best = min(measured_us)
    return Judged(
        network, family, len(measured_us), tau, chosen / best - 1, measured_us[0] / chosen, measured_us[0] / best,
        float(order_us[0]) / measured_us[0] - 1,
    )  # fmt: skip


def judge(
    dataset: Path,
    profile: HardwareProfile,
    predictors: Sequence[str],
    seeds: Sequence[int],
    beside: Mapping[HardwareProfile, Path],
) -> dict[str, Any]:
    """Train on what is not held out, judge on what is; what is held out is so on the profiles beside as well."""
    records = list(read_dataset(dataset))
    held_out = [record for record in records if _is_held_out(record) and record.measurement.verdict == "stable"]
    training = Training(
        _encode_others(records, profile),
        {other: _encode_others(read_dataset(place), other) for other, place in beside.items()},
    )
    train = training.examples
    test, passes = _encode_judged(held_out, profile)
    choices = {
        "plans": _choices(test, _is_of_profile),
        "variants": _choices(test, _is_made_by_tvm),
        "all": _choices(test, lambda planner: True),
    }
    print(f"{len(train)} plans to train on, {len(test)} of {len(choices['plans'])} networks to judge", flush=True)
    by_seed: dict[str, dict[str, list[dict[str, float]]]] = {among: {} for among in choices}
    rows: dict[str, list[dict[str, Any]]] = {}
    for name in predictors:
        predict, found = PREDICTORS[name]
        for seed in seeds:
            predicted = predict(training, test, seed)
            for label, rules in found.items():
                for among, places in choices.items():
                    judged = [_judge_places(own, test, predicted, rules) for own in places.values()]
                    by_seed[among].setdefault(label, []).append(summarise(judged))
                    if among == "plans":
                        rows.setdefault(label, [dataclasses.asdict(row) for row in judged])
                print(label, seed, by_seed["plans"][label][-1], flush=True)
    return {
        "trained_on": {"plans": len(train), "networks": len({e.graph.structural_hash() for e in train}),
                       "families": sorted({e.family for e in train}),
                       "beside": {other.id: len(own) for other, own in training.beside.items()}},
        "held_out": {"plans": len(test), "networks": len(choices["plans"]), "families": list(HELD_OUT_FAMILIES),
                     "micro_seeds": list(HELD_OUT_MICRO_SEEDS)},
        "noise_floor": noise_floor(passes),
        "measured_once": measured_once([
            (test[own[0]].family, *both)
            for own in choices["plans"].values()
            if (both := last_two([passes[place] for place in own])) is not None
        ]),
        "figures": {label: _over_seeds(found) for label, found in by_seed["plans"].items()},
        **{among: {"networks": len(choices[among]),
                   "figures": {label: _over_seeds(found) for label, found in by_seed[among].items()}}
           for among in ("variants", "all")},
        "networks": rows,
    }  # fmt: skip


def _choices(test: Sequence[Example], is_candidate: Callable[[str], bool]) -> dict[str, list[int]]:
    """Network -> places of the plans to choose among, the default first and other ways to write the network last.

    Where there is no choice it is left out.
    """
    places: dict[str, list[int]] = {}
    for place, example in enumerate(test):
        if is_candidate(example.plan.planner):
            places.setdefault(example.name, []).append(place)
    for name, own in list(places.items()):
        own.sort(key=lambda place: _rank_of(test[place].plan.planner))
        if len(own) < 2 or test[own[0]].plan.planner != DEFAULT_PLANNER:
            del places[name]
    return places


def _rank_of(planner: str) -> int:
    return 0 if planner == DEFAULT_PLANNER else 1 if _is_of_profile(planner) else 2


def _is_of_profile(planner: str) -> bool:
    """Whether a plan is over the network as the profile writes it."""
    return not planner.startswith(f"{DEFAULT_PLANNER} ")


def _is_made_by_tvm(planner: str) -> bool:
    """Whether a plan is TVM's own, of whatever variant of the network."""
    return planner == DEFAULT_PLANNER or not _is_of_profile(planner)


def _encode_others(records: Iterable[LatencyRecord], profile: HardwareProfile) -> list[Example]:
    """Stable ones of what is not held out."""
    return encode_records((record for record in records if not _is_held_out(record)), profile)


def _encode_judged(records: Sequence[LatencyRecord], profile: HardwareProfile) -> tuple[list[Example], list[Passes]]:
    """What is judged, each plan with what it is judged by, and its passes."""
    defaults = {record.name: passes_of(record) for record in records if record.plan.planner == DEFAULT_PLANNER}
    found = []
    for example, record in zip(encode_records(records, profile), records, strict=True):
        passes = passes_of(record)
        latency_us = judged_us(passes, defaults.get(record.name, {}))
        if latency_us is not None:
            found.append((dataclasses.replace(example, latency_us=latency_us), passes))
    return [example for example, _ in found], [passes for _, passes in found]


def _is_held_out(record: LatencyRecord) -> bool:
    is_micro = record.family in MICRO_FAMILIES and record.source.get("seed") in HELD_OUT_MICRO_SEEDS
    return is_micro or record.family in (*HELD_OUT_FAMILIES, "file")


def _judge_places(own: list[int], test: Sequence[Example], predicted: NDArray[np.float64], rules: Rules) -> Judged:
    first, measured_us = test[own[0]], [test[place].latency_us for place in own]
    plans = sum(_is_of_profile(test[place].plan.planner) for place in own)
    return judge_network(
        first.name, first.family, predicted[:, own], measured_us, rules.in_two_steps(plans), rules.order
    )


def summarise(judged: Sequence[Judged]) -> dict[str, float]:
    """Figures over networks."""
    return {
        "kendall_tau": mean([row.tau for row in judged if row.plans > 2] or [0.0]),
        "mean_regret": mean(row.regret for row in judged),
        "largest_regret": max(row.regret for row in judged),
        "speedup": geometric_mean(row.speedup for row in judged),
        "best_speedup": geometric_mean(row.best_speedup for row in judged),
        "smallest_speedup": min(row.speedup for row in judged),
        "default_mape": 100 * mean(abs(row.default_error) for row in judged),
        "default_mape_of_families": _mape([row for row in judged if row.family in HELD_OUT_FAMILIES]),
    }


def _mape(judged: Sequence[Judged]) -> float:
    return 100 * mean(abs(row.default_error) for row in judged) if judged else float("nan")


def _over_seeds(by_seed: Sequence[dict[str, float]]) -> dict[str, Any]:
    return {
        name: {
            "mean": mean(found[name] for found in by_seed),
            "deviation": stdev(found[name] for found in by_seed) if len(by_seed) > 1 else 0.0,
        }
        for name in by_seed[0]
    }


def measured_once(passes: Sequence[tuple[str, Sequence[float], Sequence[float]]]) -> dict[str, float]:
    """What measuring every plan once would choose, as the other pass judges it: no predictor can expect more.

    Its error of the default plan is how far the two passes differ; what is judged is nearer to both, their median.

    Args:
        passes: of each network its family, and microseconds of its plans in two passes, the default first.
    """
    judged = [
        judge_network("", family, np.array([choosing]), judging)
        for family, earlier, later in passes
        for choosing, judging in ((earlier, later), (later, earlier))
    ]
    if not judged:
        return {}
    figures = summarise(judged)
    names = (
        "kendall_tau", "mean_regret", "speedup", "best_speedup", "smallest_speedup", "default_mape",
        "default_mape_of_families",
    )  # fmt: skip
    return {"networks": len(passes), **{name: figures[name] for name in names}}


if __name__ == "__main__":
    main()
