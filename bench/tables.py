"""Tables of README and docs, made from bench/results/*.json: ``python -m bench.tables`` rewrites them in place.

A table stands between ``<!-- table: NAME -->`` and ``<!-- end -->``; with --check nothing is written and a table that
is out of date ends the program with status 1.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from bench.facts import RESULTS
from bench.fusion_tables import choices_table
from bench.tuning_tables import models_table, scoring_table, tuned_network_table

__all__ = ["TABLES", "fill"]

_ROOT = Path(__file__).parent.parent
_ARTIFACTS = _ROOT / "tvm_narcost" / "artifacts"
_PAGES = ("README.md", "docs/benchmarks.md", "docs/uncertainty.md")
_LEAST_SHARE = 0.5  # percent of the time; kinds of kernel below it are one row
_BLOCK = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def _read(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text())
    return document


def _markdown(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _mape(figures: Mapping[str, float] | None) -> str:
    """Mean and, of several seeds, the spread."""
    if figures is None:
        return "-"
    spread = f" ± {figures['mape_std']:.1f}" if figures["seeds"] > 1 else ""
    return f"{figures['mape_mean']:.1f}{spread}"


def _accuracy(name: str) -> str:
    """MAPE by family held out, mean and spread over seeds."""
    summary = _read(name)["summary"]
    predictors = sorted(summary, key=lambda name: summary[name]["average"]["mape_mean"])
    families = sorted({family for predictor in summary.values() for family in predictor["families"]})
    rows = [
        [family, *(_mape(summary[predictor]["families"].get(family)) for predictor in predictors)]
        for family in families
    ]
    average = ["**average**", *(f"**{_mape(summary[predictor]['average'])}**" for predictor in predictors)]
    within = ["within 10 %", *(f"{summary[predictor]['acc_10']:.0f} %" for predictor in predictors)]
    ranked = ["Kendall's tau", *(f"{summary[predictor]['kendall_tau']:.3f}" for predictor in predictors)]
    return _markdown(["family held out", *predictors], [*rows, average, within, ranked])


def _ablations() -> str:
    """One row a variant, the best first."""
    summary = _read("ablations")["summary"]
    rows = [
        [
            name,
            _mape(found["average"]),
            f"{found['acc_10']:.0f} %",
            f"{found['kendall_tau']:.3f}",
            f"{found['worst']} {found['families'][found['worst']]['mape_mean']:.1f}",
        ]
        for name, found in sorted(summary.items(), key=lambda item: item[1]["average"]["mape_mean"])
    ]
    return _markdown(["variant", "MAPE", "within 10 %", "Kendall's tau", "worst family"], rows)


def _light(name: str) -> str:
    """The nine real networks: predicted and measured."""
    document = _read(name)
    rows = [
        [
            row["network"],
            f"{row['predicted_ms']:.2f}",
            f"{row['interval_ms'][0]:.2f} - {row['interval_ms'][1]:.2f}",
            f"{row['measured_ms']:.2f}",
            f"{row['predicted_ms'] / row['measured_ms']:.2f}",
            f"{row['kernel_sum_ms']:.2f}",
            f"{row['flops_ms']:.2f}",
        ]
        for row in document["networks"]
    ]
    mape = document["mape"]
    last = ["**mean error**", f"**{mape['narformer']:.1f} %**", "", "", "", f"{mape['kernel_sum']:.1f} %",
            f"{mape['flops']:.1f} %"]  # fmt: skip
    header = ["network", "predicted ms", "90 % interval", "measured ms", "ratio", "kernel-sum ms", "FLOPs ms"]
    return _markdown(header, [*rows, last])


def _speed(name: str) -> str:
    """Milliseconds of each step."""
    document = _read(name)
    large, batch = document["large"], document["batch"]
    size = f"{large['operators']} operators, {large['kernels']} kernels"
    steps = document["steps"] | {f"{size}: {step}": figures for step, figures in large.items() if type(figures) is dict}
    rows = [[step, f"{figures['median_ms']:.2f}", f"{figures['p90_ms']:.2f}"] for step, figures in steps.items()]
    throughput = ", ".join(
        f"{value:,} with {name.partition(', ')[2]}" for name, value in batch.items() if name.startswith("networks_")
    )
    batched = (
        f"In one batch of {batch['networks']} networks of {batch['mean_kernels']:.0f} kernels: networks a second, "
    )
    table = _markdown(["step", "median ms", "p90 ms"], rows) + f"\n{batched}{throughput}.\n"
    every_core = document.get("batch_on_every_core")
    if every_core is None:
        return table
    together = every_core["networks_a_second, tokens known"]
    return f"{table}With a process on each of {every_core['cores']} cores at once: {together:,} with tokens known.\n"


def _tokens() -> str:
    """Time of encoding against the size of the network."""
    document = _read("tokens_speed")
    sizes = document["nodes"]
    rows = [
        [f"{shape}, {schema}", *(f"{value:.1f}" for value in figures["ms"]), f"{figures['exponent']:.2f}"]
        for shape, schemas in document["scaling"].items()
        for schema, figures in schemas.items()
    ]
    return _markdown(["graph, schema", *(f"{size:,}" for size in sizes), "exponent"], rows)


def _reading() -> str:
    """Time from a file to a graph and to tokens against the size of the network."""
    document = _read("reading_speed")
    rows = [
        [stage, *(f"{value:.0f}" for value in figures["ms"]), f"{figures['exponent']:.2f}"]
        for stage, figures in document["scaling"].items()
    ]
    table = _markdown(["network", *(f"{size:,}" for size in document["nodes"]), "exponent"], rows)
    resnet = document["light_resnet50_ms"]
    return (
        f"{table}\nlight_resnet50, file to tokens: {resnet['beyond_parsing']:.1f} ms beyond the "
        f"{resnet['parse']:.2f} ms in which protobuf parses it.\n"
    )


def _schedules() -> str:
    """Networks under the project's schedules beside ONNX Runtime, with as many threads each."""
    document = _read("schedules")
    counts = sorted(document["summary"], key=int)
    found = {(row["network"], str(row["threads"])): row for row in document["networks"]}
    rows = [
        [name, *(f"{found[name, count][key]:.2f}" for count in counts for key in ("tvm_ms", "onnxruntime_ms", "ratio"))]
        for name in dict.fromkeys(row["network"] for row in document["networks"])
    ]
    means = [["", "", f"**{document['summary'][count]['geometric_mean']:.2f}**"] for count in counts]
    rows.append(["**geometric mean**", *(cell for cells in means for cell in cells)])
    header = [
        f"{name}, {count} thread{'s' * (count != '1')}"
        for count in counts
        for name in ("narcost ms", "ONNX Runtime ms", "ratio")
    ]
    unscheduled = next(row for row in document["networks"] if "unscheduled_ms" in row)
    return _markdown(["network", *header], rows) + (
        f"\n{unscheduled['network']} as TVM compiles it by itself takes {unscheduled['unscheduled_ms']:.0f} ms, "
        f"{unscheduled['unscheduled_ms'] / unscheduled['tvm_ms']:.0f} times as long.\n"
    )


