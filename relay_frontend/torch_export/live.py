"""A live module or ExportedProgram to an AtenProgram, by way of torch.export; the one place that needs torch."""

import contextlib
import operator
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from relay_frontend.errors import DynamicShapeError, InvalidGraphError, UnsupportedOperatorError
from relay_frontend.graph import OpGraph, TensorType
from relay_frontend.limits import DEFAULT_LIMITS, Limits
from relay_frontend.torch_export.program import Argument, AtenCall, AtenProgram, OpenType, Ref, ValueType
from relay_frontend.torch_export.reader import read_program
from relay_frontend.torch_export.table import converter_of, is_constant

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

__all__ = ["read_exported", "read_module"]


def read_module(
    module: "torch.nn.Module",
    example_inputs: Sequence[Any],
    *,
    example_kwargs: Mapping[str, Any] | None = None,
    name: str | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> OpGraph:
    """Export a module as it stands at inference and read it; nothing is dropped or fused yet.

    Args:
        module: is put into eval mode while it is exported, and back.
        example_inputs: positional arguments of ``forward``; their shapes and dtypes are the network's.
        example_kwargs: keyword arguments of ``forward``.
        name: of the graph; the module's class by default.
        limits: how much the program may ask for.

    Raises:
        InvalidGraphError: torch.export cannot capture the module.
        FrontendError: whatever :func:`read_exported` raises.
    """
    import torch

    if not isinstance(module, torch.nn.Module):
        raise InvalidGraphError(f"the module is a {type(module).__name__}, expected a torch.nn.Module")
    try:
        with _inference(module), torch.no_grad():
            program = torch.export.export(module, tuple(example_inputs), dict(example_kwargs or {}))
    except Exception as error:  # whatever the module itself raises, too
        raise InvalidGraphError(
            f"torch.export cannot capture {type(module).__name__} with these inputs ({_first_line(error)}), expected a "
            "module that it can: see the documentation of torch.export"
        ) from error
    return read_exported(program, name=name or type(module).__name__, limits=limits)


def read_exported(program: "ExportedProgram", *, name: str, limits: Limits = DEFAULT_LIMITS) -> OpGraph:
    """Read a program; operators that the table does not have are decomposed to ATen's core operators first.

    Composite operators that it has as a whole (linear, LSTM, attention ...) stay whole: taken apart they would cost
    something else than what runs.

    Raises:
        DynamicShapeError: an input or another value has a dimension without a value.
        InvalidGraphError: the operators do not fit their inputs.
        LimitError: more nodes or larger tensors than ``limits`` allow.
    """
    found = _aten_program(program)
    if all(converter_of(call.target) or is_constant(call.target) for call in found.calls if any(call.outputs)):
        with contextlib.suppress(UnsupportedOperatorError):  # a write to a view, which decomposing takes out
            return read_program(found, name=name, limits=limits, clock=limits.start_clock())
    found = _aten_program(_decomposed(program, name))
    return read_program(found, name=name, limits=limits, clock=limits.start_clock())


def _decomposed(program: "ExportedProgram", name: str) -> "ExportedProgram":
    """Core ATen, and the composite operators that the table has."""
    import torch

    table = torch.export.default_decompositions()
    for op in list(table):
        if converter_of(_target_name(op)) is not None:
            del table[op]
    try:
        decomposed: ExportedProgram = program.run_decompositions(table)
    except Exception as error:
        raise InvalidGraphError(
            f"torch cannot decompose the exported program {name!r} ({_first_line(error)}), expected operators of ATen: "
            "update torch or export the network to ONNX"
        ) from error
    return decomposed


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


@contextlib.contextmanager
def _inference(module: "torch.nn.Module") -> Iterator[None]:
    """Every part in eval mode, and each back as it was."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode


def _aten_program(program: "ExportedProgram") -> AtenProgram:
    signature = program.graph_signature
    written = set(signature.buffers_to_mutate.values())
    kept = {**signature.inputs_to_parameters, **signature.inputs_to_lifted_tensor_constants}
    buffers = signature.inputs_to_buffers
    parameters = {**kept, **{value: name for value, name in buffers.items() if name not in written}}
    state = [value for value, name in buffers.items() if name in written]
    calls, types, names = _walk(program.graph_module)
    given = [value for value in signature.user_inputs if isinstance(value, str) and value in types]
    outputs = [names.get(getattr(spec.arg, "name", ""), "") for spec in signature.output_specs]
    return AtenProgram(calls, types, (*state, *given), parameters, tuple(name for name in outputs if name in types))


def _walk(module: "torch.fx.GraphModule") -> tuple[tuple[AtenCall, ...], dict[str, ValueType], dict[str, str]]:
    """The calls of a graph, the type of every tensor, and the value that each node is.

    A field of a tuple is a value of its own, ``NODE.INDEX``.
    """
    calls: list[AtenCall] = []
    types: dict[str, ValueType] = {}
    names: dict[str, str] = {}
    for node in module.graph.nodes:
        names[node.name] = node.name
        value = node.meta.get("val")
        if node.op == "call_function" and node.target is operator.getitem:
            names[node.name] = f"{names[node.args[0].name]}.{node.args[1]}"
            continue
        fields = [*value] if isinstance(value, tuple | list) else [value]
        made = [
            f"{node.name}.{place}" if isinstance(value, tuple | list) else node.name for place in range(len(fields))
        ]
        kinds = {name: kind for name, field in zip(made, fields, strict=True) if (kind := _type(field)) is not None}
        types.update(kinds)
        if node.op == "call_function":
            outputs = tuple(name if name in kinds else None for name in made)
            calls.append(AtenCall(_target_name(node.target), node.name, _arguments(node, names), outputs))
    return tuple(calls), types, names


def _target_name(target: object) -> str:
    """``aten.conv2d.default``; of what is no ATen operator, whatever names it."""
    return str(target) if "." in str(target) and "<" not in str(target) else getattr(target, "__name__", str(target))


def _type(value: object) -> ValueType | None:
    import torch

    if not isinstance(value, torch.Tensor):
        return None
    dims = [int(extent) if isinstance(extent, int) else str(extent) for extent in value.shape]
    shape = tuple(dim for dim in dims if isinstance(dim, int))
    dtype = _dtype_name(value.dtype)
    return TensorType(shape, dtype) if len(shape) == len(dims) else OpenType(tuple(dims), dtype)


def _dtype_name(dtype: "torch.dtype") -> str:
    return str(dtype).removeprefix("torch.").replace("_", "").replace("float8e8m0fnu", "float8e8m0")


def _arguments(node: "torch.fx.Node", names: Mapping[str, str]) -> dict[str, Argument]:
    schema = getattr(node.target, "_schema", None)
    known = [argument.name for argument in schema.arguments] if schema is not None else []
    places = [known[place] if place < len(known) else str(place) for place in range(len(node.args))]
    given = {**dict(zip(places, node.args, strict=True)), **node.kwargs}
    return {name: _argument(value, names, node) for name, value in given.items()}


def _argument(value: object, names: Mapping[str, str], node: "torch.fx.Node") -> Argument:
    import torch

    if isinstance(value, torch.fx.Node):
        return Ref(names[value.name])
    if isinstance(value, list | tuple):
        return tuple(_argument(item, names, node) for item in value)
    if isinstance(value, torch.dtype):
        return _dtype_name(value)
    if isinstance(value, torch.SymInt | torch.SymFloat | torch.SymBool):
        raise DynamicShapeError(f"{node.name!r} has argument {value}, expected a number: export without dynamic_shapes")
    return value if isinstance(value, bool | int | float | str) else None
