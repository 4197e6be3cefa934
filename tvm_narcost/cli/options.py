"""Options that several verbs take, declared once."""

import argparse

__all__ = ["DEFAULT_PROFILE", "add_database", "add_profile", "add_shapes", "parse_shape"]

DEFAULT_PROFILE = "epyc-zen5.onnxruntime"


def add_profile(parser: argparse.ArgumentParser) -> None:
    """Declare --profile."""
    parser.add_argument(
        "--profile", default=DEFAULT_PROFILE, metavar="ID", help="hardware profile (default: %(default)s)"
    )


def add_database(parser: argparse._ActionsContainer) -> None:
    """Declare --database."""
    parser.add_argument(
        "--database", metavar="URL", help="path or URL (default: $NARCOST_DATABASE, else a file of your own)"
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
