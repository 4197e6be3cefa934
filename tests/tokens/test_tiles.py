"""Tiles by arithmetic, and what kernels of a compiler that tiles are expected to take."""

import numpy as np
import pytest

from relay_frontend.graph import OpGraph
from relay_frontend.plan import FusionPlan
from tests.tokens.sketch import Sketch, round_profile, unit_plan
from tvm_narcost.tokens.encoded import encode_plan
from tvm_narcost.tokens.facts import kernel_facts
from tvm_narcost.tokens.loops import ProductLoops, product_loops
from tvm_narcost.tokens.machine import Machine
from tvm_narcost.tokens.roofline import roofline
from tvm_narcost.tokens.tiled import tiled_bounds
from tvm_narcost.tokens.tiles import Tile, best_tile

LIBRARY, COMPILER = round_profile(), round_profile(runtime="tvm")
MACHINE = Machine.of(LIBRARY)  # 32 registers of 16 lanes


def cycles(rows: int, width: int, *, filled: bool = True, depthwise: bool = False) -> float:
    return best_tile(rows, width, MACHINE, 32, filled=filled, cut=True, depthwise=depthwise)[1]


def test_a_tile_that_fits_wastes_next_to_nothing() -> None:
    tile, one = best_tile(14, 64, MACHINE, 32, filled=True, cut=True, depthwise=False)
    assert tile == Tile(14, 2, 16)
    assert one == pytest.approx((14 + 0.2) / (14 * 2 * 16))  # two of its 28 vectors start in each cycle


def test_what_does_not_fill_a_tile_costs_as_much_as_if_it_did() -> None:
    assert cycles(14, 11) == pytest.approx(cycles(14, 16) * 16 / 11)
    assert cycles(29, 16) > 1.02 * cycles(28, 16)
    assert cycles(1, 16) > 3 * cycles(14, 16)  # one sum after the other: each waits for the one before
    assert cycles(14, 64, filled=False, depthwise=True) > 1.4 * cycles(14, 64)  # both operands are loaded each time


def test_an_axis_that_is_not_filled_is_cut_into_what_divides_it() -> None:
    tile, _ = best_tile(8, 24, MACHINE, 32, filled=False, cut=False, depthwise=False)
    assert tile.lanes == 8
    assert 24 % (tile.vectors * tile.lanes) == 0


def conv(shape: tuple[int, ...], out: tuple[int, ...], weight: tuple[int, ...], **attributes: object) -> OpGraph:
    sketch = Sketch(shape)
    known = {"kernel_shape": weight[2:], "strides": (1, 1), "dilations": (1, 1), "group": 1, **attributes}
    sketch.node("Conv", sketch.input(), sketch.weight(*weight), shape=out, **known)  # type: ignore[arg-type]
    return sketch.done()


def test_loops_of_convolutions_with_channels_last() -> None:
    padded = conv((1, 9, 7, 6), (1, 9, 7, 20), (20, 6, 3, 3), channels_last=1, pads=(1, 1, 1, 1))
    assert product_loops(padded, 0) == ProductLoops(
        7, 20, 9 * 7 * 20 * 6 * 9, filled=True, depthwise=False, padded=11 * 9 * 6, askew=False
    )
    grouped = conv((1, 1, 8, 6), (1, 1, 8, 30), (30, 2, 1, 1), channels_last=1, group=3, pads=(0, 0, 0, 0))
    assert product_loops(grouped, 0) == ProductLoops(8, 10, 8 * 30 * 2, filled=True, depthwise=False)
    depthwise = conv((1, 8, 8, 24), (1, 4, 4, 24), (24, 1, 3, 3), channels_last=1, group=24, pads=(0, 0, 1, 1))
    assert product_loops(depthwise, 0) == ProductLoops(
        4, 24, 4 * 4 * 24 * 9, filled=False, depthwise=True, padded=9 * 9 * 24, askew=True
    )


