"""narcost rank: which operators to fuse, by what each way to do it is predicted to take."""

import argparse
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tvm_narcost.cli.options import add_profile, add_shapes, positive, unique_shapes
from tvm_narcost.cli.tables import aligned, milliseconds
from tvm_narcost.errors import NarcostError

if TYPE_CHECKING:
    from hardware_profiles import HardwareProfile
    from relay_frontend.graph import OpGraph
    from tvm_narcost.fusion.explain import Change, Explanation
    from tvm_narcost.fusion.ranking import RankedPlan
    from tvm_narcost.measure.runtime import PlannableNetwork

__all__ = ["add_arguments", "run"]

DEFAULT_PROFILE = "epyc-zen5.tvm"
CHANGES_SHOWN = 12

Edges = Sequence[tuple[int, int]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the verb takes."""
    parser.add_argument("model", metavar="MODEL", help="ONNX file")
    add_profile(parser, default=DEFAULT_PROFILE)
    add_shapes(parser)
    parser.add_argument(
        "--top", type=positive, default=10, metavar="K", help="how many plans to show (default: %(default)s)"
    )
    parser.add_argument(
        "--candidates",
        type=positive,
        default=256,
        metavar="N",
        help="most plans that are looked at (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the search (default: %(default)s)")
    parser.add_argument(
        "--variants", action="store_true", help="rank the network in other layouts and with other rewrites as well"
    )
    parser.add_argument(
        "--measure", action="store_true", help="compile and time the plans that are shown (seconds to minutes)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(args: argparse.Namespace) -> int:
    """Rank the plans of one network and print them."""
    from hardware_profiles import load_profile
    from tvm_narcost.fusion.explain import explain

    profile = load_profile(args.profile)
    variants = _rank(args, profile)
    network, ranked, _ = next(variant for variant in variants if variant.chosen)
    default = next(plan for plan in ranked if plan.default)
    chosen = next(plan for plan in ranked if plan.chosen)
    shown = [plan for place, plan in enumerate(ranked) if place < args.top or plan.default or plan.chosen]
    measured_ms = _measure(network, shown) if args.measure else [None] * len(shown)
    why = explain(default, chosen)
    graph = network.space.graph
    if args.json:
        document = _document(args.model, profile, graph, ranked, shown, measured_ms, why)
        document["variants"] = _variant_documents(variants)
        print(json.dumps(document, indent=2, allow_nan=False))
    else:
        print(f"{args.model} on {profile.id}: {len(graph.nodes)} operators, {len(ranked)} plans looked at\n")
        if args.variants:
            print(f"{_variant_table(variants)}\n")
        print(_table(shown, measured_ms, default))
        print(f"\n{_reasons(graph, default, chosen, why)}")
    return 0


class _Variant(NamedTuple):
    """One way to write the network, with its plans; of one the chosen plan is chosen over all others'."""

    network: "PlannableNetwork"
    ranked: "tuple[RankedPlan, ...]"
    chosen: bool


def _rank(args: argparse.Namespace, profile: "HardwareProfile") -> list[_Variant]:
    """The network as the profile writes it, before all other ways if these are asked for.

    Raises:
        ArtifactError: nothing was trained for the profile.
        RuntimeMissingError: its runtime is not installed.
        MeasurementError: it is a runtime that makes its own plans, or cannot read the network.
    """
    from tvm_narcost.fusion.ranking import choose_variant, rank_by_artifact
    from tvm_narcost.fusion.search import SearchSettings
    from tvm_narcost.models.plan_models import open_plan_models

    network = _open_network(args.model, unique_shapes(args.shapes), profile)
    models = open_plan_models(profile.id)
    networks = [network, *network.neighbours()] if args.variants else [network]
    settings = SearchSettings(candidates=args.candidates, seed=args.seed)
    ranked = [rank_by_artifact(written.space, models, profile, settings) for written in networks]
    chosen = choose_variant(ranked, models.narformer, profile)
    return [_Variant(*found, place == chosen) for place, found in enumerate(zip(networks, ranked, strict=True))]


def _open_network(model: str, shapes: dict[str, tuple[int, ...]], profile: "HardwareProfile") -> "PlannableNetwork":
    from relay_frontend.onnx import from_onnx, load_model
    from tvm_narcost.measure.runtime import plan_runtime, runtime_for
    from tvm_narcost.measure.shapes import bind_shapes

    if Path(model).suffix.lower() != ".onnx":
        raise NarcostError(
            f"{model}: plans are ranked for ONNX files, expected one that ends in .onnx: for a module in memory call "
            "tvm_narcost.rank_fusions(module, target, profile)"
        )
    runtime = plan_runtime(runtime_for(profile), profile)
    proto = load_model(Path(model))
    from_onnx(proto, shapes=shapes)  # says what is wrong with the file, and which shapes are missing
    return runtime.plannable(bind_shapes(proto, shapes), profile)


def _measure(network: "PlannableNetwork", shown: "Sequence[RankedPlan]") -> list[float | None]:
    """Median latency of each plan, milliseconds; None for one that cannot be built."""
    found: dict[object, float | None] = {}
    for plan, measurement in network.measure([ranked.plan for ranked in shown]):
        samples_us = measurement.samples_us
        found[plan.kernels] = statistics.median(samples_us) / 1e3 if samples_us else None
    return [found[ranked.plan.kernels] for ranked in shown]


def _document(
    model: str,
    profile: "HardwareProfile",
    graph: "OpGraph",
    ranked: "Sequence[RankedPlan]",
    shown: "Sequence[RankedPlan]",
    measured_ms: Sequence[float | None],
    why: "Explanation",
) -> dict[str, Any]:
    return {
        "model": model,
        "profile": profile.id,
        "operators": [_label(graph, index) for index in range(len(graph.nodes))],
        "candidates": len(ranked),
        "plans": [
            {
                "planner": plan.plan.planner,
                "kernels": plan.kernels,
                "predicted_ms": plan.predicted_ms,
                "kernel_sum_ms": plan.kernel_sum_ms,
                "flops_ms": plan.flops_ms,
                "measured_ms": time_ms,
                "default": plan.default,
                "chosen": plan.chosen,
                "plan_hash": plan.plan.plan_hash(),
                "groups": [list(members) for members in plan.plan.kernels],
            }
            for plan, time_ms in zip(shown, measured_ms, strict=True)
        ],
        "explanation": {
            "saved_ms": why.saved_ms,
            "changes": [
                {"cut": change.cut, "joined": change.joined, "saved_ms": change.saved_ms} for change in why.changes
            ],
            "elsewhere_ms": why.elsewhere_ms,
        },
    }


def _variant_documents(variants: Sequence[_Variant]) -> list[dict[str, Any]]:
    return [
        {
            "variant": network.variant,
            "operators": len(network.space.graph.nodes),
            "default_ms": next(plan.predicted_ms for plan in ranked if plan.default),
            "predicted_ms": next(plan.predicted_ms for plan in ranked if plan.chosen),
            "chosen": chosen,
        }
        for network, ranked, chosen in variants
    ]


def _variant_table(variants: Sequence[_Variant]) -> str:
    rows = [["written as", "operators", "TVM's plan ms", "best plan ms", ""]]
    for found in _variant_documents(variants):
        times = [milliseconds(found["default_ms"]), milliseconds(found["predicted_ms"])]
        rows.append([found["variant"], str(found["operators"]), *times, "chosen" if found["chosen"] else ""])
    return aligned(rows, left=(0, 4))


def _table(shown: "Sequence[RankedPlan]", measured_ms: Sequence[float | None], default: "RankedPlan") -> str:
    rows = [["plan by", "kernels", "predicted ms", "to default", "kernel sum ms", "FLOPs ms", "measured ms", ""]]
    for plan, time_ms in zip(shown, measured_ms, strict=True):
        marks = [name for name, is_so in (("default", plan.default), ("chosen", plan.chosen)) if is_so]
        rows.append(
            [
                plan.plan.planner,
                str(plan.kernels),
                milliseconds(plan.predicted_ms),
                f"{plan.predicted_ms / default.predicted_ms - 1:+.1%}",
                milliseconds(plan.kernel_sum_ms),
                milliseconds(plan.flops_ms),
                milliseconds(time_ms),
                ", ".join(marks),
            ]
        )
    if all(time_ms is None for time_ms in measured_ms):
        rows = [row[:6] + row[7:] for row in rows]
    return aligned(rows, left=(0, len(rows[0]) - 1))


def _reasons(graph: "OpGraph", default: "RankedPlan", chosen: "RankedPlan", why: "Explanation") -> str:
    """What the chosen plan does otherwise; changes that are alike are one line."""
    if chosen.default:
        return "TVM's default is kept: no other plan is surely faster."
    groups: dict[tuple[str, ...], list[Change]] = {}
    for change in why.changes:
        cut, joined = _operators(graph, change.cut), _operators(graph, change.joined)
        groups.setdefault((*(f"cut {edge}" for edge in cut), *(f"join {edge}" for edge in joined)), []).append(change)
    ordered = sorted(groups.items(), key=lambda item: -sum(change.saved_ms for change in item[1]))
    rows = [["saves ms", "places", "what", "first at"]]
    for what, changes in ordered[:CHANGES_SHOWN]:
        first = min(edge for change in changes for edge in (*change.cut, *change.joined))
        saved_ms = sum(change.saved_ms for change in changes)
        rows.append([f"{saved_ms:.3f}", str(len(changes)), ", ".join(what), _label(graph, first[1])])
    rest_ms = sum(change.saved_ms for _, changes in ordered[CHANGES_SHOWN:] for change in changes)
    if len(ordered) > CHANGES_SHOWN:
        rows.append([f"{rest_ms:.3f}", str(sum(len(changes) for _, changes in ordered[CHANGES_SHOWN:])), "other", ""])
    rows.append([f"{why.elsewhere_ms:.3f}", "", "elsewhere: what runs before a kernel is another", ""])
    share = why.saved_ms / default.predicted_ms
    return f"The chosen plan is predicted to save {why.saved_ms:.3f} ms of the default's ({share:.1%}):\n" + aligned(
        rows, left=(2, 3)
    )


def _operators(graph: "OpGraph", edges: Edges) -> list[str]:
    return [f"{graph.nodes[node].op}->{graph.nodes[reader].op}" for node, reader in edges]


def _label(graph: "OpGraph", index: int) -> str:
    node = graph.nodes[index]
    return f"{node.op} {node.name}".rstrip()
