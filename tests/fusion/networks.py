"""Random networks of few operators with the patterns that TVM would give them, and the smallest ones by hand."""

from collections.abc import Sequence

from hypothesis import strategies as st

from relay_frontend.graph import GRAPH_INPUT, Edge, OpGraph, OpNode, TensorType
from tvm_narcost.fusion.legality import FusionSpace
from tvm_narcost.fusion.patterns import Pattern

__all__ = ["PATTERN_OF", "network", "space_of", "spaces"]

KIND = TensorType((1, 8, 4, 4), "float32")

PATTERN_OF = {
    "Relu": Pattern.ELEMWISE, "Add": Pattern.ELEMWISE, "Sigmoid": Pattern.ELEMWISE, "Expand": Pattern.BROADCAST,
    "Transpose": Pattern.INJECTIVE, "Split": Pattern.INJECTIVE, "ReduceSum": Pattern.COMM_REDUCE,
    "Softmax": Pattern.OUT_EWISE_FUSABLE, "Conv": Pattern.OUT_EWISE_FUSABLE, "MaxPool": Pattern.OUT_EWISE_FUSABLE,
    "TopK": Pattern.OPAQUE,
}  # fmt: skip

_ATTRIBUTES = {"MaxPool": (("kernel_shape", (1, 1)),)}  # a convolution would need weights as well to be encoded


def network(*operators: tuple[str, *tuple[int, ...]], outputs: Sequence[int] = (-1,)) -> OpGraph:
    """Operators with the places of those that they read from; one that names none reads the network's input."""
    nodes = [
        OpNode(
            op,
            tuple(Edge(source) for source in sources) or (Edge(GRAPH_INPUT),),
            _kinds(op),
            _ATTRIBUTES.get(op, ()),
            f"{op}{place}",
        )
        for place, (op, *sources) in enumerate(operators)
    ]
    returned = tuple(Edge(range(len(nodes))[place]) for place in outputs)
    return OpGraph("net", tuple(nodes), (("x", KIND),), (), returned)


def space_of(graph: OpGraph, inseparable: Sequence[tuple[int, ...]] = ()) -> FusionSpace:
    """With the patterns of PATTERN_OF."""
    return FusionSpace(graph, tuple(PATTERN_OF[node.op] for node in graph.nodes), inseparable)


@st.composite
def spaces(draw: st.DrawFn, most: int = 14) -> FusionSpace:
    """Any wiring of any operators; two that follow each other may be computed by one call."""
    nodes: list[OpNode] = []
    for place in range(draw(st.integers(1, most))):
        op = draw(st.sampled_from(sorted(PATTERN_OF)))
        read = draw(st.lists(st.integers(-1, place - 1), min_size=1, max_size=3)) if place else [-1]
        edges = tuple(
            Edge(source, draw(st.integers(0, len(nodes[source].outputs) - 1))) if source >= 0 else Edge(GRAPH_INPUT)
            for source in read
        )
        nodes.append(OpNode(op, edges, _kinds(op), (), f"n{place}"))
    unread = set(range(len(nodes))) - {edge.source for node in nodes for edge in node.inputs}
    extra = draw(st.sets(st.integers(0, len(nodes) - 1), max_size=2))
    graph = OpGraph("random", tuple(nodes), (("x", KIND),), (), tuple(map(Edge, sorted(unread | extra))))
    pairs = [(place - 1, place) for place in range(1, len(nodes)) if graph.predecessors(place) == (place - 1,)]
    inseparable = [
        pair for pair in pairs if PATTERN_OF[nodes[pair[0]].op] == Pattern.ELEMWISE == PATTERN_OF[nodes[pair[1]].op]
    ]
    return space_of(graph, draw(st.lists(st.sampled_from(inseparable), max_size=1)) if inseparable else ())


def _kinds(op: str) -> tuple[TensorType, ...]:
    return (KIND,) * (2 if op == "Split" else 1)
