"""narcost tune: find schedules for the kernels of a network, with MetaSchedule and narcost's cost model."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tvm_narcost.cli.options import add_shapes
from tvm_narcost.cli.tables import aligned
from tvm_narcost.errors import NarcostError, RuntimeMissingError

if TYPE_CHECKING:
    from tvm_narcost.hook.metaschedule.tune import TuneReport

__all__ = ["add_arguments", "run"]

INTERRUPTED = 130
_COST_MODELS = ("narcost", "xgb", "random")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the verb takes."""
    parser.epilog = (
        "What is measured is stored after each round. Stop when you like; the same command goes on from there."
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help="ONNX file")
    parser.add_argument(
        "--profile", default="epyc-zen5.tvm", metavar="ID", help="hardware profile of TVM (default: %(default)s)"
    )
    parser.add_argument(
        "--trials",
        type=_count,
        required=True,
        metavar="N",
        help="candidates to measure in all; 0 chooses each kernel's schedule by prediction alone",
    )
    parser.add_argument(
        "--work-dir", type=Path, metavar="DIR", help="where the records go (default: MODEL's name with .tuned, here)"
    )
    parser.add_argument(
        "--cost-model", choices=_COST_MODELS, default="narcost", help="what ranks candidates (default: %(default)s)"
    )
    parser.add_argument(
        "--weights", type=Path, metavar="DIR", help="of narcost's cost model (default: those trained for the profile)"
    )
    parser.add_argument("--seed", type=_count, default=0, metavar="N", help="of the search (default: %(default)s)")
    add_shapes(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON document on stdout and nothing else")


def run(args: argparse.Namespace) -> int:
    """Tune, and say what was found."""
    if args.trials == 0 and args.cost_model == "xgb":
        raise NarcostError(
            "--trials 0 --cost-model xgb: TVM's model knows nothing before anything is measured, expected --cost-model "
            "narcost, which comes trained"
        )
    if args.weights is not None and args.cost_model != "narcost":
        raise NarcostError(f"--weights {args.weights}: are narcost's, expected --cost-model narcost beside it")
    from hardware_profiles import load_profile
    from relay_frontend.onnx import load_model

    profile = load_profile(args.profile)
    model = load_model(args.model)
    folder = args.work_dir if args.work_dir is not None else Path(f"{args.model.stem}.tuned")
    report = _tune(args, model, profile, folder)
    if args.json:
        print(json.dumps(_document(report, args, profile.id, folder), indent=2))
    else:
        print(_text(report, args, profile.id, folder))
    return INTERRUPTED if report.ended == "interrupted" else 0


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number, 0 or more")
    return int(text)


def _tune(args: argparse.Namespace, model: Any, profile: Any, folder: Path) -> "TuneReport":
    try:
        from tvm_narcost.hook.metaschedule import tune as tuning
    except ImportError as error:
        if error.name != "tvm":
            raise
        raise RuntimeMissingError(
            "narcost tune: TVM is not installed here; install it with `pip install 'tvm-narcost[tvm]'`"
        ) from error
    from tqdm import tqdm

    from tvm_narcost.hook.importing import import_onnx
    from tvm_narcost.hook.metaschedule.tuning_database import claim
    from tvm_narcost.hook.target import target_of
    from tvm_narcost.measure.weights import with_weights

    target_of(profile)
    settings = tuning.TuneSettings(seed=args.seed)
    cost_model = tuning.new_cost_model(args.cost_model, profile, args.seed, args.weights)
    module = import_onnx(with_weights(model), dict(args.shapes))
    fused = tuning.fused_module(module, profile)
    claim(folder, {"profile": profile.id, "tvm_target": profile.runtime.tvm_target, "threads": profile.runtime.threads})
    total = args.trials or None
    unit = "trial" if args.trials else "kernel"
    with tqdm(total=total, unit=unit, file=sys.stderr, dynamic_ncols=True, smoothing=0.1) as bar:
        return tuning.tune(
            fused,
            profile,
            folder,
            trials=args.trials,
            cost_model=cost_model,
            settings=settings,
            progress=bar.update,
        )


def _document(report: "TuneReport", args: argparse.Namespace, profile_id: str, folder: Path) -> dict[str, object]:
    return {
        "model": str(args.model),
        "profile": profile_id,
        "work_dir": str(folder),
        "cost_model": args.cost_model,
        "measured": report.measured,
        "failed": report.times.failed,
        "measured_before": report.found,
        "elapsed_s": report.elapsed_s,
        "build_s": report.times.build_s,
        "run_s": report.times.run_s,
        "ended": report.ended,
        "kernels": [
            {
                "name": one.name,
                "calls": one.calls,
                "measured": one.measured,
                "best_us": one.best_us,
                "own_us": one.own_us,
            }
            for one in report.kernels
        ],
    }


def _text(report: "TuneReport", args: argparse.Namespace, profile_id: str, folder: Path) -> str:
    rows = [["kernel", "calls", "measured", "best us", "narcost's own us"]]
    for one in report.kernels:
        best, own = ("-" if us is None else f"{us:.1f}" for us in (one.best_us, one.own_us))
        rows.append([one.name, str(one.calls), str(one.measured), best, own])
    lines = [
        aligned(rows, left=(0,)),
        "",
        f"profile {profile_id}: {report.measured} schedules measured, {report.times.failed} of them failed; "
        f"{report.found} were there before; {report.elapsed_s:.0f} s, of which building took "
        f"{report.times.build_s:.0f} s and running {report.times.run_s:.0f} s; folder {folder}",
    ]
    if args.trials == 0:
        lines.append("chosen by prediction alone: nothing was measured")
    if report.ended != "done":
        lines.append(f"{report.ended}: the same command goes on from here")
    return "\n".join(lines)
