"""Schema ``default`` and what it stands on: the roofline and the padded batch."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray

from relay_frontend.graph import Edge, OpGraph
from relay_frontend.onnx import from_onnx
from relay_frontend.passes import canonicalize
from relay_frontend.plan import FusionPlan
from tests.tokens.sketch import Sketch, layered, round_profile, unit_plan
from tvm_narcost.fusion.rules import plan_by_rules
from tvm_narcost.tokens.default import ACTIVATIONS, CATEGORIES, OPERATORS, QUANTITIES, WIDTH, encode_kernels
from tvm_narcost.tokens.facts import kernel_facts
from tvm_narcost.tokens.roofline import roofline
from tvm_narcost.tokens.sequence import pad_tokens
from tvm_narcost.zoo import FAMILIES, generate

MARKS = len(OPERATORS) + len(CATEGORIES) + len(ACTIVATIONS)
TOPOLOGY = MARKS + len(QUANTITIES)  # the first column that says where a kernel stands
POSITION = slice(TOPOLOGY, (TOPOLOGY + WIDTH) // 2)
SOURCES = slice((TOPOLOGY + WIDTH) // 2, WIDTH)
AGES = ("input_age_kernels", "input_age_bytes", "oldest_age_kernels", "oldest_age_bytes")


def encode(plan: FusionPlan) -> NDArray[np.float32]:
    return encode_kernels(kernel_facts(plan), round_profile()).values


def quantity(name: str) -> int:
    return MARKS + QUANTITIES.index(name)


def diamond(*, swapped: bool = False) -> OpGraph:
    """Two branches of one kernel each between a first and a last kernel; ``swapped`` runs them in the other order."""
    sketch = Sketch((1, 16, 8, 8))
    first = sketch.conv(sketch.input(), 16)
    if swapped:
        right = sketch.node("Tanh", first)
        left = sketch.conv(first, 16, 3)
    else:
        left = sketch.conv(first, 16, 3)
        right = sketch.node("Tanh", first)
    sketch.node("Add", left, right)
    return sketch.done()


def test_width_and_header() -> None:
    sequence = encode_kernels(kernel_facts(unit_plan(diamond())), round_profile())

    assert WIDTH <= 160
    assert sequence.values.shape == (4, WIDTH)
    assert sequence.values.dtype == np.float32
    assert (sequence.schema, sequence.version) == ("default", 3)
    assert len(set(OPERATORS)) == len(OPERATORS)
    assert len(set(QUANTITIES)) == len(QUANTITIES)


def test_operator_category_and_activation_are_marked_once_each() -> None:
    sketch = Sketch((1, 16, 8, 8))
    sketch.node("Conv", sketch.input(), sketch.weight(16, 16, 1, 1), activation="Clip", kernel_shape=(1, 1))
    sketch.node("Mish", Edge(0))
    tokens = encode(unit_plan(sketch.done()))

    marks = tokens[:, :MARKS]
    names = np.array([*OPERATORS, *CATEGORIES, *ACTIVATIONS])
    assert list(names[marks[0] == 1]) == ["Conv", "convolution", "Clip"]
    assert list(names[marks[1] == 1]) == ["activation"]  # Mish is outside the vocabulary


def test_quantities_are_logarithms_and_flags() -> None:
    tokens = encode(unit_plan(diamond()))

    assert tokens[1, quantity("flops")] == pytest.approx(np.log2(1 + 2 * 16 * 16 * 9 * 64))
    assert tokens[1, quantity("kernel_h")] == 2.0
    assert tokens[1, quantity("constant_operand")] == 1.0
    assert tokens[2, quantity("constant_operand")] == 0.0
    assert tokens[2, quantity("working_set_l2")] == pytest.approx(np.log2(1 + 2 * 4096 / 10_000))


@pytest.mark.parametrize(("channels", "waste"), [(16, 0.0), (17, 15 / 32), (1, 15 / 16), (48, 0.0)])
def test_waste_is_the_share_of_a_vector_block_that_stays_empty(channels: int, waste: float) -> None:
    sketch = Sketch((1, 16, 4, 4))
    sketch.conv(sketch.input(), channels)

    assert encode(unit_plan(sketch.done()))[0, quantity("out_channel_waste")] == pytest.approx(waste)


def test_sources_are_the_sum_of_where_they_stand() -> None:
    tokens = encode(unit_plan(diamond()))
    position, sources = tokens[:, POSITION], tokens[:, SOURCES]

    assert not sources[0].any()
    np.testing.assert_allclose(sources[1], position[0], atol=1e-6)
    np.testing.assert_allclose(sources[2], position[0], atol=1e-6)
    np.testing.assert_allclose(sources[3], position[1] + position[2], atol=1e-6)


def test_positions_are_told_apart_up_to_four_thousand() -> None:
    sketch = Sketch((1, 4))
    edge = sketch.input()
    for _ in range(4096):
        edge = sketch.node("Relu", edge)
    position = encode(unit_plan(sketch.done()))[:, POSITION]

    order = np.lexsort(position.T)
    gaps = np.abs(np.diff(position[order], axis=0)).max(axis=1)
    assert gaps.min() > 1e-3


def test_order_of_independent_kernels_changes_nothing_but_topology() -> None:
    one, other = encode(unit_plan(diamond())), encode(unit_plan(diamond(swapped=True)))
    topology = {quantity(name) for name in AGES} | set(range(TOPOLOGY, WIDTH))
    # which bandwidth an input is read with depends on how old it is, and the bounds on that
    bounds = {quantity(name) for name in QUANTITIES if name.endswith("_us")}
    kept = [column for column in range(WIDTH) if column not in topology | bounds]

    np.testing.assert_array_equal(one[:, kept], other[[0, 2, 1, 3]][:, kept])
    assert not np.array_equal(one[:, POSITION], other[[0, 2, 1, 3]][:, POSITION])


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_tokens_of_every_family_are_finite(family: str) -> None:
    graph = canonicalize(from_onnx(generate(family, 7)))
    for plan in (unit_plan(graph), plan_by_rules(graph)):
        tokens = encode(plan)
        assert np.isfinite(tokens).all()
        assert np.abs(tokens).max() < 64  # logarithms of anything that fits into memory


@given(graph=layered())
@settings(max_examples=60)
def test_tokens_of_any_graph_are_finite_and_one_a_kernel(graph: OpGraph) -> None:
    for plan in (unit_plan(graph), plan_by_rules(graph)):
        tokens = encode(plan)
        assert tokens.shape == (len(plan.kernels), WIDTH)
        assert np.isfinite(tokens).all()


def test_a_bound_by_hand() -> None:
    """A product of 8 x 16 by 16 x 32 on the device of round figures."""
    sketch = Sketch((8, 16))
    sketch.matmul(sketch.input(), sketch.weight(16, 32))
    bounds = roofline(kernel_facts(unit_plan(sketch.done())), round_profile())

    # 8192 FLOPs at 100 GFLOP/s. 512 bytes in and 1024 out do not fit into the first level's 1,000: 200 GB/s.
    # 2048 bytes of weights beside the largest output are 3072: 200 GB/s too.
    assert bounds.compute_us[0] == pytest.approx(8192 / 100e3)
    assert bounds.memory_us[0] == pytest.approx((512 + 1024 + 2048) / 200e3)
    assert bounds.total_us[0] == pytest.approx(8192 / 100e3 + 6.0)
    assert bounds.yardstick_us[0] == pytest.approx(8192 / 100e3 + 6.5)


def test_padding_is_skipped_and_threads_share_the_work() -> None:
    sketch = Sketch((1, 1, 2, 2))
    sketch.node("Conv", sketch.input(), sketch.weight(1, 1, 3, 3), shape=(1, 1, 2, 2), kernel_shape=(3, 3),
                pads=(1, 1, 1, 1), strides=(1, 1), dilations=(1, 1), group=1)  # fmt: skip
    facts = kernel_facts(unit_plan(sketch.done()))

    assert roofline(facts, round_profile()).compute_us[0] == pytest.approx(2 * 16 / 100e3)  # 4 of 9 taps a window
    assert roofline(facts, round_profile(threads=2)).compute_us[0] == pytest.approx(16 / 100e3)


@pytest.mark.parametrize(("elements", "gb_s"), [(100, 400), (1000, 200), (10_000, 100), (100_000, 10)])
def test_bandwidth_is_that_of_the_smallest_cache_that_holds_the_data(elements: int, gb_s: float) -> None:
    sketch = Sketch((elements,))
    sketch.node("Relu", sketch.input())
    bounds = roofline(kernel_facts(unit_plan(sketch.done())), round_profile())

    assert bounds.memory_us[0] == pytest.approx(2 * 4 * elements / (gb_s * 1e3))


def test_old_data_has_left_the_near_cache() -> None:
    sketch = Sketch((50,))
    first = sketch.node("Relu", sketch.input())
    edge = first
    for _ in range(3):
        edge = sketch.node("Relu", edge)
    sketch.node("Add", edge, first)
    facts = kernel_facts(unit_plan(sketch.done()))

    # 400 bytes are read; three kernels ran since the older half was made, and touched 1200
    assert roofline(facts, round_profile()).memory_us[-1] == pytest.approx(400 / 200e3 + 200 / 400e3)


def test_overhead_of_a_call_is_counted_once_a_network() -> None:
    sketch = Sketch((4,))
    sketch.node("Reshape", sketch.node("Reshape", sketch.input()))
    bounds = roofline(kernel_facts(unit_plan(sketch.done())), round_profile())

    assert list(bounds.total_us) == [3.0, 3.0]  # views compute and move nothing


def test_a_device_without_a_third_level() -> None:
    profile = round_profile()
    device = replace(profile.device, l3_bytes=0, bandwidth_gb_s=(("l1", 400.0), ("l2", 200.0), ("memory", 10.0)))
    sketch = Sketch((10_000,))
    sketch.node("Relu", sketch.input())
    facts = kernel_facts(unit_plan(sketch.done()))

    assert roofline(facts, replace(profile, device=device)).memory_us[0] == pytest.approx(80_000 / 10e3)
    assert np.isfinite(encode_kernels(facts, replace(profile, device=device)).values).all()


def test_a_batch_is_padded_with_zeros_and_says_where() -> None:
    batch = pad_tokens([np.ones((2, 3), np.float32), np.full((4, 3), 2, np.float32)])

    assert batch.values.shape == (2, 4, 3)
    assert batch.mask.tolist() == [[True, True, False, False], [True] * 4]
    assert batch.values.sum(axis=(1, 2)).tolist() == [6.0, 24.0]


def test_openvino_blocks_convolutions_and_pools_without_saying_so() -> None:
    profile, facts = round_profile(), kernel_facts(unit_plan(diamond()))
    openvino = replace(profile, runtime=replace(profile.runtime, name="openvino"))
    plain, blocked = (encode_kernels(facts, found).values for found in (profile, openvino))
    column = quantity("blocked")
    assert facts.ops == ("Conv", "Conv", "Tanh", "Add")
    assert plain[:, column].tolist() == [0, 0, 0, 0]
    assert blocked[:, column].tolist() == [1, 1, 0, 0]
    assert np.array_equal(np.delete(plain, column, axis=1), np.delete(blocked, column, axis=1))
