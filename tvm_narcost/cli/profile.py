"""narcost profile: measure networks here, into a latency database."""

import argparse
import re
import statistics
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tvm_narcost.cli.options import add_database, add_profile, add_shapes, positive
from tvm_narcost.cli.tables import aligned, milliseconds
from tvm_narcost.errors import NarcostError

if TYPE_CHECKING:
    from hardware_profiles import HardwareProfile
    from tvm_narcost.database.measurement import Verdict
    from tvm_narcost.database.store import LatencyDatabase
    from tvm_narcost.measure.collect import CollectReport, Outcome
    from tvm_narcost.measure.sources import Source

__all__ = ["add_arguments", "parse_duration_s", "run"]

INTERRUPTED = 130
FAILURES_SHOWN = 5
_LONGER = ", or with a profile that `narcost profiles probe --unsteady` made, which samples each network for longer"
_POOL = 20
_UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "": 1.0}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the verb takes."""
    parser.epilog = (
        "Each network is stored as soon as it is measured. Stop when you like; the same command goes on from there."
    )
    parser.add_argument("models", nargs="*", metavar="MODEL", help="ONNX file")
    parser.add_argument("--zoo", metavar="FAMILY[,FAMILY]", help="families of generated networks, all, or micro")
    parser.add_argument(
        "--count",
        type=positive,
        default=10,
        metavar="N",
        help="networks of each family, with --active in all (default: %(default)s)",
    )
    parser.add_argument(
        "--first-seed", type=int, default=0, metavar="N", help="seed of the first of each family (default: %(default)s)"
    )
    add_profile(parser)
    add_database(parser)
    parser.add_argument(
        "--budget", type=parse_duration_s, metavar="20m", help="begin no other network after this time (s, m, h)"
    )
    add_shapes(parser)
    parser.add_argument(
        "--active",
        type=Path,
        metavar="DIR",
        help="of many candidates, measure the --count that settle most of what this artifact's members disagree about",
    )
    parser.add_argument(
        "--pool",
        type=positive,
        metavar="N",
        help=f"with --active: candidates of each family (default: {_POOL})",
    )
    parser.add_argument(
        "--plans",
        type=positive,
        metavar="K",
        help="measure each network under K fusion plans (where the runtime takes any), interleaved",
    )
    parser.add_argument(
        "--again",
        type=_fraction,
        metavar="FRACTION",
        help="measure nothing new, but a second time this fraction of what has one stable measurement (e.g. 0.03)",
    )
    parser.add_argument(
        "--schedules",
        type=positive,
        metavar="N",
        help="measure, instead of networks, N schedules of each of fixed kernels, for TVM's MetaSchedule",
    )
    parser.add_argument("--work-dir", type=Path, metavar="DIR", help="with --schedules: where they are written")
    parser.add_argument("--retry-failed", action="store_true", help="measure again what failed before")
    parser.add_argument("--retry-noisy", action="store_true", help="measure again what was only ever noisy")


def run(args: argparse.Namespace) -> int:
    """Measure what the database does not have yet, and say what came of it."""
    if args.schedules is not None:
        from tvm_narcost.cli.schedules import run_schedules

        return run_schedules(args)
    if args.work_dir is not None:
        raise NarcostError(f"--work-dir {args.work_dir}: is for --schedules; give --schedules N too, or --database")
    from hardware_profiles import load_profile
    from tvm_narcost.cli.active import choose_sources
    from tvm_narcost.database import open_database
    from tvm_narcost.measure.collect import collect
    from tvm_narcost.measure.device import require_device

    sources = _sources(args)
    profile = load_profile(args.profile)
    require_device(profile)
    with open_database(args.database) as database:
        if args.active is not None:
            sources = choose_sources(sources, args.active, profile, database, args.count)
        with _ProgressBar(len(sources)) as bar:
            report = collect(
                sources,
                profile,
                database,
                budget_s=args.budget,
                progress=bar.show,
                retry=_retry(args),
                again=args.again is not None,
                plans=args.plans,
            )
        print(_summary(report, database, profile, again=args.again is not None))
        if args.models:
            print(_latencies([source for source in sources if source.family == "file"], database, profile.id))
    return INTERRUPTED if report.ended == "interrupted" else 0


def _retry(args: argparse.Namespace) -> "list[Verdict]":
    chosen: list[tuple[bool, Verdict]] = [(args.retry_failed, "failed"), (args.retry_noisy, "noisy")]
    return [verdict for is_asked, verdict in chosen if is_asked]


def parse_duration_s(text: str) -> float:
    """Seconds, out of ``90``, ``90s``, ``20m`` or ``1.5h``."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text, flags=re.ASCII)
    if found is None or float(found[1]) <= 0:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a time such as 90s, 20m or 1.5h")
    return float(found[1]) * _UNITS_S[found[2]]


def _fraction(text: str) -> float:
    if not re.fullmatch(r"\d*\.?\d+", text, flags=re.ASCII) or not 0 < float(text) <= 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a fraction above 0 and at most 1, such as 0.03")
    return float(text)


