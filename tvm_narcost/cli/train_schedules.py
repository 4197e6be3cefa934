"""narcost train --schedules: from tuning records to the ranker that MetaSchedule's cost model starts from."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tvm_narcost.cli.measured import require_folder
from tvm_narcost.cli.training import command_line, tell
from tvm_narcost.errors import TrainingError

if TYPE_CHECKING:
    from hardware_profiles import HardwareProfile
    from tvm_narcost.training.schedules import MeasuredSchedules

__all__ = ["run_train_schedules"]

_DEALS = 3


def run_train_schedules(args: argparse.Namespace) -> int:
    """Replay the records, train, and write the ranker."""
    import dataclasses

    from tqdm import tqdm

    from hardware_profiles import load_profile
    from tvm_narcost.hook.metaschedule.records import read_records, replay_records
    from tvm_narcost.models.folders import own_ranker_folder
    from tvm_narcost.models.ranker_artifact import write_ranker
    from tvm_narcost.training.fit_schedules import fit_ranker
    from tvm_narcost.training.schedules import RankerSettings

    named = [f"--{name}" for name in ("database", "dataset") if getattr(args, name) is not None]
    named += [f"--{name}" for name, is_given in (("members", args.members != 1), ("each", args.each)) if is_given]
    if named:
        raise TrainingError(
            f"--schedules: got {', '.join(named)} beside it, expected --profile, --beside, --deals, --out and --epochs "
            "alone"
        )
    profile = load_profile(args.profile)
    folder = args.out or own_ranker_folder(profile.id)
    require_folder(folder, "--out")
    others = {name: (load_profile(name), place) for name, place in args.beside}
    with tqdm(unit="candidate", file=sys.stderr, dynamic_ncols=True) as bar:

        def replay(profile: "HardwareProfile", place: Path) -> "MeasuredSchedules":
            return replay_records(read_records(place), profile, progress=lambda name, records: bar.update(records))

        measured = replay(profile, args.schedules)
        beside = {name: replay(*found) for name, found in others.items()}
    settings = RankerSettings()
    if args.epochs is not None:
        settings = dataclasses.replace(settings, epochs=args.epochs)
    ranker, facts = fit_ranker(
        measured,
        profile.id,
        beside=beside,
        seeds=range(args.deals or _DEALS),
        settings=settings,
        command=command_line(),
        progress=tell,
    )
    write_ranker(folder, ranker, facts)
    metrics = facts.metrics
    more = "".join(f" and {len(found)} of {name}" for name, found in beside.items())
    print(
        f"trained on {len(measured)} candidates of {facts.dataset['workloads']} workloads{more}, into {folder}\n"
        f"on workloads held out: {100 * metrics['workloads_held_out_pairwise_accuracy']:.1f} % of the pairs in order, "
        f"the first choice {metrics['workloads_held_out_speedup_over_random']:.2f} times as fast as a random one"
    )
    return 0
