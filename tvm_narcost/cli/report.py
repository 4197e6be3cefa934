"""narcost report: what is predicted of a network, as one HTML page to read and to pass on."""

import argparse
from datetime import UTC, datetime
from pathlib import Path

from tvm_narcost import __version__
from tvm_narcost.cli.options import DEFAULT_PROFILE, add_existing_database, add_shapes, unique_shapes
from tvm_narcost.cli.predicted import doubts_of, existing_database, measured_ms_of, predict_model
from tvm_narcost.cli.training import command_line
from tvm_narcost.cli.written import check_new_file, write_new_file

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the verb takes."""
    parser.add_argument("model", metavar="MODEL", help="model file")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.html", help="the page to write")
    parser.add_argument(
        "--profile",
        dest="profiles",
        action="append",
        metavar="ID",
        help=f"hardware profile; may be repeated, to compare (default: {DEFAULT_PROFILE})",
    )
    add_shapes(parser)
    add_existing_database(parser)
    parser.add_argument("--force", action="store_true", help="overwrite FILE.html")


def run(args: argparse.Namespace) -> int:
    """Predict the model on every profile, and write the page."""
    import tvm_narcost
    from tvm_narcost.cli.report_page import report_page

    check_new_file(args.out, force=args.force)
    shapes = unique_shapes(args.shapes)
    with existing_database(args.database) as database:
        profiles = dict.fromkeys(args.profiles or [DEFAULT_PROFILE])
        predictions = [predict_model(tvm_narcost.load(profile), args.model, shapes) for profile in profiles]
        measured_ms = [measured_ms_of(database, prediction) for prediction in predictions]
    made = f"narcost {__version__}, {datetime.now(UTC):%Y-%m-%d}"
    page = report_page(predictions, measured_ms, list(map(doubts_of, predictions)), command=command_line(), made=made)
    write_new_file(args.out, page, force=args.force)
    print(f"wrote {args.out}: {args.model} on {', '.join(prediction.profile for prediction in predictions)}")
    return 0
