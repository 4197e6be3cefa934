"""Features of operator graphs: cells of hand-made graphs, and what holds of every one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_frontend.costs import graph_cost
from relay_frontend.errors import UnsupportedOperatorError
from relay_frontend.graph import AttributeValue, OpGraph
from relay_frontend.ops import is_known
from tests.tokens.sketch import Sketch
from tvm_narcost.tokens.graph_features import (
    DOUBLINGS,
    NODE_WIDTH,
    OPERATORS,
    STATIC_WIDTH,
    encode_features,
)


def scaled(*values: float) -> list[float]:
    return [float(np.log2(1 + value) / DOUBLINGS) for value in values]


def residual() -> OpGraph:
    """Conv -> Relu -> Conv, their sum, and the sum times itself."""
    sketch = Sketch((1, 8, 14, 14))
    first = sketch.conv(sketch.input(), 16, 3, stride=2)
    second = sketch.conv(sketch.node("Relu", first), 16, 5, group=4, bias=False)
    total = sketch.node("Add", second, first)
    sketch.node("Mul", total, total)
    return sketch.done()


def test_operators_are_known_and_named_once() -> None:
    assert len(set(OPERATORS)) == len(OPERATORS)
    assert all(is_known(name) for name in OPERATORS)


def test_a_node_is_its_operator_its_attributes_and_its_extents() -> None:
    nodes = encode_features(residual()).nodes
    assert nodes.shape == (5, NODE_WIDTH)
    assert nodes.dtype == np.float32
    one_hot, quantities = nodes[:, : len(OPERATORS)], nodes[:, len(OPERATORS) :]
    assert [OPERATORS[index] for index in one_hot.argmax(axis=1)] == ["Conv", "Relu", "Conv", "Add", "Mul"]
    assert (one_hot.sum(axis=1) == 1).all()
    # kernel, stride, pad, dilation, group, bias, two slots that a convolution does not use; N, C, H, W
    np.testing.assert_allclose(quantities[0], scaled(3, 2, 1, 1, 1, 1, 0, 0, 1, 16, 7, 7), rtol=1e-6)
    np.testing.assert_allclose(quantities[2], scaled(5, 1, 2, 1, 4, 0, 0, 0, 1, 16, 7, 7), rtol=1e-6)
    np.testing.assert_allclose(quantities[3], scaled(0, 0, 0, 0, 0, 0, 0, 0, 1, 16, 7, 7), rtol=1e-6)


def test_edges_go_from_a_node_to_its_readers_each_once() -> None:
    edges = encode_features(residual()).edges
    assert edges.dtype == np.int64
    assert sorted(map(tuple, edges.T.tolist())) == [(0, 1), (0, 3), (1, 2), (2, 3), (3, 4)]


def test_static_features_are_batch_flops_parameters_and_traffic() -> None:
    graph = residual()
    cost, static = graph_cost(graph), encode_features(graph).static
    assert static.shape == (STATIC_WIDTH,)
    np.testing.assert_allclose(static, scaled(1, cost.flops, cost.parameters, cost.memory_bytes), rtol=1e-6)


def test_a_network_of_one_operator_has_no_edges() -> None:
    sketch = Sketch((2, 3))
    sketch.node("Relu", sketch.input())
    features = encode_features(sketch.done())
    assert features.edges.shape == (2, 0)
    assert features.nodes.shape == (1, NODE_WIDTH)


def test_an_operator_outside_the_vocabulary_keeps_its_shape() -> None:
    sketch = Sketch((2, 3))
    sketch.node("Ceil", sketch.input())
    row = encode_features(sketch.done()).nodes[0]
    assert not row[: len(OPERATORS)].any()
    np.testing.assert_allclose(row[-4:], scaled(2, 3, 0, 0), rtol=1e-6)


def test_an_operator_outside_the_table_is_an_error() -> None:
    sketch = Sketch((2, 3))
    sketch.node("Frobnicate", sketch.input())
    with pytest.raises(UnsupportedOperatorError, match="Frobnicate"):
        encode_features(sketch.done())


def test_a_negative_pad_counts_as_none() -> None:
    sketch = Sketch((1, 4, 8, 8))
    window: dict[str, AttributeValue] = {
        "dilations": (1, 1),
        "group": 1,
        "kernel_shape": (3, 3),
        "pads": (-1,) * 4,
        "strides": (1, 1),
    }
    sketch.nodes_with("Conv", (sketch.input(), sketch.weight(4, 4, 3, 3)), [(1, 4, 4, 4)], window)
    assert encode_features(sketch.done()).nodes[0, len(OPERATORS) + 2] == 0


@given(st.lists(st.integers(0, 2**62), max_size=6).map(tuple), st.permutations(range(9)).map(tuple))
def test_every_quantity_lies_between_0_and_8(shape: tuple[int, ...], permutation: tuple[int, ...]) -> None:
    sketch = Sketch(shape)
    sketch.node("Transpose", sketch.input(), perm=permutation)
    features = encode_features(sketch.done())
    for values in (features.nodes, features.static):
        assert np.isfinite(values).all()
        assert values.min() >= 0
        assert values.max() <= 8
