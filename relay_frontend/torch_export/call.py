"""A call as the converters see it, and the graph that they write to.

Attributes go through the ONNX reader's own rules, so that an operator is spelt the same whichever way it came.
"""

import struct
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from relay_frontend.errors import InvalidGraphError
from relay_frontend.graph import PARAMETER, AttributeValue, Edge, OpNode, TensorType
from relay_frontend.graph_parts import GraphParts
from relay_frontend.onnx.attributes import canonical_attributes
from relay_frontend.onnx.source import SourceNode
from relay_frontend.torch_export.program import Argument, AtenCall, Ref

__all__ = ["NOT_MAPPED", "Converter", "Edges", "GraphBuilder", "TorchCall"]

ONNX_OPSET = 20  # the newest that torch.onnx spells; of a newer operator the defaults are the newest opset's

Edges: TypeAlias = tuple[Edge, ...]


@dataclass(slots=True)
class GraphBuilder(GraphParts):
    """The nodes so far, and what they read.

    Attributes:
        transposed: of a parameter that is another one transposed: its slot -> the other one's.
    """

    transposed: dict[int, int] = field(default_factory=dict)

    def add_node(
        self, op: str, inputs: Edges, outputs: Sequence[TensorType], attributes: Mapping[str, AttributeValue], name: str
    ) -> Edges:
        """An operator; returns its outputs."""
        self.nodes.append(OpNode(op, inputs, tuple(outputs), tuple(sorted(attributes.items())), name))
        return tuple(Edge(len(self.nodes) - 1, slot) for slot in range(len(outputs)))

    def name_node(self, edge: Edge, name: str) -> None:
        """Give the node behind ``edge`` a name."""
        if edge.source >= 0:
            self.nodes[edge.source] = replace(self.nodes[edge.source], name=name)


NOT_MAPPED: None = None
"""What a converter returns for a case that no canonical operator covers; the call stays opaque."""


