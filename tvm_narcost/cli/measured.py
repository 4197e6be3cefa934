"""Where `train`, `adapt` and `evaluate` take measured networks from: a latency database or a dataset file."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from tvm_narcost.cli.options import add_database, add_profile
from tvm_narcost.errors import TrainingError

if TYPE_CHECKING:
    from hardware_profiles import HardwareProfile
    from tvm_narcost.training.examples import Example

__all__ = [
    "add_measured_arguments", "add_out", "artifact_to_write", "read_measured", "read_measured_file", "require_folder",
]  # fmt: skip


def add_measured_arguments(parser: argparse.ArgumentParser, *, profile_required: bool = False) -> None:
    """Declare --profile and the two places that measurements come from."""
    if profile_required:
        parser.add_argument("--profile", required=True, metavar="ID", help="hardware profile that was measured")
    else:
        add_profile(parser)
    place = parser.add_mutually_exclusive_group()
    add_database(place)
    place.add_argument("--dataset", type=Path, metavar="FILE", help="a file that `narcost database export` wrote")


def add_out(parser: argparse.ArgumentParser) -> None:
    """Declare --out."""
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder of the artifact (default: where `narcost predict` looks first)"
    )


def artifact_to_write(args: argparse.Namespace, profile: "HardwareProfile") -> Path:
    """Where the artifact will be written; better refused now than after minutes of training.

    Raises:
        TrainingError: a file is in its place.
    """
    from tvm_narcost.api import own_artifact_folder

    folder: Path = args.out or own_artifact_folder(profile.id)
    require_folder(folder, "--out")
    return folder


def require_folder(place: Path, option: str) -> None:
    """Refuse a file where a folder is to be written.

    Raises:
        TrainingError: there is one; ``option`` begins the message.
    """
    if place.exists() and not place.is_dir():
        raise TrainingError(f"{option} {place}: is a file, expected a folder, or a name that is free")


def read_measured(args: argparse.Namespace, profile: "HardwareProfile") -> "list[Example]":
    """The stable measurements of a profile, encoded.

    Raises:
        TrainingError: there are none, or the file has another profile's.
        DatabaseError: the database or the file is missing or cannot be read.
    """
    from tvm_narcost.database import open_database
    from tvm_narcost.training.examples import encode_records

    if args.dataset is not None:
        return read_measured_file(args.dataset, profile)
    with open_database(args.database, create=False) as database:
        examples = encode_records(database.records(profile.id), profile)
    return _some(examples, profile, args.database or "the default database")


def read_measured_file(dataset: Path, profile: "HardwareProfile") -> "list[Example]":
    """The stable measurements of a profile in a dataset file, encoded.

    Raises:
        TrainingError: there are none, or they are another profile's.
        DatabaseError: the file is missing or cannot be read.
    """
    from tvm_narcost.database.dataset import read_dataset, read_header
    from tvm_narcost.training.examples import encode_records

    found = read_header(dataset).profile_id
    if found != profile.id:
        raise TrainingError(
            f"dataset {dataset}: was measured on {found}, expected measurements of {profile.id}; name the profile that "
            "it is of, or export that one's with `narcost database export`"
        )
    return _some(encode_records(read_dataset(dataset), profile), profile, dataset)


def _some(examples: "list[Example]", profile: "HardwareProfile", place: Path | str) -> "list[Example]":
    if not examples:
        raise TrainingError(
            f"measurements of {profile.id}: none that are stable in {place}, expected some; "
            f"measure networks with `narcost profile --profile {profile.id} --zoo all`, on an idle core"
        )
    return examples
