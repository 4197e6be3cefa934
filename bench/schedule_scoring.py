"""Time to score 512 candidates, narcost's cost model beside TVM's XGBModel: bench/results/schedule_scoring.json.

``python -m bench.schedule_scoring`` takes a kernel of each kind from generated networks, draws candidates at random and
lets both models score the same ones in turn, features included. XGBModel answers at random until it has learned from
100 measurements; both are shown as many candidates with times made up first, for what is timed is the scoring. Times
are processor times, least of the rounds; both models run on one thread.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from tvm.s_tir import meta_schedule as ms
from tvm.s_tir.meta_schedule.runner import RunnerResult

from bench.facts import write_result
from hardware_profiles import load_profile
from tvm_narcost.hook import NarFormerCostModel
from tvm_narcost.hook.metaschedule.candidates import Space
from tvm_narcost.hook.metaschedule.workloads import NetworkSource, Workload, choose, network_workloads
from tvm_narcost.hook.target import target_of

__all__ = ["score_in_turn", "summarize"]

CANDIDATES = 512
WARM_UP = 128  # measurements that both models have seen; XGBModel scores at random below 100
KINDS = ("conv", "conv_1x1", "conv_depthwise", "matmul", "batch_matmul", "softmax", "layer_norm", "pool")
_PROFILE = "epyc-zen5.tvm"
_SOURCES = tuple(NetworkSource(family, 0) for family in ("resnet", "mobilenet_v2", "vit", "bert"))


def main() -> None:
    """Score each kind's candidates with both models and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="of scoring all candidates (default: %(default)s)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    profile = load_profile(_PROFILE)
    workloads = choose(
        (workload for source in _SOURCES for workload in network_workloads(source, profile)), dict.fromkeys(KINDS, 1)
    )
    rows = []
    for workload in workloads:
        rows.append(_score(workload, args.rounds))
        print(json.dumps(rows[-1]), file=sys.stderr)
    write_result("schedule_scoring", "bench.schedule_scoring", _PROFILE, summarize(rows))


def summarize(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The kernels, and over them how many times faster narcost scores: least, geometric mean."""
    ratios = [row["xgb_ms"] / row["narcost_ms"] for row in rows]
    return {
        "candidates": CANDIDATES,
        "kernels": rows,
        "speedup": {"least": min(ratios), "geometric_mean": statistics.geometric_mean(ratios)},
    }


def _score(workload: Workload, rounds: int) -> dict[str, Any]:
    profile = load_profile(_PROFILE)
    target = target_of(profile)
    space = Space(workload.module, target, seed=1)
    candidates = space.draw(CANDIDATES)
    few = len(candidates)
    candidates = [candidates[index % few] for index in range(CANDIDATES)]  # of a small space, each one several times
    context = ms.TuneContext(mod=workload.module, target=target, num_threads=1)
    narcost, xgb = NarFormerCostModel(profile), ms.cost_model.XGBModel(num_tuning_cores=1)
    random = np.random.default_rng(0)
    made_up = [RunnerResult([float(seconds)], None) for seconds in random.uniform(1e-4, 1e-3, WARM_UP)]
    for model in (narcost, xgb):
        model.update(context, candidates[:WARM_UP], made_up)
    before = dict(narcost.seconds)
    best = score_in_turn(
        {
            "narcost": lambda: narcost.predict(context, candidates),
            "xgb": lambda: xgb.predict(context, candidates),
            "per_store_feature": lambda: xgb.extractor.extract_from(context, candidates),
        },
        rounds,
    )
    spent = {name: seconds - before[name] for name, seconds in narcost.seconds.items()}
    return {
        "kind": workload.kind,
        "workload": workload.name,
        "different": few,
        **{f"{name}_ms": 1e3 * seconds for name, seconds in best.items()},
        "narcost_features_share": spent["features"] / (spent["features"] + spent["predict"]),
    }


def score_in_turn(scorers: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Least processor seconds of each, called one after the other ``rounds`` times."""
    seconds: dict[str, list[float]] = {name: [] for name in scorers}
    for _ in range(rounds):
        for name, scorer in scorers.items():
            start = time.process_time()
            scorer()
            seconds[name].append(time.process_time() - start)
    return {name: min(row) for name, row in seconds.items()}


if __name__ == "__main__":
    main()
