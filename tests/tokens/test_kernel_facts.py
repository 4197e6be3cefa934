"""Facts of kernels against numbers worked out by hand."""

import numpy as np
import pytest

from relay_frontend.graph import AttributeValue, Edge, OpGraph, TensorType
from relay_frontend.plan import FusionPlan
from tests.tokens.sketch import Sketch, unit_plan
from tvm_narcost.tokens.extents import EXTENTS, node_extents
from tvm_narcost.tokens.facts import COLUMNS, KernelFacts, kernel_facts


def columns(facts: KernelFacts, kernel: int, *names: str) -> dict[str, float]:
    return {name: float(facts.column(name)[kernel]) for name in names or COLUMNS}


def of_last(graph: OpGraph, *names: str) -> dict[str, float]:
    return columns(kernel_facts(unit_plan(graph)), len(graph.nodes) - 1, *names)


def test_a_convolution() -> None:
    sketch = Sketch((2, 16, 8, 8))
    sketch.conv(sketch.input(), 32, 3, stride=2)
    found = of_last(sketch.done())

    # 3 x 3 windows with padding 1 and stride 2 at 0, 2, 4, 6 along 8: only the first of 12 taps falls outside
    windows, rows = 2 * 32 * 4 * 4, 2 * 32 * 11 * 11
    expected = {
        "flops": 2 * windows * 16 * 9,
        "padding_flops": 2 * 16 * (windows * 9 - rows),
        "input_bytes": 4 * 2 * 16 * 64,
        "parameter_bytes": 4 * (32 * 16 * 9 + 32),
        "output_bytes": 4 * windows,
        "batch": 2, "in_channels": 16, "out_channels": 32, "in_h": 8, "in_w": 8, "out_h": 4, "out_w": 4,
        "kernel_h": 3, "kernel_w": 3, "stride_h": 2, "stride_w": 2, "dilation_h": 1, "dilation_w": 1, "group": 1,
        "m": 2 * 16, "n": 32, "k": 16 * 9, "products": 1,
        "blocked": 0, "fused_sum": 0, "fused_nodes": 1, "activations": 0, "constant_operand": 1,
        "transposed_operands": 0, "element_bytes": 4,
        "inputs": 1, "outputs": 1, "consumers": 0, "from_graph_input": 1,
    }  # fmt: skip
    assert {name: found[name] for name in expected} == expected


def test_a_convolution_with_channels_last_has_the_same_window_and_product() -> None:
    attributes: dict[str, AttributeValue] = {
        "kernel_shape": (3, 3),
        "strides": (1, 1),
        "pads": (1, 1, 1, 1),
        "group": 1,
    }
    first, last = Sketch((1, 16, 8, 10)), Sketch((1, 8, 10, 16))
    first.node("Conv", first.input(), first.weight(32, 16, 3, 3), shape=(1, 32, 8, 10), **attributes)
    last.node("Conv", last.input(), last.weight(32, 16, 3, 3), shape=(1, 8, 10, 32), channels_last=1, **attributes)
    names = EXTENTS[: EXTENTS.index("rank")]
    assert of_last(last.done(), "flops", *names) == of_last(first.done(), "flops", *names)
    assert of_last(last.done(), "inner") == {"inner": 32}


def test_a_change_of_layout_is_described_by_its_types_as_they_are() -> None:
    plain, last = Sketch((1, 8, 10, 16)), Sketch((1, 8, 10, 16))
    plain.node("ReorderOutput", plain.input(), shape=(1, 8, 10, 16), channels=16)
    last.node("ReorderOutput", last.input(), shape=(1, 8, 10, 16), channels=16, channels_last=1)
    assert of_last(last.done(), *EXTENTS) == of_last(plain.done(), *EXTENTS)


def test_a_grouped_convolution_is_as_many_products_as_groups() -> None:
    sketch = Sketch((1, 32, 5, 5))
    sketch.conv(sketch.input(), 64, 3, group=4)

    assert of_last(sketch.done(), "m", "n", "k", "products") == {"m": 25, "n": 16, "k": 8 * 9, "products": 4}


