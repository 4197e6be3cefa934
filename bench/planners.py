"""The planner by rules beside the runtime's own: bench/results/planners.json, planners_openvino.json for OpenVINO.

Over the light networks and some of each zoo family: kernels of both plans, and how far they agree. Two kernels agree
when operators, layout, fused activation, fused sum and output shapes do; F1 is over the multisets of kernels. Also what
a predictor makes of either plan: the roofline, or with --artifact a trained model.
"""

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import onnx

from bench.facts import LIGHT_NETWORKS, light_model, write_result
from hardware_profiles import HardwareProfile, load_profile
from relay_frontend.graph import OpGraph, OpNode
from relay_frontend.onnx import from_onnx, opset_versions
from relay_frontend.passes import canonicalize
from relay_frontend.plan import FusionPlan
from tvm_narcost.fusion.planner import plan_without_runtime
from tvm_narcost.measure.runtime import runtime_for
from tvm_narcost.models.roofline import RooflineModel
from tvm_narcost.predictor import LatencyModel
from tvm_narcost.zoo import FAMILIES, generate

__all__ = ["agreement", "main", "networks", "summarise"]

_SHAPING = ("activation", "fused_sum", "layout")


def main() -> None:
    """Plan every network twice and write what differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", default="epyc-zen5.onnxruntime")
    parser.add_argument("--count", type=int, default=5, help="networks of each zoo family")
    parser.add_argument("--first-seed", type=int, default=1000, help="small ones are those that the rules were made on")
    parser.add_argument("--families", default=",".join(FAMILIES))
    parser.add_argument("--artifact", type=Path, help="predict the latency from both plans with this model's folder")
    arguments = parser.parse_args()
    profile = load_profile(arguments.profile)
    runtime = runtime_for(profile)
    model = _load_model(arguments.artifact) if arguments.artifact else RooflineModel()
    rows = []
    for family, name, network in networks(arguments.families.split(","), arguments.count, arguments.first_seed):
        read = from_onnx(network)
        graph = canonicalize(read)
        opset = opset_versions(network)[""]
        plans = plan_without_runtime(read, profile, opset=opset), runtime.plan(network, profile)
        facts = {"family": family, "network": name, "nodes": len(graph.nodes), "opset": opset}
        row = {**facts, **agreement(*plans), **_predictions(model, graph, plans, profile)}
        rows.append(row)
        counts = f"{row['rules_kernels']} and {row['runtime_kernels']} kernels"
        print(f"{family} {name}: {counts}, F1 {row['f1']:.3f}", flush=True)
    summary = summarise(rows)
    print({family: round(figures["f1"], 3) for family, figures in summary.items()})
    predictor = "narformer" if arguments.artifact else "roofline"
    result = {"predictor": predictor, "summary": summary, "networks": rows}
    name = "planners" if profile.runtime.name == "onnxruntime" else f"planners_{profile.runtime.name}"
    write_result(name, "bench.planners", arguments.profile, result)


def networks(families: Sequence[str], count: int, first_seed: int) -> Iterator[tuple[str, str, onnx.ModelProto]]:
    """(family, name, model): the light networks, then ``count`` of each family."""
    for name in LIGHT_NETWORKS:
        yield "light", name, onnx.load(light_model(name))
    for family in families:
        for seed in range(first_seed, first_seed + count):
            yield family, f"{family}-{seed}", generate(family, seed)


def agreement(rules: FusionPlan, runtime: FusionPlan) -> dict[str, Any]:
    """Kernels of both plans, F1 of their multisets, and which operators one has more of than the other."""
    ours, theirs = Counter(_kernels(rules)), Counter(_kernels(runtime))
    common = sum((ours & theirs).values())
    return {
        "rules_kernels": len(rules.kernels),
        "runtime_kernels": len(runtime.kernels),
        "f1": 2 * common / max(ours.total() + theirs.total(), 1),
        "same_order": _kernels(rules) == _kernels(runtime),
        "only_rules": dict(_operators(rules) - _operators(runtime)),
        "only_runtime": dict(_operators(runtime) - _operators(rules)),
    }


def _kernels(plan: FusionPlan) -> list[tuple[object, ...]]:
    return [tuple(_facts(plan.graph.nodes[index]) for index in kernel) for kernel in plan.kernels]


def _facts(node: OpNode) -> tuple[object, ...]:
    shapes = tuple(kind.shape for kind in node.outputs)
    return node.op, *(node.attribute_map.get(name) for name in _SHAPING), shapes


def _operators(plan: FusionPlan) -> Counter[str]:
    """Kernels by their operators' names."""
    return Counter(" ".join(plan.graph.nodes[index].op for index in kernel) for kernel in plan.kernels)


def _load_model(folder: Path) -> LatencyModel:
    """A trained narformer; torch is imported only when one is asked for."""
    from tvm_narcost.models.narformer_latency import NarFormerLatency

    return NarFormerLatency.open(folder)


def _predictions(
    model: LatencyModel, graph: OpGraph, plans: tuple[FusionPlan, FusionPlan], profile: HardwareProfile
) -> dict[str, float]:
    ours, theirs = (found.latency_ms for found in model.predict([graph, graph], plans, profile))
    return {"rules_ms": ours, "runtime_ms": theirs, "difference": abs(ours / theirs - 1)}


def summarise(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Mean figures by family, and over all networks under ``all``."""
    families = dict.fromkeys(row["family"] for row in rows)
    groups = {family: [row for row in rows if row["family"] == family] for family in families}
    return {family: _figures(group) for family, group in {**groups, "all": list(rows)}.items()}


def _figures(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    return {
        "networks": float(len(rows)),
        "f1": mean(row["f1"] for row in rows),
        "identical": mean(float(row["f1"] == 1) for row in rows),
        "kernels_ratio": mean(row["rules_kernels"] / row["runtime_kernels"] for row in rows),
        "difference": mean(row["difference"] for row in rows),
    }


if __name__ == "__main__":
    main()
