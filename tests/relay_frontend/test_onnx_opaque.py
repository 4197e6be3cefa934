"""Operators outside the table: kept with their types, counted by their bytes, never guessed at."""

import numpy as np
import onnx
import pytest
from onnx import helper, parser

from relay_frontend.costs import graph_cost, operator_cost
from relay_frontend.errors import UnsupportedOperatorError
from relay_frontend.graph import OpGraph, TensorType
from relay_frontend.onnx import from_onnx
from relay_frontend.passes import canonicalize

OPSETS = [("", 21), ("example.com", 1), ("com.microsoft", 1), ("ai.onnx.ml", 3), ("ai.onnx.preview", 1)]


def model(text: str) -> onnx.ModelProto:
    return helper.make_model(
        parser.parse_graph(text), opset_imports=[helper.make_operatorsetid(*pair) for pair in OPSETS]
    )


def read(text: str, **shapes: tuple[int, ...]) -> OpGraph:
    return from_onnx(model(text), shapes=shapes)


SPLAT = """net (float[2, 3, 8, 8] x) => (float[2, 5, 4, 4] z) <float[5, 3] w = {1}, float[2, 5, 4, 4] y> {
    a = Relu(x)
    y = example.com.Splat<radius = 1.5, mode = "soft">(a, w)
    z = Sigmoid(y)
}"""


def test_an_operator_of_another_domain_is_kept_with_its_stated_types() -> None:
    graph = read(SPLAT)
    node = graph.nodes[1]

    assert [node.op for node in graph.nodes] == ["Relu", "example.com.Splat", "Sigmoid"]
    assert node.attribute_map == {"mode": "soft", "radius": 1.5}
    assert graph.input_types(1) == (TensorType((2, 3, 8, 8), "float32"), TensorType((5, 3), "float32"))
    assert node.outputs == (TensorType((2, 5, 4, 4), "float32"),)


def test_it_counts_bytes_and_no_flops_and_is_reported() -> None:
    graph = canonicalize(read(SPLAT))
    counted = operator_cost(graph, 1)

    assert (counted.flops, counted.input_bytes, counted.parameter_bytes, counted.output_bytes) == (0, 1536, 60, 640)
    cost = graph_cost(graph, strict=False)
    assert cost.unknown_operators == ("example.com.Splat",)
    assert (cost.flops, cost.parameters) == (384 + 160, 15)
    with pytest.raises(UnsupportedOperatorError, match=r"uses example\.com\.Splat"):
        graph_cost(graph)


def test_a_stated_dimension_by_name_has_the_extent_of_the_input() -> None:
    graph = read(
        """net (float[n, 4] x) => (float[n, 7, 2] z) { z = example.com.Splat(x) }""",
        x=(5, 4),
    )

    assert graph.nodes[0].outputs == (TensorType((5, 7, 2), "float32"),)


def test_without_stated_types_it_is_refused_by_name_all_at_once() -> None:
    with pytest.raises(UnsupportedOperatorError) as caught:
        read(
            """net (float[n, 4] x) => (float[n, m] z) {
                a = example.com.Splat(x)
                b = Whirl(a)
                z = com.microsoft.Swirl(b)
            }""",
            x=(2, 4),
        )

    for part in ("3 of 3", "example.com.Splat 'a' writes ['a']", "Whirl 'b'", "com.microsoft.Swirl 'z'", "value_info"):
        assert part in str(caught.value)


def test_an_unheard_of_operator_of_the_standard_domain_is_opaque_too() -> None:
    graph = read("net (float[2, 4] x) => (float[3] z) { z = Whirl(x) }")

    assert graph.nodes[0].op == "ai.onnx.Whirl"


def test_an_operator_in_the_table_keeps_its_row_without_a_shape_rule() -> None:
    graph = read("net (float[2, 4] x) => (float[2, 4] z) { z = com.microsoft.IsAllFinite(x) }")

    assert graph.nodes[0].op == "IsAllFinite"
    assert operator_cost(graph, 0).flops == 8


def test_types_that_onnx_infers_need_not_be_stated() -> None:
    graph = read(
        """net (int64[2, 4] x) => (float z) {
            y = ai.onnx.ml.LabelEncoder<keys_int64s = [1, 2], values_int64s = [3, 4], default_int64 = 0>(x)
            z = ReduceMax<keepdims = 0>(y)
        }"""
    )

    assert graph.nodes[0].op == "ai.onnx.ml.LabelEncoder"
    assert graph.nodes[0].outputs == (TensorType((2, 4), "int64"),)


def test_a_preview_operator_that_the_table_has_is_that_operator() -> None:
    graph = read(
        """net (float[2, 3, 4, 8] q, float[2, 3, 6, 8] k, float[2, 3, 6, 10] v) => (float[a, b, c, d] y) {
            y = ai.onnx.preview.FlexAttention(q, k, v)
        }"""
    )

    assert graph.nodes[0].op == "FlexAttention"
    assert graph.nodes[0].outputs == (TensorType((2, 3, 4, 10), "float32"),)
    assert operator_cost(graph, 0).flops == 2 * 2 * 3 * 4 * 6 * (8 + 10) + 5 * 2 * 3 * 4 * 6


def test_attributes_that_are_tensors_tell_operators_apart() -> None:
    def with_table(*values: float) -> OpGraph:
        built = model("net (float[2, 4] x) => (float[2, 4] z) { z = example.com.Look(x) }")
        table = onnx.numpy_helper.from_array(np.array(values, np.float32))
        built.graph.node[0].attribute.append(helper.make_attribute("table", table))
        return from_onnx(built)

    one, same, other = with_table(1, 2), with_table(1, 2), with_table(1, 3)
    assert str(one.nodes[0].attribute_map["table"]).startswith("float32[2] ")
    assert one.structural_hash() == same.structural_hash() != other.structural_hash()


def test_attributes_that_are_graphs_tell_operators_apart() -> None:
    def with_change_of_scores(op: str) -> OpGraph:
        shape = "[2, 3, 4, 6]"
        built = model(
            """net (float[2, 3, 4, 8] q, float[2, 3, 6, 8] k, float[2, 3, 6, 8] v) => (float[2, 3, 4, 8] y) {
                y = ai.onnx.preview.FlexAttention(q, k, v)
            }"""
        )
        change = parser.parse_graph(f"change (float{shape} s) => (float{shape} t) {{ t = {op}(s) }}")
        built.graph.node[0].attribute.append(helper.make_attribute("score_mod", change))
        return from_onnx(built)

    one, same, other = with_change_of_scores("Tanh"), with_change_of_scores("Tanh"), with_change_of_scores("Abs")
    assert one.nodes[0].op == "FlexAttention"
    assert one.structural_hash() == same.structural_hash() != other.structural_hash()


def test_an_output_that_nobody_reads_needs_no_type() -> None:
    graph = read("net (float[2] x) => (float[3] z) { z, debug = example.com.Splat(x) }")

    assert len(graph.nodes[0].outputs) == 1