@dataclass(frozen=True, slots=True)
class TorchCall:
    """One call while it is converted.

    Attributes:
        call: the call itself.
        outputs: types of the tensors that it makes.
        edges: where each tensor of the program comes from.
        builder: the graph.
        readers: by name, the values that somebody reads.
    """

    call: AtenCall
    outputs: tuple[TensorType, ...]
    edges: Mapping[str, Edge]
    builder: GraphBuilder
    readers: Collection[str]

    @property
    def output(self) -> TensorType:
        """The type of the first result."""
        return self.outputs[0]

    def results_read(self) -> int:
        """How many results there are up to the last that somebody reads; those behind it are not computed."""
        read = [slot for slot, name in enumerate(self.call.outputs) if name in self.readers]
        return max(read, default=0) + 1

    def argument(self, name: str, default: Argument = None) -> Argument:
        """An argument as it is; the default where it is missing or None."""
        value = self.call.arguments.get(name)
        return default if value is None else value

    def has_tensor(self, name: str) -> bool:
        """Whether an argument is a tensor."""
        return isinstance(self.call.arguments.get(name), Ref)

    def tensor(self, name: str) -> Edge:
        """A tensor argument."""
        value = self.argument(name)
        if not isinstance(value, Ref) or value.name not in self.edges:
            raise self.wrong(name, value, "a tensor")
        return self.edges[value.name]

    def optional(self, name: str) -> Edge | None:
        """A tensor argument, or None where it is left out."""
        return self.tensor(name) if self.argument(name) is not None else None

    def tensors(self, name: str) -> Edges:
        """An argument that is a list of tensors."""
        return tuple(edge for edge in self.optional_tensors(name) if edge is not None)

    def optional_tensors(self, name: str) -> tuple[Edge | None, ...]:
        """An argument that is a list of tensors, some of which may be missing."""
        value = self.argument(name)
        if not isinstance(value, tuple):
            raise self.wrong(name, value, "a list of tensors")
        found: list[Edge | None] = []
        for item in value:
            if item is not None and not (isinstance(item, Ref) and item.name in self.edges):
                raise self.wrong(name, item, "tensors")
            found.append(self.edges[item.name] if isinstance(item, Ref) else None)
        return tuple(found)

    def kind(self, name: str) -> TensorType:
        """The type of a tensor argument."""
        return self.type_of(self.tensor(name))

    def type_of(self, edge: Edge) -> TensorType:
        """The type of a value."""
        return self.builder.type_of(edge)

    def integer(self, name: str, default: int | None = None) -> int:
        """An integer argument."""
        value = self.argument(name, default)
        if not isinstance(value, int):
            raise self.wrong(name, value, "an integer")
        return int(value)

    def number(self, name: str, default: float | None = None) -> float:
        """A numeric argument."""
        value = self.argument(name, default)
        if not isinstance(value, int | float):
            raise self.wrong(name, value, "a number")
        return float(value)

    def flag(self, name: str, default: bool = False) -> bool:
        """A truth value."""
        return bool(self.integer(name, default))

    def text(self, name: str, default: str = "") -> str:
        """A text argument."""
        value = self.argument(name, default)
        if not isinstance(value, str):
            raise self.wrong(name, value, "text")
        return value

    def integers(self, name: str, default: tuple[int, ...] | None = None, rank: int | None = None) -> tuple[int, ...]:
        """A list of integers; one that stands for all ``rank`` axes is repeated."""
        value = self.argument(name, default)
        if value == () and default is not None:
            value = default
        if isinstance(value, int):
            value = (value,)
        if not isinstance(value, tuple) or not all(isinstance(item, int) for item in value):
            raise self.wrong(name, value, "integers")
        found = tuple(int(item) for item in value if isinstance(item, int))
        return found * rank if rank is not None and len(found) == 1 else found

    def axis(self, name: str, default: int | None = None, rank: int | None = None) -> int:
        """An axis, counted from 0; of the input's dimensions, or of ``rank``."""
        rank = len(self.kind("self").shape) if rank is None else rank
        value = self.integer(name, default)
        if not -max(rank, 1) <= value < max(rank, 1):
            raise self.wrong(name, value, f"an axis of {rank} dimensions")
        return value % max(rank, 1)

    def axes(self, name: str) -> tuple[int, ...]:
        """Axes of ``self`` in ascending order; all where none is named."""
        rank = len(self.kind("self").shape)
        found = self.integers(name, ())
        if any(not -max(rank, 1) <= axis < max(rank, 1) for axis in found):
            raise self.wrong(name, found, f"axes of {rank} dimensions")
        return tuple(sorted({axis % rank for axis in found})) if rank and found else tuple(range(rank))

    def wrong(self, name: str, value: object, expected: str) -> InvalidGraphError:
        """The error for an argument that does not fit."""
        text = "a tensor that is not there" if isinstance(value, Ref) else repr(value)[:60]
        return InvalidGraphError(f"{self.call.label} has {name}={text}, expected {expected}: is the file damaged?")

    def constant(self, kind: TensorType) -> Edge:
        """A constant of which only the type matters."""
        return self.builder.add_parameter(f"{self.call.name}.constant", kind)

    def scalar(self, dtype: str, shape: tuple[int, ...] = ()) -> Edge:
        """A constant of one element."""
        return self.constant(TensorType(shape, dtype))

    def add(self, op: str, inputs: Edges, kind: TensorType, **attributes: AttributeValue) -> Edge:
        """One operator of one output."""
        return self.add_all(op, inputs, (kind,), **attributes)[0]

    def add_all(self, op: str, inputs: Edges, kinds: Sequence[TensorType], **attributes: AttributeValue) -> Edges:
        """One operator; what is computed from constants alone becomes a constant, as every compiler folds it."""
        if inputs and all(edge.source == PARAMETER for edge in inputs):
            return tuple(self.constant(kind) for kind in kinds)
        types = [self.type_of(edge) for edge in inputs]
        given = {name: _single(value) for name, value in attributes.items()}
        names = [str(place) for place in range(len(inputs))]
        node = SourceNode(op, "", ONNX_OPSET, self.call.name, names, [], given, {})
        return self.builder.add_node(op, inputs, kinds, canonical_attributes(node, types, kinds, {}), self.call.name)

    def cast(self, edge: Edge, dtype: str) -> Edge:
        """The value in another dtype; itself if it has that."""
        kind = self.type_of(edge)
        if kind.dtype == dtype:
            return edge
        if edge.source == PARAMETER:
            return self.constant(TensorType(kind.shape, dtype))
        return self.builder.add_node("Cast", (edge,), (TensorType(kind.shape, dtype),), {"to": dtype}, self.call.name)[
            0
        ]

    def reshape(self, edge: Edge, shape: tuple[int, ...]) -> Edge:
        """The value in another shape; itself if it has that."""
        kind = self.type_of(edge)
        return edge if kind.shape == shape else self.add("Reshape", (edge,), TensorType(shape, kind.dtype))

    def transpose(self, edge: Edge, perm: tuple[int, ...]) -> Edge:
        """The value with its axes in another order."""
        kind = self.type_of(edge)
        made = TensorType(tuple(kind.shape[axis] for axis in perm), kind.dtype)
        result = self.add("Transpose", (edge,), made, perm=perm)
        if edge.source == PARAMETER and perm == (1, 0):
            self.builder.transposed[result.slot] = edge.slot
        return result


Converter: TypeAlias = Callable[[TorchCall], Edges | Edge | None]


def _single(value: AttributeValue) -> AttributeValue:
    """ONNX keeps the numbers of attributes in single precision."""
    if isinstance(value, float):
        return _round(value)
    if isinstance(value, tuple):
        return tuple(_round(item) if isinstance(item, float) else item for item in value)  # type: ignore[return-value]
    return value


def _round(value: float) -> float:
    return float(struct.unpack("f", struct.pack("f", value))[0])
