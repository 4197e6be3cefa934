"""narcost adapt: the artifact of one profile, fitted to another from few measured networks."""

import argparse
from pathlib import Path

from tvm_narcost.cli.measured import add_measured_arguments, add_out, artifact_to_write, read_measured
from tvm_narcost.cli.training import command_line, held_out_line, tell

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the verb takes."""
    parser.add_argument(
        "source", metavar="SOURCE", help="the artifact to start from: its folder, or the id of the profile that has one"
    )
    add_measured_arguments(parser, profile_required=True)
    add_out(parser)
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the fit (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Adapt to what was measured, and write the artifact."""
    from hardware_profiles import load_profile
    from tvm_narcost.api import artifact_folder
    from tvm_narcost.training.adapt import adapt_models
    from tvm_narcost.training.fit import FittedModels

    profile = load_profile(args.profile)
    folder = artifact_to_write(args, profile)
    place = Path(args.source)
    source = FittedModels.open(place if place.is_dir() else artifact_folder(load_profile(args.source).id))
    examples = read_measured(args, profile)
    adapted = adapt_models(
        source,
        examples,
        profile,
        seed=args.seed,
        command=command_line(),
        progress=tell,
    )
    adapted.save(folder)
    factor = adapted.narformer.facts.metrics["families_held_out_median_interval_factor"]
    print(
        f"adapted from {source.narformer.facts.profile} to {profile.id} by {len(examples)} networks, into {folder}\n"
        f"{held_out_line(adapted)}, intervals within a factor of {factor:.2f}"
    )
    return 0
