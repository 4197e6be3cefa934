"""The planner by rules for OpenVINO: small networks whose kernels were seen there, and what holds of every plan."""

import dataclasses
from collections.abc import Callable

import pytest
from hypothesis import given, settings

from bench.planners import agreement
from hardware_profiles import load_profile
from relay_frontend.costs import graph_cost
from relay_frontend.graph import Edge, OpGraph
from relay_frontend.onnx import from_onnx
from relay_frontend.passes import canonicalize
from relay_frontend.plan import FusionPlan
from tests.tokens.sketch import Sketch, layered, round_profile
from tvm_narcost.fusion.openvino_rules import plan_openvino_by_rules
from tvm_narcost.fusion.planner import plan_without_runtime
from tvm_narcost.measure.runtime import runtime_for
from tvm_narcost.zoo import generate


def kernels(plan: FusionPlan) -> list[str]:
    return [" ".join(plan.graph.nodes[index].op for index in kernel) for kernel in plan.kernels]


def plan_of(sketch: Sketch) -> list[str]:
    return kernels(plan_openvino_by_rules(sketch.done()))


@given(graph=layered())
@settings(max_examples=120)
def test_a_plan_is_a_partition_of_the_canonical_graph_and_of_changes_of_layout(graph: OpGraph) -> None:
    plan = plan_openvino_by_rules(graph)

    assert plan.planner == "rules"
    ops = [node.op for node in plan.graph.nodes if not node.op.startswith("Reorder")]
    assert sorted(ops) == sorted(node.op for node in canonicalize(graph).nodes)
    assert graph_cost(plan.graph).flops == graph_cost(canonicalize(graph)).flops
    assert [plan.graph.type_of(edge) for edge in plan.graph.outputs] == [graph.type_of(edge) for edge in graph.outputs]
    assert plan_openvino_by_rules(graph) == plan


def residual(*, direct: bool) -> Sketch:
    sketch = Sketch((1, 16, 8, 8))
    block = sketch.node("Relu", sketch.conv(sketch.input(), 32, 3))
    inner = block if direct else sketch.node("Relu", sketch.conv(block, 32, 3))
    sketch.node("Relu", sketch.node("Add", sketch.conv(inner, 32, 3), block))
    return sketch


def test_a_convolution_adds_to_an_earlier_value_but_not_to_the_one_that_it_reads() -> None:
    assert plan_of(residual(direct=False)) == [
        "ReorderInput", "Conv Relu", "Conv Relu", "Conv Add Relu", "ReorderOutput"
    ]  # fmt: skip
    assert plan_of(residual(direct=True)) == ["ReorderInput", "Conv Relu", "Conv", "Add Relu", "ReorderOutput"]


def test_of_two_convolutions_the_first_operand_takes_the_sum() -> None:
    sketch = Sketch((1, 16, 8, 8))
    first, second = sketch.conv(sketch.input(), 32, 3), sketch.conv(sketch.input(), 32)
    sketch.node("Relu", sketch.node("Add", second, first))
    plan = plan_openvino_by_rules(sketch.done())
    assert kernels(plan) == ["ReorderInput", "Conv", "Conv Add Relu", "ReorderOutput"]
    assert plan.graph.nodes[2].attribute_map["kernel_shape"] == (1, 1)
    assert [node.inputs[0] for node in plan.graph.nodes[1:3]] == [Edge(0), Edge(0)]  # moved once for both


def gelu(sketch: Sketch, data: Edge) -> Edge:
    scalar = sketch.weight()
    inner = sketch.node("Add", sketch.node("Erf", sketch.node("Div", data, scalar)), scalar)
    return sketch.node("Mul", sketch.node("Mul", data, inner), scalar)


def hard_swish(sketch: Sketch, data: Edge) -> Edge:
    scalar = sketch.weight()
    gate = sketch.node("Clip", sketch.node("Add", data, scalar))
    return sketch.node("Div", sketch.node("Mul", data, gate), scalar)


@pytest.mark.parametrize(
    ("activation", "ops"), [(gelu, "Div Erf Add Mul Mul"), (hard_swish, "Add Clip Mul Div")], ids=["gelu", "hard_swish"]
)
def test_spelled_activations_go_into_products_and_convolutions(
    activation: Callable[[Sketch, Edge], Edge], ops: str
) -> None:
    sketch = Sketch((1, 10, 64))
    product = sketch.node("Add", sketch.matmul(sketch.input(), sketch.weight(64, 128)), sketch.weight(128))
    sketch.matmul(activation(sketch, product), sketch.weight(128, 64))
    assert plan_of(sketch) == [f"MatMul Add {ops}", "MatMul"]


def attention(sketch: Sketch, *, split: bool) -> None:
    """Queries, keys and values of four heads from one product or from three."""
    x, scalar = sketch.input(), sketch.weight()
    heads = (1, 4, 10, 16)
    if split:
        parts = []
        for _ in range(3):
            read = sketch.node("Reshape", sketch.matmul(x, sketch.weight(64, 64)), shape=(1, 10, 4, 16))
            parts.append(sketch.node("Transpose", read, shape=heads, perm=(0, 2, 1, 3)))
    else:
        read = sketch.node("Reshape", sketch.matmul(x, sketch.weight(64, 192)), shape=(1, 10, 3, 4, 16))
        moved = sketch.node("Transpose", read, shape=(3, 1, 4, 10, 16), perm=(2, 0, 3, 1, 4))
        parts = [sketch.node("Gather", moved, sketch.weight(), shape=heads, axis=0) for _ in range(3)]
    keys = sketch.node("Transpose", parts[1], shape=(1, 4, 16, 10), perm=(0, 1, 3, 2))
    scores = sketch.node("Div", sketch.matmul(parts[0], keys), scalar)
    mixed = sketch.matmul(sketch.node("Softmax", scores, axis=-1), parts[2])
    back = sketch.node("Transpose", mixed, shape=(1, 10, 4, 16), perm=(0, 2, 1, 3))
    sketch.node("Reshape", back, shape=(1, 10, 64))


