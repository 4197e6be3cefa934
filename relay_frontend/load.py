"""A model file of any known format, or a live torch module, to a canonical OpGraph."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relay_frontend.collection import collection_paused
from relay_frontend.errors import ModelFileError
from relay_frontend.graph import OpGraph
from relay_frontend.limits import DEFAULT_LIMITS, Limits
from relay_frontend.passes import canonicalize
from relay_frontend.plan import FusionPlan, PlannedNetwork

if TYPE_CHECKING:
    from torch.nn import Module

__all__ = ["KNOWN_SUFFIXES", "from_torch", "load_graph", "load_module"]

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
    return load_module(path, shapes=shapes, limits=limits)[0]


@collection_paused()
def load_module(
    path: Path | str, *, shapes: Mapping[str, tuple[int, ...]] | None = None, limits: Limits = DEFAULT_LIMITS
) -> tuple[OpGraph, FusionPlan | None]:
    """Read a model file as load_graph does, with the kernels that it says itself.

    Returns:
        The graph in canonical form, and the plan of a module that a compiler has fused already; None for any other.
        The plan is over operators that are put together only where they are in one kernel.
    """
    path = Path(path)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise ModelFileError(
            f"{path} has suffix {path.suffix!r}, expected one of the known formats {', '.join(KNOWN_SUFFIXES)}: "
            "export the network to ONNX"
        )
    found = reader(path, shapes, limits)
    return canonicalize(found.graph), found.plan


def from_torch(
    module: "Module",
    example_inputs: Sequence[Any],
    *,
    example_kwargs: Mapping[str, Any] | None = None,
    name: str | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> OpGraph:
    """Read a live torch module as it runs at inference, and bring it into canonical form; needs torch.

    Args:
        module: goes through torch.export and stays as it is.
        example_inputs: positional arguments of ``forward``; their shapes and dtypes are the network's.
        example_kwargs: keyword arguments of ``forward``.
        name: of the graph; the module's class by default.
        limits: how much the network may ask for.

    Raises:
        InvalidGraphError: torch.export cannot capture the module.
        DynamicShapeError: a shape depends on data.
        LimitError: the network asks for more than ``limits`` allow.
    """
    from relay_frontend.torch_export import read_module  # imported here: it takes onnx's operator definitions

    graph = read_module(module, example_inputs, example_kwargs=example_kwargs, name=name, limits=limits)
    return canonicalize(graph)


def _load_onnx(path: Path, shapes: _Shapes, limits: Limits) -> PlannedNetwork:
    from relay_frontend.onnx import read_onnx  # imported here: onnx takes a tenth of a second

    return PlannedNetwork(read_onnx(path, shapes=shapes, limits=limits))


def _load_json(path: Path, shapes: _Shapes, limits: Limits) -> PlannedNetwork:
    from relay_frontend.json_module import read_json_module

    return read_json_module(path, shapes, limits)


def _load_relay_text(path: Path, shapes: _Shapes, limits: Limits) -> PlannedNetwork:
    from relay_frontend.relay import read_relay_text  # imported here: lark is of no use to the others

    return read_relay_text(path, shapes=shapes, limits=limits)


def _load_pt2(path: Path, shapes: _Shapes, limits: Limits) -> PlannedNetwork:
    from relay_frontend.torch_export import read_pt2

    return PlannedNetwork(read_pt2(path, shapes=shapes, limits=limits))


# One entry a format.
_READERS: dict[str, Callable[[Path, _Shapes, Limits], PlannedNetwork]] = {
    ".json": _load_json,
    ".onnx": _load_onnx,
    ".pt2": _load_pt2,
    ".relay": _load_relay_text,
    ".txt": _load_relay_text,
}

KNOWN_SUFFIXES = tuple(sorted(_READERS))