def _sources(args: argparse.Namespace) -> "list[Source]":
    from tvm_narcost.measure.sources import FileSource, is_chosen, zoo_sources

    if args.active is None and args.pool is not None:
        raise NarcostError(f"--pool {args.pool}: candidates for --active; give --active DIR too, or --count alone")
    if args.active is not None and (args.again is not None or _retry(args)):
        raise NarcostError(
            "--active: picks among what was never measured, expected no --again, --retry-failed or --retry-noisy "
            "beside it; run those with a command of their own"
        )
    if args.again is not None and args.plans is not None:
        raise NarcostError("--again: measures the runtime's own plan, expected no --plans beside it; leave one out")
    if args.again is not None:
        if args.zoo is None or args.models or _retry(args):
            raise NarcostError(
                "--again: expected --zoo, and neither model files nor --retry-failed or --retry-noisy beside it; "
                "measure those with a command of their own"
            )
        named = zoo_sources(_families(args.zoo), args.count, args.first_seed)
        return [source for source in named if is_chosen(source, args.again)]
    if not args.models and args.zoo is None:
        raise NarcostError("nothing to measure; give model files, or --zoo FAMILY --count N")
    shapes = dict(args.shapes)
    files = [FileSource.of(Path(model), shapes) for model in args.models]
    if args.zoo is None:
        return [*files]
    count = args.count if args.active is None else args.pool or _POOL
    return [*files, *zoo_sources(_families(args.zoo), count, args.first_seed)]


def _families(text: str) -> list[str]:
    from tvm_narcost.zoo import FAMILIES, MICRO_FAMILIES

    groups = {"all": list(FAMILIES), "micro": list(MICRO_FAMILIES)}
    names = [family for name in text.split(",") for family in groups.get(name, [name])]
    known = (*FAMILIES, *MICRO_FAMILIES)
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise NarcostError(
            f"--zoo: unknown families {', '.join(unknown)}, expected some of {', '.join(known)}, or all, or micro"
        )
    return list(dict.fromkeys(names))


class _ProgressBar:
    """tqdm on stderr, with what went wrong above it."""

    def __init__(self, total: int) -> None:
        from tqdm import tqdm

        self._bar = tqdm(total=total, unit="net", file=sys.stderr, dynamic_ncols=True, smoothing=0.1)
        self._counts = {"stable": 0, "noisy": 0, "failed": 0, "skipped": 0}

    def __enter__(self) -> "_ProgressBar":
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.close()

    def show(self, source: "Source", outcome: "Outcome", reason: str) -> None:
        """Take in one network."""
        self._counts[outcome] += 1
        if outcome == "failed":
            self._bar.write(f"{source.name}: failed: {reason}", file=sys.stderr)
        self._bar.set_postfix_str(", ".join(f"{count} {name}" for name, count in self._counts.items() if count))
        self._bar.update()


def _summary(report: "CollectReport", database: "LatencyDatabase", profile: "HardwareProfile", *, again: bool) -> str:
    from tvm_narcost.measure.probe import UNSTEADY

    counts = ((report.stable, "stable"), (report.noisy, "noisy"), (report.failed, "failed"))
    measured = ", ".join(f"{count} {verdict}" for count, verdict in counts if count) or "nothing new"
    skipped = "have no stable measurement or two already" if again else "were measured before"
    lines = [
        f"profile {profile.id}: {measured}; {report.skipped} {skipped}; {report.elapsed_s:.0f} s; "
        f"database {database.url}"
    ]
    shown = report.failures[-FAILURES_SHOWN:]
    lines += [f"failed: {name}: {reason}" for name, reason in shown]
    if len(report.failures) > len(shown):
        lines.append(f"and {len(report.failures) - len(shown)} more failed")
    unsteady_us = report.unsteady_us()
    if unsteady_us is not None:
        low_us, high_us = unsteady_us
        lines.append(
            f"this machine is not steady: the same reference kernel took {low_us:.0f} us beside some networks, "
            f"{high_us:.0f} us beside others (10th and 90th percentile); stable latencies may differ as much when "
            "they are measured again: see how much with --again 0.1, measure where nothing else runs"
            + ("" if profile.protocol == UNSTEADY else _LONGER)
        )
    if report.ended != "done":
        why = "the budget is spent" if report.ended == "budget" else "interrupted"
        lines.append(f"{why}: the same command goes on from here")
    return "\n".join(lines)


def _latencies(files: "list[Source]", database: "LatencyDatabase", profile_id: str) -> str:
    rows = [["model", "median ms", "samples", "verdict"]]
    for source in files:
        found = database.latest(source.document(), profile_id)
        if found is None:
            rows.append([source.name, "-", "0", "not measured"])
        else:
            median_ms = milliseconds(statistics.median(found.samples_us) / 1e3)
            rows.append([source.name, median_ms, str(len(found.samples_us)), found.verdict])
    return "\n" + aligned(rows, left=(0, 3))
