"""A Relax module, live or from a file, to a network and, where it is fused, the kernels that it is compiled to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relay_frontend.errors import FrontendError, InvalidGraphError, LimitError
from relay_frontend.graph import OpGraph, OpNode
from relay_frontend.limits import DEFAULT_LIMITS, Limits
from relay_frontend.plan import FusionPlan
from relay_frontend.relax.document import parse_module, read_text
from relay_frontend.relax.passes import normalise_relax
from relay_frontend.relax.reader import RelaxReading, read_relax

__all__ = ["RelaxNetwork", "from_relax", "join_in_kernels", "read_relax_json"]


@dataclass(frozen=True, slots=True)
class RelaxNetwork:
    """A network in canonical operators.

    Attributes:
        graph: of the whole network, operators put together wherever they belong together.
        plan: the kernels of a module that FuseOps has been over; its graph has operators put together only where they
            are in one kernel. None where nothing is fused yet.
    """

    graph: OpGraph
    plan: FusionPlan | None


def from_relax(
    module: Any,
    *,
    function: str = "main",
    name: str | None = None,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> RelaxNetwork:
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
    graph = normalise_relax(reading.graph, reading.scalars)[0]
    if reading.kernels is None:
        return RelaxNetwork(graph, None)
    joined, kernels = join_in_kernels(reading, reading.kernels)
    plan = FusionPlan(joined, tuple(kernel for kernel in kernels if kernel), "tvm")
    return RelaxNetwork(graph, plan)


def read_relax_json(
    path: Path, *, shapes: Mapping[str, tuple[int, ...]] | None = None, limits: Limits = DEFAULT_LIMITS
) -> RelaxNetwork:
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


def join_in_kernels(
    reading: RelaxReading, kernels: Sequence[tuple[int, ...]]
) -> tuple[OpGraph, tuple[tuple[int, ...], ...]]:
    """Put operators together inside of kernels only.

    Args:
        reading: a function as it was read.
        kernels: a partition of its nodes.

    Returns:
        The new graph, and for each of the kernels what is left of it; of one that stands for no operator, nothing.
    """
    kernel_of = {node: index for index, nodes in enumerate(kernels) for node in nodes}

    def allowed(nodes: tuple[int, ...], becomes: OpNode | None) -> bool:
        found = {kernel_of[node] for node in nodes}
        alone = all(set(kernels[kernel]) <= set(nodes) for kernel in found)
        return len(found) == 1 and (becomes is not None or not alone)

    graph, moved = normalise_relax(reading.graph, reading.scalars, allowed)
    left = (sorted({place for node in nodes if (place := moved[node]) is not None}) for nodes in kernels)
    return graph, tuple(map(tuple, left))