def test_padding_that_crops_is_not_copied() -> None:
    cropped = conv((1, 9, 9, 6), (1, 7, 9, 20), (20, 6, 1, 1), channels_last=1, pads=(-1, 0, -1, 0))
    found = product_loops(cropped, 0)
    assert found is not None
    assert (found.padded, found.askew) == (0, False)


def test_loops_of_a_convolution_with_channels_first_run_along_lines() -> None:
    found = product_loops(conv((1, 6, 9, 7), (1, 20, 9, 7), (20, 6, 1, 1), pads=(0, 0, 0, 0)), 0)
    assert found == ProductLoops(20, 7, 9 * 7 * 20 * 6, filled=False, depthwise=False)


def test_loops_of_matrix_products_and_of_nothing_else() -> None:
    sketch = Sketch((8, 16), (16, 12))
    weighted = sketch.matmul(sketch.input(), sketch.weight(16, 32))
    sketch.node("Relu", weighted)
    sketch.node("MatMul", sketch.input(), sketch.input(1), shape=(8, 12))
    graph = sketch.done()
    assert product_loops(graph, 0) == ProductLoops(8, 32, 8 * 16 * 32, filled=True, depthwise=False)
    assert product_loops(graph, 1) is None
    assert product_loops(graph, 2) == ProductLoops(8, 12, 8 * 16 * 12, filled=False, depthwise=False)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_time_of_a_tiled_product_by_hand(threads: int) -> None:
    """A product of 8 x 16 by 16 x 32 and what follows it, on the device of round figures."""
    sketch = Sketch((8, 16))
    sketch.node("Relu", sketch.matmul(sketch.input(), sketch.weight(16, 32)))
    graph = sketch.done()
    profile = round_profile(threads=threads, runtime="tvm")
    facts = kernel_facts(FusionPlan(graph, ((0, 1),), "tvm"), inlining=True)
    found = tiled_bounds(facts, profile)

    # 100 GFLOP/s are 1562.5 cycles a microsecond with 64 FLOPs each. Relu's 256 operations are no multiply-adds.
    product_us = 8 * 16 * 32 * cycles(8, 32) / 1562.5
    assert found.compute_us[0] == pytest.approx((product_us + 2 * 256 / 100e3) / threads)
    # 512 bytes in and 1024 out: 200 GB/s. Weights of 2048 bytes beside 1024 count as 12288, too many for the second
    # level's 10,000: 100 GB/s.
    assert found.memory_us[0] == pytest.approx((512 + 1024) / 200e3 + 2048 / 100e3)
    assert found.total_us[0] == pytest.approx(found.compute_us[0] + found.memory_us[0] + 6.0)


def test_padding_is_copied_and_askew_padding_slowly() -> None:
    def compute_us(pads: tuple[int, ...]) -> float:
        graph = conv((1, 16, 16, 32), (1, 16, 16, 32), (32, 1, 3, 3), channels_last=1, group=32, pads=pads)
        facts = kernel_facts(unit_plan(graph), inlining=True)
        return float(tiled_bounds(facts, COMPILER).compute_us[0])

    plain, even, askew = compute_us((0, 0, 0, 0)), compute_us((1, 1, 1, 1)), compute_us((0, 0, 2, 2))
    assert even - plain == pytest.approx(7 * 18 * 18 * 2 / 1562.5)
    assert askew - plain == pytest.approx(22 * 18 * 18 * 2 / 1562.5)


def test_kernels_of_a_library_keep_their_roofline() -> None:
    graph = conv((1, 6, 9, 7), (1, 20, 9, 7), (20, 6, 1, 1), pads=(0, 0, 0, 0))
    plan = unit_plan(graph)
    np.testing.assert_array_equal(
        encode_plan(plan, LIBRARY).roofline_us, roofline(kernel_facts(plan), LIBRARY).total_us
    )
    assert kernel_facts(plan).loops == (None,)
    assert encode_plan(plan, COMPILER).yardstick_us[0] > encode_plan(plan, LIBRARY).yardstick_us[0]