def test_attention_is_one_kernel_with_the_transposes_that_it_reads() -> None:
    sketch = Sketch((1, 10, 64))
    attention(sketch, split=False)
    assert plan_of(sketch) == [
        "MatMul Reshape", "Transpose Gather Gather Gather", "Transpose MatMul Div Softmax MatMul Transpose Reshape"
    ]  # fmt: skip
    sketch = Sketch((1, 10, 64))
    attention(sketch, split=True)
    assert plan_of(sketch) == [
        "MatMul Reshape", "MatMul Reshape", "Transpose", "MatMul Reshape",
        "Transpose Transpose Transpose MatMul Div Softmax MatMul Transpose Reshape",
    ]  # fmt: skip


def test_channels_are_shuffled_by_one_kernel_in_any_layout() -> None:
    sketch = Sketch((1, 3, 8, 8))
    groups = sketch.node("Reshape", sketch.conv(sketch.input(), 16), shape=(1, 4, 4, 8, 8))
    dealt = sketch.node("Transpose", groups, shape=(1, 4, 4, 8, 8), perm=(0, 2, 1, 3, 4))
    sketch.node("Relu", sketch.conv(sketch.node("Reshape", dealt, shape=(1, 16, 8, 8)), 16, 3))
    assert plan_of(sketch) == ["ReorderInput", "Conv", "Reshape Transpose Reshape", "Conv Relu", "ReorderOutput"]


def test_a_transpose_to_where_the_data_lies_is_free() -> None:
    sketch = Sketch((1, 3, 8, 8))
    tokens = sketch.node("Reshape", sketch.conv(sketch.input(), 16), shape=(1, 16, 64))
    moved = sketch.node("Transpose", tokens, shape=(1, 64, 16), perm=(0, 2, 1))
    sketch.node("LayerNormalization", moved, sketch.weight(16), sketch.weight(16), axis=-1)
    assert plan_of(sketch) == ["ReorderInput", "Conv", "Reshape Transpose LayerNormalization"]


def test_values_of_one_pixel_are_not_moved() -> None:
    sketch = Sketch((1, 3, 8, 8))
    pooled = sketch.node("GlobalAveragePool", sketch.conv(sketch.input(), 600), shape=(1, 600, 1, 1))
    sketch.matmul(sketch.node("Flatten", pooled, shape=(1, 600)), sketch.weight(600, 10))
    assert plan_of(sketch) == ["ReorderInput", "Conv", "GlobalAveragePool Flatten", "MatMul"]


def test_two_small_products_of_one_row_are_one_kernel() -> None:
    def classifier(rows: int, width: int) -> list[str]:
        sketch = Sketch((rows, 64))
        hidden = sketch.node("Relu", sketch.matmul(sketch.input(), sketch.weight(64, width)))
        sketch.matmul(sketch.node("Relu", sketch.matmul(hidden, sketch.weight(width, 64))), sketch.weight(64, 10))
        return plan_of(sketch)

    assert classifier(1, 256) == ["MatMul Relu MatMul Relu", "MatMul"]
    assert classifier(1, 257) == ["MatMul Relu", "MatMul Relu", "MatMul"]
    assert classifier(2, 256) == ["MatMul Relu", "MatMul Relu", "MatMul"]


def test_equal_operators_run_once() -> None:
    sketch = Sketch((1, 16, 8, 8))
    conv = sketch.conv(sketch.input(), 16, 3)
    first, second = sketch.node("Relu", conv), sketch.node("Relu", conv)
    sketch.node("Concat", sketch.conv(first, 16), sketch.conv(second, 32), shape=(1, 48, 8, 8), axis=1)
    assert plan_of(sketch) == ["ReorderInput", "Conv Relu Relu", "Conv", "Conv", "Concat", "ReorderOutput"]


def test_the_runtime_of_the_profile_decides_which_rules_plan() -> None:
    graph = residual(direct=False).done()
    profile = round_profile()
    openvino = dataclasses.replace(profile, runtime=dataclasses.replace(profile.runtime, name="openvino"))
    assert kernels(plan_without_runtime(graph, openvino, opset=17))[3] == "Conv Add Relu"
    assert all(len(kernel) == 1 for kernel in plan_without_runtime(graph, profile, opset=17).kernels)


@pytest.mark.parametrize("family", ["resnet", "mobilenet_v2", "bert"])
def test_plans_of_the_zoo_agree_with_openvino(family: str) -> None:
    pytest.importorskip("openvino", reason="openvino is not installed")
    network, profile = generate(family, 2), load_profile("epyc-zen5.openvino")
    found = agreement(plan_openvino_by_rules(from_onnx(network)), runtime_for(profile).plan(network, profile))
    assert found["f1"] > 0.97
