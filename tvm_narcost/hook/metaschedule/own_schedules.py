"""What narcost's own schedules of a network's kernels take, beside the tuned ones: whichever is faster counts.

MetaSchedule searches a design space that narcost's rules are not in (they pack weights when a network is compiled), and
a few trials a kernel often find nothing as fast. So the rules' schedule of each kernel is measured as candidates are,
and a tuned record goes before it only where it took less time.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tvm
from tvm import tirx
from tvm.s_tir import meta_schedule as ms
from tvm.s_tir.meta_schedule.utils import shash2hex

from hardware_profiles import HardwareProfile
from tvm_narcost.errors import DatabaseError
from tvm_narcost.hook.metaschedule.measuring import Measuring, measure_modules
from tvm_narcost.hook.metaschedule.tuning_database import mean_s, open_tuning_database
from tvm_narcost.hook.schedules import schedule
from tvm_narcost.hook.schedules.apply import normalized
from tvm_narcost.hook.target import target_of
from tvm_narcost.models.artifact import write_whole

__all__ = ["TunedSchedules", "are_measured", "kernel_key", "measure_own_schedules", "open_schedules", "read_own_times"]

_FILE = "own_schedules.json"
_VERSION = 1
_LARGEST_FILE = 2**20  # bytes; a kernel takes about fifty


@dataclass(frozen=True)
class TunedSchedules:
    """What ``get_pipeline(database=...)`` takes: the best record of a kernel, unless narcost's own schedule is faster.

    Attributes:
        database: MetaSchedule's.
        own_s: seconds that narcost's own schedule of a kernel takes, by :func:`kernel_key`; infinite where it failed.
    """

    database: ms.Database
    own_s: Mapping[str, float]

    def query_schedule(self, module: tvm.IRModule, target: tvm.target.Target, name: str) -> Any:
        """The best record as a schedule, or None: as MetaSchedule's databases answer.

        Args:
            module: one kernel, as MetaSchedule normalises it.
            target: TVM's.
            name: of the kernel.
        """
        record = self.database.query_tuning_record(module, target, name)
        if record is None or mean_s(record) >= self.own_s.get(shash2hex(module), math.inf):
            return None
        return self.database.query_schedule(module, target, name)


def open_schedules(folder: str | Path) -> TunedSchedules:
    """What ``narcost tune`` left in a folder.

    Raises:
        DatabaseError: there is no such folder, or it has other content.
    """
    path = Path(folder)
    if not path.is_dir():
        raise DatabaseError(f"{path}: no such folder, expected what `narcost tune` leaves; check the path")
    return TunedSchedules(open_tuning_database(path), read_own_times(path))


def kernel_key(function: tirx.PrimFunc) -> str:
    """What a kernel is known by: the structural hash of the module that MetaSchedule makes of it."""
    return str(shash2hex(normalized(function.without_attr("global_symbol"))))


def read_own_times(folder: Path) -> dict[str, float]:
    """Seconds of narcost's own schedules that were measured before, by kernel; nothing where none were.

    Raises:
        DatabaseError: the file is not what this version writes.
    """
    path = folder / _FILE
    if not path.exists():
        return {}
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise ValueError(f"of more than {_LARGEST_FILE} bytes")
        document = json.loads(path.read_bytes())
        if document["version"] != _VERSION:
            raise ValueError(f"version {document['version']!r}")
        times = {str(key): math.inf if value is None else float(value) for key, value in document["seconds"].items()}
        if not all(value > 0 for value in times.values()):
            raise ValueError("a time that is not positive")
    except (ValueError, KeyError, TypeError, AttributeError, OSError, RecursionError) as error:
        raise DatabaseError(
            f"{path}: {type(error).__name__} {error}, expected version {_VERSION} with seconds of each kernel; remove "
            "the file, and they are measured again"
        ) from error
    return times


def are_measured(module: tvm.IRModule, folder: Path) -> bool:
    """Whether the folder has what narcost's own schedule of each kernel of a fused module takes."""
    return not _missing(module, read_own_times(folder))


def measure_own_schedules(
    module: tvm.IRModule, profile: HardwareProfile, folder: Path, measured: Measuring
) -> dict[str, float]:
    """Measure narcost's own schedule of each kernel that the folder has none of; each is on disk before the next.

    Args:
        module: fused, not scheduled.
        profile: of what it is for.
        folder: of MetaSchedule's database.
        measured: builder and runner.

    Returns:
        Seconds by kernel, infinite where it could not be measured.
    """
    times = read_own_times(folder)
    missing = _missing(module, times)
    if not missing:
        return times
    scheduled, target = schedule(module, profile), target_of(profile)
    for key, name in missing.items():
        own = scheduled[name].with_attr("global_symbol", "main")
        arguments = ms.arg_info.ArgInfo.from_prim_func(own)
        (result,) = measure_modules(measured, target, [(tvm.IRModule({"main": own}), arguments)])
        seconds = [float(one) for one in result.run_secs or ()]
        times[key] = sum(seconds) / len(seconds) if seconds else math.inf
        _write(folder, times)
    return times


def _missing(module: tvm.IRModule, times: Mapping[str, float]) -> dict[str, str]:
    """Key -> name of each kernel that has no time; of equal kernels the first."""
    missing: dict[str, str] = {}
    for variable, function in module.functions_items():
        if isinstance(function, tirx.PrimFunc) and (key := kernel_key(function)) not in times:
            missing.setdefault(key, variable.name_hint)
    return missing


def _write(folder: Path, times: Mapping[str, float]) -> None:
    seconds = {key: value if math.isfinite(value) else None for key, value in sorted(times.items())}
    write_whole(folder / _FILE, (json.dumps({"version": _VERSION, "seconds": seconds}, indent=1) + "\n").encode())
