"""From a file to a graph: existence, size, format and what parsing would take are checked before anything is parsed."""

import mmap
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from relay_frontend.collection import collection_paused
from relay_frontend.errors import ModelFileError
from relay_frontend.graph import OpGraph
from relay_frontend.limits import DEFAULT_LIMITS, Limits
from relay_frontend.onnx.reader import from_onnx
from relay_frontend.onnx.source import check_text
from relay_frontend.onnx.wire import UNCOUNTED_BYTES, Buffer, strip_weights

__all__ = ["load_model", "read_onnx"]


def read_onnx(
    path: Path, *, shapes: Mapping[str, tuple[int, ...]] | None = None, limits: Limits = DEFAULT_LIMITS
) -> OpGraph:
    """Read an ONNX file; weights are jumped over, and data kept outside of the file is never loaded.

    Args:
        path: the file.
        shapes: shapes for graph inputs whose dimensions the file leaves open, by input name.
        limits: how much the file may ask for.

    Raises:
        ModelFileError: missing, unreadable, truncated or not ONNX.
        LimitError: it asks for more than ``limits`` allow.
        FrontendError: whatever :func:`from_onnx` raises.
    """
    return from_onnx(load_model(path, limits=limits, weights=False), shapes=shapes, name=path.stem, limits=limits)


@collection_paused()
def load_model(path: Path, *, limits: Limits = DEFAULT_LIMITS, weights: bool = True) -> onnx.ModelProto:
    """The model as it is in the file, without data kept outside of it.

    Args:
        path: the file.
        limits: how much it may ask for.
        weights: whether to keep the data of tensors that are too big to say anything about shapes.

    Raises:
        ModelFileError: missing, unreadable, truncated or not ONNX.
        LimitError: it asks for more than ``limits`` allow.
    """
    clock = limits.start_clock()
    with _open(path, limits) as content:
        if len(content) <= UNCOUNTED_BYTES:
            model = _parse(content[:], path)
        else:
            stripped = strip_weights(content, str(path), limits, clock)
            model = _parse(content[:] if weights else stripped, path)
    _check_links(model, path)
    return model


def _parse(content: bytes, path: Path) -> onnx.ModelProto:
    try:
        model: onnx.ModelProto = onnx.ModelProto.FromString(content)
    except DecodeError as error:
        raise ModelFileError(
            f"{path} is no ONNX model or is truncated ({error}), expected a serialised ModelProto: export it again"
        ) from error
    if not model.HasField("graph"):
        raise ModelFileError(f"{path} holds no graph, expected an ONNX model: is it truncated, or another format?")
    return model


def _check_links(model: onnx.ModelProto, path: Path) -> None:
    """Check that data beside the file is no link out of the folder; the file itself may be one, data beside it too."""
    locations = {
        entry.value
        for tensor in model.graph.initializer
        if tensor.data_location == onnx.TensorProto.EXTERNAL
        for entry in tensor.external_data
        if entry.key == "location"
    }
    check_text(*locations)
    folders = {os.path.realpath(path.parent), os.path.dirname(os.path.realpath(path))} if locations else set()
    for location in locations:
        target = os.path.realpath(path.parent / location.replace("\0", ""))
        if not any(os.path.commonpath([folder, target]) == folder for folder in folders):
            raise ModelFileError(
                f"{path} has weights at {location[:200]!r}, which is outside of its folder, expected a path within: do "
                "not use this file where its weights are loaded"
            )


@contextmanager
def _open(path: Path, limits: Limits) -> Iterator[Buffer]:
    """The content of a file, mapped into memory so that only what is looked at is read."""
    try:
        kind = path.stat()
        if not stat.S_ISREG(kind.st_mode) and not stat.S_ISDIR(kind.st_mode):  # a pipe or a device may never end
            raise ModelFileError(f"{path} is no regular file, expected an ONNX file: check the path")
        limits.check_bytes(kind.st_size, str(path))
        if not kind.st_size:
            raise ModelFileError(f"{path} is empty, expected an ONNX model: export it again")
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            yield content
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise ModelFileError(f"cannot read {path} ({reason}), expected an ONNX file: check the path") from error
