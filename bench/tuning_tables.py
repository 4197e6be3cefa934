"""Tables of the schedule benchmarks: cost models of MetaSchedule beside each other."""

from collections.abc import Mapping
from typing import Any

from bench.tuning_figures import POINTS

__all__ = ["models_table", "scoring_table", "tuned_network_table"]

_PARTS = ("search", "features", "model", "build", "run")

Rows = list[list[str]]


def models_table(document: Mapping[str, Any]) -> tuple[list[str], Rows, str]:
    """Header, rows and a line below: one row a model, then what is compared with what."""
    summary = document["summary"]
    points = [str(point) for point in POINTS]
    header = [
        "cost model", "runs", "pairs in order", "zero trials",
        *(f"{point} trials, us" for point in ("0", *points)),
        *(f"{name} s" for name in _PARTS),
    ]  # fmt: skip
    rows = [
        [
            model,
            str(found["runs"]),
            f"{found['pairwise']:.2f}",
            f"{found['zero_trials_speedup']:.2f}",
            f"{found['zero_us']:.0f}" if "zero_us" in found else "",
            *(f"{found['best_us'][point]:.0f}" if point in found["best_us"] else "" for point in points),
            *(f"{seconds:.1f}" for seconds in _seconds(found)),
        ]
        for model, found in summary["models"].items()
    ]
    compared = "; ".join(
        f"{name}: {found['ratio']:.3f} (± {found['deviation_over_seeds']:.3f} over seeds, {found['least']:.2f} to "
        f"{found['most']:.2f}, {found['pairs']} pairs)"
        for name, found in summary["comparisons"].items()
    )
    below = f"{len(summary['kernels'])} kernels. Best latency, ratio of geometric means: {compared}."
    if again := summary.get("timed_again"):
        below += (
            f" {again['schedules']} best schedules were timed again side by side: rounds of one lie "
            f"{again['rounds_apart_median']:.1%} apart in the median, and one takes {again['over_in_run']:.3f} of its "
            "time in the run."
        )
    return header, rows, below


def _seconds(found: Mapping[str, Any]) -> list[float]:
    """Of :data:`_PARTS`; features are counted apart from the predicting and learning that they are for."""
    split = found["split_s"]
    model_s = split["predict"] + split["update"] - found["features_s"]
    return [split["search"], found["features_s"], model_s, split["build"], split["run"]]


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
    """One row a way to schedule: latency of the network, trials of its tuning and their wall time."""
    rows = []
    for name, latency_ms in document["latency_ms"].items():
        tuned = document["tuning"].get(name.removesuffix(" and own"))
        spent = ["0", ""] if tuned is None else [str(tuned["measured"]), f"{tuned['wall_s']:.0f}"]
        rows.append([name, f"{latency_ms:.2f}", *spent])
    return ["schedules by", "ms", "trials", "wall s"], rows, ""
