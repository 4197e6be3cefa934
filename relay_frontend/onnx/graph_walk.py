"""The walk over an ONNX graph: every node becomes an operator, a parameter, or attributes of the node that reads it."""

from collections.abc import Sequence
from dataclasses import dataclass

from relay_frontend.errors import DynamicShapeError, InvalidGraphError, UnsupportedOperatorError
from relay_frontend.graph import PARAMETER, AttributeValue, Edge, OpNode, TensorType
from relay_frontend.onnx.arrange import arrange_nodes, drop_unread_outputs
from relay_frontend.onnx.attributes import canonical_attributes
from relay_frontend.onnx.control import CONTROL_RULES, Trial, segment_cost
from relay_frontend.onnx.folding import NOT_CONSTANT, constant_of, filled_type, fold, shape_of
from relay_frontend.onnx.inference import infer_outputs
from relay_frontend.onnx.inputs import declared_types
from relay_frontend.onnx.known_values import KnownValues, stored_types
from relay_frontend.onnx.microsoft import canonical_microsoft
from relay_frontend.onnx.opaque import foreign_attributes, foreign_name, foreign_types
from relay_frontend.onnx.preconditions import check_arity, check_attributes
from relay_frontend.onnx.sequences import SEQUENCE_RULES
from relay_frontend.onnx.source import Array, SourceNode
from relay_frontend.onnx.value_inputs import value_slots

__all__ = ["GraphWalk"]


@dataclass(slots=True)
class GraphWalk(KnownValues):
    """Takes in node after node; what the rules of sequences.py and control.py write, it takes in too.

    Attributes:
        block: channels of one block of the nchwc layout.
    """

    block: int = 16

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

    def read_body(self, node: SourceNode, attribute: str, inputs: Sequence[str], path: str) -> list[str]:
        """Read a graph that ``node`` holds once more; the names of its outputs."""
        graph = node.graphs[attribute]
        scope = self.bodies.enter(node, graph, inputs, path)
        for name, kind in stored_types(graph, self.limits).items():
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
        flops, moved = segment_cost(added, nodes, self.type_of)
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
            self.set_constant(node.outputs[0], constant_of(node))
            return True
        if op in ("Shape", "Size"):
            self.set_constant(node.outputs[0], shape_of(node, self.types[node.inputs[0]]))
            return True
        if not node.inputs or op in NOT_CONSTANT or not all(not name or name in constants for name in node.inputs):
            return False
        if op == "ConstantOfShape":
            kind, filled = filled_type(node, self.needed(node, 0))
            self.limits.check_shape(kind.shape, node.label)
            self.constants[node.outputs[0]] = self.types[node.outputs[0]] = kind
            self.values[node.outputs[0]] = filled
            return True
        values = [self._value(name) for name in node.inputs]
        if all(value is not None or not name for value, name in zip(values, node.inputs, strict=True)):
            folded = fold(node, values)
            if folded is not None:
                self.set_constant(node.outputs[0], folded)
                return True
        self._infer_constants(node)
        return True

    def _infer_constants(self, node: SourceNode) -> None:
        """Constants of which only the type is known: weights that are reshaped, scaled, transposed ..."""
        known = {slot: self.needed(node, slot) for slot in self._value_inputs(node)}
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
        known = {slot: self.needed(node, slot) for slot in slots}
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