def _rank_speed() -> str:
    """Seconds to rank the fusion plans of a network."""
    rows = [
        [row["network"], *(f"{row[name]:,}" for name in ("operators", "candidates")), f"{row['mean_kernels']:.0f}",
         *(f"{row[name]:.2f}" for name in ("median_s", "median_cpu_s", "slowest_cpu_s"))]
        for row in _read("rank_speed")["networks"]
    ]  # fmt: skip
    return _markdown(
        ["network", "operators", "plans", "kernels of a plan", "median s", "median CPU s", "slowest CPU s"], rows
    )


def _flops_counter() -> str:
    """Multiply-accumulates of the nine real networks, by costs.py and by a public counter."""
    document = _read("flops_counter")
    rows = [
        [
            row["network"],
            f"{row['macs']:,}",
            f"{row['counter_macs']:,}",
            f"{100 * row['deviation']:+.2f} %",
            f"{100 * row['deviation_without_bias']:+.2f} %",
        ]
        for row in document["networks"]
    ]
    return _markdown(["network", "MAC", document["counter"], "deviation", "without its biases"], rows)


def _planners(name: str = "planners") -> str:
    """How far the planner by rules agrees with the runtime's own."""
    summary = _read(name)["summary"]
    rows = [
        [name, f"{figures['networks']:.0f}", f"{figures['f1']:.3f}", f"{100 * figures['identical']:.0f} %"]
        for name, figures in summary.items()
    ]
    return _markdown(["networks", "count", "F1 of kernels", "identical plans"], rows)


