"""Tables of the schedule benchmarks: cost models of MetaSchedule beside each other."""

from collections.abc import Mapping
from typing import Any

__all__ = ["models_table", "scoring_table", "tuned_network_table"]

Rows = list[list[str]]


def models_table(document: Mapping[str, Any]) -> tuple[list[str], Rows, str]:
    """Header, rows and a line below: one row a model, then what is compared with what."""
    summary = document["summary"]
    header = [
        "cost model",
        "runs",
        "pairs in order",
        "zero trials",
        *(f"{name} s" for name in ("build", "run", "model")),
    ]
    rows = [
        [
            model,
            str(found["runs"]),
            f"{found['pairwise']:.2f}",
            f"{found['zero_trials_speedup']:.2f}",
            f"{found['split_s']['build']:.0f}",
            f"{found['split_s']['run']:.0f}",
            f"{found['split_s']['predict'] + found['split_s']['update']:.0f}",
        ]
        for model, found in summary["models"].items()
    ]
    compared = "; ".join(
        f"{name}: {found['ratio']:.3f} (± {found['deviation_over_seeds']:.3f} over seeds, {found['least']:.2f} to "
        f"{found['most']:.2f}, {found['pairs']} pairs)"
        for name, found in summary["comparisons"].items()
    )
    return header, rows, f"{len(summary['kernels'])} kernels. Best latency, ratio of geometric means: {compared}."


def scoring_table(document: Mapping[str, Any]) -> tuple[list[str], Rows, str]:
    """One row a kernel: seconds to score 512 candidates."""
    rows = [
        [row["kind"], *(f"{row[name] / 1e3:.2f}" for name in ("narcost_ms", "xgb_ms")),
         f"{row['xgb_ms'] / row['narcost_ms']:.1f}"]
        for row in document["kernels"]
    ]  # fmt: skip
    mean = document["speedup"]["geometric_mean"]
    return ["kernel", "narcost s", "XGBModel s", "times as fast"], rows, f"Geometric mean {mean:.1f} times as fast."


def tuned_network_table(document: Mapping[str, Any]) -> tuple[list[str], Rows, str]:
    """One row a cost model: latency of the tuned network and the wall time of tuning it."""
    tuning = document["tuning"]
    rows = [
        [model, f"{latency_ms:.2f}", *([str(tuning[model]["measured"]), f"{tuning[model]['wall_s']:.0f}"]
                                       if model in tuning else ["0", ""])]
        for model, latency_ms in document["latency_ms"].items()
    ]  # fmt: skip
    return ["schedules by", "ms", "trials", "wall s"], rows, ""
