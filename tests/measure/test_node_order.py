"""The order of nodes depends on the structure of a graph alone."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_frontend.graph import GRAPH_INPUT, Edge, OpGraph, OpNode, TensorType
from tvm_narcost.measure.node_order import arrange_nodes

KIND = TensorType((1, 8), "float32")


def graph(nodes: list[tuple[str, list[int]]], outputs: list[int]) -> OpGraph:
    """Nodes as (operator, indices that it reads); -1 is the graph's input."""
    made = tuple(
        OpNode(op, tuple(Edge(source) for source in reads), (KIND,), name=f"{op}{index}")
        for index, (op, reads) in enumerate(nodes)
    )
    return OpGraph("net", made, (("x", KIND),), (), tuple(Edge(index) for index in outputs))


def shuffled(source: OpGraph, seed: int) -> OpGraph:
    """The same graph in another topological order."""
    generator = random.Random(seed)
    place: dict[int, int] = {}
    nodes: list[OpNode] = []
    while len(nodes) < len(source.nodes):
        ready = [
            index
            for index in range(len(source.nodes))
            if index not in place and all(read in place for read in source.predecessors(index))
        ]
        index = generator.choice(ready)
        place[index] = len(nodes)
        node = source.nodes[index]
        reads = tuple(Edge(place.get(edge.source, GRAPH_INPUT), edge.slot) for edge in node.inputs)
        nodes.append(OpNode(node.op, reads, node.outputs, node.attributes, node.name))
    outputs = tuple(Edge(place[edge.source], edge.slot) for edge in source.outputs)
    return OpGraph(source.name, tuple(nodes), source.inputs, source.parameters, outputs)


@st.composite
def graphs(draw: st.DrawFn) -> OpGraph:
    count = draw(st.integers(1, 12))
    nodes = [
        (draw(st.sampled_from("AB")), draw(st.lists(st.integers(-1, index - 1), min_size=1, max_size=3)))
        for index in range(count)
    ]
    return graph(nodes, draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=2)))


def structure(source: OpGraph) -> list[object]:
    return [(node.op, node.attributes, node.outputs) for node in source.nodes]


@given(graphs(), st.integers(0, 10_000))
def test_any_order_of_the_same_graph_ends_in_one_order(source: OpGraph, seed: int) -> None:
    arranged = arrange_nodes(source)
    again = arrange_nodes(shuffled(source, seed))
    assert structure(arranged) == structure(again)
    assert arranged.structural_hash() == again.structural_hash() == source.structural_hash()
    assert sorted(node.name for node in arranged.nodes) == sorted(node.name for node in source.nodes)


def test_a_branch_is_followed_to_its_end() -> None:
    source = graph([("S", [-1]), ("A", [0]), ("C", [0]), ("B", [1]), ("D", [2]), ("E", [3, 4])], [5])
    operators = "".join(node.op for node in arrange_nodes(source).nodes)
    assert operators in ("SABCDE", "SCDABE")


@pytest.mark.parametrize("seed", range(5))
def test_what_lies_below_decides_between_equal_nodes(seed: int) -> None:
    source = graph([("R", [-1]), ("R", [-1]), ("A", [0]), ("B", [1])], [2, 3])
    expected = arrange_nodes(source)
    found = arrange_nodes(shuffled(source, seed))
    assert (found.nodes, found.outputs) == (expected.nodes, expected.outputs)
