"""The torch reader: a ``.pt2`` file of torch.export, or a live module, to an OpGraph.

A file is never unpickled and never run: of the archive only the JSON that describes the network is opened, and torch is
not imported for it.

- archive: the zip, and its JSON within limits
- document: the JSON to an AtenProgram
- live: a module or an ExportedProgram to an AtenProgram, through torch
- program: calls of ATen operators as plain values
- reader: the walk over the calls
- table: which function converts which operator; the functions are in elementwise, movement, normalizations, products,
  recurrent, reductions and windows
- call: what those functions see and write to
"""

from collections.abc import Mapping
from pathlib import Path

from relay_frontend.errors import InvalidGraphError
from relay_frontend.graph import OpGraph
from relay_frontend.limits import DEFAULT_LIMITS, Limits
from relay_frontend.torch_export.archive import read_document
from relay_frontend.torch_export.document import program_of_document
from relay_frontend.torch_export.live import read_exported, read_module
from relay_frontend.torch_export.reader import read_program

__all__ = ["read_exported", "read_module", "read_pt2"]


def read_pt2(
    path: Path, *, shapes: Mapping[str, tuple[int, ...]] | None = None, limits: Limits = DEFAULT_LIMITS
) -> OpGraph:
    """Read a file that torch.export.save wrote, of torch 2.1 or later; nothing is dropped or fused yet.

    Args:
        path: the file.
        shapes: by input name; a program has fixed shapes, so these can only agree with it.
        limits: how much the file may ask for.

    Raises:
        ModelFileError: missing, damaged, or no exported program.
        DynamicShapeError: the program was exported with dynamic_shapes.
        InvalidGraphError: arguments or types that do not fit, or ``shapes`` that are not the program's.
        LimitError: the file asks for more than ``limits`` allow.
    """
    clock = limits.start_clock()
    document = read_document(path, limits)
    graph = read_program(program_of_document(document, limits, clock), name=path.stem, limits=limits, clock=clock)
    kinds = dict(graph.inputs)
    wrong = {
        name: shape for name, shape in (shapes or {}).items() if name not in kinds or kinds[name].shape != tuple(shape)
    }
    if wrong:
        known = ", ".join(f"{name}={'x'.join(map(str, kind.shape))}" for name, kind in graph.inputs)
        raise InvalidGraphError(
            f"shapes are given for {wrong}, expected the program's own, which are fixed: {known}; export the network "
            "for another shape"
        )
    return graph
