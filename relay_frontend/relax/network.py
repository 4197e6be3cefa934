"""A Relax module, live or from a file, to a network and, where it is fused, the kernels that it is compiled to."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from relay_frontend.errors import FrontendError, InvalidGraphError, LimitError
from relay_frontend.limits import DEFAULT_LIMITS, Limits
from relay_frontend.plan import PlannedNetwork
from relay_frontend.relax.document import parse_module, read_text
from relay_frontend.relax.passes import RULES
from relay_frontend.relax.reader import read_relax
from relay_frontend.relax.rewrite import planned_network

__all__ = ["from_relax", "read_relax_json"]


def from_relax(
    module: Any,
    *,
    function: str = "main",
    name: str | None = None,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> PlannedNetwork:
    """Read one function of a live module.

    What TVM's ONNX importer spells out (a convolution's bias as a reshaped addition, Sum as a stack that is reduced,
    LRN as eight operators ...) is put together again, so that a network has the same operators through either door.
    So are operators that LegalizeOps made PrimFuncs of, and FuseOps or FuseTIR kernels.

    Args:
        module: a ``tvm.IRModule`` before it is scheduled or lowered.
        function: the function to read.
        name: of the graph; the function's by default.
        shapes: of inputs with symbolic dimensions, by name.
        limits: how much the module may ask for.

    Raises:
        DynamicShapeError: a dimension is symbolic.
        UnsupportedOperatorError: control flow, layouts that the table does not know, or a module that is lowered.
        InvalidGraphError: no such function, or a value that is no tensor where one is needed.
        LimitError: the module asks for more than ``limits`` allow.
    """
    reading = read_relax(module, function=function, name=name, shapes=shapes, limits=limits)
    return planned_network(RULES, reading.graph, reading.scalars, reading.kernels)


def read_relax_json(
    path: Path, *, shapes: Mapping[str, tuple[int, ...]] | None = None, limits: Limits = DEFAULT_LIMITS
) -> PlannedNetwork:
    """Read the function ``main`` of a file that ``tvm.ir.save_json`` wrote; TVM is not needed.

    Args:
        path: the file.
        shapes: of inputs with symbolic dimensions, by name.
        limits: how much the file may ask for.

    Raises:
        ModelFileError: missing, truncated, or not the JSON of a module.
        FrontendError: whatever else from_relax raises.
    """
    text = read_text(path, limits)
    try:
        module = parse_module(text, str(path))
        del text
        return from_relax(module, name=path.stem, shapes=shapes, limits=limits)
    except FrontendError:
        raise
    except RecursionError as error:
        raise LimitError(
            f"{path} nests expressions deeper than Python can follow, expected a module of TVM's"
        ) from error
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # A file may have anything in any field; what that leads to is not worth a check in each place.
        raise InvalidGraphError(f"{path} is no well-formed module ({error}), expected one as TVM saves it") from error
