"""TVM's objects, from a file or live, seen alike and without TVM.

The reader walks objects by their kind and by the fields that TVM reflects, which ``tvm.ir.save_json`` writes under the
same names. So one reader serves both: a live object answers for itself, a :class:`FileObject` from the file's nodes.

Files are never given to ``tvm.ir.load_json``. It is native code: an array nested 400,000 deep (20 MB) ends the process
with SIGSEGV, a tensor that claims 2^30 dimensions keeps it busy for minutes (TVM 0.27). And without it a file can be
read where no TVM is installed.
"""

import base64
import binascii
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from relay_frontend.errors import InvalidGraphError, LimitError

__all__ = ["NUMBERS", "Document", "FileObject", "FileTensor", "entries_of", "kind_of", "number_of"]

# Fields that hold a number itself. Any other int of a file is the number of the node that holds the value.
NUMBERS = frozenset(
    ("batch_axis", "batch_dims", "channel_axis", "cubic_exclude", "data_alignment", "depth", "groups", "ignore_index",
     "index", "iter_type", "k", "kind", "ndim", "num_groups", "offset_factor", "sample_ratio", "seq_axis",
     "upscale_factor")
)  # fmt: skip
# ``axis`` is a number itself where it must be given, and may refer to None elsewhere.
_AXIS_GIVEN = frozenset(
    f"{name}Attrs"
    for name in ("Argsort", "BatchNorm", "Flip", "GatherElements", "OneHot", "PRelu", "Quantize",
                 "ScatterCollective", "ScatterElements", "SliceScatter", "Softmax", "Sort", "Split", "TopK")
)  # fmt: skip
# (code, bits) of DLPack's types -> letter of Python's struct.
_LETTERS = {
    (0, 8): "b", (0, 16): "h", (0, 32): "i", (0, 64): "q", (1, 1): "?", (1, 8): "B", (1, 16): "H", (1, 32): "I",
    (1, 64): "Q", (2, 16): "e", (2, 32): "f", (2, 64): "d", (6, 8): "?",
}  # fmt: skip
_PLAIN = frozenset(("DataType", "String", "bool", "float", "int"))
_VISITS_PER_NODE = 64  # what is shared is seen again by each that shares it; networks take about 1 a node, 2 at most


class FileObject:
    """One node of a file; its fields are attributes, read when asked for."""

    __slots__ = ("_data", "_document", "_index", "kind")

    def __init__(self, document: "Document", index: int, kind: str, data: Any) -> None:
        self._document = document
        self._index = index
        self._data = data
        self.kind = kind

    def __getattr__(self, name: str) -> Any:
        if not isinstance(self._data, dict) or name not in self._data:
            raise AttributeError(f"{self.kind} (node {self._index}) has no field {name!r}")
        value = self._data[name]
        if type(value) is not int or self.holds_number(name):
            return value
        return self._document.value(value, self._index)

    def holds_number(self, name: str) -> bool:
        """Whether an int in this field is meant as such, not as the number of a node."""
        if name == "axis":
            return self.kind in _AXIS_GIVEN
        if name == "value":
            return self.kind == "IntImm" and self._document.plain_int_imm
        return name in NUMBERS

    @property
    def text(self) -> str:
        """What stands for an object that has no fields, as the name of an operator does."""
        return self._data if isinstance(self._data, str) else ""


