"""The planner by rules on the smallest graph of each rule: convolutions, products and what goes into them."""

import pytest

from relay_frontend.graph import OpGraph, OpNode
from tests.tokens.sketch import Sketch
from tvm_narcost.fusion.rules import plan_by_rules


def planned(graph: OpGraph, **options: int) -> tuple[OpNode, ...]:
    return plan_by_rules(graph, **options).graph.nodes


def ops(graph: OpGraph, **options: int) -> list[str]:
    return [node.op for node in planned(graph, **options)]


def channels(node: OpNode) -> int:
    return node.outputs[0].shape[1]


@pytest.mark.parametrize("activation", ["Relu", "Clip", "Sigmoid", "Tanh", "LeakyRelu", "HardSigmoid"])
def test_an_activation_goes_into_the_convolution(activation: str) -> None:
    sketch = Sketch((1, 16, 8, 8))
    sketch.node(activation, sketch.conv(sketch.input(), 16))
    nodes = planned(sketch.done())

    assert [node.op for node in nodes] == ["ReorderInput", "Conv", "ReorderOutput"]
    assert nodes[1].attribute_map["activation"] == activation


@pytest.mark.parametrize("activation", ["Elu", "Softplus", "Mish", "HardSwish"])
def test_other_activations_do_not(activation: str) -> None:
    sketch = Sketch((1, 15, 8, 8))
    sketch.node(activation, sketch.conv(sketch.input(), 15, group=3))
    nodes = planned(sketch.done())

    assert nodes[0].op == "Conv"
    assert len(nodes) > 1
    assert "activation" not in nodes[0].attribute_map


def test_an_activation_whose_input_is_read_elsewhere_stays() -> None:
    sketch = Sketch((1, 15, 8, 8))
    conv = sketch.conv(sketch.input(), 15, group=3)
    sketch.node("Mul", sketch.node("Relu", conv), conv)

    assert ops(sketch.done()) == ["Conv", "Relu", "Mul"]


def test_a_convolution_that_is_an_output_keeps_its_activation_apart() -> None:
    sketch = Sketch((1, 15, 8, 8))
    conv = sketch.conv(sketch.input(), 15, group=3)
    relu = sketch.node("Relu", conv)
    plan = plan_by_rules(sketch.done(conv, relu))

    assert [node.op for node in plan.graph.nodes] == ["Conv", "Relu"]
    assert len(plan.graph.outputs) == 2


def test_a_residual_sum_goes_into_the_convolution_with_what_follows() -> None:
    sketch = Sketch((1, 16, 8, 8))
    first = sketch.conv(sketch.input(), 16)
    second = sketch.conv(sketch.node("Relu", first), 16, 3)
    shortcut = sketch.conv(sketch.input(), 16)
    sketch.node("Relu", sketch.node("Add", second, shortcut))
    nodes = planned(sketch.done())

    fused = [node for node in nodes if "fused_sum" in node.attribute_map]
    assert [node.op for node in nodes if not node.op.startswith("Reorder")] == ["Conv"] * 3
    assert len(fused) == 1
    assert fused[0].attribute_map["activation"] == "Relu"
    assert fused[0].attribute_map["kernel_shape"] == (3, 3)
    assert len(fused[0].inputs) == 4


def test_a_residual_sum_is_fused_in_plain_layout_too() -> None:
    sketch = Sketch((1, 15, 8, 8))
    sketch.node("Relu", sketch.node("Add", sketch.conv(sketch.input(), 15, group=3), sketch.input()))
    nodes = planned(sketch.done())

    assert [node.op for node in nodes] == ["Conv"]
    assert (nodes[0].attribute_map["fused_sum"], nodes[0].attribute_map["activation"]) == (1, "Relu")


def test_a_sum_after_an_activation_stays() -> None:
    sketch = Sketch((1, 15, 8, 8))
    relu = sketch.node("Relu", sketch.conv(sketch.input(), 15, group=3))
    sketch.node("Add", relu, sketch.input())

    assert ops(sketch.done()) == ["Conv", "Add"]


def test_scale_and_shift_a_channel_go_into_weights_and_bias() -> None:
    sketch = Sketch((1, 3, 8, 8))
    conv = sketch.conv(sketch.input(), 16, bias=False)
    scaled = sketch.node("Mul", conv, sketch.weight(16, 1, 1))
    sketch.node("Add", scaled, sketch.weight(16, 1, 1))
    nodes = planned(sketch.done())

    assert [node.op for node in nodes] == ["Conv", "ReorderOutput"]
    assert len(nodes[0].inputs) == 3