def test_nodes_of_equal_types_differ_by_which_of_their_values_are_constants() -> None:
    sketch = Sketch((1, 16, 4, 4))
    first = sketch.node("Relu", sketch.input())
    shifted = sketch.node("Add", first, sketch.weight(1, 16, 4, 4))
    sketch.node("Add", shifted, first)
    facts = kernel_facts(unit_plan(sketch.done()))
    names = ("constant_operand", "parameter_bytes", "input_bytes", "inputs", "from_graph_input")
    assert columns(facts, 1, *names) == dict(zip(names, (1, 1024, 1024, 1, 0), strict=True))
    assert columns(facts, 2, *names) == dict(zip(names, (0, 0, 2048, 2, 0), strict=True))


def test_what_onnx_runtime_fuses_into_a_convolution_is_told_by_attributes() -> None:
    sketch = Sketch((1, 16, 4, 4))
    residual = sketch.node("Relu", sketch.input())
    weight, bias = sketch.weight(16, 16, 1, 1), sketch.weight(16)
    sketch.node("Conv", residual, weight, bias, residual, activation="Relu", fused_sum=1, layout="nchwc",
                kernel_shape=(1, 1))  # fmt: skip
    facts = kernel_facts(unit_plan(sketch.done()))

    assert facts.activations == ("", "Relu")
    assert columns(facts, 1, "blocked", "fused_sum", "activations") == {"blocked": 1, "fused_sum": 1, "activations": 1}
    assert facts.column("flops")[1] == 2 * 16 * 16 * 16 + 2 * 16 * 16  # products, then the sum and the activation


def test_a_product_by_one_weight_takes_the_batch_into_its_rows() -> None:
    sketch = Sketch((3, 10, 64))
    sketch.matmul(sketch.input(), sketch.weight(64, 128))

    found = of_last(sketch.done(), "m", "n", "k", "products", "constant_operand", "flops")
    assert found == {"m": 30, "n": 128, "k": 64, "products": 1, "constant_operand": 1, "flops": 2 * 30 * 128 * 64}


def test_a_product_of_two_values_is_one_product_a_head() -> None:
    sketch = Sketch((2, 8, 10, 64), (2, 8, 64, 12))
    sketch.matmul(sketch.input(0), sketch.input(1))

    found = of_last(sketch.done(), "m", "n", "k", "products", "constant_operand", "inputs")
    assert found == {"m": 10, "n": 12, "k": 64, "products": 16, "constant_operand": 0, "inputs": 2}


def test_a_gemm_whose_operands_are_transposed() -> None:
    sketch = Sketch((64, 10))
    sketch.node("Gemm", sketch.input(), sketch.weight(128, 64), shape=(10, 128), transA=1, transB=1)

    found = of_last(sketch.done(), "m", "n", "k", "transposed_operands")
    assert found == {"m": 10, "n": 128, "k": 64, "transposed_operands": 3}


def test_a_product_whose_first_operand_is_transposed_sums_over_its_rows() -> None:
    kinds = (TensorType((2, 64, 10), "float32"), TensorType((2, 64, 12), "float32"))
    found = dict(zip(EXTENTS, node_extents("MatMul", (("transA", 1),), kinds, (TensorType((2, 10, 12), "float32"),)),
                     strict=True))  # fmt: skip

    assert (found["m"], found["n"], found["k"], found["products"]) == (10, 12, 64, 2)


def test_a_transposed_convolution_is_a_product_over_its_input() -> None:
    kinds = (TensorType((1, 32, 7, 7), "float32"), TensorType((32, 8, 2, 2), "float32"))
    attributes = (("group", 2), ("kernel_shape", (2, 2)), ("strides", (2, 2)))
    extents = node_extents("ConvTranspose", attributes, kinds, (TensorType((1, 16, 14, 14), "float32"),))
    found = dict(zip(EXTENTS, extents, strict=True))

    assert (found["m"], found["n"], found["k"], found["products"]) == (49, 8 * 4, 16, 2)


