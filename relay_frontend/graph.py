"""OpGraph: a network as operators, types and edges, in no file format and without weights."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self

from relay_frontend.errors import InvalidGraphError

__all__ = ["GRAPH_INPUT", "PARAMETER", "AttributeValue", "Edge", "OpGraph", "OpNode", "TensorType"]

AttributeValue = int | float | str | tuple[int, ...] | tuple[float, ...] | tuple[str, ...]

GRAPH_INPUT = -1  # Edge.source of a value that the caller passes in
PARAMETER = -2  # Edge.source of a weight or any other constant

_DTYPE_BITS = {
    "bool": 8, "int2": 2, "uint2": 2, "int4": 4, "uint4": 4, "int8": 8, "uint8": 8, "int16": 16, "uint16": 16,
    "int32": 32, "uint32": 32, "int64": 64, "uint64": 64, "float16": 16, "bfloat16": 16, "float32": 32, "float64": 64,
    "complex64": 64, "complex128": 128, "string": 64, "float4e2m1": 4, "float6e2m3": 6, "float6e3m2": 6,
    "float8e4m3fn": 8, "float8e4m3fnuz": 8, "float8e5m2": 8, "float8e5m2fnuz": 8, "float8e8m0": 8,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class TensorType:
    """Shape (ints, row-major) and dtype (numpy's name, plus ``bfloat16`` and ``string``) of one value."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def elements(self) -> int:
        """Number of elements; 1 for a scalar."""
        count = 1
        for extent in self.shape:
            count *= extent
        return count

    @property
    def bytes(self) -> int:
        """Size in memory, dense; types below a byte are packed.

        Raises:
            InvalidGraphError: a dtype that has no size here.
        """
        bits = _DTYPE_BITS.get(self.dtype)
        if bits is None:
            raise InvalidGraphError(f"dtype {self.dtype!r} has no known size, expected one of {sorted(_DTYPE_BITS)}")
        return -(-self.elements * bits // 8)


@dataclass(frozen=True, slots=True)
class Edge:
    """Where an operator reads a value from.

    ``source`` is a node index, ``GRAPH_INPUT`` or ``PARAMETER``; ``slot`` is which output of that node, which
    graph input, or which parameter.
    """

    source: int
    slot: int = 0


@dataclass(frozen=True, slots=True)
class OpNode:
    """One operator: canonical name (ONNX's, see ops.py), attributes, where it reads, what it writes.

    ``attributes`` is sorted by name and holds plain values only, so that nodes can be hashed and compared.
    An optional input that is left out is not listed. ``name`` is the source's own and takes no part in hashes.
    """

    op: str
    inputs: tuple[Edge, ...]
    outputs: tuple[TensorType, ...]
    attributes: tuple[tuple[str, AttributeValue], ...] = ()
    name: str = ""

    @property
    def attribute_map(self) -> dict[str, AttributeValue]:
        """The attributes as a dict."""
        return dict(self.attributes)


@dataclass(frozen=True)
class OpGraph:
    """A network: ``nodes`` in topological order; ``inputs`` and ``parameters`` as (name, type); no weights.

    ``notes`` are what the file leaves open and how it was counted, in sentences for the user; they take no part in
    hashes and comparisons.
    """

    name: str
    nodes: tuple[OpNode, ...]
    inputs: tuple[tuple[str, TensorType], ...]
    parameters: tuple[tuple[str, TensorType], ...]
    outputs: tuple[Edge, ...]
    notes: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        for index, node in enumerate(self.nodes):
            for edge in node.inputs:
                self._check_edge(edge, index, f"node {index} ({node.op} {node.name!r})")
        for edge in self.outputs:
            self._check_edge(edge, len(self.nodes), "graph output")

    def _check_edge(self, edge: Edge, limit: int, reader: str) -> None:
        if edge.source == GRAPH_INPUT:
            slots = len(self.inputs)
        elif edge.source == PARAMETER:
            slots = len(self.parameters)
        elif 0 <= edge.source < limit:
            slots = len(self.nodes[edge.source].outputs)
        else:
            raise InvalidGraphError(
                f"{reader} of {self.name!r} reads node {edge.source}, expected one before it (0..{limit - 1}): "
                "the graph is cyclic or not in topological order"
            )
        if not 0 <= edge.slot < slots:
            raise InvalidGraphError(
                f"{reader} of {self.name!r} reads slot {edge.slot} of {edge.source}, expected one of its {slots}"
            )

    def type_of(self, edge: Edge) -> TensorType:
        """The type of the value that ``edge`` carries."""
        if edge.source == GRAPH_INPUT:
            return self.inputs[edge.slot][1]
        if edge.source == PARAMETER:
            return self.parameters[edge.slot][1]
        return self.nodes[edge.source].outputs[edge.slot]

    def input_types(self, index: int) -> tuple[TensorType, ...]:
        """The types that node ``index`` reads, in the order of its inputs."""
        return tuple([self.type_of(edge) for edge in self.nodes[index].inputs])

    def predecessors(self, index: int) -> tuple[int, ...]:
        """The nodes that node ``index`` reads from, ascending, each once."""
        return tuple(sorted({edge.source for edge in self.nodes[index].inputs if edge.source >= 0}))

    @cached_property
    def consumers(self) -> tuple[tuple[int, ...], ...]:
        """For each node the nodes that read any of its outputs, ascending, each once."""
        readers: list[list[int]] = [[] for _ in self.nodes]
        for index in range(len(self.nodes)):
            for source in self.predecessors(index):
                readers[source].append(index)
        return tuple(tuple(found) for found in readers)

    @cached_property
    def _structural_hash(self) -> str:
        return _hash_structure(self)

    def structural_hash(self) -> str:
        """64 hex digits; equal for graphs that differ only in names and in the order of independent nodes."""
        return self._structural_hash

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; :meth:`from_json` is its inverse."""
        return {
            "name": self.name,
            "inputs": [[name, _type_to_json(kind)] for name, kind in self.inputs],
            "parameters": [[name, _type_to_json(kind)] for name, kind in self.parameters],
            "nodes": [
                {
                    "op": node.op,
                    "inputs": [[edge.source, edge.slot] for edge in node.inputs],
                    "outputs": [_type_to_json(kind) for kind in node.outputs],
                    "attributes": {name: value for name, value in node.attributes},
                    "name": node.name,
                }
                for node in self.nodes
            ],
            "outputs": [[edge.source, edge.slot] for edge in self.outputs],
            **({"notes": list(self.notes)} if self.notes else {}),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote.

        Raises:
            InvalidGraphError: a field is missing, unknown or of the wrong kind.
        """
        try:
            return cls(
                name=str(document["name"]),
                inputs=tuple((str(name), _type_from_json(kind)) for name, kind in document["inputs"]),
                parameters=tuple((str(name), _type_from_json(kind)) for name, kind in document["parameters"]),
                nodes=tuple(_node_from_json(node) for node in document["nodes"]),
                outputs=tuple(Edge(int(source), int(slot)) for source, slot in document["outputs"]),
                notes=tuple(map(str, document.get("notes", ()))),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidGraphError(f"graph document: {error!r}, expected what OpGraph.to_json writes") from error


def _type_to_json(kind: TensorType) -> list[Any]:
    return [kind.dtype, *kind.shape]


def _type_from_json(document: list[Any]) -> TensorType:
    dtype, *shape = document
    return TensorType(tuple(int(extent) for extent in shape), str(dtype))


def _node_from_json(document: Mapping[str, Any]) -> OpNode:
    attributes = document["attributes"]
    return OpNode(
        op=str(document["op"]),
        inputs=tuple(Edge(int(source), int(slot)) for source, slot in document["inputs"]),
        outputs=tuple(_type_from_json(kind) for kind in document["outputs"]),
        attributes=tuple(
            (name, tuple(value) if isinstance(value, list) else value) for name, value in sorted(attributes.items())
        ),
        name=str(document["name"]),
    )


def _hash_structure(graph: OpGraph) -> str:
    """Merkle hash: a node is its operator, attributes, types and the hashes of what it reads."""

    def digest(value: object) -> str:
        return hashlib.sha256(json.dumps(value, separators=(",", ":")).encode()).hexdigest()

    hashes: list[str] = []

    def of_edge(edge: Edge) -> list[Any]:
        if edge.source >= 0:
            return [hashes[edge.source], edge.slot]
        slot = edge.slot if edge.source == GRAPH_INPUT else 0  # which weight it is does not matter, its type does
        return [edge.source, slot, _type_to_json(graph.type_of(edge))]

    for node in graph.nodes:
        hashes.append(
            digest(
                [
                    node.op,
                    [list(pair) for pair in node.attributes],
                    [of_edge(edge) for edge in node.inputs],
                    [_type_to_json(kind) for kind in node.outputs],
                ]
            )
        )
    return digest([sorted(hashes), [of_edge(edge) for edge in graph.outputs]])
