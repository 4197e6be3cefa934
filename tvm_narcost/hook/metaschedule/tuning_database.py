"""Tuning records on disk as MetaSchedule itself reads and writes them: one ``ms.database.JSONDatabase`` a folder."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import tvm
from tvm.s_tir import meta_schedule as ms

from tvm_narcost.errors import DatabaseError

__all__ = ["claim", "commit", "mean_s", "open_tuning_database", "records_of_module"]

_FAILED_S = 1e10  # what MetaSchedule writes for a candidate that could not be measured
_FILES = ("database_workload.json", "database_tuning_record.json")


def open_tuning_database(folder: Path) -> ms.Database:
    """The database in ``folder``, made if there is none. A line that a killed process left unfinished is dropped.

    Raises:
        DatabaseError: it has other content than TVM's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in _FILES:
        _drop_unfinished_line(folder / name)
    try:
        return ms.database.JSONDatabase(work_dir=str(folder))
    except Exception as error:  # TVM raises whatever it likes
        raise DatabaseError(
            f"{folder}: its {' and '.join(_FILES)} cannot be read ({type(error).__name__}), expected what this version "
            "of TVM's MetaSchedule writes: move the folder away, or name another"
        ) from error


def claim(folder: Path, facts: Mapping[str, object]) -> None:
    """Say what a folder's measurements are of, or check it: those of two profiles must not be mixed.

    Raises:
        DatabaseError: they are of something else.
    """
    path = folder / "profile.json"
    if path.exists():
        found = json.loads(path.read_text())
        if found != facts:
            raise DatabaseError(
                f"{folder}: has schedules measured for {found}, expected {dict(facts)}: name another folder"
            )
        return
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(facts) + "\n")


def records_of_module(database: ms.Database, module: tvm.IRModule) -> list[ms.database.TuningRecord]:
    """All records of one workload, the best first; failed ones last, which ``get_top_k`` leaves out."""
    if not database.has_workload(module):
        return []
    workload = database.commit_workload(module)
    return sorted((one for one in database.get_all_tuning_records() if one.workload.same_as(workload)), key=mean_s)


def commit(
    database: ms.Database,
    module: tvm.IRModule,
    target: tvm.target.Target,
    candidates: Sequence[ms.MeasureCandidate],
    results: Sequence[ms.runner.RunnerResult],
) -> int:
    """Write what was measured, at once; how many of them failed."""
    workload = database.commit_workload(module)
    failed = 0
    for candidate, result in zip(candidates, results, strict=True):
        seconds = [_FAILED_S] if result.run_secs is None else [float(one) for one in result.run_secs]
        failed += result.run_secs is None
        record = ms.database.TuningRecord(candidate.sch.trace, workload, seconds, target, candidate.args_info)
        database.commit_tuning_record(record)
    return failed


def mean_s(record: ms.database.TuningRecord) -> float:
    """Mean of what was measured, which is what MetaSchedule ranks records by, in seconds."""
    seconds = [float(one) for one in record.run_secs]
    return sum(seconds) / len(seconds)


def _drop_unfinished_line(path: Path) -> None:
    if not path.exists():
        return
    text = path.read_bytes()
    end = text.rfind(b"\n") + 1
    rest = text[end:].strip()
    if not rest:
        return
    try:
        json.loads(rest)
    except ValueError:
        with path.open("r+b") as file:
            file.truncate(end)
    else:
        with path.open("ab") as file:
            file.write(b"\n")  # a whole record that only lacks its end
