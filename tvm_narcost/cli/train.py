"""narcost train: from measured networks to an artifact that `narcost predict` uses, from schedules to a ranker."""

import argparse
import dataclasses
from pathlib import Path

from tvm_narcost.cli.measured import add_measured_arguments, add_out, artifact_to_write, read_measured
from tvm_narcost.cli.options import positive, profile_and_file
from tvm_narcost.cli.training import command_line, held_out_line, tell
from tvm_narcost.errors import TrainingError

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the verb takes."""
    add_measured_arguments(parser)
    add_out(parser)
    parser.add_argument(
        "--schedules", type=Path, metavar="RECORDS",
        help="no latency model: a ranker of schedules for MetaSchedule, from the tuning records below a folder or in a "
        "file that `narcost database export --format schedules` wrote",
    )  # fmt: skip
    parser.add_argument(
        "--beside", action="append", default=[], type=profile_and_file, metavar="PROFILE=FILE",
        help="learn from what was measured on another profile, too: a dataset, with --schedules tuning records; may be "
        "repeated",
    )  # fmt: skip
    parser.add_argument(
        "--each", action="store_true",
        help="with --beside: write artifacts of those profiles, too, in a folder next to --out named by its id",
    )  # fmt: skip
    parser.add_argument(
        "--deals", type=positive, metavar="N",
        help="with --schedules: how often workloads are dealt out anew to be held out and judged (default: 3)",
    )  # fmt: skip
    parser.add_argument(
        "--members", type=positive, default=1, metavar="N", help="networks in the ensemble (default: %(default)s)"
    )
    parser.add_argument(
        "--epochs", type=positive, metavar="N", help="passes over the data (default: as for the shipped one)"
    )


def run(args: argparse.Namespace) -> int:
    """Train on what was measured, and write the artifact."""
    if args.schedules is not None:
        from tvm_narcost.cli.train_schedules import run_train_schedules

        return run_train_schedules(args)
    if args.deals is not None:
        raise TrainingError("--deals is of tuning records, expected --schedules RECORDS with it")
    if args.beside:
        from tvm_narcost.cli.train_trunk import run_train_trunk

        return run_train_trunk(args)
    if args.each:
        raise TrainingError("--each: there is one profile, expected others with --beside PROFILE=FILE")
    from hardware_profiles import load_profile
    from tvm_narcost.training.fit import fit_models
    from tvm_narcost.training.loop import settings_for
    from tvm_narcost.training.plan_costs import plan_costs_of

    profile = load_profile(args.profile)
    examples = read_measured(args, profile)
    folder = artifact_to_write(args, profile)
    settings = settings_for(examples)
    if args.epochs is not None:
        settings = dataclasses.replace(settings, epochs=args.epochs)
    fitted = fit_models(
        examples, profile.id, seeds=range(args.members), settings=settings, command=command_line(), progress=tell
    )
    fitted = dataclasses.replace(fitted, costs=plan_costs_of(examples, profile))
    fitted.save(folder)
    print(f"trained on {len(examples)} networks, into {folder}\n{held_out_line(fitted)}")
    return 0
