"""Time to search and rank the fusion plans of networks, one core: bench/results/rank_speed.json.

From a graph with its patterns to ranked plans, kernel-sum beside them; nothing is read, imported or compiled. Networks
are read from ONNX, and their patterns told without TVM, so that the figures can be had where TVM is not installed.
CPU time stands beside wall-clock time: other work on a shared core lengthens the latter.
"""

import argparse
import statistics
import time
from typing import Any

from bench.facts import write_result
from hardware_profiles import HardwareProfile, load_profile
from relay_frontend.graph import OpGraph
from relay_frontend.onnx import from_onnx
from relay_frontend.passes import canonicalize
from tvm_narcost.fusion.legality import FusionSpace
from tvm_narcost.fusion.patterns import patterns_of
from tvm_narcost.fusion.ranking import RankedPlan, rank_by_artifact
from tvm_narcost.fusion.search import SearchSettings
from tvm_narcost.measure.pinning import pinned
from tvm_narcost.models.plan_models import PlanModels, open_plan_models
from tvm_narcost.zoo import generate

__all__ = ["NETWORKS", "main", "rank_network"]

NETWORKS = (("shufflenet", 5), ("efficientnet", 9), ("vit", 7), ("swin", 1))
"""Family and seed, by their number of operators: somewhat less than 200, somewhat more, and twice as many."""


def main() -> None:
    """Time every network and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", default="epyc-zen5.tvm")
    parser.add_argument("--candidates", type=int, default=256)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    with pinned(1):
        rows = measure(arguments.profile, arguments.candidates, arguments.runs)
        result = {"runs": arguments.runs, "networks": rows}
        print(write_result("rank_speed", "bench.rank_speed", arguments.profile, result))


def measure(profile_id: str, candidates: int, runs: int) -> list[dict[str, Any]]:
    """Figures of every network."""
    profile, models = load_profile(profile_id), open_plan_models(profile_id)
    rows = []
    for family, seed in NETWORKS:
        graph = canonicalize(from_onnx(generate(family, seed)))
        wall_s, cpu_s = [], []
        for _ in range(runs):
            started, cpu_started = time.perf_counter(), time.process_time()
            ranked = rank_network(graph, models, profile, candidates)
            wall_s.append(time.perf_counter() - started)
            cpu_s.append(time.process_time() - cpu_started)
        row = {
            "network": f"{family} {seed}",
            "operators": len(graph.nodes),
            "candidates": len(ranked),
            "mean_kernels": round(statistics.mean(plan.kernels for plan in ranked), 1),
            "median_s": round(statistics.median(wall_s), 3),
            "median_cpu_s": round(statistics.median(cpu_s), 3),
            "slowest_cpu_s": round(max(cpu_s), 3),
        }
        print(row)
        rows.append(row)
    return rows


def rank_network(
    graph: OpGraph, models: PlanModels, profile: HardwareProfile, candidates: int
) -> tuple[RankedPlan, ...]:
    """Rank the plans of one graph, as ``narcost rank`` does."""
    space = FusionSpace(graph, patterns_of(graph))
    return rank_by_artifact(space, models, profile, SearchSettings(candidates=candidates))


if __name__ == "__main__":
    main()
