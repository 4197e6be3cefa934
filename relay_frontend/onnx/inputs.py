"""Graph inputs: which of them are weights, and a number for every dimension of the others."""

from collections.abc import Mapping, Sequence

import onnx

from relay_frontend.errors import DynamicShapeError, InvalidGraphError, UnsupportedOperatorError
from relay_frontend.graph import TensorType
from relay_frontend.onnx.source import SourceNode, dtype_name

__all__ = ["bind_inputs", "declared_types", "notes_on_inputs"]

# Input slots that hold weights in every network that trains them.
_WEIGHT_SLOTS: dict[str, range] = {
    "BatchNormalization": range(1, 5),
    "Conv": range(1, 3),
    "ConvTranspose": range(1, 3),
    "GRU": range(1, 4),
    "Gemm": range(1, 3),
    "GroupNormalization": range(1, 3),
    "InstanceNormalization": range(1, 3),
    "LSTM": range(1, 4),
    "LayerNormalization": range(1, 3),
    "PRelu": range(1, 2),
    "RNN": range(1, 4),
}

_Bound = tuple[list[tuple[str, TensorType]], dict[str, TensorType]]


def bind_inputs(
    graph: onnx.GraphProto,
    stored: Mapping[str, TensorType],
    nodes: Sequence[SourceNode],
    shapes: Mapping[str, tuple[int, ...]],
) -> _Bound:
    """The inputs that a caller passes in, and those that are weights by name.

    A dimension that is named in the model has the same value wherever the name occurs, so that one ``shapes`` entry
    binds it for all inputs.

    Raises:
        DynamicShapeError: names every input with an open dimension, and the ``--shape`` to give.
        InvalidGraphError: ``shapes`` names no input, or contradicts the model.
        UnsupportedOperatorError: an input is neither a tensor nor an optional one.
    """
    values = [value for value in graph.input if value.name not in stored]
    _check_names([value.name for value in values], shapes)
    weights = _weights(nodes, {value.name for value in values[1:]})
    bound: dict[str, int] = {}
    for value in values:
        if value.name in shapes:
            _bind(value, shapes[value.name], bound)
    found: list[tuple[str, TensorType]] = []
    parameters: dict[str, TensorType] = {}
    open_inputs: list[str] = []
    for value in values:
        kind = _input_type(value, shapes.get(value.name), bound)
        if kind is None:
            open_inputs.append(_describe(value))
        elif value.name in weights:
            parameters[value.name] = kind
        else:
            found.append((value.name, kind))
    if open_inputs:
        raise DynamicShapeError(
            f"{len(open_inputs)} of {len(values)} inputs have dimensions without a value: {'; '.join(open_inputs)}"
        )
    return found, parameters


def notes_on_inputs(graph: onnx.GraphProto) -> list[str]:
    """What the file leaves open of the inputs, and how :func:`bind_inputs` takes it."""
    return [
        f"input {value.name!r} may be left out: it is counted as given"
        for value in graph.input
        if value.type.HasField("optional_type")
    ]


def declared_types(graph: onnx.GraphProto, inputs: Sequence[tuple[str, TensorType]]) -> dict[str, TensorType]:
    """Types that the file states for inner values and outputs, where they are complete.

    A dimension by name has the extent that it has in ``inputs``, which :func:`bind_inputs` found.
    """
    named = _named_extents(graph, dict(inputs))
    found = {}
    for value in (*graph.value_info, *graph.output):
        dims = _dims(value) if value.type.HasField("tensor_type") else None
        dims = dims and [named.get(dim, dim) if isinstance(dim, str) else dim for dim in dims]
        if dims is not None and value.type.tensor_type.elem_type and all(isinstance(dim, int) for dim in dims):
            shape = tuple(dim for dim in dims if isinstance(dim, int))
            found[value.name] = TensorType(shape, dtype_name(value.type.tensor_type.elem_type, f"{value.name!r}"))
    return found


def _named_extents(graph: onnx.GraphProto, inputs: Mapping[str, TensorType]) -> dict[str, int]:
    found: dict[str, int] = {}
    for value in graph.input:
        dims = _dims(value) if value.name in inputs else None
        for dim, extent in zip(dims or (), inputs[value.name].shape if dims else (), strict=True):
            if dim and isinstance(dim, str):
                found[dim] = extent
    return found