@pytest.mark.parametrize(
    ("permutation", "shape", "run"),
    [
        ((0, 2, 1, 3), (1, 8, 10, 16), 16),  # the last axis stays: 16 numbers in one piece
        ((1, 0, 2, 3), (8, 1, 10, 16), 160),
        ((0, 1, 3, 2), (1, 10, 16, 8), 1),
    ],
)
def test_a_transpose_copies_runs(permutation: tuple[int, ...], shape: tuple[int, ...], run: int) -> None:
    source = tuple(shape[permutation.index(axis)] for axis in range(4))
    sketch = Sketch(source)
    sketch.node("Transpose", sketch.input(), shape=shape, perm=permutation)

    found = of_last(sketch.done(), "run", "flops", "input_bytes", "output_bytes")
    assert found == {"run": run, "flops": 0, "input_bytes": 5120, "output_bytes": 5120}


@pytest.mark.parametrize(
    ("op", "operands", "shape", "attributes", "expected"),
    [
        ("Concat", [(1, 4, 6), (1, 2, 6)], (1, 6, 6), {"axis": 1}, {"run": 24, "reduced": 1}),
        ("Softmax", [(2, 5, 7)], (2, 5, 7), {"axis": 2}, {"run": 7, "inner": 7}),
        ("ReduceMean", [(2, 8, 9)], (2, 8, 1), {"axes": (2,)}, {"reduced": 9, "inner": 1}),
        ("Mul", [(2, 8, 9), (2, 8, 1)], (2, 8, 9), {}, {"broadcast": 1, "rank": 3}),
        ("Mul", [(2, 8, 9), (2, 8, 9)], (2, 8, 9), {}, {"broadcast": 0, "rank": 3}),
    ],
)
def test_loop_nests(
    op: str,
    operands: list[tuple[int, ...]],
    shape: tuple[int, ...],
    attributes: dict[str, AttributeValue],
    expected: dict[str, float],
) -> None:
    sketch = Sketch(*operands)
    sketch.node(op, *(sketch.input(slot) for slot in range(len(operands))), shape=shape, **attributes)

    assert of_last(sketch.done(), *expected) == expected


def test_the_age_of_an_input_is_what_ran_since_it_was_made() -> None:
    sketch = Sketch((1, 100))
    first = sketch.node("Relu", sketch.input())
    second = sketch.node("Relu", first)
    sketch.node("Add", second, first)
    facts = kernel_facts(unit_plan(sketch.done()))

    assert facts.sources == ((), (0,), (0, 1))
    assert list(facts.column("consumers")) == [2, 1, 0]
    found = columns(facts, 2, "input_age_kernels", "input_age_bytes", "oldest_age_kernels", "oldest_age_bytes")
    assert found == {
        "input_age_kernels": 1,
        "input_age_bytes": 0,
        "oldest_age_kernels": 2,
        "oldest_age_bytes": 800,  # the second Relu read and wrote 400 bytes each
    }


def test_a_group_moves_only_what_crosses_its_border() -> None:
    sketch = Sketch((1, 16, 4, 4))
    conv = sketch.conv(sketch.input(), 16)
    sketch.node("Relu", conv)
    graph = sketch.done()
    facts = kernel_facts(FusionPlan(graph, ((0, 1),), "tvm"))

    assert len(facts) == 1
    assert (facts.ops, facts.categories, facts.activations) == (("Conv",), ("convolution",), ("Relu",))
    found = columns(facts, 0, "input_bytes", "parameter_bytes", "output_bytes", "fused_nodes", "activations", "flops")
    assert found == {
        "input_bytes": 1024, "parameter_bytes": 4 * (256 + 16), "output_bytes": 1024, "fused_nodes": 2,
        "activations": 1, "flops": 2 * 256 * 16 + 256,
    }  # fmt: skip


def test_a_value_that_leaves_the_group_and_is_also_used_inside_is_written_once() -> None:
    sketch = Sketch((1, 16))
    inner = sketch.node("Exp", sketch.input())
    outer = sketch.node("Relu", inner)
    facts = kernel_facts(FusionPlan(sketch.done(inner, outer), ((0, 1),), "tvm"))

    assert columns(facts, 0, "input_bytes", "output_bytes") == {"input_bytes": 64, "output_bytes": 128}


def test_a_plan_without_kernels_has_no_rows() -> None:
    facts = kernel_facts(FusionPlan(Sketch((1, 4)).done(Edge(-1)), (), "rules"))

    assert len(facts) == 0
    assert facts.values.shape == (0, len(COLUMNS))
    assert np.isfinite(facts.values).all()
