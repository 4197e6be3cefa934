"""The dataset file: measured networks of one profile in a few megabytes, to ship and to train from.

xz-compressed JSON lines: a header, then an ``{"environment": ...}`` line where a new one begins and a line a record
(see compact.py), and last ``{"records": N}``. A network that was measured several times has the older stable ones under
``earlier``, each with an environment of its own where that differs. Version 1 had only the newest; it is still read.
"""

import json
import lzma
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tvm_narcost.database.compact import (
    measurement_from_columns,
    measurement_to_columns,
    record_from_line,
    record_to_line,
)
from tvm_narcost.database.measurement import Measurement
from tvm_narcost.database.records import LatencyRecord
from tvm_narcost.errors import DatabaseError

__all__ = ["DATASET_VERSION", "DatasetHeader", "read_dataset", "read_header", "write_dataset"]

DATASET_VERSION = 2

_READABLE = (1, 2)
_FORMAT = "narcost-dataset"
_MAX_TEXT_BYTES = 2**30  # 3,000 networks take 60 MB
_MAX_LINE_BYTES = 2**26  # a network of 20,000 nodes takes 3 MB
_MAX_MEMORY_BYTES = 2**28  # xz -9 needs 65 MB
_CHUNK_BYTES = 2**16


@dataclass(frozen=True, slots=True)
class DatasetHeader:
    """What the first line says.

    Attributes:
        profile_id: where all of it was measured.
        narcost: version that wrote the file.
        provenance: how it came to be, e.g. the command; plain JSON.
    """

    profile_id: str
    narcost: str
    provenance: Mapping[str, Any] = field(hash=False)


def write_dataset(records: Iterable[LatencyRecord], path: Path, *, provenance: Mapping[str, Any]) -> int:
    """Write records of one profile; returns how many. A file that is there is replaced only once all is written.

    Args:
        records: at least one; all of one profile.
        path: conventionally ``*.jsonl.xz``.
        provenance: how they came to be (command, machine, date); plain JSON.

    Raises:
        DatabaseError: no records, or records of several profiles.
    """
    partial = path.with_name(f"{path.name}.partial-{os.getpid()}")
    try:
        with lzma.open(partial, "wb", preset=9 | lzma.PRESET_EXTREME) as file:
            count = 0
            for line in _lines(records, provenance):
                file.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
                count = line.get("records", count)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return count


