"""The walk over an ONNX graph: every node becomes an operator, a parameter, or attributes of the node that reads it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import onnx

from relay_frontend.errors import DynamicShapeError, InvalidGraphError, UnsupportedOperatorError
from relay_frontend.graph import GRAPH_INPUT, PARAMETER, AttributeValue, Edge, OpGraph, OpNode, TensorType
from relay_frontend.onnx.arrange import arrange_nodes, drop_unread_outputs
from relay_frontend.onnx.attributes import canonical_attributes
from relay_frontend.onnx.folding import NOT_CONSTANT, constant_of, filled_type, fold, shape_of
from relay_frontend.onnx.inference import infer_outputs
from relay_frontend.onnx.inputs import bind_inputs, declared_types
from relay_frontend.onnx.microsoft import canonical_microsoft, channel_block
from relay_frontend.onnx.opaque import check_declared, foreign_attributes, foreign_name, foreign_types
from relay_frontend.onnx.preconditions import check_arity, check_attributes
from relay_frontend.onnx.source import (
    MAX_KNOWN_ELEMENTS,
    Array,
    SourceNode,
    check_text,
    decode_node,
    decode_tensor,
    tensor_type,
)
from relay_frontend.onnx.support import check_operators, domain_of, opset_versions
from relay_frontend.onnx.value_inputs import value_slots

__all__ = ["from_onnx"]


def from_onnx(
    model: onnx.ModelProto, *, shapes: Mapping[str, tuple[int, ...]] | None = None, name: str | None = None
) -> OpGraph:
    """Read a model as it stands: operators in canonical spelling, constants folded, nothing fused or dropped.

    Weights, and whatever is computed from weights alone, are parameters: types without values. Shape arithmetic on
    small constants is carried out. Inputs that only say how (axes, shapes, bounds) become attributes when constant.
    A graph input that feeds a weight's place (and is not the first input) is a parameter too: some exporters declare
    weights so, without data.

    Args:
        model: standard operators and those of ONNX Runtime's optimised models; external data is not needed.
        shapes: shapes for graph inputs whose dimensions the model leaves open, by input name.
        name: of the graph; the model's own by default.

    Raises:
        DynamicShapeError: a dimension has no value.
        UnsupportedOperatorError: names every operator that is not supported.
        InvalidGraphError: cyclic, dangling, or types that do not fit.
        ModelFileError: text that is no UTF-8, or stored values that do not fit their shapes.
    """
    graph = model.graph
    check_text(graph.name, *(value.name for value in (*graph.input, *graph.output, *graph.initializer)))
    return _read(model, shapes or {}, graph.name if name is None else name)


def _read(model: onnx.ModelProto, shapes: Mapping[str, tuple[int, ...]], name: str) -> OpGraph:
    graph = model.graph
    if not graph.output:
        raise InvalidGraphError(f"graph {graph.name!r} has no outputs, expected at least one: is the file damaged?")
    versions = opset_versions(model)
    check_operators(model, versions)
    if not all(proto.output for proto in graph.node):
        raise InvalidGraphError("a node writes nothing, expected at least one output: is the file damaged?")
    nodes = [decode_node(proto, domain_of(proto), versions[""]) for proto in graph.node]
    stored = {tensor.name: tensor for tensor in graph.initializer}
    stored_types = {tensor.name: tensor_type(tensor, f"initializer {tensor.name!r}") for tensor in graph.initializer}
    for sparse in graph.sparse_initializer:
        kind = tensor_type(sparse.values, f"initializer {sparse.values.name!r}")
        stored_types[sparse.values.name] = TensorType(tuple(sparse.dims), kind.dtype)
    inputs, weights = bind_inputs(graph, stored_types, nodes, shapes)
    reader = _Reader(declared_types(graph, inputs), stored, {**stored_types, **weights}, dict(inputs))
    reader.block = channel_block(
        [
            stored_types[node.inputs[1]].shape
            for node in nodes
            if node.op == "Conv"
            and node.domain == "com.microsoft.nchwc"
            and set(node.inputs[1:2]) & stored_types.keys()
        ]
    )
    for index, (input_name, _) in enumerate(inputs):
        reader.edges[input_name] = Edge(GRAPH_INPUT, index)
    drop_unread_outputs(nodes, [value.name for value in graph.output])
    check_declared(nodes, reader.declared)
    for node in arrange_nodes(nodes, reader.types.keys()):
        reader.read(node)
    return OpGraph(
        name=name,
        nodes=tuple(reader.nodes),
        inputs=tuple(inputs),
        outputs=tuple(reader.edge_to(value.name) for value in graph.output),
        parameters=tuple(reader.parameters),
    )


@dataclass(slots=True)
class _Reader:
    """What is known so far, by value name; one use each.

    Attributes:
        declared: types that the file itself states, used only where inference cannot tell.
        stored: initializers, decoded only if their values are needed.
        constants: types of what is constant: parameters as soon as an operator reads them.
        types: types of everything, constants included.
        values: values of small constants.
        edges: where each value that is no constant comes from, and each constant that an operator has read.
        block: channels of one block of the nchwc layout.
    """

    declared: Mapping[str, TensorType]
    stored: Mapping[str, onnx.TensorProto]
    constants: dict[str, TensorType]
    types: dict[str, TensorType]
    values: dict[str, Array | None] = field(default_factory=dict)
    edges: dict[str, Edge] = field(default_factory=dict)
    nodes: list[OpNode] = field(default_factory=list)
    parameters: list[tuple[str, TensorType]] = field(default_factory=list)
    block: int = 16

    def __post_init__(self) -> None:
        self.types.update(self.constants)

    def read(self, node: SourceNode) -> None:
        """Take in one node, all of whose inputs have been."""
        foreign = foreign_name(node.domain, node.op)
        if foreign is not None:
            kinds = foreign_types(node, [self.types[name] if name else None for name in node.inputs], self.declared)
            self._emit(node, foreign, node.inputs, foreign_attributes(node), kinds)
            return
        if node.domain:
            self._emit_microsoft(node)
            return
        check_arity(node)
        if not self._fold(node):
            self._emit_standard(node)

    def edge_to(self, name: str) -> Edge:
        """Where ``name`` comes from; a constant becomes a parameter the first time that it is asked for."""
        edge = self.edges.get(name)
        if edge is not None:
            return edge
        kind = self.constants.get(name)
        if kind is None:
            raise InvalidGraphError(f"the graph has output {name!r}, which nothing writes, expected a value of its own")
        edge = self.edges[name] = Edge(PARAMETER, len(self.parameters))
        self.parameters.append((name, kind))
        return edge

    def _fold(self, node: SourceNode) -> bool:
        """Whether the node computes constants; they are recorded then."""
        op, constants = node.op, self.constants
        if op == "Constant":
            self._set_constant(node.outputs[0], constant_of(node))
            return True
        if op in ("Shape", "Size"):
            self._set_constant(node.outputs[0], shape_of(node, self.types[node.inputs[0]]))
            return True
        if not node.inputs or op in NOT_CONSTANT or not all(not name or name in constants for name in node.inputs):
            return False
        if op == "ConstantOfShape":
            kind, filled = filled_type(node, self._needed(node, 0))
            self.constants[node.outputs[0]] = self.types[node.outputs[0]] = kind
            self.values[node.outputs[0]] = filled
            return True
        values = [self._value(name) for name in node.inputs]
        if all(value is not None or not name for value, name in zip(values, node.inputs, strict=True)):
            folded = fold(node, values)
            if folded is not None:
                self._set_constant(node.outputs[0], folded)
                return True
        self._infer_constants(node)
        return True

    def _set_constant(self, name: str, value: onnx.TensorProto | Array) -> None:
        if isinstance(value, onnx.TensorProto):
            kind = tensor_type(value, f"constant {name!r}")
            self.values[name] = decode_tensor(value, f"constant {name!r}") if _keeps_value(value, kind) else None
        else:
            kind = TensorType(value.shape, str(value.dtype))
            self.values[name] = value
        self.constants[name] = self.types[name] = kind

    def _infer_constants(self, node: SourceNode) -> None:
        """Constants of which only the type is known: weights that are reshaped, scaled, transposed ..."""
        known = {slot: self._needed(node, slot) for slot in self._value_inputs(node)}
        for name, kind in zip(node.outputs, self._output_types(node, known), strict=True):
            if name:
                self.constants[name] = self.types[name] = kind
                self.values[name] = None

    def _value_inputs(self, node: SourceNode) -> dict[int, str]:
        """Input slots of ``node`` that become attributes: slot -> attribute."""
        return {
            slot: attribute
            for slot, attribute in value_slots(node.op, node.version)
            if slot < len(node.inputs) and node.inputs[slot] in self.constants
        }

    def _value(self, name: str) -> Array | None:
        """The value of a small numeric constant whose data is in the file."""
        if name in self.values:
            return self.values[name]
        tensor = self.stored.get(name)
        kept = tensor is not None and _keeps_value(tensor, self.constants[name])
        value = self.values[name] = decode_tensor(tensor, f"initializer {name!r}") if tensor and kept else None
        return value

    def _needed(self, node: SourceNode, slot: int) -> Array:
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

    def _output_types(self, node: SourceNode, known: dict[int, Array]) -> list[TensorType]:
        kinds = [self.types[name] if name else None for name in node.inputs]
        check_attributes(node, kinds)
        inferred = infer_outputs(node, kinds, known)
        found = [kind or self.declared.get(name) for name, kind in zip(node.outputs, inferred, strict=True)]
        nothing = TensorType((0,), found[0].dtype if found and found[0] else "float32")
        open_outputs = [name for name, kind in zip(node.outputs, found, strict=True) if name and kind is None]
        if open_outputs:
            raise DynamicShapeError(
                f"the shapes of outputs {open_outputs} of {node.label} depend on data, expected shapes that follow "
                "from those of the inputs: give the model constants instead, or read it up to that operator"
            )
        # An output that is left out but not the last keeps its place; nothing is written there.
        return [kind if name and kind else nothing for name, kind in zip(node.outputs, found, strict=True)]

    def _emit_standard(self, node: SourceNode) -> None:
        slots = self._value_inputs(node)
        known = {slot: self._needed(node, slot) for slot in slots}
        outputs = self._output_types(node, known)
        inputs = [self.types[name] for name in node.inputs if name]
        values = {slots[slot]: value for slot, value in known.items()}
        attributes = canonical_attributes(node, inputs, outputs, values)
        read = [name for slot, name in enumerate(node.inputs) if slot not in known]
        self._emit(node, node.op, read, attributes, outputs)

    def _emit_microsoft(self, node: SourceNode) -> None:
        inputs = [self.types[name] for name in node.inputs if name]
        op, attributes, outputs = canonical_microsoft(node, inputs, self.block)
        if len(outputs) < len(node.outputs):
            raise UnsupportedOperatorError(
                f"{node.label} writes {len(node.outputs)} values, expected at most {len(outputs)}: the reader has no "
                "shape rule for the others"
            )
        self._emit(node, op, node.inputs, attributes, list(outputs))

    def _emit(
        self, node: SourceNode, op: str, read: list[str], attributes: dict[str, AttributeValue], kinds: list[TensorType]
    ) -> None:
        edges = tuple(self.edge_to(name) for name in read if name)
        index = len(self.nodes)
        self.nodes.append(OpNode(op, edges, tuple(kinds), tuple(sorted(attributes.items())), node.name))
        for slot, (name, kind) in enumerate(zip(node.outputs, kinds, strict=True)):
            if name:
                self.types[name] = kind
                self.edges[name] = Edge(index, slot)


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
