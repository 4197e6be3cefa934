"""TVM's tuning records as training data: folders of ``ms.database.JSONDatabase``, or one compact file of many.

The file is xz'ed JSON lines. The first says what it is; then each workload, as its name and TVM's JSON of it, and after
it its records, as TVM writes them. A record is a trace and what was measured, so features are made anew from it, and
any later schema can be. Reading one runs TVM's deserialiser on it: read files of people whose code you would run.
"""

import base64
import json
import lzma
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hardware_profiles import HardwareProfile
from tvm_narcost.errors import CompileError, DatabaseError
from tvm_narcost.hook.metaschedule.nests import read_stores
from tvm_narcost.tokens.store_tokens import encode_stores
from tvm_narcost.tokens.stores import Store
from tvm_narcost.training.schedules import MeasuredSchedules

__all__ = ["FAILED_S", "WorkloadRecords", "latency_us", "read_records", "replay_records", "write_records"]

FAILED_S = 1e9
"""TVM writes 1e10 seconds where a measurement failed; nothing measured takes this long."""

_FORMAT = "narcost tuning records"
_FORMAT_VERSION = 1
_WORKLOADS = "database_workload.json"
_RECORDS = "database_tuning_record.json"
_MAX_FILE_BYTES = 2**30


@dataclass(frozen=True)
class WorkloadRecords:
    """Tuning records of one workload.

    Attributes:
        name: of the folder they come from.
        workload: as ``ms.database.Workload.as_json`` gives it: structural hash, and the module in base64.
        records: as ``ms.database.TuningRecord.as_json`` gives them: trace, seconds, target, arguments.
    """

    name: str
    workload: tuple[str, str]
    records: tuple[Any, ...]


def latency_us(run_secs: Any) -> float:
    """Least of the measured seconds, in microseconds; infinite where the measurement failed.

    What else the machine does only ever adds to a sample, and adds to many of them where it is busy.
    """
    seconds = [float(value) for value in run_secs or ()]
    least = min(seconds, default=FAILED_S)
    return least * 1e6 if 0 < least < FAILED_S else float("inf")


def read_records(place: Path) -> Iterator[WorkloadRecords]:
    """Read a compact file, or all database folders in and below a folder; workloads without records are left out.

    Raises:
        DatabaseError: none of these, or a line that is not what TVM or :func:`write_records` writes.
    """
    if place.is_file():
        yield from _read_file(place)
        return
    folders = sorted(path.parent for path in place.rglob(_RECORDS))
    if not folders:
        raise DatabaseError(
            f"tuning records {place}: neither a file nor a folder with a {_RECORDS} in or below it, expected one; "
            "collect records first"
        )
    for folder in folders:
        yield from _read_folder(folder)


def _read_folder(folder: Path) -> Iterator[WorkloadRecords]:
    workloads = [line for _, line in _json_lines(folder / _WORKLOADS)]
    own: list[list[Any]] = [[] for _ in workloads]
    for number, line in _json_lines(folder / _RECORDS):
        try:
            index, record = line
            own[index].append(record)
        except (TypeError, ValueError, IndexError) as error:
            raise DatabaseError(
                f"tuning records {folder / _RECORDS}: line {number} is no record of a workload in {_WORKLOADS}"
            ) from error
    for index, (workload, records) in enumerate(zip(workloads, own, strict=True)):
        if records:
            name = folder.name if len(workloads) == 1 else f"{folder.name}.{index}"
            yield _workload_records(name, workload, records, folder / _WORKLOADS)


def _workload_records(name: str, workload: Any, records: list[Any], place: Path) -> WorkloadRecords:
    if not (isinstance(workload, list) and len(workload) == 2 and all(isinstance(part, str) for part in workload)):
        raise DatabaseError(f"tuning records {place}: {name} is no workload, expected a hash and a module")
    return WorkloadRecords(name, (workload[0], workload[1]), tuple(records))


def _json_lines(path: Path) -> Iterator[tuple[int, Any]]:
    """Lines with their numbers; a last line that a kill cut short is left out."""
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise DatabaseError(f"tuning records {path}: {error.strerror}, expected a file that TVM wrote") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield number, json.loads(line)
        except (ValueError, RecursionError) as error:
            if number == len(lines):
                return
            raise DatabaseError(f"tuning records {path}: line {number} is no JSON ({error})") from error


