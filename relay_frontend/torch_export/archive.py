"""A ``.pt2`` archive: the one entry that describes the network is read, nothing else is opened.

The archive is a zip. Its weights, its sample inputs (a pickle) and whatever else it holds are never looked at, and
nothing is unpacked to disk.
"""

import json
import math
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO

from relay_frontend.errors import LimitError, ModelFileError
from relay_frontend.limits import Limits

__all__ = ["MAX_DOCUMENT_BYTES", "MAX_PARSED_BYTES", "read_document"]

MAX_DOCUMENT_BYTES = 128 * 2**20  # of the JSON; a network of 20,000 operators with all its stack traces has 60 MB
MAX_PARSED_BYTES = 224 * 2**20  # what its values may take in memory once parsed, estimated before it is
_MAX_DIRECTORY_BYTES = 32 * 2**20  # of the list of entries, some 300,000 of them

_LEGACY_ENTRY = "serialized_exported_program.json"  # torch up to 2.7
_NEXT = "save the network again with torch.export.save"


def read_document(path: Path, limits: Limits) -> dict[str, Any]:
    """The JSON that describes the exported program, without the stack traces and other metadata of its nodes.

    Raises:
        ModelFileError: missing, no zip, damaged, of another kind, not JSON, or with entry names that leave the archive.
        LimitError: file, document or list of entries is too large.
    """
    try:
        limits.check_bytes(path.stat().st_size, str(path))
        with path.open("rb") as file:
            _check_directory(file, path)
            with zipfile.ZipFile(file) as archive:
                content = _read_entry(archive, _find_entry(archive, path), path)
    except (OSError, EOFError, ValueError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        # ValueError: a null byte in the path; RuntimeError: an encrypted entry
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise ModelFileError(f"cannot read {path} ({reason}), expected an archive of torch.export: {_NEXT}") from error
    return _parse(content, path)


def _check_directory(file: BinaryIO, path: Path) -> None:
    """Hold the size of the list of entries against its limit; zipfile would read all of it first."""
    size = file.seek(0, 2)
    start = max(size - 2**16 - 22, 0)
    file.seek(start)
    tail = file.read()
    end = tail.rfind(b"PK\x05\x06")
    if end < 0 or len(tail) - end < 22:
        kind = "is empty" if size == 0 else f"starts with {tail[:4] if start == 0 else _magic(file)!r}"
        raise ModelFileError(f"{path} {kind}, expected the zip archive of torch.export, whole: {_NEXT}")
    entries, directory_bytes = struct.unpack_from("<HI", tail, end + 10)
    locator = end - 20
    if (entries == 2**16 - 1 or directory_bytes == 2**32 - 1) and tail[locator : locator + 4] == b"PK\x06\x07":
        file.seek(min(struct.unpack_from("<Q", tail, locator + 8)[0], size))
        record = file.read(56)
        directory_bytes = struct.unpack_from("<Q", record, 40)[0] if len(record) == 56 else directory_bytes
    if directory_bytes > _MAX_DIRECTORY_BYTES:
        raise LimitError(
            f"{path} lists {directory_bytes} bytes of entries, expected at most {_MAX_DIRECTORY_BYTES}: is it damaged?"
        )
    file.seek(0)


def _magic(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read(4)


def _find_entry(archive: zipfile.ZipFile, path: Path) -> zipfile.ZipInfo:
    """``ROOT/models/NAME.json`` of new archives, ``serialized_exported_program.json`` of old ones."""
    found = []
    for entry in archive.infolist():
        parts = entry.filename.replace("\\", "/").split("/")
        if ".." in parts or not parts[0] or ":" in parts[0]:
            raise ModelFileError(
                f"{path} holds an entry {entry.filename[:80]!r} that leaves the archive: is it hostile?"
            )
        if parts == [_LEGACY_ENTRY] or (len(parts) == 3 and parts[1] == "models" and parts[2].endswith(".json")):
            found.append(entry)
    if len(found) != 1:
        names = ", ".join(repr(entry.filename[:80]) for entry in found[:5]) or "none"
        raise ModelFileError(
            f"{path} describes {len(found)} exported programs ({names}), expected one: compiled packages (AOTInductor) "
            f"and TorchScript archives hold none; {_NEXT}"
        )
    return found[0]


def _read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path) -> bytes:
    with archive.open(entry) as stream:
        content = stream.read(MAX_DOCUMENT_BYTES + 1)  # whatever size the archive states
    if len(content) > MAX_DOCUMENT_BYTES:
        raise LimitError(
            f"{entry.filename!r} in {path} has more than {MAX_DOCUMENT_BYTES} bytes, expected at most that"
        )
    return content


def _parse(content: bytes, path: Path) -> dict[str, Any]:
    # An object takes 184 bytes with one key, a list 64, and each comma stands for one more value or key.
    estimated = 184 * content.count(b"{") + 64 * content.count(b"[") + 24 * content.count(b",")
    if estimated > MAX_PARSED_BYTES:
        raise LimitError(
            f"the network in {path} takes some {estimated} bytes to describe, expected at most {MAX_PARSED_BYTES}: "
            "export it in parts"
        )
    try:
        document = json.loads(content, object_hook=_without_metadata, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:  # of too many digits, UTF-8 and JSON
        raise ModelFileError(
            f"{path} describes no network ({error}), expected JSON of torch.export: {_NEXT}"
        ) from error
    if not isinstance(document, dict):
        raise ModelFileError(f"{path} describes a {type(document).__name__}, expected an exported program: {_NEXT}")
    return document


def _without_metadata(document: dict[str, Any]) -> dict[str, Any]:
    """Most of the text is the stack traces of nodes."""
    if isinstance(document.get("target"), str):
        document.pop("metadata", None)
    return document


def _refuse_constant(name: str) -> float:
    if name == "NaN":
        raise ValueError("it holds NaN")
    return math.inf if name == "Infinity" else -math.inf
