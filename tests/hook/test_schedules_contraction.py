"""Convolutions and matrix products: right on shapes where tiles do not fit, in vectors, with operands packed."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("tvm")

from tvm import s_tir, te, tirx, topi

from hardware_profiles import HardwareProfile
from tests.hook.schedules import AVX2, AVX512, biased, by_rules, check, conv2d, kernel, threads, vector_widths
from tests.tokens.sketch import Sketch
from tvm_narcost.hook.schedules.contraction import Contraction, find_contraction, tile_of
from tvm_narcost.hook.schedules.kernel import open_kernel
from tvm_narcost.hook.schedules.packing import PACKED, Packing
from tvm_narcost.tokens.loops import product_loops
from tvm_narcost.tokens.machine import Machine
from tvm_narcost.tokens.tiles import best_tile

# operation, shapes of its inputs; none of the extents is a multiple of what fills a vector
CONVOLUTIONS: dict[str, tuple[Any, tuple[tuple[int, ...], ...]]] = {
    "dense 3x3, padded": (conv2d(padding=1), ((1, 7, 11, 5), (3, 3, 5, 21))),
    "dense 3x3, strided": (conv2d(strides=2, padding=1), ((1, 11, 9, 4), (3, 3, 4, 40))),
    "pointwise": (conv2d(), ((1, 5, 13, 19), (1, 1, 19, 37))),
    "batch of two": (conv2d(padding=1), ((2, 5, 5, 3), (3, 3, 3, 16))),
    "grouped": (conv2d(groups=3), ((1, 6, 6, 12), (1, 1, 4, 51))),
    "grouped 3x3": (conv2d(padding=1, groups=2), ((1, 5, 7, 6), (3, 3, 3, 34))),
    "depthwise": (conv2d(padding=1, groups=20), ((1, 7, 7, 20), (3, 3, 1, 20))),
    "depthwise, odd": (conv2d(padding=1, groups=37), ((1, 7, 7, 37), (3, 3, 1, 37))),
    "depthwise, strided": (conv2d(strides=2, padding=2, groups=24), ((1, 9, 9, 24), (5, 5, 1, 24))),
    "one output channel": (conv2d(padding=1), ((1, 6, 6, 8), (3, 3, 8, 1))),
    "channels first": (conv2d(padding=1, layout=("NCHW", "OIHW")), ((1, 5, 7, 18), (9, 5, 3, 3))),
    "channels first, depthwise": (conv2d(padding=1, groups=6, layout=("NCHW", "OIHW")), ((1, 6, 7, 16), (6, 1, 3, 3))),
}
PRODUCTS: dict[str, tuple[Any, tuple[tuple[int, ...], ...]]] = {
    "rows": (topi.matmul, ((19, 23), (23, 50))),
    "one row": (topi.matmul, ((1, 65), (65, 101))),
    "narrow": (topi.matmul, ((33, 17), (17, 3))),
    "transposed": (lambda a, b: topi.nn.matmul(a, b, transpose_b=True), ((18, 40), (21, 40))),
    "batch": (topi.nn.batch_matmul, ((5, 9, 12), (5, 11, 12))),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolution_is_what_it_was(name: str) -> None:
    operation, shapes = CONVOLUTIONS[name]
    check(kernel(operation, *shapes, more=biased), AVX512, constants=(1,))


@pytest.mark.parametrize("constants", [(), (1,)], ids=["activation", "weight"])
@pytest.mark.parametrize("name", PRODUCTS)
def test_product_is_what_it_was(name: str, constants: tuple[int, ...]) -> None:
    operation, shapes = PRODUCTS[name]
    check(kernel(operation, *shapes), AVX2, constants)


def test_operand_that_two_axes_of_a_transpose_exchange() -> None:
    """What follows writes the result in another order, so that vectors are written element by element."""
    check(kernel(conv2d(padding=1), (1, 6, 6, 4), (3, 3, 4, 20), more=lambda x: topi.transpose(x, (0, 3, 1, 2))), AVX2)


@pytest.mark.parametrize(
    "more",
    [
        lambda x: topi.strided_slice(x, [0, 0], [24, 20]),
        lambda x: topi.reshape(x, (27, 24)),
        lambda x: te.compute(x.shape, lambda a, b: x[a, b] + x[a, x.shape[1] - 1 - b]),
    ],
    ids=["slice", "reshape", "turned round"],
)
def test_a_packed_result_that_is_read_elsewhere_is_written_as_it_was(more: Any) -> None:
    """Else the operand would not be packed, and the odd width leave no vectors."""
    scheduled = check(kernel(topi.matmul, (24, 16), (16, 27), more=more), AVX2, constants=(1,))
    assert scheduled.attrs[PACKED] and 8 in vector_widths(scheduled)


def test_result_that_is_read_twice_is_kept() -> None:
    twice = lambda x: te.compute(x.shape, lambda a, b: x[a, b] + x[a, x.shape[1] - 1 - b])  # noqa: E731
    check(kernel(topi.matmul, (9, 16), (16, 24), more=twice), AVX2)


@pytest.mark.parametrize("width", [48, 50], ids=["whole tiles", "filled up"])
def test_a_result_that_is_read_in_place_is_finished_on_its_tile(width: int) -> None:
    scheduled = check(kernel(topi.matmul, (24, 64), (64, width), more=biased), AVX2, constants=(1,))
    schedule = s_tir.Schedule(scheduled)
    (outermost, *_) = schedule.get_loops(schedule.get_sblock("biased"))
    inside = [schedule.get(block).name_hint for block in schedule.get_child_blocks(outermost)]
    assert len(inside) > 1  # the product's as well


ELSEWHERE = {
    "reshape": lambda x: topi.reshape(x, (1, 98, 12)),
    "slice": lambda x: topi.strided_slice(x, [0, 0, 0, 0], [1, 7, 7, 9]),
    "slice from the middle": lambda x: topi.strided_slice(x, [0, 0, 0, 8], [1, 7, 7, 24]),
    "concatenation": lambda x: topi.concatenate([x, topi.nn.leaky_relu(x, 0.1)], axis=3),
}


@pytest.mark.parametrize("constants", [(), (1,)], ids=["activation", "weight"])
@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_result_that_is_read_elsewhere_is_not_indexed_in_registers(name: str, constants: tuple[int, ...]) -> None:
    function = kernel(conv2d(padding=1), (1, 7, 7, 8), (3, 3, 8, 24), more=lambda x: ELSEWHERE[name](topi.nn.relu(x)))
    scheduled = check(function, AVX2, constants)
    schedule = s_tir.Schedule(scheduled)
    last = schedule.get_sblock({"reshape": "T_reshape", "concatenation": "T_concat"}.get(name, "T_strided_slice"))
    (outermost, *_) = schedule.get_loops(last)
    inside = [schedule.get(block).name_hint for block in schedule.get_child_blocks(outermost)]
    assert inside == [schedule.get(last).name_hint]  # no convolution


@pytest.mark.parametrize(("facts", "width"), [(AVX2, 8), (AVX512, 16)], ids=["avx2", "avx512"])
def test_vectors_are_as_wide_as_the_device_has_them(facts: HardwareProfile, width: int) -> None:
    scheduled = by_rules(kernel(conv2d(), (1, 8, 8, 16), (1, 1, 16, 64), more=biased), facts, (1,))
    assert vector_widths(scheduled) == {width}


def test_parallel_only_with_threads() -> None:
    function = kernel(conv2d(padding=1), (1, 28, 28, 32), (3, 3, 32, 64), more=biased)
    assert "T.parallel" not in by_rules(function, threads(1), (1,)).script()
    assert "T.parallel" in by_rules(function, threads(2), (1,)).script()


def test_same_kernel_same_schedule() -> None:
    function = kernel(conv2d(padding=1, groups=2), (1, 5, 7, 6), (3, 3, 3, 34), more=biased)
    assert by_rules(function, AVX2, (1,)).script() == by_rules(function, AVX2, (1,)).script()


def contraction(function: tirx.PrimFunc) -> Contraction:
    opened = open_kernel(function)
    assert opened is not None
    return next(filter(None, map(find_contraction, opened.blocks())))


def test_axes_of_a_grouped_convolution() -> None:
    found = contraction(kernel(conv2d(groups=3), (1, 6, 8, 12), (1, 1, 4, 51)))
    assert (found.group, found.depthwise) == (17, False)
    assert (found.block.extents[found.vector], found.block.extents[found.tiled or 0]) == (51, 8)


def test_tile_fits_the_registers() -> None:
    found = contraction(kernel(conv2d(), (1, 56, 56, 64), (1, 1, 64, 256)))
    for facts, registers in ((AVX2, 16), (AVX512, 32)):
        tile = tile_of(found, Machine.of(facts))
        assert registers / 2 < tile.rows * tile.vectors + tile.vectors + 1 <= registers
        assert 56 % tile.rows == 0


@pytest.mark.parametrize("facts", [AVX2, AVX512], ids=["avx2", "avx512"])
@pytest.mark.parametrize("groups", [1, 3, 24])
def test_tokens_read_the_same_tile_off_the_node(facts: HardwareProfile, groups: int) -> None:
    outputs = 24 if groups == 24 else 48
    sketch = Sketch((1, 12, 10, 24))
    sketch.node("Conv", sketch.input(), sketch.weight(outputs, 24 // groups, 3, 3), shape=(1, 10, 8, outputs),
                kernel_shape=(3, 3), pads=(0, 0, 0, 0), strides=(1, 1), dilations=(1, 1), group=groups,
                channels_last=1)  # fmt: skip
    loops = product_loops(sketch.done(), 0)
    found = contraction(kernel(conv2d(groups=groups), (1, 12, 10, 24), (3, 3, 24 // groups, outputs)))
    machine = Machine.of(facts)
    assert loops is not None
    assert (loops.width, loops.depthwise) == (found.group, found.depthwise)
    tile, _ = best_tile(loops.rows, loops.width, machine, 32, filled=loops.filled, cut=True, depthwise=loops.depthwise)
    assert tile == tile_of(found, machine, filled=loops.filled)


def test_packed_operand_holds_tiles_in_one_piece() -> None:
    weight = np.arange(2 * 3 * 10, dtype=np.float32).reshape(2, 3, 10)
    packing = Packing(axis=2, groups=2, padded=8, tile=4)
    packed = packing.apply(weight)
    assert packed.shape == packing.shape(weight.shape) == (4, 2, 3, 4)
    np.testing.assert_array_equal(packed[0, 1, 2], weight[1, 2, :4])
    np.testing.assert_array_equal(packed[3, 1, 2], [weight[1, 2, 9], 0, 0, 0])


def test_weights_alone_are_packed_by_the_caller() -> None:
    function = kernel(topi.matmul, (19, 23), (23, 50))
    assert [*by_rules(function, AVX2, (1,)).attrs[PACKED]] == ["1"]
    assert PACKED not in by_rules(function, AVX2, ()).attrs
    assert by_rules(function, AVX2, ()).params[1].ty.shape[1] == 50