def _breakdown() -> str:
    """Errors of kernels of families held out, by kind."""
    summary = _read("breakdown")["summary"]
    kinds = {kind: figures for kind, figures in summary["kinds"].items() if kind != "all"}
    predictors = list(summary["network"])

    def pooled(name: str, chosen: list[dict[str, Any]]) -> list[str]:
        share = sum(found["share"] for found in chosen)
        cells = [name, f"{sum(found['kernels'] for found in chosen):,.0f}", f"{share:.1f} %"]
        for predictor in predictors:
            error, bias = (
                sum(found["share"] * found[predictor][figure] for found in chosen) / share
                for figure in ("error", "bias")
            )
            cells += [f"{error:.1f} %", f"{bias:+.1f} %"]
        return cells

    shown = {kind: figures for kind, figures in kinds.items() if figures["share"] >= _LEAST_SHARE}
    rest = [figures for kind, figures in kinds.items() if kind not in shown]
    rows = [pooled(kind, [figures]) for kind, figures in shown.items()]
    rows += [pooled(f"{len(rest)} others", rest)] if rest else []
    rows.append(pooled("**all kernels**", [summary["kinds"]["all"]]))
    errors = [f"{summary['network'][predictor]['error']:.1f} %" for predictor in predictors]
    rows.append(["**networks**", f"{summary['networks']:,}", "", *(cell for error in errors for cell in (error, ""))])
    columns = [f"{predictor} {figure}" for predictor in predictors for figure in ("error", "bias")]
    return _markdown(["kernels", "count", "share of time", *columns], rows)


def _noise_floor(name: str) -> str:
    """How far two measurements of a network agree."""
    rows = [
        [
            name,
            f"{figures['pairs']:.0f}",
            *(f"{100 * figures[column]:.2f} %" for column in ("median", "mean", "p90", "drift", "mean_without_drift")),
            f"{figures['mape']:.2f} %",
        ]
        for name, figures in _read(name)["summary"].items()
        if figures["pairs"]
    ]
    header = ["networks", "pairs", "median", "mean", "p90", "drift", "mean without drift", "MAPE"]
    return _markdown(header, rows)


def _uncertainty() -> str:
    """Intervals and flags by family held out."""
    document = _read("uncertainty")
    summary, false_alarms = document["summary"], document["data"]["false_alarms"]

    def cells(figures: Mapping[str, float], false_alarm: float) -> list[str]:
        names = ("mape", "coverage", "width", "constant_width", "out_of_distribution")
        return [*(f"{figures[name]:.1f} %" for name in names), f"{false_alarm:.1f} %"]

    rows = [[family, *cells(figures, false_alarms[family])] for family, figures in summary["families"].items()]
    average = ["**average**", *cells(summary["average"], false_alarms["all"])]
    for column, name in ((1, "mape"), (2, "coverage")):
        average[column] = f"{summary['average'][name]:.1f} ± {summary['seeds'][name]['std']:.1f} %"
    header = ["family held out", "MAPE", "covered", "width", "width, one for all", "flagged", "flagged, not held out"]
    return _markdown(header, [*rows, average])


def _certainty() -> str:
    """Error of the networks with the narrowest intervals."""
    points = _read("uncertainty")["summary"]["risk_coverage"]
    header = ["most certain", *(f"{point['most_certain']} %" for point in points)]
    return _markdown(header, [["MAPE", *(f"{point['mape']:.1f} %" for point in points)]])


def _active() -> str:
    """Error of each strategy of collection against how many networks it measured."""
    summary = _read("active")["summary"]
    columns = [(judged, strategy) for judged in ("unseen", "seen") for strategy in summary[0]["strategies"]]

    def cell(figures: Mapping[str, float]) -> str:
        return f"{figures['mean']:.1f} ± {figures['std']:.1f}"

    rows = [
        [f"{row['networks']:,}", *(cell(row["strategies"][strategy][judged]) for judged, strategy in columns)]
        for row in summary
    ]
    return _markdown(["networks measured", *(f"{strategy}, {judged}" for judged, strategy in columns)], rows)


def _adapt(name: str) -> str:
    """A new profile from few networks: error of each way, by count of networks."""
    summary = _read(name)["summary"]
    methods = ("adapted", "one factor", "from scratch")
    rows = []
    for profile, counts in summary.items():
        for count, found in counts.items():
            cells = [f"{found[method]['mape_mean']:.1f} ± {found[method]['mape_std']:.1f} %" for method in methods]
            adapted = found["adapted"]
            inside = [f"{adapted['acc_10']:.0f} %", f"{adapted['coverage']:.0f} %", f"{adapted['interval_factor']:.2f}"]
            rows.append([profile, count, *cells, *inside])
    header = ["profile", "networks", *methods, "adapted: within 10 %", "covered", "interval: a factor of"]
    return _markdown(header, rows)


