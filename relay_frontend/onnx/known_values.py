"""What is known of the values of an ONNX graph while it is read: types, constants, and where each comes from."""

from dataclasses import dataclass, field

import onnx

from relay_frontend.errors import DynamicShapeError, InvalidGraphError
from relay_frontend.graph import GRAPH_INPUT, PARAMETER, Edge, OpNode, TensorType
from relay_frontend.limits import Limits
from relay_frontend.onnx.bodies import Bodies
from relay_frontend.onnx.sequences import SequenceValue
from relay_frontend.onnx.source import (
    MAX_KNOWN_ELEMENTS,
    Array,
    SourceNode,
    check_location,
    decode_tensor,
    tensor_type,
)

__all__ = ["KnownValues", "stored_types"]


def stored_types(graph: onnx.GraphProto, limits: Limits) -> dict[str, TensorType]:
    """Types of the initializers, by their own names."""
    found = {}
    for tensor in graph.initializer:
        found[tensor.name] = tensor_type(tensor, f"initializer {tensor.name!r}", limits)
        check_location(tensor, f"initializer {tensor.name!r}")
    for sparse in graph.sparse_initializer:
        kind = tensor_type(sparse.values, f"initializer {sparse.values.name!r}", limits)
        shape = tuple(sparse.dims)
        limits.check_shape(shape, f"initializer {sparse.values.name!r}")
        found[sparse.values.name] = TensorType(shape, kind.dtype)
    return found


@dataclass(slots=True)
class KnownValues:
    """What is known so far, by value name, and the graph that has been made of it; one use each.

    Attributes:
        declared: types that the file itself states, used only where inference cannot tell.
        stored: initializers, decoded only if their values are needed.
        constants: types of what is constant: parameters as soon as an operator reads them.
        types: types of everything, constants included.
        values: values of small constants.
        bodies: decodes the graphs that nodes hold, and knows which names are taken.
        edges: where each value that is no constant comes from, and each constant that an operator has read.
        origins: constants that have another name: name -> the one that it had first.
        sequences: values that are no tensors: the tensors inside of each, None for an optional that is empty.
        unknown: values whose type cannot be told, and why.
        notes: what the file leaves open and how it is counted.
    """

    declared: dict[str, TensorType]
    stored: dict[str, onnx.TensorProto]
    constants: dict[str, TensorType]
    types: dict[str, TensorType]
    bodies: Bodies
    limits: Limits
    values: dict[str, Array | None] = field(default_factory=dict)
    edges: dict[str, Edge] = field(default_factory=dict)
    nodes: list[OpNode] = field(default_factory=list)
    parameters: list[tuple[str, TensorType]] = field(default_factory=list)
    origins: dict[str, str] = field(default_factory=dict)
    sequences: dict[str, SequenceValue] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.types.update(self.constants)

    def __contains__(self, name: object) -> bool:
        return name in self.types or name in self.sequences or name in self.unknown

    def edge_to(self, name: str) -> Edge:
        """Where ``name`` comes from; a constant becomes a parameter the first time that it is asked for."""
        if self.origins:
            name = self.origins.get(name, name)
        edge = self.edges.get(name)
        if edge is not None:
            return edge
        kind = self.constants.get(name)
        if kind is None and name in self.unknown:
            raise DynamicShapeError(f"the type of {name!r} is open: {self.unknown[name]}; expected constants there")
        if kind is None:
            raise InvalidGraphError(f"the graph has output {name!r}, which nothing writes, expected a value of its own")
        edge = self.edges[name] = Edge(PARAMETER, len(self.parameters))
        self.parameters.append((name, kind))
        return edge

    def edges_to(self, name: str) -> list[Edge]:
        """Where a graph output comes from: one edge, or as many as a sequence has tensors."""
        if name in self.sequences:
            return [edge for item in self.sequences[name] or () for edge in self.edges_to(item)]
        return [self.edge_to(name)]

    def bind(self, name: str, source: str) -> None:
        """Make ``name`` another name of what ``source`` is."""
        if source in self.unknown:
            self.unknown[name] = self.unknown[source]
        elif source in self.sequences:
            self.sequences[name] = self.sequences[source]
        elif source in self.types:
            self.types[name] = self.types[source]
            if source in self.constants:
                self.values[name] = self._value(source)
                self.constants[name] = self.constants[source]
                self.origins[name] = self.origins.get(source, source)
            else:
                self.edges[name] = self.edges[source]
        else:
            raise InvalidGraphError(f"{name!r} stands for {source or 'a value that is left out'!r}, expected a value")

    def leave_open(self, name: str, reason: str) -> None:
        """Say that the type of ``name`` cannot be told; whoever reads it fails."""
        self.unknown[name] = reason

    def fresh(self, name: str) -> str:
        """A name like ``name`` that nothing else has."""
        return self.bodies.fresh(name)

    def value_of(self, name: str) -> Array | None:
        """The value of a small constant; None if it is none."""
        return self._value(name) if name in self.constants else None

    def set_constant(self, name: str, value: onnx.TensorProto | Array) -> None:
        """Make ``name`` a constant."""
        if isinstance(value, onnx.TensorProto):
            kind = tensor_type(value, f"constant {name!r}")
            self.values[name] = decode_tensor(value, f"constant {name!r}") if _keeps_value(value, kind) else None
        else:
            kind = TensorType(value.shape, str(value.dtype))
            self.values[name] = value
        self.constants[name] = self.types[name] = kind

    def _value(self, name: str) -> Array | None:
        """The value of a small numeric constant whose data is in the file."""
        if name in self.values:
            return self.values[name]
        tensor = self.stored.get(name)
        kept = tensor is not None and _keeps_value(tensor, self.constants[name])
        value = self.values[name] = decode_tensor(tensor, f"initializer {name!r}") if tensor and kept else None
        return value

    def needed(self, node: SourceNode, slot: int) -> Array:
        """The value of an input that says how; one that cannot be told is an error."""
        name = node.inputs[slot]
        value = self._value(name)
        if value is not None:
            return value
        if name in self.stored:
            return decode_tensor(self.stored[name], f"initializer {name!r}, which {node.label} reads")  # says why not
        raise InvalidGraphError(
            f"{node.label} needs the value of {name!r}, which is computed by operators that are not carried out while "
            "reading, expected a constant: simplify the model first"
        )

    def type_of(self, edge: Edge) -> TensorType:
        """The type of what an edge carries."""
        if edge.source == PARAMETER:
            return self.parameters[edge.slot][1]
        if edge.source == GRAPH_INPUT:
            return next(self.types[name] for name, known in self.edges.items() if known == edge)
        return self.nodes[edge.source].outputs[edge.slot]


def _keeps_value(tensor: onnx.TensorProto, kind: TensorType) -> bool:
    """Whether the value is small, numeric, and in the file."""
    return (
        kind.elements <= MAX_KNOWN_ELEMENTS
        and kind.dtype != "string"
        and tensor.data_location != onnx.TensorProto.EXTERNAL
        and bool(
            kind.elements == 0 or tensor.raw_data or tensor.int64_data or tensor.float_data or tensor.int32_data
            or tensor.double_data or tensor.uint64_data
        )
    )  # fmt: skip
