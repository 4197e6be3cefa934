"""A model file of any known format to a canonical OpGraph."""

from collections.abc import Callable, Mapping
from pathlib import Path

from relay_frontend.errors import ModelFileError
from relay_frontend.graph import OpGraph
from relay_frontend.limits import DEFAULT_LIMITS, Limits
from relay_frontend.passes import canonicalize

__all__ = ["KNOWN_SUFFIXES", "load_graph"]

_Shapes = Mapping[str, tuple[int, ...]] | None


def load_graph(
    path: Path | str, *, shapes: Mapping[str, tuple[int, ...]] | None = None, limits: Limits = DEFAULT_LIMITS
) -> OpGraph:
    """Read a model file and bring it into canonical form.

    Args:
        path: a file whose suffix names its format, see ``KNOWN_SUFFIXES``.
        shapes: shapes for inputs whose dimensions the file leaves open, by input name.
        limits: how much the file may ask for.

    Raises:
        ModelFileError: of no known format, missing, truncated.
        LimitError: the file asks for more than ``limits`` allow.
        FrontendError: whatever else the format's reader raises.
    """
    path = Path(path)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise ModelFileError(
            f"{path} has suffix {path.suffix!r}, expected one of the known formats {', '.join(KNOWN_SUFFIXES)}: "
            "export the network to ONNX"
        )
    return canonicalize(reader(path, shapes, limits))


def _load_onnx(path: Path, shapes: _Shapes, limits: Limits) -> OpGraph:
    from relay_frontend.onnx import read_onnx  # imported here: onnx takes a tenth of a second

    return read_onnx(path, shapes=shapes, limits=limits)


# One entry a format; Relay's and Relax's JSON (.json) and torch.export's archives (.pt2) have their place here.
_READERS: dict[str, Callable[[Path, _Shapes, Limits], OpGraph]] = {".onnx": _load_onnx}

KNOWN_SUFFIXES = tuple(sorted(_READERS))
