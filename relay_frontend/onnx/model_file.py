"""From a file to a graph: size, existence and format are checked before anything is parsed."""

from collections.abc import Mapping
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from relay_frontend.errors import ModelFileError
from relay_frontend.graph import OpGraph
from relay_frontend.limits import DEFAULT_LIMITS, Limits
from relay_frontend.onnx.reader import from_onnx

__all__ = ["load_model", "read_onnx"]


def read_onnx(
    path: Path, *, shapes: Mapping[str, tuple[int, ...]] | None = None, limits: Limits = DEFAULT_LIMITS
) -> OpGraph:
    """Read an ONNX file; data kept outside of the file is never loaded.

    Args:
        path: the file.
        shapes: shapes for graph inputs whose dimensions the file leaves open, by input name.
        limits: how much the file may ask for.

    Raises:
        ModelFileError: missing, unreadable, truncated or not ONNX.
        LimitError: larger than ``limits`` allow.
        FrontendError: whatever :func:`from_onnx` raises.
    """
    return from_onnx(load_model(path, limits=limits), shapes=shapes, name=path.stem)


def load_model(path: Path, *, limits: Limits = DEFAULT_LIMITS) -> onnx.ModelProto:
    """The model as it is in the file, without data kept outside of it.

    Raises:
        ModelFileError: missing, unreadable, truncated or not ONNX.
        LimitError: larger than ``limits`` allow.
    """
    content = _read_bytes(path, limits)
    if not content:
        raise ModelFileError(f"{path} is empty, expected an ONNX model: export it again")
    try:
        model: onnx.ModelProto = onnx.ModelProto.FromString(content)
    except DecodeError as error:
        raise ModelFileError(
            f"{path} is no ONNX model or is truncated ({error}), expected a serialised ModelProto: export it again"
        ) from error
    if not model.HasField("graph"):
        raise ModelFileError(f"{path} holds no graph, expected an ONNX model: is it truncated, or another format?")
    return model


def _read_bytes(path: Path, limits: Limits) -> bytes:
    try:
        size_bytes = path.stat().st_size
        limits.check_bytes(size_bytes, str(path))
        return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise ModelFileError(f"cannot read {path} ({reason}), expected an ONNX file: check the path") from error