def test_a_scalar_shift_does_not() -> None:
    sketch = Sketch((1, 3, 8, 8))
    sketch.node("Add", sketch.conv(sketch.input(), 16), sketch.weight())

    assert ops(sketch.done()) == ["Conv", "ReorderOutput", "Add"]


def test_zero_padding_goes_into_the_convolution() -> None:
    sketch = Sketch((1, 3, 8, 8))
    padded = sketch.node("Pad", sketch.input(), shape=(1, 3, 10, 9), pads=(0, 0, 1, 0, 0, 0, 1, 1), mode="constant")
    sketch.node("Conv", padded, sketch.weight(16, 3, 3, 3), shape=(1, 16, 8, 7), kernel_shape=(3, 3),
                pads=(0, 0, 0, 0), strides=(1, 1), dilations=(1, 1), group=1)  # fmt: skip
    nodes = planned(sketch.done())

    assert nodes[0].op == "Conv"
    assert nodes[0].attribute_map["pads"] == (1, 0, 1, 1)


@pytest.mark.parametrize("mode", ["reflect", "edge"])
def test_other_padding_stays(mode: str) -> None:
    sketch = Sketch((1, 3, 8, 8))
    sketch.conv(sketch.node("Pad", sketch.input(), shape=(1, 3, 10, 10), pads=(0, 0, 1, 1) * 2, mode=mode), 16)

    assert ops(sketch.done())[0] == "Pad"


def test_a_product_and_a_sum_are_a_gemm_between_reshapes() -> None:
    sketch = Sketch((2, 10, 64))
    sketch.node("Add", sketch.matmul(sketch.input(), sketch.weight(64, 32)), sketch.weight(32))
    nodes = planned(sketch.done())

    assert [node.op for node in nodes] == ["Reshape", "Gemm", "Reshape"]
    assert [node.outputs[0].shape for node in nodes] == [(20, 64), (20, 32), (2, 10, 32)]


def test_a_flat_product_needs_no_reshape_and_takes_its_activation() -> None:
    sketch = Sketch((10, 64))
    sketch.node("Relu", sketch.node("Add", sketch.weight(32), sketch.matmul(sketch.input(), sketch.weight(64, 32))))
    nodes = planned(sketch.done())

    assert [node.op for node in nodes] == ["Gemm"]
    assert nodes[0].attribute_map["activation"] == "Relu"


def test_a_product_of_two_values_is_no_gemm() -> None:
    sketch = Sketch((2, 8, 10, 64), (2, 8, 64, 10))
    product = sketch.matmul(sketch.input(0), sketch.input(1))
    sketch.node("Add", product, sketch.weight(1, 1, 1, 10))

    assert ops(sketch.done()) == ["MatMul", "Add"]


def test_reshapes_in_a_row_are_one() -> None:
    sketch = Sketch((2, 8, 4))
    once = sketch.node("Reshape", sketch.input(), shape=(16, 4))
    twice = sketch.node("Reshape", once, shape=(64,))
    sketch.node("Relu", sketch.node("Reshape", twice, shape=(8, 8)))

    assert ops(sketch.done()) == ["Reshape", "Relu"]


@pytest.mark.parametrize("scale", ["Mul", "Div"])
def test_a_scalar_scale_goes_into_a_product(scale: str) -> None:
    sketch = Sketch((2, 8, 10, 64), (2, 8, 64, 10))
    query = sketch.node(scale, sketch.input(0), sketch.weight())
    before = sketch.matmul(query, sketch.input(1))
    sketch.node("Softmax", sketch.node(scale, before, sketch.weight()), axis=3)
    nodes = planned(sketch.done())

    assert [node.op for node in nodes] == ["MatMul", "Softmax"]
    assert nodes[0].attribute_map["alpha"] == 1.0


def test_equal_work_is_done_once() -> None:
    sketch = Sketch((1, 7))
    left, right = sketch.node("Tanh", sketch.input()), sketch.node("Tanh", sketch.input())
    sketch.node("Mul", sketch.node("Exp", left), sketch.node("Exp", right))

    assert ops(sketch.done()) == ["Tanh", "Exp", "Mul"]
