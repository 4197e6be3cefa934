"""narcost profile --schedules: measure schedules of single kernels here, for the cost model of MetaSchedule."""

import argparse
import sys
from typing import TYPE_CHECKING

from tvm_narcost.errors import NarcostError, RuntimeMissingError

if TYPE_CHECKING:
    from tvm_narcost.hook.metaschedule.collect import ScheduleReport

__all__ = ["run_schedules"]

INTERRUPTED = 130


def run_schedules(args: argparse.Namespace) -> int:
    """Measure what the folder does not have yet, and say what came of it."""
    named = [f"--{name.replace('_', '-')}" for name in ("zoo", "active", "plans", "again", "database") if
             getattr(args, name) is not None]  # fmt: skip
    if args.models or named:
        raise NarcostError(
            f"--schedules: got {', '.join([*args.models, *named])} beside it, expected --profile, --work-dir and "
            "--budget alone: its kernels are those of fixed networks"
        )
    if args.work_dir is None:
        raise NarcostError("--schedules: expected --work-dir DIR, the folder that the measured schedules go into")
    from hardware_profiles import load_profile
    from tvm_narcost.measure.device import require_device

    profile = load_profile(args.profile)
    require_device(profile)
    try:
        from tvm_narcost.hook.target import target_of
    except ImportError as error:
        if error.name != "tvm":
            raise
        raise RuntimeMissingError(
            "--schedules: TVM is not installed here; install it with `pip install 'tvm-narcost[tvm]'`"
        ) from error

    target_of(profile)
    from tqdm import tqdm

    from tvm_narcost.hook.metaschedule.collect import collect_schedules
    from tvm_narcost.hook.metaschedule.workloads import TRAINING_NETWORKS, Workload, training_workloads

    with tqdm(total=len(TRAINING_NETWORKS), unit="net", desc="lowering", file=sys.stderr, dynamic_ncols=True) as bar:
        workloads = training_workloads(profile, progress=lambda source: bar.update())
    with tqdm(total=len(workloads) * args.schedules, unit="schedule", file=sys.stderr, dynamic_ncols=True) as bar:

        def show(workload: Workload, measured: int, failed: int) -> None:
            bar.set_postfix_str(f"{workload.kind}, {failed} of {measured} failed" if failed else workload.kind)
            bar.update(measured)

        report = collect_schedules(
            workloads,
            profile,
            args.work_dir,
            candidates=args.schedules,
            budget_s=args.budget,
            found=bar.update,
            progress=show,
        )
    print(_summary(report, len(workloads), profile.id, str(args.work_dir)))
    return INTERRUPTED if report.ended == "interrupted" else 0


def _summary(report: "ScheduleReport", workloads: int, profile_id: str, folder: str) -> str:
    lines = [
        f"profile {profile_id}: {report.measured} schedules of {workloads} kernels measured, {report.failed} of them "
        f"failed; {report.found} were there before; {report.elapsed_s:.0f} s; folder {folder}"
    ]
    if report.exhausted:
        lines.append(f"{report.exhausted} kernels have no more different schedules")
    lines += [f"failed: {reason}" for reason in report.failures[-5:]]
    if report.ended != "done":
        why = "the budget is spent" if report.ended == "budget" else "interrupted"
        lines.append(f"{why}: the same command goes on from here")
    return "\n".join(lines)
