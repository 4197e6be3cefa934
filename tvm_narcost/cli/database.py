"""narcost database: count, export and import what a latency database holds."""

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tvm_narcost.cli.options import add_database
from tvm_narcost.cli.tables import aligned
from tvm_narcost.errors import DatabaseError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tvm_narcost.database.records import LatencyRecord
    from tvm_narcost.database.store import DatabaseStats, LatencyDatabase

__all__ = ["add_arguments", "run"]

LEFT_OUT_SHOWN = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the verb takes."""
    verbs = parser.add_subparsers(dest="database_verb", metavar="VERB", required=True)
    stats = verbs.add_parser("stats", help="count what is in it")
    stats.add_argument("--json", action="store_true", help="print one JSON document")
    export = verbs.add_parser("export", help="write the current measurements of a profile to a file or folder")
    export.add_argument("path", metavar="FILE|DIR", help="what to write: a file, or for nnlqp a folder of its own")
    export.add_argument(
        "--format",
        choices=("dataset", "nnlqp", "csv", "schedules"),
        default="dataset",
        help="dataset: to train from and to import (conventionally *.jsonl.xz); nnlqp: ONNX files and gt.txt; "
        "csv: a row a network; schedules: the tuning records below --work-dir (default: %(default)s)",
    )
    export.add_argument(
        "--work-dir",
        type=Path,
        metavar="DIR",
        help="with --format schedules: where `narcost profile --schedules` wrote",
    )
    export.add_argument("--profile", metavar="ID", help="hardware profile (default: the only one that was measured)")
    export.add_argument("--families", metavar="FAMILY[,FAMILY]", help="only these families")
    importing = verbs.add_parser("import", help="add the measurements of a dataset file")
    importing.add_argument("file", metavar="FILE", help="a file that export wrote")
    for verb in (stats, export, importing):
        add_database(verb)


def run(args: argparse.Namespace) -> int:
    """Do what the verb below says."""
    from tvm_narcost.database import open_database

    if args.database_verb == "export" and (args.format == "schedules" or args.work_dir is not None):
        print(_export_schedules(args))
        return 0
    with open_database(args.database) as database:
        if args.database_verb == "stats":
            stats = database.stats()
            print(json.dumps(dataclasses.asdict(stats), indent=2) if args.json else _table(stats))
        elif args.database_verb == "export":
            print(_export(database, args))
        else:
            print(_import(database, Path(args.file)))
    return 0


def _table(stats: "DatabaseStats") -> str:
    rows = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in stats.rows)
    lines = [f"database {stats.url}, {stats.size_bytes / 1e6:.1f} MB, schema {stats.revision}", rows]
    if stats.families:
        header = ["profile", "family", "stable", "noisy", "failed"]
        body = [
            [found.profile_id, found.family, str(found.stable), str(found.noisy), str(found.failed)]
            for found in stats.families
        ]
        lines += ["", aligned([header, *body], left=(0, 1))]
    return "\n".join(lines)


def _export(database: "LatencyDatabase", args: argparse.Namespace) -> str:
    from tqdm import tqdm

    profile_id = args.profile or _only_profile(database)
    families = args.families.split(",") if args.families else None
    path = Path(args.path)
    records = tqdm(database.records(profile_id, families=families), unit="net", file=sys.stderr, dynamic_ncols=True)
    with records:
        if args.format == "nnlqp":
            return _export_nnlqp(records, profile_id, path)
        if args.format == "csv":
            from hardware_profiles import load_profile
            from tvm_narcost.export.table import write_table

            count = write_table(records, load_profile(profile_id), path)
        else:
            from tvm_narcost.database.dataset import write_dataset

            command = ["narcost", "database", "export", path.name, "--profile", profile_id]
            command += ["--families", args.families] if args.families else []
            count = write_dataset(records, path, provenance={"command": " ".join(command)})
    return f"wrote {count} networks of {profile_id} to {path}, {path.stat().st_size / 1e6:.2f} MB"


def _export_schedules(args: argparse.Namespace) -> str:
    from tvm_narcost import __version__
    from tvm_narcost.hook.metaschedule.records import read_records, write_records

    if args.format != "schedules" or args.work_dir is None or args.profile is None or args.families:
        raise DatabaseError(
            "export: --format schedules goes with --work-dir DIR and --profile ID, and with neither of them alone nor "
            "with --families"
        )
    path = Path(args.path)
    command = f"narcost database export {path.name} --format schedules --profile {args.profile} --work-dir DIR"
    facts = {"profile": args.profile, "command": command, "narcost_version": __version__}
    workloads, records = write_records(path, read_records(args.work_dir), facts)
    size = path.stat().st_size / 1e6
    return f"wrote {records} tuning records of {workloads} workloads of {args.profile} to {path}, {size:.2f} MB"


def _export_nnlqp(records: "Iterable[LatencyRecord]", profile_id: str, path: Path) -> str:
    from tvm_narcost.export.folder import MARKER, ExportFolder
    from tvm_narcost.export.nnlqp import export_nnlqp

    identity = {"format": "nnlqp", "profile": profile_id, "platforms": {"1": profile_id}}
    report = export_nnlqp(records, ExportFolder(path, identity))
    lines = [
        f"wrote {report.written} networks of {profile_id} to {path}, {report.kept} were there already, "
        f"{len(report.left_out)} are left out"
    ]
    lines += [f"left out: {found.name!r}: {found.reason}" for found in report.left_out[:LEFT_OUT_SHOWN]]
    if len(report.left_out) > LEFT_OUT_SHOWN:
        lines.append(f"and {len(report.left_out) - LEFT_OUT_SHOWN} more, all of them in {path / MARKER}")
    return "\n".join(lines)


def _only_profile(database: "LatencyDatabase") -> str:
    profiles = database.profiles()
    if len(profiles) != 1:
        raise DatabaseError(
            f"database {database.url}: has {len(profiles)} profiles ({', '.join(profiles) or 'nothing measured'}), "
            "expected one; name it with --profile, or measure with `narcost profile`"
        )
    return profiles[0]


def _import(database: "LatencyDatabase", path: Path) -> str:
    from tqdm import tqdm

    from tvm_narcost.database.dataset import read_dataset
    from tvm_narcost.database.records import NetworkRecord

    added = skipped = 0
    with tqdm(read_dataset(path), unit="net", file=sys.stderr, dynamic_ncols=True) as records:
        for record in records:
            measurement = record.measurement
            if database.is_measured(measurement.graph_hash, measurement.profile_id, verdicts=("stable", "noisy")):
                skipped += 1  # what was measured here is finer than what a dataset keeps of it
                continue
            database.add(
                NetworkRecord(record.family, record.name, record.source, record.graph),
                record.plan,
                measurement,
                earlier=record.earlier,
            )
            added += 1
    return f"added {added} networks to {database.url}; {skipped} were there already"
