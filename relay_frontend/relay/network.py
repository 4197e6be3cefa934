"""A Relay module, live or from a file, to a network and, where it is fused, the kernels that it is compiled to."""

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from relay_frontend.errors import ModelFileError
from relay_frontend.limits import DEFAULT_LIMITS, Clock, Limits
from relay_frontend.plan import PlannedNetwork
from relay_frontend.relax.rewrite import planned_network
from relay_frontend.relay.builder import build_graph
from relay_frontend.relay.document import Buffer, open_bytes, parse_document
from relay_frontend.relay.joins import RULES
from relay_frontend.relay.json_reader import Metadata, read_metadata, read_program
from relay_frontend.relay.program import Program
from relay_frontend.relay.text_reader import read_text_program

__all__ = ["from_relay", "read_relay_json", "read_relay_text"]

Shapes = Mapping[str, tuple[int, ...]]

_METADATA = b"#[metadata]"
_MAX_TEXT_BYTES = 2**24  # without the metadata section: about 100,000 operators


def read_relay_json(
    path: Path, *, function: str = "main", shapes: Shapes | None = None, limits: Limits = DEFAULT_LIMITS
) -> PlannedNetwork:
    """Read a file that ``tvm.ir.save_json`` of TVM 0.8 to 0.19 wrote; TVM is not needed.

    Args:
        path: the file.
        function: the function to read.
        shapes: of inputs whose dimensions are open, by name; whoever is named here is an input and no weight.
        limits: how much the file may ask for.

    Raises:
        ModelFileError: missing, truncated, or not the JSON of a module.
        InvalidGraphError: no such function, references that lead nowhere or in circles, types that do not fit.
        UnsupportedOperatorError: control flow, or an operator outside the table without a type in the file.
        DynamicShapeError: a dimension is open.
        LimitError: the file asks for more than ``limits`` allow.
    """
    clock = limits.start_clock()
    program = _program_of(open_bytes(path, limits), str(path), limits, clock)
    return _network(program, function, path.stem, shapes, limits, clock)


def read_relay_text(
    path: Path, *, function: str = "main", shapes: Shapes | None = None, limits: Limits = DEFAULT_LIMITS
) -> PlannedNetwork:
    """Read a file that ``module.astext()`` wrote, with a metadata section or without; arguments as read_relay_json.

    Raises:
        ModelFileError: missing, truncated, or no Relay text 0.0.5.
        FrontendError: whatever else read_relay_json raises.
    """
    clock, what = limits.start_clock(), str(path)
    buffer = open_bytes(path, limits)
    place = buffer.find(_METADATA)
    end = len(buffer) if place < 0 else place
    Limits(file_bytes=_MAX_TEXT_BYTES).check_bytes(end, f"the text of {path}")
    try:
        text = buffer[:end].decode()
    except UnicodeDecodeError as error:
        raise ModelFileError(f"{path} is no text ({error.reason} at byte {error.start}), expected Relay's") from error
    if not text.strip():
        raise ModelFileError(f"{path} is empty, expected Relay text: print the module with astext()")
    found = _metadata(buffer, place, what, limits, clock)
    program = read_text_program(text, found, limits, clock, what)
    return _network(program, function, path.stem, shapes, limits, clock)


def from_relay(
    module: Any,
    *,
    function: str = "main",
    name: str | None = None,
    shapes: Shapes | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> PlannedNetwork:
    """Read a live module of any TVM that still has Relay, by way of its own ``tvm.ir.save_json``.

    Args:
        module: a ``tvm.IRModule``; the package that its class comes from is asked, none is imported here by name.
        function: the function to read.
        name: of the graph; the function's by default.
        shapes: of inputs whose dimensions are open, by name.
        limits: how much the module may ask for.

    Raises:
        ModelFileError: the module's package has no ``ir.save_json``, or it writes something else.
        FrontendError: whatever else read_relay_json raises.
    """
    package = type(module).__module__.partition(".")[0]
    save = getattr(getattr(sys.modules.get(package), "ir", None), "save_json", None)
    if save is None:
        save = _saver(package)
    clock = limits.start_clock()
    written = save(module)
    if not isinstance(written, str):
        raise ModelFileError(f"{package}.ir.save_json gives {type(written).__name__}, expected a text")
    program = _program_of(written.encode(), f"a {type(module).__qualname__}", limits, clock)
    return _network(program, function, name or function, shapes, limits, clock)


def _saver(package: str) -> Any:
    try:
        return importlib.import_module(f"{package}.ir").save_json
    except (ImportError, AttributeError, ValueError) as error:
        raise ModelFileError(
            f"the module's class comes from {package!r}, which has no ir.save_json; expected a tvm.IRModule"
        ) from error


def _program_of(buffer: Buffer, what: str, limits: Limits, clock: Clock) -> Program:
    document = parse_document(buffer, what, clock)
    root = document.nodes[document.root]["type_key"]
    if root not in ("IRModule", "relay.Function"):
        raise ModelFileError(f"{what} is a {root or 'null'}, expected an IRModule or a relay.Function")
    program = read_program(document, limits, clock)
    if not program.functions:
        kinds = sorted({str(node["type_key"]) for node in document.nodes if "Function" in node["type_key"]})
        raise ModelFileError(
            f"{what} has no Relay function, got {', '.join(kinds[:4]) or 'none at all'} of TVM {document.version}: "
            "read the module before it is lowered"
        )
    return program


def _metadata(buffer: Buffer, place: int, what: str, limits: Limits, clock: Clock) -> Metadata:
    if place < 0:
        return {}
    document = parse_document(buffer, f"the metadata of {what}", clock, start=place + len(_METADATA))
    return read_metadata(document, limits, clock)


def _network(
    program: Program, function: str, name: str, shapes: Shapes | None, limits: Limits, clock: Clock
) -> PlannedNetwork:
    reading = build_graph(program, function=function, name=name, shapes=shapes or {}, limits=limits, clock=clock)
    return planned_network(RULES, reading.graph, reading.scalars, reading.kernels)