def _one_trunk(name: str) -> str:
    """One model for all profiles against one a profile, by profile; those that were trained alone."""
    summary = _read(name)["summary"]
    variants = ("one a profile", "one trunk")
    rows = [
        [
            profile,
            *(
                f"{found[variant]['mape_mean']:.2f} ± {found[variant]['mape_std']:.2f} %" if variant in found else ""
                for variant in variants
            ),
        ]
        for profile, found in summary.items()
    ]
    return _markdown(["profile", *variants], rows)


def _shipped() -> str:
    """What each shipped artifact says of itself: the families that were held out of trainings like its own."""
    rows = []
    for path in sorted(_ARTIFACTS.glob("*/artifact.json")):
        facts = json.loads(path.read_text())
        dataset, metrics = facts["dataset"], facts["metrics"]
        others = [f"{found['networks']:,} of {found['profile']}" for found in dataset.get("beside", ())]
        learned_from = f"{dataset['networks']:,}" + (f" beside {', '.join(others)}" if others else "")
        if "adapted_from" in dataset:
            learned_from += f", adapted from {dataset['adapted_from']['profile']}"
        rows.append(
            [
                facts["profile"],
                learned_from,
                *(f"{metrics[f'families_held_out_{name}']:.1f} %" for name in ("mape", "acc_10")),
                f"{metrics['families_held_out_median_interval_factor']:.2f}",
            ]
        )
    return _markdown(["profile", "networks", "MAPE", "within 10 %", "interval, factor"], rows)


def _with_line(name: str, table: Callable[[Mapping[str, Any]], tuple[list[str], list[list[str]], str]]) -> str:
    """A table with lines below it, of a module of its own."""
    header, rows, below = table(_read(name))
    return _markdown(header, rows) + (f"\n{below}\n" if below else "")


TABLES: Mapping[str, Callable[[], str]] = {
    "ablations": _ablations,
    "accuracy": partial(_accuracy, "accuracy"),
    "accuracy_others": partial(_accuracy, "accuracy_others"),
    "active": _active,
    "adapt": partial(_adapt, "adapt"),
    "adapt_2t": partial(_adapt, "adapt_2t"),
    "baselines": partial(_accuracy, "baselines"),
    "breakdown": _breakdown,
    "certainty": _certainty,
    "flops_counter": _flops_counter,
    "light": partial(_light, "light"),
    "light_zen4": partial(_light, "light_zen4"),
    "light_zen4_scaled": partial(_light, "light_zen4_scaled"),
    "noise_floor": partial(_noise_floor, "noise_floor"),
    "noise_floor_2t": partial(_noise_floor, "noise_floor_2t"),
    "one_trunk": partial(_one_trunk, "one_trunk"),
    "one_trunk_2t": partial(_one_trunk, "one_trunk_2t"),
    "planners": _planners,
    "planners_openvino": partial(_planners, "planners_openvino"),
    "fusion": partial(_with_line, "fusion", choices_table),
    "rank_speed": _rank_speed,
    "schedules": _schedules,
    "shipped": _shipped,
    "reading": _reading,
    "speed": partial(_speed, "speed"),
    "speed_xeon": partial(_speed, "speed_xeon"),
    "speed_zen4": partial(_speed, "speed_zen4"),
    "schedule_scoring": partial(_with_line, "schedule_scoring", scoring_table),
    "tokens": _tokens,
    "tuned_network": partial(_with_line, "tuned_network", tuned_network_table),
    "tuned_network_zen4": partial(_with_line, "tuned_network_zen4", tuned_network_table),
    "tuning": partial(_with_line, "tuning", models_table),
    "tuning_zen4": partial(_with_line, "tuning_zen4", models_table),
    "uncertainty": _uncertainty,
}


def fill(text: str) -> str:
    """``text`` with every table made anew from its result file, or a line that says which file is not there yet."""
    return _BLOCK.sub(lambda found: f"{found[1]}{_table(found[2])}{found[3]}", text)


def _table(name: str) -> str:
    try:
        return TABLES[name]()
    except FileNotFoundError as error:
        return f"Not measured yet: there is no `bench/results/{Path(error.filename).name}`.\n"


def main() -> None:
    """Rewrite the pages, or check them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    stale = []
    for page in _PAGES:
        path = _ROOT / page
        before = path.read_text()
        after = fill(before)
        if after != before:
            stale.append(page)
            if not arguments.check:
                path.write_text(after)
    print(f"out of date: {stale}" if arguments.check else f"rewritten: {stale}")
    sys.exit(1 if arguments.check and stale else 0)


if __name__ == "__main__":
    main()
