"""Cost models of MetaSchedule beside each other on kernels that none was trained on: bench/results/tuning.json.

``python -m bench.tuning`` tunes each kernel of bench/tuning_workloads.py with narcost's model (pretrained, and from
scratch), TVM's XGBModel and RandomModel: the same search, the same number of trials, the same seeds. A run that is
finished is a row of the scratch file; a stopped command goes on from there.

1. Per kernel, a fixed set of random schedules is measured once. Of it come the zero-trial figures (the schedule that a
   model likes best, against a random one) and how well a model's order agrees with the measured one.
2. The runs: ``--jobs`` at a time, each on a core of its own.
3. With nothing else running, the schedules that were best after 8, 16, 32, 64 and 128 trials of any run are timed again
   side by side. These times are what is compared: the least of 128 noisy times would flatter whoever tried most.
"""

import argparse
import json
import math
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bench.facts import write_result
from bench.trainings import append_row, read_rows, run_all
from bench.tuning_figures import MODELS, POINTS, summarize
from bench.tuning_runs import RunSettings, measure_again, measure_fixed, run_pool, tune_kernel
from bench.tuning_workloads import HELD_OUT

__all__ = ["schedules_to_time", "shown"]


def main() -> None:
    """Run what the scratch file has not, then write what it has."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", default="epyc-zen5.tvm", help="default: %(default)s")
    parser.add_argument("--models", default=",".join(MODELS), help="default: %(default)s")
    parser.add_argument("--kernels", default=",".join(one.short for one in HELD_OUT), help="default: all")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="default: %(default)s")
    parser.add_argument(
        "--trials", type=int, default=POINTS[-1], metavar="N", help="0 judges predictions alone (default: %(default)s)"
    )
    parser.add_argument("--weights", type=Path, metavar="DIR", help="narcost's, in place of the profile's own")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="runs at a time (default: %(default)s)")
    parser.add_argument("--scratch", type=Path, default=Path("build/tuning.jsonl"), metavar="FILE")
    parser.add_argument("--real-time", action="store_true", help="time at real-time priority, see MeasureSettings")
    parser.add_argument("--write", default="tuning", metavar="NAME", help="of the result (default: %(default)s)")
    args = parser.parse_args()
    settings = RunSettings(args.profile, args.weights, args.real_time)
    rows, kernels = list(read_rows(args.scratch)), args.kernels.split(",")

    def run(jobs: int, function: Any, calls: Iterable[tuple[Any, ...]]) -> None:
        with run_pool(jobs, settings) as pool:
            for row in run_all(pool, function, calls):
                rows.append(row)
                append_row(args.scratch, row)
                print(row["kernel"], row["model"], row["seed"], row.get("best_us", ""), file=sys.stderr, flush=True)

    fixed = {row["kernel"] for row in rows if row["model"] == "fixed"}
    run(1, measure_fixed, [(kernel,) for kernel in kernels if kernel not in fixed])
    fixed_rows = {row["kernel"]: row for row in rows if row["model"] == "fixed"}
    done = {(row["kernel"], row["model"], row["seed"]) for row in rows if row["trials"] >= args.trials}
    wanted = [
        (kernel, model, seed) for seed in range(args.seeds) for kernel in kernels for model in args.models.split(",")
    ]
    missing = [(*one, args.trials, fixed_rows[one[0]]) for one in wanted if one not in done]
    run(args.jobs, tune_kernel, missing)
    run(1, measure_again, schedules_to_time(rows).items() if args.trials else [])
    summary = summarize(rows)
    write_result(args.write, "bench.tuning", args.profile, {"summary": summary, "rows": [*map(shown, rows)]})
    print(json.dumps(summary, indent=1))


def schedules_to_time(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, str]]:
    """Kernel -> the best schedules of its runs, where they were not all timed again side by side."""
    best: dict[str, dict[str, str]] = {}
    for row in rows:
        if row["model"] in MODELS and row["trials"]:
            best.setdefault(row["kernel"], {}).update(row["traces"])
    timed = {row["kernel"]: set(row["us"]) for row in rows if row["model"] == "again"}  # the last one of a kernel
    return {kernel: traces for kernel, traces in best.items() if not set(traces) <= timed.get(kernel, set())}


def shown(row: dict[str, Any]) -> dict[str, Any]:
    """What the result file keeps of a row: all but the schedules themselves; a time that is infinite is null there."""
    kept: dict[str, Any] = _finite({name: value for name, value in row.items() if name != "traces"})
    return kept


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(own) for name, own in value.items()}
    if isinstance(value, list):
        return [_finite(own) for own in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


if __name__ == "__main__":
    main()
