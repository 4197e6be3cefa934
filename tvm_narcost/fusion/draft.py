"""Draft: a graph that can be rewritten in place; an OpGraph goes in, an OpGraph comes out."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from relay_frontend.graph import GRAPH_INPUT, PARAMETER, AttributeValue, Edge, OpGraph, OpNode, TensorType

__all__ = ["Draft", "DraftNode", "Value", "constant_operand", "sole_reader"]


@dataclass(eq=False, slots=True)
class Value:
    """One value: who writes it, who reads it, and how often.

    Attributes:
        kind: shape and dtype.
        producer: the node that writes it; None for inputs and parameters.
        parameter: whether it is a weight or another constant.
        name: of an input or parameter.
        readers: node -> how many of its inputs this value is.
        output_uses: how many outputs of the network it is.
        uses: how often it is read, outputs of the network included.
    """

    kind: TensorType
    producer: "DraftNode | None" = None
    parameter: bool = False
    name: str = ""
    readers: "dict[DraftNode, int]" = field(default_factory=dict)
    output_uses: int = 0
    uses: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""
        return self.kind.shape


@dataclass(eq=False, slots=True)
class DraftNode:
    """One operator; ``rank`` is its place in the order of creation."""

    op: str
    inputs: list[Value]
    outputs: list[Value]
    attributes: dict[str, AttributeValue]
    name: str
    rank: int

    @property
    def output(self) -> Value:
        """Its first output."""
        return self.outputs[0]

    def integers(self, name: str) -> tuple[int, ...]:
        """An attribute that is a list of integers; empty when it is not there or is something else."""
        value = self.attributes.get(name)
        found = tuple(item for item in value if isinstance(item, int)) if isinstance(value, tuple) else ()
        return found if found == value else ()


class Draft:
    """A graph under rewriting."""

    def __init__(self, graph: OpGraph) -> None:
        """Take over a graph; it stays as it is."""
        self.name = graph.name
        self.inputs = [Value(kind, name=name) for name, kind in graph.inputs]
        self._nodes: dict[DraftNode, None] = {}
        self._created = 0
        parameters = [Value(kind, parameter=True, name=name) for name, kind in graph.parameters]
        made: list[DraftNode] = []

        def value_of(edge: Edge) -> Value:
            if edge.source == GRAPH_INPUT:
                return self.inputs[edge.slot]
            return parameters[edge.slot] if edge.source == PARAMETER else made[edge.source].outputs[edge.slot]

        for node in graph.nodes:
            inputs = [value_of(edge) for edge in node.inputs]
            made.append(self.add(node.op, inputs, node.outputs, dict(node.attributes), node.name))
        self.outputs = [value_of(edge) for edge in graph.outputs]
        for value in self.outputs:
            value.output_uses += 1
            value.uses += 1

    def add(
        self,
        op: str,
        inputs: Iterable[Value],
        kinds: Iterable[TensorType],
        attributes: dict[str, AttributeValue] | None = None,
        name: str = "",
    ) -> DraftNode:
        """Make a node."""
        node = DraftNode(op, [], [], attributes or {}, name, self._created)
        self._created += 1
        node.outputs = [Value(kind, producer=node) for kind in kinds]
        self._nodes[node] = None
        self.set_inputs(node, inputs)
        return node

    def set_inputs(self, node: DraftNode, inputs: Iterable[Value]) -> None:
        """Let a node read these values instead of those that it reads now."""
        for value in node.inputs:
            value.uses -= 1
            value.readers[node] -= 1
            if not value.readers[node]:
                del value.readers[node]
        node.inputs = list(inputs)
        for value in node.inputs:
            value.uses += 1
            value.readers[node] = value.readers.get(node, 0) + 1

    def replace(self, old: Value, new: Value) -> None:
        """Let everyone who reads ``old`` read ``new``."""
        for reader, count in old.readers.items():
            reader.inputs = [new if value is old else value for value in reader.inputs]
            new.readers[reader] = new.readers.get(reader, 0) + count
            new.uses += count
            old.uses -= count
        old.readers.clear()
        if old.output_uses:
            self.outputs = [new if value is old else value for value in self.outputs]
            for value, change in ((new, old.output_uses), (old, -old.output_uses)):
                value.output_uses += change
                value.uses += change

    def interpose(
        self, node: DraftNode, slot: int, kind: TensorType, op: str, attributes: dict[str, AttributeValue]
    ) -> None:
        """Let ``node`` write a value of another kind, and a new node make of it what ``node`` wrote before."""
        old = node.outputs[slot]
        node.outputs[slot] = Value(kind, producer=node)
        made = self.add(op, [node.outputs[slot]], [], attributes)
        made.outputs, old.producer = [old], made

    def remove(self, node: DraftNode) -> None:
        """Take a node out; nobody reads it any more."""
        self.set_inputs(node, ())
        del self._nodes[node]

    def remove_chain(self, values: Iterable[Value]) -> None:
        """Take out the nodes that write these values and what only they read, as far as nobody else reads it."""
        pending = [value.producer for value in values if value.producer is not None]
        while pending:
            node = pending.pop()
            if node in self._nodes and not any(value.uses for value in node.outputs):
                pending += [value.producer for value in node.inputs if value.producer is not None]
                self.remove(node)

    def __contains__(self, node: object) -> bool:
        return node in self._nodes

    def __len__(self) -> int:
        return len(self._nodes)

    def nodes(self, *ops: str) -> Iterator[DraftNode]:
        """The nodes of these operators that are still there when it is their turn, in the order of creation."""
        for node in [node for node in self._nodes if node.op in ops]:
            if node in self._nodes:
                yield node

    def ordered(self) -> list[DraftNode]:
        """All nodes in the order in which ONNX Runtime runs them.

        That is depth first from the nodes that nobody reads; of the inputs of a node the youngest comes first.
        """
        order: list[DraftNode] = []
        seen: set[DraftNode] = set()
        stack = [(node, False) for node in self._nodes if not any(value.readers for value in node.outputs)]
        while stack:
            node, finished = stack.pop()
            if finished:
                order.append(node)
            elif node not in seen:
                seen.add(node)
                stack.append((node, True))
                producers = {value.producer for value in node.inputs if value.producer is not None}
                ascending = sorted(producers - seen, key=lambda producer: producer.rank)
                stack.extend((producer, False) for producer in ascending)
        return order

    def to_graph(self) -> OpGraph:
        """The graph as it stands, nodes in the order of execution."""
        edges: dict[Value, Edge] = {value: Edge(GRAPH_INPUT, slot) for slot, value in enumerate(self.inputs)}
        parameters: list[tuple[str, TensorType]] = []
        nodes: list[OpNode] = []
        for index, node in enumerate(self.ordered()):
            for value in node.inputs:
                if value not in edges:
                    edges[value] = Edge(PARAMETER, len(parameters))
                    parameters.append((value.name, value.kind))
            for slot, value in enumerate(node.outputs):
                edges[value] = Edge(index, slot)
            nodes.append(
                OpNode(
                    node.op,
                    tuple(edges[value] for value in node.inputs),
                    tuple(value.kind for value in node.outputs),
                    tuple(sorted(node.attributes.items())),
                    node.name,
                )
            )
        for value in self.outputs:
            if value not in edges:
                edges[value] = Edge(PARAMETER, len(parameters))
                parameters.append((value.name, value.kind))
        return OpGraph(
            name=self.name,
            nodes=tuple(nodes),
            inputs=tuple((value.name, value.kind) for value in self.inputs),
            parameters=tuple(parameters),
            outputs=tuple(edges[value] for value in self.outputs),
        )


def constant_operand(node: DraftNode) -> tuple[Value, Value] | None:
    """(data, constant) of an operator of two inputs, of which exactly one is a parameter."""
    if len(node.inputs) != 2 or node.inputs[0].parameter == node.inputs[1].parameter:
        return None
    first, second = node.inputs
    return (second, first) if first.parameter else (first, second)


def sole_reader(value: Value) -> DraftNode | None:
    """The node that reads a value, when it reads it once and nobody else does."""
    return next(iter(value.readers)) if value.uses == 1 and value.readers else None
