"""The walk over an ONNX graph: every node becomes an operator, a parameter, or attributes of the node that reads it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import onnx

from relay_frontend.collection import collection_paused
from relay_frontend.errors import DynamicShapeError, InvalidGraphError, UnsupportedOperatorError
from relay_frontend.graph import GRAPH_INPUT, PARAMETER, AttributeValue, Edge, OpGraph, OpNode, TensorType
from relay_frontend.limits import DEFAULT_LIMITS, Limits
from relay_frontend.onnx.arrange import arrange_nodes, drop_unread_outputs
from relay_frontend.onnx.attributes import canonical_attributes
from relay_frontend.onnx.bodies import Bodies, Scope
from relay_frontend.onnx.control import CONTROL_RULES, Trial, segment_cost
from relay_frontend.onnx.folding import NOT_CONSTANT, constant_of, filled_type, fold, shape_of
from relay_frontend.onnx.inference import infer_outputs
from relay_frontend.onnx.inputs import bind_inputs, declared_types, notes_on_inputs
from relay_frontend.onnx.microsoft import canonical_microsoft, channel_block
from relay_frontend.onnx.opaque import check_declared, foreign_attributes, foreign_name, foreign_types
from relay_frontend.onnx.preconditions import check_arity, check_attributes
from relay_frontend.onnx.sequences import SEQUENCE_RULES, SequenceValue
from relay_frontend.onnx.source import (
    MAX_KNOWN_ELEMENTS,
    Array,
    SourceNode,
    check_location,
    check_text,
    decode_tensor,
    tensor_type,
)
from relay_frontend.onnx.support import check_operators, opset_versions
from relay_frontend.onnx.value_inputs import value_slots

__all__ = ["from_onnx"]


@collection_paused()
def from_onnx(
    model: onnx.ModelProto,
    *,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    name: str | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> OpGraph:
    """Read a model as it stands: operators in canonical spelling, constants folded, nothing fused or dropped.

    Weights, and whatever is computed from weights alone, are parameters: types without values. Shape arithmetic on
    small constants is carried out. Inputs that only say how (axes, shapes, bounds) become attributes when constant.
    A graph input that feeds a weight's place (and is not the first input) is a parameter too: some exporters declare
    weights so, without data.

    The model's own functions are written out where they are called. What is read of If, Loop and Scan, and how often,
    is in control.py; where the file leaves it open, the graph's ``notes`` say how it was counted.

    Args:
        model: standard operators and those of ONNX Runtime's optimised models; external data is not needed.
        shapes: shapes for graph inputs whose dimensions the model leaves open, by input name.
        name: of the graph; the model's own by default.
        limits: how much the model may ask for.

    Raises:
        DynamicShapeError: a dimension has no value.
        UnsupportedOperatorError: names every operator that is not supported.
        InvalidGraphError: cyclic, dangling, or types that do not fit.
        LimitError: more than ``limits`` allow.
        ModelFileError: text that is no UTF-8, or stored values that do not fit their shapes.
    """
    graph = model.graph
    check_text(graph.name, *(value.name for value in (*graph.input, *graph.output, *graph.initializer)))
    limits.check_nodes(len(graph.node), f"graph {graph.name!r}")
    return _read(model, shapes or {}, graph.name if name is None else name, limits)


def _read(model: onnx.ModelProto, shapes: Mapping[str, tuple[int, ...]], name: str, limits: Limits) -> OpGraph:
    graph = model.graph
    if not graph.output:
        raise InvalidGraphError(f"graph {graph.name!r} has no outputs, expected at least one: is the file damaged?")
    versions = opset_versions(model)
    check_operators(model, versions)
    bodies = Bodies(model, limits, limits.start_clock())
    nodes = bodies.decode(graph.node, Scope("", versions))
    stored = {tensor.name: tensor for tensor in graph.initializer}
    stored_types = _stored_types(graph, limits)
    inputs, weights = bind_inputs(graph, stored_types, nodes, shapes)
    for input_name, kind in (*inputs, *weights.items()):
        limits.check_shape(kind.shape, f"input {input_name!r}")
    reader = _Reader(declared_types(graph, inputs), stored, {**stored_types, **weights}, dict(inputs), bodies, limits)
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
    reader.notes.extend(notes_on_inputs(graph))
    outputs = [value.name for value in graph.output]
    drop_unread_outputs(nodes, outputs)
    check_declared(nodes, reader.declared)
    reader.read_all(nodes)
    return OpGraph(
        name=name,
        nodes=tuple(reader.nodes),
        inputs=tuple(inputs),
        outputs=tuple(edge for value in outputs for edge in reader.edges_to(value)),
        parameters=tuple(reader.parameters),
        notes=tuple(reader.notes),
    )


def _stored_types(graph: onnx.GraphProto, limits: Limits) -> dict[str, TensorType]:
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
class _Reader:
    """What is known so far, by value name; one use each.

    Attributes:
        declared: types that the file itself states, used only where inference cannot tell.
        stored: initializers, decoded only if their values are needed.
        constants: types of what is constant: parameters as soon as an operator reads them.
        types: types of everything, constants included.
        values: values of small constants.
        bodies: decodes the graphs that nodes hold.
        edges: where each value that is no constant comes from, and each constant that an operator has read.
        origins: constants that have another name: name -> the one that it had first.
        sequences: values that are no tensors: the tensors inside of each, None for an optional that is empty.
        unknown: values whose type cannot be told, and why.
        notes: what the file leaves open and how it is counted.
        block: channels of one block of the nchwc layout.
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
    block: int = 16

    def __post_init__(self) -> None:
        self.types.update(self.constants)

    def __contains__(self, name: object) -> bool:
        return name in self.types or name in self.sequences or name in self.unknown

    def read_all(self, nodes: Sequence[SourceNode]) -> None:
        """Take in the nodes of a graph, in whatever order they are."""
        for node in arrange_nodes(nodes, self):
            self.read(node)

    def read(self, node: SourceNode) -> None:
        """Take in one node, all of whose inputs have been."""
        if self.unknown or self.sequences:
            self._check_known(node)
        foreign = foreign_name(node.domain, node.op)
        if foreign is not None:
            kinds = foreign_types(node, [self.types[name] if name else None for name in node.inputs], self.declared)
            self._emit(node, foreign, node.inputs, foreign_attributes(node), kinds)
            return
        if node.domain:
            self._emit_microsoft(node)
            return
        check_arity(node)
        if node.op in CONTROL_RULES:
            CONTROL_RULES[node.op](self, node)
        elif node.op in SEQUENCE_RULES:
            SEQUENCE_RULES[node.op](self, node)
        elif node.op == "Identity" and node.inputs[0] in self.sequences:
            self.bind(node.outputs[0], node.inputs[0])
        elif not self._fold(node):
            self._emit_standard(node)

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

    def read_body(self, node: SourceNode, attribute: str, inputs: Sequence[str], path: str) -> list[str]:
        """Read a graph that ``node`` holds once more; the names of its outputs."""
        graph = node.graphs[attribute]
        scope = self.bodies.enter(node, graph, inputs, path)
        for name, kind in _stored_types(graph, self.limits).items():
            self.constants[scope.names[name]] = self.types[scope.names[name]] = kind
        for tensor in graph.initializer:
            self.stored[scope.names[tensor.name]] = tensor
        nodes = self.bodies.decode(graph.node, scope)
        outputs = [scope.resolve(value.name) for value in graph.output]
        for name, kind in declared_types(graph, ()).items():
            self.declared[scope.resolve(name)] = kind
        drop_unread_outputs(nodes, outputs)
        self.read_all(nodes)
        missing = [name for name in outputs if name not in self]
        if missing:
            raise InvalidGraphError(f"graph {graph.name!r} of {node.label} has outputs {missing}, which nothing writes")
        return outputs

    def try_body(self, node: SourceNode, attribute: str, path: str) -> Trial:
        """Read a graph without inputs and take it out again."""
        nodes, parameters, notes = len(self.nodes), len(self.parameters), len(self.notes)
        outputs = self.read_body(node, attribute, (), path)
        added = self.nodes[nodes:]
        flops, moved = segment_cost(added, nodes, self._type_of)
        cost = (flops, moved, sum(self._tensors(name) for name in outputs))
        trial = Trial(added, self.parameters[parameters:], self.notes[notes:], outputs, cost)
        for name, _ in trial.parameters:
            del self.edges[name]
        del self.nodes[nodes:], self.parameters[parameters:], self.notes[notes:]
        return trial

    def _tensors(self, name: str) -> int:
        """How many tensors a value is."""
        return sum(map(self._tensors, self.sequences[name] or ())) if name in self.sequences else 1

    def keep(self, trial: Trial) -> None:
        """Put back what :meth:`try_body` took out; nothing may have been read since but other trials."""
        for slot, (name, _) in enumerate(trial.parameters, start=len(self.parameters)):
            self.edges[name] = Edge(PARAMETER, slot)
        self.parameters.extend(trial.parameters)
        self.nodes.extend(trial.nodes)
        self.notes.extend(trial.notes)

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

    def set_constant(self, name: str, value: Array) -> None:
        """Make ``name`` a constant."""
        self._set_constant(name, value)

    def _type_of(self, edge: Edge) -> TensorType:
        if edge.source == PARAMETER:
            return self.parameters[edge.slot][1]
        if edge.source == GRAPH_INPUT:
            return next(self.types[name] for name, known in self.edges.items() if known == edge)
        return self.nodes[edge.source].outputs[edge.slot]

    def _check_known(self, node: SourceNode) -> None:
        """Check that an operator on tensors gets tensors, whose types are known."""
        for name in node.inputs:
            if name in self.unknown:
                raise DynamicShapeError(
                    f"{node.label} reads {name!r}, whose type is open: {self.unknown[name]}; expected constants there"
                )
            if name in self.sequences and node.op not in ("Identity", *SEQUENCE_RULES, *CONTROL_RULES):
                raise InvalidGraphError(f"{node.label} reads {name!r}, which is a sequence or empty, expected a tensor")

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
            self.limits.check_shape(kind.shape, node.label)
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
            self.limits.check_shape(kind.shape, f"{name!r} of {node.label}")
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
            self.limits.check_shape(kind.shape, name)
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
