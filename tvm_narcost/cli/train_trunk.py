"""narcost train --beside: one trunk from the measurements of several profiles, and an artifact of it."""

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from tvm_narcost.cli.measured import artifact_to_write, read_measured, read_measured_file, require_folder
from tvm_narcost.cli.training import command_line, held_out_line, tell
from tvm_narcost.errors import TrainingError

if TYPE_CHECKING:
    from hardware_profiles import HardwareProfile

__all__ = ["run_train_trunk"]


def run_train_trunk(args: argparse.Namespace) -> int:
    """Train on what was measured on several profiles, and write the artifacts that are wanted."""
    from hardware_profiles import load_profile
    from tvm_narcost.training.fit_trunk import fit_trunk, trunk_settings
    from tvm_narcost.training.plan_costs import plan_costs_of

    profile = load_profile(args.profile)
    others = [(load_profile(name), place) for name, place in args.beside]
    folders = _folders(args, profile, [other for other, _ in others])
    measured = {profile: read_measured(args, profile)}
    measured |= {other: read_measured_file(place, other) for other, place in others}
    settings = trunk_settings(measured)
    if args.epochs is not None:
        settings = dataclasses.replace(settings, epochs=args.epochs)
    fitted = fit_trunk(
        measured, wanted=folders, seeds=range(args.members), settings=settings, command=command_line(), progress=tell
    )
    costs = {place.id: plan_costs_of(examples, place) for place, examples in measured.items() if place.id in fitted}
    counts = {place.id: len(examples) for place, examples in measured.items()}
    for own, folder in folders.items():
        models = dataclasses.replace(fitted[own], costs=costs[own])
        models.save(folder)
        beside = ", ".join(f"{count} of {name}" for name, count in counts.items() if name != own)
        print(f"trained on {counts[own]} networks of {own} beside {beside}, into {folder}\n{held_out_line(models)}")
    return 0


def _folders(args: argparse.Namespace, profile: "HardwareProfile", others: "list[HardwareProfile]") -> dict[str, Path]:
    """Where the artifact of each profile that gets one will be written; refused before minutes of training.

    Raises:
        TrainingError: a profile is named twice, or a file is in the place of a folder.
    """
    ids = [profile.id, *(other.id for other in others)]
    twice = sorted({name for name in ids if ids.count(name) > 1})
    if twice:
        raise TrainingError(f"--beside: profile {twice[0]} is named twice, expected each one once")
    folder = artifact_to_write(args, profile)
    folders = {profile.id: folder} | ({name: folder.with_name(name) for name in ids[1:]} if args.each else {})
    for place in folders.values():
        require_folder(place, "--each")
    if len(set(folders.values())) < len(folders):
        raise TrainingError(
            f"--out {folder}: is the folder of another profile of --beside, expected one named otherwise"
        )
    return folders
