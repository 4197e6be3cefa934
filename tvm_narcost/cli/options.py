"""Options that several verbs take, declared once."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from tvm_narcost.errors import NarcostError

__all__ = [
    "DEFAULT_PROFILE", "add_database", "add_existing_database", "add_profile", "add_shapes", "parse_shape", "positive",
    "profile_and_file", "unique_shapes",
]  # fmt: skip

DEFAULT_PROFILE = "epyc-zen5.onnxruntime"


def add_profile(parser: argparse.ArgumentParser, *, default: str = DEFAULT_PROFILE) -> None:
    """Declare --profile."""
    parser.add_argument("--profile", default=default, metavar="ID", help="hardware profile (default: %(default)s)")


def add_database(parser: argparse._ActionsContainer) -> None:
    """Declare --database."""
    parser.add_argument(
        "--database", metavar="URL", help="path or URL (default: $NARCOST_DATABASE, else a file of your own)"
    )


def add_existing_database(parser: argparse.ArgumentParser) -> None:
    """Declare --database of a verb that looks for measurements and writes none."""
    parser.add_argument(
        "--database",
        metavar="URL",
        help="where to look for a measurement of the same network (default: $NARCOST_DATABASE, or your own, if there)",
    )


def add_shapes(parser: argparse.ArgumentParser) -> None:
    """Declare --shape; its values are (name, shape) pairs in ``shapes``."""
    parser.add_argument(
        "--shape",
        dest="shapes",
        action="append",
        default=[],
        type=parse_shape,
        metavar="NAME=1x3x224x224",
        help="shape of an input whose dimensions the model leaves open; may be repeated",
    )


def parse_shape(text: str) -> tuple[str, tuple[int, ...]]:
    """An input's name and its shape, out of ``NAME=1x3x224x224``."""
    # A name may hold an equals sign of its own; a shape never does.
    name, _, sizes = text.rpartition("=")
    if not name or not all(size.isascii() and size.isdigit() and int(size) > 0 for size in sizes.split("x")):
        raise argparse.ArgumentTypeError(f"{text!r}: expected NAME=1x3x224x224, every dimension a positive integer")
    return name, tuple(int(size) for size in sizes.split("x"))


def profile_and_file(text: str) -> tuple[str, Path]:
    """A profile and a file of its measurements, out of ``PROFILE=FILE``."""
    profile, equals, path = text.partition("=")
    if not (profile and equals and path):
        raise argparse.ArgumentTypeError(f"{text!r}: expected PROFILE=FILE")
    return profile, Path(path)


def positive(text: str) -> int:
    """A count of at least one."""
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a positive integer")
    return int(text)


def unique_shapes(shapes: Sequence[tuple[str, tuple[int, ...]]]) -> dict[str, tuple[int, ...]]:
    """What --shape gave, by name.

    Raises:
        NarcostError: an input has two.
    """
    names = [name for name, _ in shapes]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise NarcostError(f"--shape given more than once for {', '.join(repeated)}; give each input one shape")
    return dict(shapes)
