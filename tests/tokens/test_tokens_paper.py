"""Schema ``paper`` against cells worked out by hand from the published formula."""

import math
from collections.abc import Callable
from time import process_time

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.tokens_speed import branchy_graph, chain_graph
from relay_frontend.costs import graph_cost
from relay_frontend.graph import OpGraph
from tests.tokens.sketch import Sketch
from tvm_narcost.tokens.paper import END, OPERATORS, STATIC_WIDTH, WIDTH, PaperTokens, code, encode_graph

FREQUENCIES = [np.float32(1 + k * (2**31 - 1) / 31) for k in range(32)]


def by_hand(scalar: float) -> list[float]:
    """sin and cos of frequency x scalar x pi, one after the other, every product rounded to float32."""
    cells = []
    for frequency in FREQUENCIES:
        angle = np.float32(np.float32(scalar) * frequency) * np.float32(math.pi)
        cells += [np.sin(angle), np.cos(angle)]
    return cells


def field(tokens: PaperTokens, row: int, position: int) -> NDArray[np.float32]:
    """Field 0 is the operator, 1..8 attributes, 9..12 extents, 13 the sources, 14 the token's own position."""
    return tokens.sequence.values[row, position * 64 : (position + 1) * 64]


def small_network() -> PaperTokens:
    """Input, Conv, Relu, Add of both, Transpose."""
    sketch = Sketch((1, 3, 8, 8))
    conv = sketch.conv(sketch.input(), 16, 3, stride=2)
    relu = sketch.node("Relu", conv)
    add = sketch.node("Add", relu, conv)
    sketch.node("Transpose", add, shape=(1, 4, 4, 16), perm=(0, 2, 3, 1))
    return encode_graph(sketch.done())


def test_one_token_a_node_between_input_and_end_and_each_960_wide() -> None:
    tokens = small_network()

    assert WIDTH == 960
    assert tokens.sequence.values.shape == (4 + 2, 960)
    assert tokens.sequence.values.dtype == np.float32
    assert (tokens.sequence.schema, tokens.sequence.version) == ("paper", 1)


def test_a_code_is_sine_and_cosine_of_each_frequency_in_turn() -> None:
    np.testing.assert_array_equal(code(np.array([3], np.float32))[0], np.array(by_hand(3), np.float32))


@pytest.mark.parametrize(
    ("position", "scalar"),
    [
        (0, 1),  # Conv
        (1, 3),  # kernel
        (2, 2),  # stride
        (3, 1),  # padding
        (4, 1),  # dilation
        (5, 1),  # group
        (6, 1),  # has a bias
        (7, 0),
        (8, 0),
        (9, 1),
        (10, 16),
        (11, 4),
        (12, 4),
        (13, 0),  # reads the network's input, which is token 0
        (14, 1),
    ],
)
def test_cells_of_a_convolution(position: int, scalar: float) -> None:
    np.testing.assert_array_equal(field(small_network(), 1, position), np.array(by_hand(scalar), np.float32))


def test_the_input_has_no_operator_its_shape_and_source_minus_one() -> None:
    tokens = small_network()

    assert not field(tokens, 0, 0).any()
    np.testing.assert_array_equal(field(tokens, 0, 10), np.array(by_hand(3), np.float32))
    np.testing.assert_array_equal(field(tokens, 0, 13), np.array(by_hand(-1), np.float32))
    np.testing.assert_array_equal(field(tokens, 0, 14), np.array(by_hand(0), np.float32))


def test_several_sources_are_summed() -> None:
    summed = np.array(by_hand(1), np.float32) + np.array(by_hand(2), np.float32)

    np.testing.assert_allclose(field(small_network(), 3, 13), summed, rtol=0, atol=1e-6)


def test_a_permutation_is_coded_in_full() -> None:
    tokens = small_network()

    for position, axis in enumerate((0, 2, 3, 1)):
        np.testing.assert_array_equal(field(tokens, 4, 1 + position), np.array(by_hand(axis), np.float32))


def test_every_field_of_the_end_token_codes_1e5() -> None:
    assert END == 1e5
    np.testing.assert_array_equal(
        small_network().sequence.values[-1].reshape(15, 64), np.tile(np.array(by_hand(1e5), np.float32), (15, 1))
    )


def test_an_operator_outside_the_table_has_no_code_but_its_shape() -> None:
    sketch = Sketch((1, 3, 8, 8))
    sketch.node("HardSwish", sketch.input())
    tokens = encode_graph(sketch.done())

    assert len(OPERATORS) == 28
    assert "HardSwish" not in OPERATORS
    assert not field(tokens, 1, 0).any()
    np.testing.assert_array_equal(field(tokens, 1, 10), np.array(by_hand(3), np.float32))


def test_the_depth_token_codes_how_many_nodes_there_are() -> None:
    tokens = small_network()

    assert tokens.depth_code.shape == (960,)
    assert tokens.depth_code[0] == np.sin(np.float32(5) * np.float32(math.pi))  # input and four operators; frequency 1
    assert not np.array_equal(tokens.depth_code, encode_graph(chain_graph(5)).depth_code)


def test_the_static_feature_is_batch_flops_parameters_and_memory() -> None:
    graph = chain_graph(9)
    cost = graph_cost(graph)
    static = encode_graph(graph).static

    assert static.shape == (STATIC_WIDTH,) == (256,)
    for slot, scalar in enumerate((1, cost.flops / 1e9, cost.parameters / 1e9, cost.memory_bytes / 1e9)):
        np.testing.assert_array_equal(static[slot * 64 : (slot + 1) * 64], np.array(by_hand(scalar), np.float32))


def test_float32_gives_every_small_integer_a_code_of_its_own() -> None:
    """What keeps the published frequencies usable: rounding in float32 acts as a hash."""
    codes = {row.tobytes() for row in code(np.arange(246, dtype=np.float32))}

    assert len(codes) == 246


def test_in_float64_the_same_frequencies_repeat_with_period_62() -> None:
    frequencies = np.linspace(1, 2**31, 32)
    angles = np.arange(124)[:, None] * frequencies * np.pi
    exact = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)

    np.testing.assert_allclose(exact[62:], exact[:62], atol=1e-3)
    apart = np.abs(exact[:62, None] - exact[None, :62]).max(axis=2) + np.eye(62)
    assert apart.min() > 0.05  # and with no shorter period


@pytest.mark.parametrize("build", [chain_graph, branchy_graph])
def test_time_grows_no_faster_than_nodes(build: Callable[[int], OpGraph]) -> None:
    """Coarse: sixteen times the nodes in at most forty times the time. bench/tokens_speed.py fits the exponent."""

    def best(nodes: int) -> float:
        graph, times = build(nodes), []
        for _ in range(3):
            started = process_time()
            encode_graph(graph)
            times.append(process_time() - started)
        return min(times)

    assert best(4000) < 40 * best(250)