def write_records(path: Path, workloads: Iterator[WorkloadRecords], facts: Mapping[str, Any]) -> tuple[int, int]:
    """Write a compact file, whole or not at all; returns the numbers of workloads and records.

    Args:
        path: of the file.
        workloads: what to write.
        facts: where they come from: profile, command, versions.
    """
    scratch = path.with_name(path.name + ".part")
    count = total = 0
    with lzma.open(scratch, "wt", encoding="utf-8", preset=6) as file:
        _write_line(file, {"format": _FORMAT, "format_version": _FORMAT_VERSION, **facts})
        for own in workloads:
            digest, module = own.workload
            # JSON behind a header of a few bytes; as text it is a tenth of what its base64 is once compressed
            text = base64.b64decode(module).decode("latin-1")
            _write_line(file, {"workload": own.name, "hash": digest, "module": text, "records": len(own.records)})
            for record in own.records:
                _write_line(file, record)
            count, total = count + 1, total + len(own.records)
    os.replace(scratch, path)
    return count, total


def _write_line(file: Any, value: Any) -> None:
    file.write(json.dumps(value, separators=(",", ":")) + "\n")


def _read_file(path: Path) -> Iterator[WorkloadRecords]:
    try:
        with lzma.open(path, "rt", encoding="utf-8") as file:
            lines = _bounded(file, path)
            head = json.loads(next(lines, "null"))
            if not isinstance(head, dict) or head.get("format") != _FORMAT:
                raise DatabaseError(f"tuning records {path}: not a file of {_FORMAT}, expected one")
            if head.get("format_version") != _FORMAT_VERSION:
                raise DatabaseError(
                    f"tuning records {path}: format version {head.get('format_version')!r}, "
                    f"expected {_FORMAT_VERSION}; write it again, or install the narcost that wrote it"
                )
            for line in lines:
                own = json.loads(line)
                module = base64.b64encode(own["module"].encode("latin-1")).decode("ascii")
                records = [json.loads(next(lines)) for _ in range(own["records"])]
                yield _workload_records(own["workload"], [own["hash"], module], records, path)
    except (lzma.LZMAError, EOFError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatabaseError(f"tuning records {path}: {error!r}, expected a file that narcost wrote whole") from error
    except (StopIteration, RuntimeError) as error:  # next() inside of a generator
        raise DatabaseError(f"tuning records {path}: ends in the middle, expected the whole file") from error


def _bounded(file: Any, path: Path) -> Iterator[str]:
    """Lines, until more has been unpacked than any honest file holds."""
    read = 0
    while line := file.readline(_MAX_FILE_BYTES):
        read += len(line)
        if read > _MAX_FILE_BYTES:
            raise DatabaseError(f"tuning records {path}: unpacks to more than {_MAX_FILE_BYTES} bytes")
        yield line


def replay_records(
    workloads: Iterator[WorkloadRecords],
    profile: HardwareProfile,
    *,
    progress: Callable[[str, int], object] = lambda name, records: None,
) -> MeasuredSchedules:
    """Apply each record's trace to its workload and encode the stores of what comes out.

    Raises:
        DatabaseError: no records, or TVM refuses one.
    """
    candidates: list[list[Store]] = []
    argument_bytes: list[float] = []
    latencies: list[float] = []
    indices: list[int] = []
    names: list[str] = []
    for own in workloads:
        stores, held, measured = _replay(own)
        candidates += stores
        argument_bytes += held
        latencies += measured
        indices += [len(names)] * len(stores)
        names.append(own.name)
        progress(own.name, len(own.records))
    if not candidates:
        raise DatabaseError("tuning records: got none, expected at least one; collect some first")
    tokens = encode_stores(candidates, argument_bytes, profile)
    return MeasuredSchedules(tokens, np.array(latencies), np.array(indices, np.int64), tuple(names))


def _replay(own: WorkloadRecords) -> tuple[list[list[Store]], list[float], list[float]]:
    """Stores, bytes of the arguments, and measured microseconds of each record."""
    from tvm.s_tir import Schedule
    from tvm.s_tir import meta_schedule as ms

    functions, measured = [], []
    try:
        workload = ms.database.Workload.from_json(list(own.workload))
        for document in own.records:
            record = ms.database.TuningRecord.from_json(document, workload)
            schedule = Schedule(workload.mod, debug_mask="none")
            record.trace.apply_to_schedule(schedule, remove_postproc=False)
            functions.append(scheduled_function(schedule.mod))
            measured.append(latency_us(record.run_secs))
    except (ValueError, TypeError, AttributeError, KeyError, IndexError, RuntimeError) as error:  # TVM's own are these
        raise DatabaseError(f"tuning records of {own.name}: TVM refuses one ({error}), expected its own") from error
    return *read_stores(functions), measured


def scheduled_function(module: Any) -> Any:
    """The one PrimFunc of a candidate's module.

    Raises:
        CompileError: it has none, or several.
    """
    functions = [function for _, function in module.functions_items()]
    if len(functions) != 1:
        raise CompileError(f"candidate: a module of {len(functions)} functions, expected one")
    return functions[0]