def _lines(records: Iterable[LatencyRecord], provenance: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    profile_id: str | None = None
    environment: tuple[tuple[str, str], ...] | None = None
    count = 0
    for count, record in enumerate(records, start=1):  # noqa: B007 - the last count is the number of records
        measurement = record.measurement
        if profile_id is None:
            profile_id = measurement.profile_id
            yield _header(profile_id, provenance)
        if measurement.profile_id != profile_id:
            raise DatabaseError(
                f"record {record.name!r} is of profile {measurement.profile_id!r}, expected {profile_id!r} as the "
                "first: write one file a profile"
            )
        if measurement.lasting_facts != environment:
            environment = measurement.lasting_facts
            yield {"environment": environment}
        line = {**record_to_line(record), "conditions": measurement.passing_facts}
        yield {**line, "earlier": _earlier_to_lines(record)} if record.earlier else line
    if profile_id is None:
        raise DatabaseError("no records to write, expected at least one; measure with `narcost profile`")
    yield {"records": count}


def _earlier_to_lines(record: LatencyRecord) -> list[dict[str, Any]]:
    lines = []
    for measurement in record.earlier:
        line = {**measurement_to_columns(measurement), "conditions": measurement.passing_facts}
        if measurement.lasting_facts != record.measurement.lasting_facts:
            line["environment"] = measurement.lasting_facts
        lines.append(line)
    return lines


def _header(profile_id: str, provenance: Mapping[str, Any]) -> dict[str, Any]:
    try:
        narcost = version("tvm-narcost")
    except PackageNotFoundError:  # run from a checkout
        narcost = "unknown"
    return {
        "format": _FORMAT,
        "version": DATASET_VERSION,
        "profile": profile_id,
        "narcost": narcost,
        "units": "0.01 us; a kernel's low, middle and high are the means of the thirds of its samples",
        "provenance": dict(provenance),
    }


def read_header(path: Path) -> DatasetHeader:
    """What a dataset file says about itself.

    Raises:
        DatabaseError: missing, no dataset, or of an unknown version.
    """
    for text in _text_lines(path):
        return _parse_header(path, _parse(path, 1, text))
    raise DatabaseError(f"dataset {str(path)!r} is empty, expected a file of `narcost database export`")


def read_dataset(path: Path) -> Iterator[LatencyRecord]:
    """Read a dataset file, record by record, in the order in which it was written.

    Names of nodes and values are empty or numbered. A kernel's ``samples_us`` are three: the means of the lower, middle
    and upper third of what was measured, so that their mean is the mean, and their median a robust centre.

    Raises:
        DatabaseError: missing, truncated, corrupt, too large or of an unknown version; the header is checked at once,
            the rest as it is read.
    """
    header = read_header(path)
    return _records(path, header)


def _records(path: Path, header: DatasetHeader) -> Iterator[LatencyRecord]:
    environment: list[tuple[str, str]] = []
    count = 0
    said: int | None = None
    for number, text in enumerate(_text_lines(path), start=1):
        line = _parse(path, number, text)
        if number == 1:
            continue
        if said is not None:
            raise DatabaseError(f"dataset {str(path)!r} goes on after its last line, expected an end; get a fresh copy")
        try:
            if "environment" in line:
                environment = _pairs(line["environment"])
                continue
            if "records" in line:
                said = int(line["records"])
                continue
            record = record_from_line(line, header.profile_id, _fingerprint(environment, line))
            record = replace(record, earlier=_earlier_from_lines(line.get("earlier", ()), record, environment))
        except (KeyError, TypeError, ValueError, AttributeError, DatabaseError) as error:
            raise DatabaseError(f"dataset {str(path)!r}, line {number}: {error}; get a fresh copy") from error
        count += 1
        yield record
    if said != count:
        raise DatabaseError(f"dataset {str(path)!r}: got {count} records, expected {said}; get a fresh copy")


def _fingerprint(environment: list[tuple[str, str]], line: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted([*environment, *_pairs(line["conditions"])]))


def _earlier_from_lines(
    lines: Iterable[Mapping[str, Any]], current: LatencyRecord, environment: list[tuple[str, str]]
) -> tuple[Measurement, ...]:
    measurement = current.measurement
    earlier = []
    for line in lines:
        lasting = _pairs(line["environment"]) if "environment" in line else environment
        found = measurement_from_columns(
            line, measurement.graph_hash, measurement.plan_hash, measurement.profile_id, _fingerprint(lasting, line)
        )
        if found.verdict != "stable":
            raise ValueError(f"an earlier measurement is {found.verdict!r}, expected 'stable'")
        earlier.append(found)
    return tuple(earlier)


def _pairs(values: Any) -> list[tuple[str, str]]:
    return [(str(name), str(value)) for name, value in values]


def _parse(path: Path, number: int, text: bytes) -> dict[str, Any]:
    try:
        line = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DatabaseError(
            f"dataset {str(path)!r}, line {number}: {error}, expected JSON; get a fresh copy"
        ) from error
    if not isinstance(line, dict):
        raise DatabaseError(f"dataset {str(path)!r}, line {number}: got {type(line).__name__}, expected an object")
    return line


def _parse_header(path: Path, line: Mapping[str, Any]) -> DatasetHeader:
    if line.get("format") != _FORMAT:
        raise DatabaseError(
            f"{str(path)!r}: format {line.get('format')!r}, expected {_FORMAT!r}: a file of `narcost database export`"
        )
    if line.get("version") not in _READABLE:
        raise DatabaseError(
            f"dataset {str(path)!r}: version {line.get('version')!r}, expected at most {DATASET_VERSION}; upgrade "
            "narcost (pip install -U tvm-narcost)"
        )
    missing = sorted({"profile", "narcost", "provenance"} - set(line))
    if missing or not isinstance(line["provenance"], dict):
        raise DatabaseError(f"dataset {str(path)!r}: its header lacks {missing or 'provenance'}; get a fresh copy")
    return DatasetHeader(str(line["profile"]), str(line["narcost"]), line["provenance"])


def _text_lines(path: Path) -> Iterator[bytes]:
    """The lines of the file, each with bounded memory."""
    rest = b""
    for chunk in _inflate(path):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines
        if len(rest) > _MAX_LINE_BYTES:
            raise DatabaseError(f"dataset {str(path)!r}: a line of more than {_MAX_LINE_BYTES} bytes, expected less")
    if rest:
        raise DatabaseError(f"dataset {str(path)!r}: its last line does not end; get a fresh copy")


def _inflate(path: Path) -> Iterator[bytes]:
    inflater = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MAX_MEMORY_BYTES)
    total = 0
    try:
        with path.open("rb") as file:
            while not inflater.eof:
                packed = file.read(_CHUNK_BYTES) if inflater.needs_input else b""
                if not packed and inflater.needs_input:
                    raise DatabaseError(
                        f"dataset {str(path)!r} is truncated, expected an end of stream; get a fresh copy"
                    )
                chunk = inflater.decompress(packed, _CHUNK_BYTES * 16)
                total += len(chunk)
                if total > _MAX_TEXT_BYTES:
                    raise DatabaseError(f"dataset {str(path)!r}: more than {_MAX_TEXT_BYTES} bytes, expected less")
                yield chunk
            if inflater.unused_data or file.read(1):
                raise DatabaseError(f"dataset {str(path)!r} goes on after its end; get a fresh copy")
    except (lzma.LZMAError, EOFError) as error:
        raise DatabaseError(
            f"dataset {str(path)!r}: {error}, expected an xz file of `narcost database export`; get a fresh copy"
        ) from error
    except (OSError, ValueError) as error:
        raise DatabaseError(f"dataset {str(path)!r}: {error}; check the path") from error
