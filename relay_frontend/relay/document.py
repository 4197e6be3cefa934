"""A ``tvm.ir.save_json`` document of TVM 0.8 to 0.19: numbered nodes that refer to one another, and arrays in base64.

The arrays are most of a file with weights. They are found, not read: the file is mapped into memory, what lies between
the quotation marks of ``b64ndarrays`` is skipped, and only the head of an array is decoded when its type is asked for.
"""

import base64
import binascii
import json
import math
import mmap
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relay_frontend.errors import InvalidGraphError, LimitError, ModelFileError
from relay_frontend.limits import Clock, Limits
from relay_frontend.relay.program import MAX_CONSTANT_ELEMENTS, Constant, OpenType

__all__ = ["MAX_DOCUMENT_BYTES", "Buffer", "Document", "children", "open_bytes", "parse_document"]

MAX_DOCUMENT_BYTES = 2**26  # without the arrays: as many bytes as some 15,000 operators take
_MAX_NODES = 2**19

Buffer = bytes | mmap.mmap

_OPENING = re.compile(rb"\s*\{")
_BLOBS = re.compile(rb'"b64ndarrays"\s*:\s*\[')
_BLOB = re.compile(rb'\s*,?\s*"([A-Za-z0-9+/=]*)"')
_NODES = re.compile(r'"nodes"\s*:\s*\[')
_SEPARATOR = re.compile(r"\s*,?\s*")


@dataclass(frozen=True, slots=True)
class Document:
    """The nodes of a module, none of them decoded yet.

    Attributes:
        nodes: as JSON has them.
        root: the node that the document is about.
        blobs: where each array's base64 text is in ``buffer``.
        version: of the TVM that wrote it, as far as it says.
    """

    nodes: list[dict[str, Any]]
    root: int
    blobs: list[tuple[int, int]]
    buffer: Buffer
    version: str

    def node(self, index: int | str, reader: str) -> dict[str, Any]:
        """A node by number, or by the text of one, as attributes refer to it.

        Raises:
            InvalidGraphError: there is no such node.
        """
        try:
            place = int(index)
        except ValueError:
            place = -1
        if not 0 <= place < len(self.nodes):
            raise InvalidGraphError(
                f"{reader} refers to node {index!r}, expected one of 0 to {len(self.nodes) - 1}: the file is damaged"
            )
        return self.nodes[place]

    def constant(self, index: int | str, limits: Limits) -> Constant:
        """The type of an array, and its elements if it is small.

        Raises:
            InvalidGraphError: there is no such array, or its head does not say what TVM writes there.
        """
        place = int(index) if str(index).isdecimal() else -1
        if not 0 <= place < len(self.blobs):
            raise InvalidGraphError(f"a constant is array {index!r}, expected one of {len(self.blobs)}")
        start, end = self.blobs[place]
        head = _decode(self.buffer[start : min(end, start + _HEAD_TEXT_BYTES)])
        return _read_array(head, place, limits)


def open_bytes(path: Path, limits: Limits) -> Buffer:
    """The file, mapped into memory; empty bytes for an empty one, which cannot be mapped.

    Raises:
        ModelFileError: it cannot be read.
        LimitError: it is too large.
    """
    try:
        with path.open("rb") as file:
            size_bytes = path.stat().st_size
            limits.check_bytes(size_bytes, str(path))
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size_bytes else b""
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise ModelFileError(f"cannot read {path} ({reason}), expected a file: check the path") from error


def parse_document(buffer: Buffer, what: str, clock: Clock, *, start: int = 0) -> Document:
    """Take a document apart.

    Args:
        buffer: the file.
        what: its name, for messages.
        clock: time for the whole file.
        start: where in the buffer the document begins; it goes on to the end.

    Raises:
        ModelFileError: truncated, no JSON, or JSON of something else.
        LimitError: too large.
    """
    if not _OPENING.match(buffer, start):
        raise ModelFileError(f"{what} is no JSON object, expected what tvm.ir.save_json writes: save it again")
    before, after, blobs = _skip_blobs(buffer, start, what)
    if before - start + len(buffer) - after > MAX_DOCUMENT_BYTES:
        raise LimitError(
            f"{what} has {before - start + len(buffer) - after} bytes besides its arrays, expected at most "
            f"{MAX_DOCUMENT_BYTES} of a Relay module"
        )
    try:
        text = buffer[start:before].decode() + buffer[after:].decode()
        found = _NODES.search(text)
        if found is None:
            raise ModelFileError(f"{what} has no list of nodes, expected what tvm.ir.save_json writes")
        nodes, end = _parse_nodes(text, found.end(), what, clock)
        rest = json.loads(text[: found.end()] + text[end:])
        root, attributes = rest["root"], rest.get("attrs") or {}
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise ModelFileError(
            f"{what} is no JSON of a Relay module or is truncated ({type(error).__name__}: {str(error)[:80]}), "
            "expected what tvm.ir.save_json writes: save it again"
        ) from error
    if not isinstance(root, int) or not 0 <= root < len(nodes):
        raise InvalidGraphError(f"{what} has root {root!r}, expected one of its {len(nodes)} nodes")
    version = attributes.get("tvm_version", "") if isinstance(attributes, dict) else ""
    return Document(nodes, root, blobs, buffer, str(version))