def _check_names(names: list[str], shapes: Mapping[str, tuple[int, ...]]) -> None:
    doubled = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if doubled:
        raise InvalidGraphError(f"inputs {doubled} are declared twice, expected each once: is the file damaged?")
    unknown = sorted(set(shapes) - set(names))
    if unknown:
        raise InvalidGraphError(
            f"shapes are given for {', '.join(map(repr, unknown))}, expected names of inputs: "
            f"{', '.join(map(repr, names)) or 'the network has none'}"
        )


def _weights(nodes: Sequence[SourceNode], candidates: set[str]) -> set[str]:
    """Those that are read where weights are and nowhere else: a matrix that is data may be a Gemm's third input."""
    if not candidates:
        return set()
    weights: set[str] = set()
    data: set[str] = set()
    for node in nodes:
        places = _WEIGHT_SLOTS.get(node.op, ())
        for slot, name in enumerate(node.inputs):
            (weights if slot in places else data).add(name)
    return (weights - data) & candidates


def _dims(value: onnx.ValueInfoProto) -> list[int | str] | None:
    """Each dimension as a number, or as its name (may be empty); None when not even the rank is known."""
    kind = _tensor(value)
    if kind is None or not kind.HasField("shape"):
        return None
    return [
        dim.dim_value if dim.HasField("dim_value") and dim.dim_value >= 0 else dim.dim_param for dim in kind.shape.dim
    ]


def _tensor(value: onnx.ValueInfoProto) -> onnx.TypeProto.Tensor | None:
    """The type of a tensor, or of what is inside of an optional one; None for whatever else a value may be."""
    kind = value.type.optional_type.elem_type if value.type.HasField("optional_type") else value.type
    return kind.tensor_type if kind.HasField("tensor_type") else None


def _bind(value: onnx.ValueInfoProto, shape: tuple[int, ...], bound: dict[str, int]) -> None:
    dims = _dims(value)
    conflict = any(extent < 0 for extent in shape) or (dims is not None and len(dims) != len(shape))
    for dim, extent in zip(dims or (), shape, strict=False):
        conflict = conflict or (dim if isinstance(dim, int) else bound.get(dim, extent)) != extent
        if isinstance(dim, str) and dim:
            bound[dim] = extent
    if conflict:
        raise InvalidGraphError(
            f"input {value.name!r} is given shape {_print(shape)}, expected one that fits the model's "
            f"{_print(dims or ())}"
        )


def _input_type(
    value: onnx.ValueInfoProto, shape: tuple[int, ...] | None, bound: Mapping[str, int]
) -> TensorType | None:
    kind = _tensor(value)
    if kind is None:
        raise UnsupportedOperatorError(
            f"input {value.name!r} is of kind {_kind(value.type)}, expected a tensor or an optional one: a file does "
            "not say how many tensors a sequence has; give each of them as an input of its own"
        )
    dtype = dtype_name(kind.elem_type, f"input {value.name!r}")
    if shape is None:
        known = _dims(value)
        if known is None:
            return None
        dims = [bound.get(dim) if isinstance(dim, str) else dim for dim in known]
        shape = tuple(dim for dim in dims if dim is not None)
        if len(shape) != len(dims):
            return None
    return TensorType(tuple(shape), dtype)


def _kind(kind: onnx.TypeProto) -> str:
    """``sequence_type`` for instance, ``optional_type of sequence_type``."""
    name = kind.WhichOneof("value") or "none"
    return f"{name} of {_kind(kind.optional_type.elem_type)}" if name == "optional_type" else name


def _describe(value: onnx.ValueInfoProto) -> str:
    dims = _dims(value)
    if dims is None:
        return f"{value.name!r} has no rank, give --shape {value.name}=1x3x224x224 (with its own numbers)"
    image = len(dims) == 4
    example = [
        dim if isinstance(dim, int) else 1 if axis == 0 else (3 if axis == 1 else 224) if image else 128
        for axis, dim in enumerate(dims)
    ]
    return f"{value.name!r} has {_print(dims)}, give --shape {value.name}={'x'.join(map(str, example))}"


def _print(dims: Sequence[int | str]) -> str:
    return f"[{', '.join(str(dim) or '?' for dim in dims)}]"
