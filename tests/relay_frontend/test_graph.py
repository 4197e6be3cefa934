"""OpGraph: edges are checked, JSON is lossless, neighbours are found."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_frontend.errors import InvalidGraphError
from relay_frontend.graph import GRAPH_INPUT, PARAMETER, Edge, OpGraph, OpNode, TensorType

FLOAT = TensorType((2, 3), "float32")


def node(op: str, *inputs: Edge, outputs: int = 1, name: str = "") -> OpNode:
    return OpNode(op, inputs, (FLOAT,) * outputs, (("axis", 1), ("scales", (1.0, 2.0))), name)


def graph(*nodes: OpNode, outputs: tuple[Edge, ...] | None = None) -> OpGraph:
    ends = (Edge(len(nodes) - 1),) if outputs is None else outputs
    return OpGraph("net", nodes, (("x", FLOAT),), (("w", FLOAT), ("u", FLOAT)), ends)


DIAMOND = graph(
    node("Split", Edge(GRAPH_INPUT), outputs=2),
    node("Relu", Edge(0, 0)),
    node("Mul", Edge(0, 1), Edge(PARAMETER, 1)),
    node("Add", Edge(2), Edge(1)),
)


@pytest.mark.parametrize(
    ("edge", "message"),
    [
        (Edge(1), "reads node 1, expected one before it"),
        (Edge(7), "reads node 7"),
        (Edge(-3), "reads node -3"),
        (Edge(GRAPH_INPUT, 1), "reads slot 1 of -1, expected one of its 1"),
        (Edge(PARAMETER, 2), "reads slot 2 of -2, expected one of its 2"),
        (Edge(0, 1), "reads slot 1 of 0"),
        (Edge(0, -1), "reads slot -1 of 0"),
    ],
)
def test_an_edge_to_nothing_is_refused(edge: Edge, message: str) -> None:
    with pytest.raises(InvalidGraphError, match=message):
        graph(node("Relu", Edge(GRAPH_INPUT)), node("Exp", edge))


def test_an_output_of_nothing_is_refused() -> None:
    with pytest.raises(InvalidGraphError, match="graph output of 'net' reads node 1"):
        graph(node("Relu", Edge(GRAPH_INPUT)), outputs=(Edge(1),))


def test_neighbours() -> None:
    assert DIAMOND.predecessors(3) == (1, 2)
    assert DIAMOND.consumers == ((1, 2), (3,), (3,), ())
    assert DIAMOND.input_types(2) == (FLOAT, FLOAT)


def test_sizes() -> None:
    assert (TensorType((), "int64").elements, TensorType((2, 3), "float16").bytes) == (1, 12)


def test_json_is_lossless() -> None:
    assert OpGraph.from_json(json.loads(json.dumps(DIAMOND.to_json()))) == DIAMOND


@pytest.mark.parametrize(
    "damage",
    [
        {"nodes": None},
        {"nodes": [{}]},
        {"inputs": [["x"]]},
        {"parameters": [["w", []]]},
        {"outputs": [[0]]},
        {"outputs": [["first", 0]]},
    ],
)
def test_a_damaged_document_is_refused(damage: dict[str, Any]) -> None:
    with pytest.raises(InvalidGraphError, match="expected what OpGraph.to_json writes"):
        OpGraph.from_json({**DIAMOND.to_json(), **damage})


def test_a_document_without_a_field_is_refused() -> None:
    document = DIAMOND.to_json()
    del document["inputs"]

    with pytest.raises(InvalidGraphError, match="'inputs'"):
        OpGraph.from_json(document)


@given(st.permutations([1, 2]))
def test_the_hash_does_not_see_the_order_of_independent_nodes(order: list[int]) -> None:
    place = {0: 0, order[0]: 1, order[1]: 2, 3: 3}

    def moved(edge: Edge) -> Edge:
        return Edge(place.get(edge.source, edge.source), edge.slot)

    nodes = [DIAMOND.nodes[old] for old in sorted(place, key=lambda old: place[old])]
    again = graph(*(OpNode(n.op, tuple(map(moved, n.inputs)), n.outputs, n.attributes, "other") for n in nodes))

    assert again.structural_hash() == DIAMOND.structural_hash()


def test_the_hash_sees_which_output_is_read_but_not_which_weight_of_a_type() -> None:
    def variant(slot: int, weight: int) -> str:
        nodes = (DIAMOND.nodes[0], node("Relu", Edge(0, slot)), node("Mul", Edge(1), Edge(PARAMETER, weight)))
        return graph(*nodes).structural_hash()

    assert variant(0, 0) == variant(0, 1)
    assert variant(0, 0) != variant(1, 0)


@pytest.mark.parametrize(
    ("dtype", "size"), [("float32", 12), ("int64", 24), ("bool", 3), ("int4", 2), ("bfloat16", 6), ("float6e2m3", 3)]
)
def test_bytes_of_three_elements(dtype: str, size: int) -> None:
    assert TensorType((3,), dtype).bytes == size


def test_a_dtype_without_a_size_is_an_error_not_a_guess() -> None:
    with pytest.raises(InvalidGraphError, match="'quaternion'"):
        _ = TensorType((3,), "quaternion").bytes
