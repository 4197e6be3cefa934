"""OpenVINO on small networks: its plan, its kernels' times, its errors."""

import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

pytest.importorskip("openvino", reason="openvino is not installed")

import openvino

from hardware_profiles import DeviceFacts, HardwareProfile, MeasurementProtocol, RuntimeFacts
from relay_frontend.graph import GRAPH_INPUT, Edge
from relay_frontend.plan import FusionPlan
from tvm_narcost.errors import MeasurementError
from tvm_narcost.measure import pinning
from tvm_narcost.measure.protocol import Samples
from tvm_narcost.measure.runtime import runtime_for
from tvm_narcost.measure.runtimes import openvino as ours

PROFILE = HardwareProfile(
    id="test.openvino",
    device=DeviceFacts("test", "any", (), 1, 32, 32768, 1 << 20, 1 << 22, (), (), 0.0),
    runtime=RuntimeFacts("openvino", "any", 1, "openvino"),
    protocol=MeasurementProtocol(warmup_s=0.01, min_samples=5, budget_s=0.2),
)


pytestmark = pytest.mark.usefixtures("first_core")


def network(
    nodes: Sequence[onnx.NodeProto],
    weights: dict[str, tuple[int, ...]],
    *,
    shape: Sequence[int] = (1, 16, 14, 14),
    dtype: int = TensorProto.FLOAT,
) -> onnx.ModelProto:
    """A network from x to y; its weights are ConstantOfShape nodes of one value."""
    value = helper.make_tensor("v", TensorProto.FLOAT, [1], [0.01])
    made = [helper.make_node("ConstantOfShape", [f"{name}_shape"], [name], value=value) for name in weights]
    shapes = [numpy_helper.from_array(np.array(extents), f"{name}_shape") for name, extents in weights.items()]
    graph = helper.make_graph(
        [*made, *nodes],
        "net",
        [helper.make_tensor_value_info("x", dtype, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        shapes,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def parallel(count: int, names: tuple[str, ...] = ()) -> onnx.ModelProto:
    """``count`` convolutions of one input with equal weights, each with a Sigmoid, joined."""
    nodes = []
    for index in range(count):
        name = names[index] if names else ""
        nodes.append(helper.make_node("Conv", ["x", f"w{index}"], [f"c{index}"], name, pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Sigmoid", [f"c{index}"], [f"r{index}"], name))
    nodes.append(helper.make_node("Concat", [f"r{index}" for index in range(count)], ["y"], axis=1))
    return network(nodes, {f"w{index}": (16, 16, 3, 3) for index in range(count)})


def kernels(plan: FusionPlan) -> list[str]:
    return [" ".join(plan.graph.nodes[index].op for index in kernel) for kernel in plan.kernels]


def plan_of(model: onnx.ModelProto) -> list[str]:
    return kernels(ours.OpenVino().plan(model, PROFILE))


def test_equal_parallel_layers_are_not_merged() -> None:
    plan = ours.OpenVino().plan(parallel(3), PROFILE)
    assert plan.planner == "openvino"
    assert kernels(plan).count("Conv Sigmoid") == 3


def test_missing_weights_give_the_same_plan() -> None:
    stripped = parallel(2)
    weights = [helper.make_tensor_value_info(f"w{index}", TensorProto.FLOAT, (16, 16, 3, 3)) for index in range(2)]
    stripped.graph.input.extend(weights)
    del stripped.graph.node[:2], stripped.graph.initializer[:]
    planner = ours.OpenVino()
    assert planner.plan(stripped, PROFILE).plan_hash() == planner.plan(parallel(2), PROFILE).plan_hash()


def test_a_plan_can_be_made_again() -> None:
    planner = ours.OpenVino()
    assert planner.plan(parallel(3), PROFILE).plan_hash() == planner.plan(parallel(3), PROFILE).plan_hash()


def test_changes_of_layout_are_kernels_where_data_is_moved() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["b"], pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["b", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["c", "w"], ["d"], pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["d", "b"], ["a"]),
        helper.make_node("Relu", ["a"], ["r"]),
        helper.make_node("Dropout", ["r"], ["e"]),
        helper.make_node("GlobalAveragePool", ["e"], ["g"]),  # of 1 x 1 pixels any layout is plain
        helper.make_node("Flatten", ["g"], ["f"]),
        helper.make_node("Gemm", ["f", "v"], ["y"]),
    ]
    plan = ours.OpenVino().plan(network(nodes, {"w": (16, 16, 3, 3), "v": (16, 8)}), PROFILE)
    assert kernels(plan) == ["ReorderInput", "Conv", "Conv", "Conv Add Relu", "GlobalAveragePool Flatten", "Gemm"]
    reorder, conv, *_ = plan.graph.nodes
    assert reorder.outputs == (plan.graph.inputs[0][1],)
    assert (reorder.inputs[0], conv.inputs[0]) == (Edge(GRAPH_INPUT), Edge(0))


def test_operators_that_become_several_are_one_kernel() -> None:
    nodes = [
        helper.make_node("LayerNormalization", ["x", "g", "b"], ["n"]),
        helper.make_node("MatMul", ["n", "w"], ["m"]),
        helper.make_node("Add", ["m", "b"], ["y"]),
    ]
    model = network(nodes, {"g": (64,), "b": (64,), "w": (64, 64)}, shape=(1, 10, 64))
    assert plan_of(model) == ["LayerNormalization", "MatMul Add"]


def test_a_scale_of_ones_is_multiplied() -> None:
    model = network([helper.make_node("Mul", ["x", "w"], ["m"]), helper.make_node("Softmax", ["m"], ["y"])],
                    {"w": (14,)})  # fmt: skip
    model.graph.node[0].attribute[0].t.float_data[0] = 1.0
    _, measured = ours.OpenVino().measure(model, PROFILE, graph_hash="")
    assert plan_of(model) == ["Mul", "Softmax"]
    assert all(time.samples_us[0] > 0 for time in measured.kernels)


def test_measurement_is_complete() -> None:
    before = set(pinning.allowed_cores())
    plan, measured = ours.OpenVino().measure(parallel(3), PROFILE, graph_hash="abc")
    assert (measured.graph_hash, measured.plan_hash) == ("abc", plan.plan_hash())
    assert measured.profile_id == "test.openvino"
    assert [time.kernel for time in measured.kernels] == list(range(len(plan.kernels)))
    assert all(len(time.samples_us) == 1 for time in measured.kernels)
    assert len(measured.samples_us) == len(measured.reference_us) >= 5
    facts = dict(measured.fingerprint)
    assert openvino.__version__.startswith(facts["openvino"])
    assert {"INFERENCE_PRECISION_HINT=f32", "INFERENCE_NUM_THREADS=1"} <= set(facts["openvino_options"].split())
    assert facts["pinned_cores"].isdigit()
    assert os.sched_getaffinity(0) == before


def test_kernels_that_do_not_add_up_are_noisy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ours, "take_samples", lambda *_: Samples((9e6,) * 5, (100.0,) * 5, "stable", ""))
    _, measured = ours.OpenVino().measure(parallel(1), PROFILE, graph_hash="")
    assert measured.verdict == "noisy"
    assert "expected about the 9000000 us" in measured.reason


class Counters:
    """An inference request whose counters are OpenVINO's: mean over all runs, in whole microseconds, rounded down."""

    def __init__(self, times_us: Sequence[int]) -> None:
        self.times_us = times_us
        self.runs = self.total_us = 0
        self.clock_s = 0.0

    def run(self) -> None:
        time_us = self.times_us[min(self.runs, len(self.times_us) - 1)]
        self.runs += 1
        self.total_us += time_us
        self.clock_s += time_us / 1e6

    def get_profiling_info(self) -> list[Any]:
        return [SimpleNamespace(node_name="conv", real_time=timedelta(microseconds=self.total_us // self.runs))]


@pytest.mark.parametrize("disturbed_run", [0, 1, 20, None], ids=lambda run: f"disturbed-{run}")
def test_interrupted_runs_do_not_count(disturbed_run: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    times_us = [5_000 if run == disturbed_run else 100 + run % 3 for run in range(300)]
    request = Counters(times_us)
    monkeypatch.setattr("time.perf_counter", lambda: request.clock_s)
    means, run_us = ours._profile(request.run, request, PROFILE.protocol)
    assert run_us == pytest.approx(101)
    assert means["conv"] == pytest.approx(101, abs=2)


@pytest.mark.parametrize(("counter_us", "compiled"), [(0.0, 1), (1e6, 2)])
def test_end_to_end_is_timed_without_counters_where_they_cost(
    counter_us: float, compiled: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    models: list[Any] = []
    real = ours._request

    def noted(model: Any) -> Any:
        models.append(model)
        return real(model)

    monkeypatch.setattr(ours, "_COUNTER_US", counter_us)
    monkeypatch.setattr(ours, "_request", noted)
    ours.OpenVino().measure(parallel(1), PROFILE, graph_hash="")
    assert [model.get_property("PERF_COUNT") for model in models] == ["YES", "NO"][:compiled]


def test_repeated_and_hostile_names() -> None:
    names = ('same"name,narcost.3.', 'same"name,narcost.3.', "ünï\n\x00")
    assert plan_of(parallel(3, names=names)).count("Conv Sigmoid") == 3


def test_ids_are_converted_inside_of_the_kernel_that_reads_them() -> None:
    nodes = [helper.make_node("Gather", ["w", "x"], ["g"]), helper.make_node("MatMul", ["g", "v"], ["y"])]
    model = network(nodes, {"w": (32, 8), "v": (8, 8)}, shape=(1, 6), dtype=TensorProto.INT64)
    plan, measured = ours.OpenVino().measure(model, PROFILE, graph_hash="")
    assert kernels(plan) == ["Gather", "MatMul"]
    assert measured.kernels[0].samples_us[0] >= 1.0  # two nodes, half a microsecond each at least


def test_open_dimension_is_named() -> None:
    model = parallel(1)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    with pytest.raises(Exception, match="'x'"):
        ours.OpenVino().measure(model, PROFILE, graph_hash="")


def test_options_of_the_profile_reach_the_runtime() -> None:
    wrong = replace(PROFILE, runtime=replace(PROFILE.runtime, options=(("NO_SUCH_PROPERTY", "1"),)))
    with pytest.raises(MeasurementError, match="could not build 'net': .*NO_SUCH_PROPERTY"):
        ours.OpenVino().plan(parallel(1), wrong)


def test_the_runtime_is_found_by_its_name() -> None:
    assert isinstance(runtime_for(PROFILE), ours.OpenVino)