class FileTensor:
    """A tensor of a file: all but the first number stays undecoded.

    ``encoded`` is base64 of: magic and reserved word (8 bytes each), device (2 x 4), rank (4), dtype (code 1, bits 1,
    lanes 2), extents (8 each), number of bytes (8), the bytes.
    """

    __slots__ = ("encoded",)

    def __init__(self, encoded: str) -> None:
        self.encoded = encoded

    def number(self) -> float:
        """The first element.

        Raises:
            InvalidGraphError: it is no number, or the encoding is damaged.
        """
        head = self.encoded[:1024]
        try:
            data = base64.b64decode(head[: len(head) // 4 * 4])
            rank, code, bits = struct.unpack_from("<iBB", data, 24)
            return float(struct.unpack_from(f"<{_LETTERS[code, bits]}", data, 40 + 8 * rank)[0])
        except (KeyError, struct.error, binascii.Error, ValueError) as error:
            raise InvalidGraphError(
                f"a constant is damaged ({error!r}), expected a tensor as TVM encodes it"
            ) from error


class Document:
    """The nodes of a file.

    A node refers only to nodes before it, as TVM writes them, so there are no cycles. Whoever asks for more values
    than a walk of the file needs is led through a graph of shared objects that unfolds without end.

    Args:
        nodes: as in the file: ``type`` and, mostly, ``data`` each.
        plain_int_imm: whether the value of an IntImm is the number itself, as before TVM 0.27.
    """

    def __init__(self, nodes: Sequence[Any], *, plain_int_imm: bool) -> None:
        self.nodes = nodes
        self.plain_int_imm = plain_int_imm
        self._objects: dict[int, Any] = {}
        self._visits_left = _VISITS_PER_NODE * len(nodes) + 10_000

    def value(self, index: int, before: int) -> Any:
        """What node ``index`` stands for, as node ``before`` refers to it.

        Raises:
            InvalidGraphError: there is no such node before that one, or it is no node of TVM's.
            LimitError: far more values have been asked for than the file has nodes.
        """
        if not 0 <= index < before:
            raise InvalidGraphError(
                f"node {before} refers to node {index}, expected one before it: the file is damaged"
            )
        self._visits_left -= 1
        if self._visits_left < 0:
            raise LimitError(
                f"{len(self.nodes)} nodes refer to each other so often that reading them takes more than "
                f"{_VISITS_PER_NODE} steps a node, expected a module as TVM writes it"
            )
        if index not in self._objects:
            self._objects[index] = self._make(index)
        return self._objects[index]

    def _make(self, index: int) -> Any:
        node = self.nodes[index]
        name = node.get("type") if isinstance(node, dict) else None
        if not isinstance(name, str):
            raise InvalidGraphError(f"node {index} has no type, expected type and data: the file is damaged")
        kind, data = name.rpartition(".")[2], node.get("data")
        if kind == "None":
            return None
        if kind in _PLAIN:
            return data
        if kind == "Tensor":
            if not isinstance(data, str):
                raise InvalidGraphError(f"node {index} is a tensor without data: the file is damaged")
            return FileTensor(data)
        if kind in ("Array", "Map"):
            if not isinstance(data, list) or not all(type(item) is int for item in data):
                raise InvalidGraphError(f"node {index} is a {kind} of {type(data).__name__}, expected numbers of nodes")
            items = [self.value(item, index) for item in data]
            return tuple(items) if kind == "Array" else dict(zip(items[::2], items[1::2], strict=False))
        return FileObject(self, index, kind, data)


def kind_of(value: Any) -> str:
    """The last part of an object's type key, ``Call`` of ``ir.Call``; the parts before it moved between versions.

    Empty for plain values.
    """
    if isinstance(value, FileObject):
        return value.kind
    info = getattr(type(value), "__tvm_ffi_type_info__", None)
    return "" if info is None else str(info.type_key).rpartition(".")[2]


def entries_of(attributes: Any) -> Iterator[tuple[str, Any]]:
    """Names and values of a dictionary of attributes; of None, none."""
    if attributes is None:
        return
    found = getattr(attributes, "__dict__") if isinstance(attributes, FileObject) else attributes  # noqa: B009
    if not isinstance(found, Mapping) and not hasattr(found, "items"):
        raise InvalidGraphError(
            f"attributes are a {kind_of(attributes) or type(found).__name__}, expected a dictionary"
        )
    for name, value in found.items():
        yield str(name), value


def number_of(tensor: Any) -> float:
    """The only element of a tensor."""
    return tensor.number() if isinstance(tensor, FileTensor) else float(tensor.numpy().item())
