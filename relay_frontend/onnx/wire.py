"""An ONNX file without its weights: what is kept of the serialised bytes, so that protobuf never sees the rest.

A file of protobuf is a list of fields, each a tag, a length and a content, messages within messages. Big tensors are
jumped over where they lie. What remains is counted before it is parsed: a message of two bytes becomes a hundred in
memory.
"""

from collections.abc import Iterator
from typing import Protocol, overload

from relay_frontend.errors import LimitError, ModelFileError
from relay_frontend.limits import Clock, Limits

__all__ = ["UNCOUNTED_BYTES", "Buffer", "strip_weights"]

# Where to look for tensors: message -> {number of a field: the message that it holds}; see onnx.proto.
_MESSAGES: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 11: "value", 12: "value", 13: "value", 15: "sparse"},
    "function": {7: "node", 11: "attribute", 12: "value"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
    "value": {2: "type"},
    "type": {1: "shaped", 4: "type_box", 5: "type_box", 8: "shaped", 9: "type_box"},
    "type_box": {1: "type", 2: "type"},
    "shaped": {2: "shape"},
    "shape": {1: "dimension"},
    "dimension": {},
}
_TENSOR_DATA = {4, 5, 6, 7, 9, 10, 11}  # float_data ... raw_data ... uint64_data
_OPERATOR_FIELD = 4  # of a node, before its attributes in every file that protobuf wrote
_KEPT_BYTES = 16 * 1024  # 1024 elements of the largest dtype: the values that reading a graph may ask for
UNCOUNTED_BYTES = 2**21  # so little cannot become much in memory
_FIELDS_PER_NODE, _BYTES_PER_NODE = 40, 512  # more than any exporter writes, by which Limits.nodes bounds the whole
_LEAST_FIELD_BYTES = 2  # a tag and a length
_MOST_NESTED = 100  # protobuf's own bound


class Buffer(Protocol):
    """Bytes, or a file that is mapped into memory."""

    def __len__(self) -> int: ...
    @overload
    def __getitem__(self, place: int, /) -> int: ...
    @overload
    def __getitem__(self, place: slice, /) -> bytes: ...


_Field = tuple[int, int, int, int, int]  # number, wire type, where its tag starts, where its content starts and ends


def strip_weights(content: Buffer, path: str, limits: Limits, clock: Clock) -> bytes:
    """The serialised model without the data of big tensors.

    Args:
        content: the file.
        path: how messages name it.
        limits: how many nodes it may have; fields and bytes are bounded in proportion.
        clock: that must not run out.

    Raises:
        ModelFileError: no protobuf, or truncated.
        LimitError: more than ``limits`` allow.
    """
    stripper = _Stripper(content, path, limits, clock)
    pieces = stripper.strip("model", 0, len(content), 0)
    stripped = b"".join(pieces)
    kept = len(stripped)
    most = limits.nodes * _BYTES_PER_NODE
    if kept > most:
        raise LimitError(
            f"{path} has {kept} bytes beside its weights, expected at most {most} for {limits.nodes} nodes: raise "
            "Limits.nodes to read it"
        )
    if kept > max(UNCOUNTED_BYTES, limits.nodes * _FIELDS_PER_NODE * _LEAST_FIELD_BYTES):
        stripper.count(stripped)  # fewer bytes cannot be more fields than are allowed
    return stripped


class _Stripper:
    def __init__(self, content: Buffer, path: str, limits: Limits, clock: Clock) -> None:
        self._content, self._path, self._limits, self._clock = content, path, limits, clock
        self._seen = 0

    def strip(self, message: str, start: int, end: int, depth: int) -> list[bytes]:
        """What is kept of a message between two places, in pieces; small fields stay as they are."""
        if depth > _MOST_NESTED:
            raise LimitError(f"{self._path} nests messages deeper than {_MOST_NESTED}, expected at most that many")
        inside, pieces, copied = _MESSAGES[message], [], start
        operator = b""
        for number, wire_type, tag, first, last in self._fields(self._content, start, end):
            if message == "node" and number == _OPERATOR_FIELD:
                operator = self._content[first:last]
            if last - first <= _KEPT_BYTES:
                continue
            kind = inside.get(number) if wire_type == 2 else None
            if message == "tensor" and number in _TENSOR_DATA:
                pieces.append(self._content[copied:tag])
            elif kind is not None and not (
                message == "node" and operator != b"Constant" and not self._has_graph(first, last)
            ):
                inner = self.strip(kind, first, last, depth + 1)
                pieces.append(self._content[copied:tag])
                pieces.append(_varint(number << 3 | 2) + _varint(sum(map(len, inner))))
                pieces.extend(inner)
            else:
                continue
            copied = last
        pieces.append(self._content[copied:end])
        return pieces

    def count(self, content: bytes) -> None:
        """Count every field, of every message, before protobuf makes an object of each."""
        pending = [("model", 0, len(content), 0)]
        while pending:
            message, start, end, depth = pending.pop()
            if depth > _MOST_NESTED:
                raise LimitError(f"{self._path} nests messages deeper than {_MOST_NESTED}, expected at most that many")
            inside = _MESSAGES[message]
            for number, wire_type, _, first, last in self._fields(content, start, end):
                kind = inside.get(number)
                if kind is not None and wire_type == 2:
                    pending.append((kind, first, last, depth + 1))

    def _has_graph(self, start: int, end: int) -> bool:
        """Whether the attribute between two places holds a graph, in which there may be tensors."""
        return any(number in (6, 11) for number, *_ in self._fields(self._content, start, end))

    def _fields(self, content: Buffer, start: int, end: int) -> Iterator[_Field]:
        place, most = start, self._limits.nodes * _FIELDS_PER_NODE
        while place < end:
            self._seen += 1
            if self._seen & 4095 == 0:
                self._clock.check(self._path)
                if self._seen > most:
                    raise LimitError(
                        f"{self._path} has more than {most} fields, expected at most that many for "
                        f"{self._limits.nodes} nodes: raise Limits.nodes to read it"
                    )
            tag, key = place, content[place]
            if key < 128:  # most tags and most lengths are one byte; no call is made for those
                place += 1
            else:
                key, place = self._number(content, place, end)
            wire_type, stop = key & 7, 0
            if wire_type == 2:
                if place < end and (size := content[place]) < 128:
                    place += 1
                else:
                    size, place = self._number(content, place, end)
                stop = place + size
            elif wire_type == 0:
                _, stop = self._number(content, place, end)
            elif wire_type in (1, 5):
                stop = place + (8 if wire_type == 1 else 4)
            if key < 8 or stop > end or not stop:
                raise ModelFileError(
                    f"{self._path} is no ONNX model or is truncated (at byte {tag}), expected a serialised ModelProto: "
                    "export it again"
                )
            yield key >> 3, wire_type, tag, place, stop
            place = stop

    def _number(self, content: Buffer, place: int, end: int) -> tuple[int, int]:
        """A number of seven bits a byte, and the place behind it."""
        found = 0
        for index, byte in enumerate(content[place : min(place + 10, end)]):
            found |= (byte & 127) << 7 * index
            if byte < 128:
                return found, place + index + 1
        raise ModelFileError(
            f"{self._path} is no ONNX model or is truncated (at byte {place}), expected a serialised ModelProto: "
            "export it again"
        )


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    found.append(number)
    return bytes(found)
