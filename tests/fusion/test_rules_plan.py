"""What holds of every plan by rules, and how near it comes to the runtime's own."""

import pytest
from hypothesis import given, settings

from bench.planners import agreement
from bench.tokens_speed import branchy_graph
from hardware_profiles import load_profile
from relay_frontend.costs import graph_cost
from relay_frontend.graph import Edge, OpGraph
from relay_frontend.onnx import from_onnx
from relay_frontend.passes import canonicalize
from tests.tokens.sketch import Sketch, layered
from tvm_narcost.fusion.draft import Draft
from tvm_narcost.fusion.rules import plan_by_rules
from tvm_narcost.measure.runtime import runtime_for
from tvm_narcost.zoo import generate


@given(graph=layered())
@settings(max_examples=80)
def test_a_plan_is_a_partition_into_single_nodes_and_leaves_inputs_and_outputs_as_they_are(graph: OpGraph) -> None:
    plan = plan_by_rules(graph)

    assert plan.planner == "rules"
    assert [kernel for (kernel,) in plan.kernels] == list(range(len(plan.graph.nodes)))
    assert plan.graph.inputs == graph.inputs
    assert [plan.graph.type_of(edge) for edge in plan.graph.outputs] == [graph.type_of(edge) for edge in graph.outputs]


@given(graph=layered())
@settings(max_examples=40)
def test_a_draft_gives_back_the_graph_that_it_took_over(graph: OpGraph) -> None:
    live = canonicalize(graph)

    assert Draft(live).to_graph().structural_hash() == live.structural_hash()


@given(graph=layered())
@settings(max_examples=40)
def test_a_plan_is_the_same_each_time_and_does_not_change_its_graph(graph: OpGraph) -> None:
    before = graph.to_json()
    first, second = plan_by_rules(graph), plan_by_rules(graph)

    assert first == second
    assert graph.to_json() == before


def test_work_is_neither_lost_nor_added() -> None:
    """Of a residual block whose channels fill whole blocks, where no padding adds any."""
    sketch = Sketch((1, 16, 8, 8))
    first = sketch.node("Relu", sketch.conv(sketch.input(), 32, 3))
    sketch.node("Relu", sketch.node("Add", sketch.conv(first, 16), sketch.input()))
    graph = sketch.done()

    assert graph_cost(plan_by_rules(graph).graph).flops == graph_cost(graph).flops


def test_a_graph_as_read_is_cleaned_first() -> None:
    sketch = Sketch((1, 15, 8, 8))
    conv = sketch.conv(sketch.node("Identity", sketch.input()), 15, group=3, bias=False)
    norm = sketch.node("BatchNormalization", conv, *(sketch.weight(15) for _ in range(4)))
    sketch.node("Exp", sketch.input())  # read by nobody
    relu = sketch.node("Relu", norm)
    plan = plan_by_rules(sketch.done(relu))

    assert [node.op for node in plan.graph.nodes] == ["Conv"]
    assert len(plan.graph.nodes[0].inputs) == 3


def test_a_sum_that_is_called_sum_is_left_alone_in_plain_layout() -> None:
    sketch = Sketch((1, 15, 8, 8))
    sketch.node("Sum", sketch.conv(sketch.input(), 15, group=3), sketch.input())

    assert [node.op for node in plan_by_rules(sketch.done()).graph.nodes] == ["Conv", "Sum"]
    assert [node.op for node in plan_by_rules(canonicalize(sketch.done())).graph.nodes] == ["Conv"]


def test_a_graph_without_nodes_has_a_plan_without_kernels() -> None:
    assert plan_by_rules(Sketch((1, 4)).done(Edge(-1))).kernels == ()


def test_a_long_network_is_planned_in_reasonable_time() -> None:
    """Ten thousand nodes, and no recursion."""
    plan = plan_by_rules(branchy_graph(10_000))

    assert 5_000 < len(plan.kernels) < 10_000


@pytest.mark.parametrize("op", ["Relu", "Conv", "Gather", "Slice"])
def test_a_value_with_thousands_of_readers_is_planned_in_reasonable_time(op: str) -> None:
    sketch = Sketch((1, 16, 4, 4))
    there = sketch.node("Transpose", sketch.input(), shape=(1, 4, 4, 16), perm=(0, 2, 3, 1))
    back = sketch.node("Transpose", there, shape=(1, 16, 4, 4), perm=(0, 3, 1, 2))
    weights = (sketch.weight(16, 16, 1, 1),) if op == "Conv" else ()
    parts = [sketch.node(op, back, *weights, *([sketch.weight()] if op == "Gather" else [])) for _ in range(3000)]
    sketch.node("Concat", *parts, shape=(1, 16 * 3000, 4, 4), axis=1)
    plan = plan_by_rules(sketch.done())

    assert not any(node.op == "Transpose" for node in plan.graph.nodes)


@pytest.mark.parametrize(
    ("family", "seed"), [("squeezenet", 1), ("mobilenet_v2", 0), ("shufflenet", 0), ("mlp_mixer", 2), ("vit", 1)]
)
def test_kernels_are_those_of_the_runtime(family: str, seed: int) -> None:
    """Here they are the very same; another release of the runtime may differ a little."""
    profile = load_profile("epyc-zen5.onnxruntime")
    model = generate(family, seed)
    own = runtime_for(profile).plan(model, profile)
    blocked = [node.outputs[0].shape[1] for node in own.graph.nodes if "layout" in node.attribute_map]
    if not blocked:
        pytest.skip("the runtime has no blocked layout on this processor")
    block = 8 if any(channels % 16 for channels in blocked) else 16

    assert agreement(plan_by_rules(from_onnx(model), channel_block=block), own)["f1"] > 0.97