def _skip_blobs(buffer: Buffer, start: int, what: str) -> tuple[int, int, list[tuple[int, int]]]:
    """Where the list of arrays begins and ends, and where each of them is; without one, the end of the buffer."""
    found = _BLOBS.search(buffer, start)
    if found is None:
        return len(buffer), len(buffer), []
    blobs: list[tuple[int, int]] = []
    place = found.end()
    while blob := _BLOB.match(buffer, place):
        blobs.append(blob.span(1))
        place = blob.end()
        if len(blobs) > _MAX_NODES:
            raise LimitError(f"{what} has more than {_MAX_NODES} arrays, expected fewer: is the file damaged?")
    return found.end(), place, blobs


def _parse_nodes(text: str, place: int, what: str, clock: Clock) -> tuple[list[dict[str, Any]], int]:
    """The nodes from ``place`` on, one by one, and where their list ends."""
    scan = json.JSONDecoder().raw_decode
    nodes: list[dict[str, Any]] = []
    while True:
        found = _SEPARATOR.match(text, place)
        place = found.end() if found else place
        if text.startswith("]", place):
            return nodes, place
        node, place = scan(text, place)
        if not isinstance(node, dict) or not isinstance(node.get("type_key"), str):
            raise ModelFileError(f"{what} has a node {str(node)[:60]!r}, expected an object with a type_key")
        nodes.append(node)
        if len(nodes) > _MAX_NODES:
            raise LimitError(f"{what} has more than {_MAX_NODES} nodes, expected fewer: is the file damaged?")
        if len(nodes) % 4096 == 0:
            clock.check(what)


_MAX_RANK = 64
_FIXED = struct.Struct("<QQiiiBBH")  # magic, reserved, device type and id, rank, dtype code, bits, lanes
_HEAD_TEXT_BYTES = 4 * ((_FIXED.size + 8 * (_MAX_RANK + 1) + 16 * MAX_CONSTANT_ELEMENTS) // 3 + 1)
_MAGIC = 0xDD5E40F096B4A13F
_DTYPES = {0: "int", 1: "uint", 2: "float", 4: "bfloat"}
_FORMATS = {
    "bool": "?", "int8": "b", "uint8": "B", "int16": "h", "uint16": "H", "int32": "i", "uint32": "I", "int64": "q",
    "uint64": "Q", "float16": "e", "float32": "f", "float64": "d",
}  # fmt: skip


def _decode(text: bytes) -> bytes:
    try:
        return base64.b64decode(text[: len(text) // 4 * 4], validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidGraphError(f"an array is no base64 ({error}), expected what tvm.ir.save_json writes") from error


def _read_array(head: bytes, place: int, limits: Limits) -> Constant:
    if len(head) < _FIXED.size:
        raise InvalidGraphError(f"array {place} ends within its head, expected {_FIXED.size} bytes or more")
    magic, _, _, _, rank, code, bits, lanes = _FIXED.unpack_from(head)
    name = _DTYPES.get(code)
    if magic != _MAGIC or name is None or lanes != 1 or not 0 <= rank <= _MAX_RANK:
        raise InvalidGraphError(
            f"array {place} has magic {magic:#x}, rank {rank}, dtype code {code} x {lanes}, expected what TVM writes"
        )
    dtype = "bool" if (name, bits) == ("uint", 1) else f"{name}{bits}"
    if len(head) < _FIXED.size + 8 * rank:
        raise InvalidGraphError(f"array {place} ends within its shape, expected {rank} extents")
    shape = struct.unpack_from(f"<{rank}q", head, _FIXED.size)
    limits.check_shape(shape, f"array {place}")
    kind, count = OpenType(shape, dtype), math.prod(shape)
    if count > MAX_CONSTANT_ELEMENTS or dtype not in _FORMATS:
        return Constant(kind)
    try:
        return Constant(kind, struct.unpack_from(f"<{count}{_FORMATS[dtype]}", head, _FIXED.size + 8 * rank + 8))
    except struct.error as error:
        raise InvalidGraphError(f"array {place} is shorter than its shape {shape} says") from error


def children(node: dict[str, Any], reader: str) -> Iterator[int]:
    """The node numbers of an Array or a Map.

    Raises:
        InvalidGraphError: they are no numbers.
    """
    data = node.get("data", [])
    if not isinstance(data, list) or not all(type(item) is int for item in data):
        raise InvalidGraphError(f"{reader} has data {str(data)[:60]}, expected node numbers")
    yield from data
