"""GraphParts: an OpGraph while a reader makes it."""

from dataclasses import dataclass, field

from relay_frontend.graph import GRAPH_INPUT, PARAMETER, Edge, OpNode, TensorType

__all__ = ["GraphParts"]


@dataclass(slots=True, kw_only=True)
class GraphParts:
    """What there is so far, in the fields of an :class:`relay_frontend.graph.OpGraph`."""

    nodes: list[OpNode] = field(default_factory=list)
    inputs: list[tuple[str, TensorType]] = field(default_factory=list)
    parameters: list[tuple[str, TensorType]] = field(default_factory=list)

    def add_parameter(self, name: str, kind: TensorType) -> Edge:
        """Add a weight or another constant."""
        self.parameters.append((name, kind))
        return Edge(PARAMETER, len(self.parameters) - 1)

    def type_of(self, edge: Edge) -> TensorType:
        """The type of a value."""
        if edge.source >= 0:
            return self.nodes[edge.source].outputs[edge.slot]
        return (self.inputs if edge.source == GRAPH_INPUT else self.parameters)[edge.slot][1]
