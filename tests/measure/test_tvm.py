"""TVM on small networks: its plan, its kernels' times, its errors."""

import time
from collections.abc import Sequence
from statistics import median
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

pytest.importorskip("tvm")

import tvm
from tvm import relax

from hardware_profiles import DeviceFacts, HardwareProfile, MeasurementProtocol, RuntimeFacts
from relay_frontend.costs import graph_cost
from relay_frontend.plan import FusionPlan
from relay_frontend.relax import from_relax
from tvm_narcost.errors import MeasurementError
from tvm_narcost.measure.runtime import runtime_for
from tvm_narcost.measure.runtimes.tvm import TvmRuntime
from tvm_narcost.measure.runtimes.tvm_plan import plan_module
from tvm_narcost.measure.runtimes.tvm_trace import kernel_times

DEVICE = DeviceFacts("here", "any", (), 1, 16, 1, 1, 1, (("float32", 1.0),), (("memory", 1.0),), 1.0)
PROTOCOL = MeasurementProtocol(warmup_s=0, warmup_runs=1, min_samples=3, max_samples=5, budget_s=0.5, profiled_runs=4)


pytestmark = pytest.mark.usefixtures("first_core")


def profile(target: str = "llvm") -> HardwareProfile:
    return HardwareProfile("here.tvm", DEVICE, RuntimeFacts("tvm", "any", 1, "tvm", (), target), PROTOCOL)


def network(
    nodes: Sequence[onnx.NodeProto], shape: tuple[int, ...], *, weights: dict[str, tuple[int, ...]], opset: int = 13
) -> onnx.ModelProto:
    """A network from x to y whose weights are ones."""
    graph = helper.make_graph(
        list(nodes),
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.ones(extents, np.float32), name) for name, extents in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return onnx.shape_inference.infer_shapes(model)


def conv_relu() -> onnx.ModelProto:
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["y"]),
    ]
    return network(nodes, (1, 4, 16, 16), weights={"w": (4, 4, 3, 3), "b": (4,)})


def residual() -> onnx.ModelProto:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], kernel_shape=[1, 1]),
        helper.make_node("BatchNormalization", ["c", "s", "s", "s", "s"], ["n"]),
        helper.make_node("Relu", ["n"], ["r"]),
        helper.make_node("Add", ["r", "x"], ["a"]),
        helper.make_node("GlobalAveragePool", ["a"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "fw", "fb"], ["y"], transB=1),
    ]
    return network(nodes, (1, 32, 16, 16), weights={"w": (32, 32, 1, 1), "s": (32,), "fw": (10, 32), "fb": (10,)})


def attention() -> onnx.ModelProto:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["q"]),
        helper.make_node("Softmax", ["q"], ["y"], axis=-1),
    ]
    return network(nodes, (2, 16, 8), weights={"w": (8, 16)})


def kernels_of(plan: FusionPlan) -> list[tuple[str, ...]]:
    return [tuple(plan.graph.nodes[index].op for index in kernel) for kernel in plan.kernels]


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (conv_relu(), [("Conv", "Relu")]),
        (
            residual(),
            [("Conv",), ("BatchNormalization", "Relu", "Add"), ("GlobalAveragePool",), ("Reshape",), ("Gemm",)],
        ),
        (attention(), [("MatMul",), ("Softmax",)]),
    ],
    ids=["conv_relu", "residual", "attention"],
)
def test_kernels_are_the_groups_of_fuse_ops(model: onnx.ModelProto, expected: list[tuple[str, ...]]) -> None:
    plan = TvmRuntime().plan(model, profile())
    assert plan.planner == "tvm"
    assert kernels_of(plan) == expected


def test_operators_stay_apart_where_they_run_in_several_kernels() -> None:
    model = network([helper.make_node("LRN", ["x"], ["y"], size=3)], (1, 8, 4, 4), weights={})
    kernels = kernels_of(TvmRuntime().plan(model, profile()))
    assert kernels == [("Mul", "Reshape"), ("AveragePool",), ("Reshape", "Mul", "Add", "Pow", "Div")]


def test_equal_calls_are_told_apart_by_who_reads_them() -> None:
    nodes = [
        helper.make_node("Softmax", ["x"], ["a"], name="first"),
        helper.make_node("Softmax", ["x"], ["b"], name="second"),
        helper.make_node("Relu", ["a"], ["c"]),
        helper.make_node("Sigmoid", ["b"], ["d"]),
        helper.make_node("Add", ["c", "d"], ["y"]),
    ]
    plan = TvmRuntime().plan(network(nodes, (2, 8), weights={}), profile())
    assert sorted(kernels_of(plan)) == [("Softmax", "Relu", "Add"), ("Softmax", "Sigmoid")]
    for kernel in plan.kernels:
        assert plan.graph.predecessors(kernel[1]) == (kernel[0],)


def test_names_are_those_of_the_real_pipeline() -> None:
    from tvm.relax.frontend.onnx import from_onnx

    module, target = from_onnx(residual()), tvm.target.Target("llvm")
    calls = plan_module(module, target, name="net").calls
    passes = [
        relax.transform.LegalizeOps(),
        relax.transform.AnnotateTIROpPattern(),
        relax.transform.FoldConstant(),
        relax.transform.FuseOps(),
        relax.transform.FuseTIR(),
    ]
    with target:
        fused = tvm.transform.Sequential(passes)(module)
    called = [binding.value.args[0].name_hint for block in fused["main"].body.blocks for binding in block.bindings]
    assert [symbol for symbol, _ in calls] == called


def test_plan_keeps_the_work_of_a_zoo_network() -> None:
    from tvm.relax.frontend.onnx import from_onnx

    from tvm_narcost.zoo import generate

    model = generate("squeezenet", 1)
    plan = TvmRuntime().plan(model, profile())
    assert graph_cost(plan.graph).flops == graph_cost(from_relax(from_onnx(model)).graph).flops
    assert 2 * len(plan.kernels) < 1.5 * len(plan.graph.nodes)
    for kernel in plan.kernels:
        assert sum(plan.graph.nodes[index].op == "Conv" for index in kernel) <= 1


def test_every_kernel_is_timed_in_the_running_network() -> None:
    here = profile()
    plan, measurement = runtime_for(here).measure(residual(), here, graph_hash="f" * 64)
    assert plan == TvmRuntime().plan(residual(), here)
    assert measurement.plan_hash == plan.plan_hash()
    assert [times.kernel for times in measurement.kernels] == list(range(len(plan.kernels)))
    assert {len(times.samples_us) for times in measurement.kernels} == {PROTOCOL.profiled_runs}
    assert all(min(times.samples_us) > 0 for times in measurement.kernels)
    convolution, view = (median(measurement.kernels[index].samples_us) for index in (0, 3))
    assert convolution > view
    assert len(measurement.samples_us) == len(measurement.reference_us) >= PROTOCOL.min_samples
    assert dict(measurement.fingerprint)["tvm"] != "unknown"


def test_network_slower_than_the_budget_is_profiled_once() -> None:
    hasty = MeasurementProtocol(warmup_s=0, warmup_runs=1, min_samples=1, max_samples=1, budget_s=1e-6)
    here = HardwareProfile("here.tvm", DEVICE, profile().runtime, hasty)
    started = time.monotonic()
    _, measurement = TvmRuntime().measure(conv_relu(), here, graph_hash="")
    assert [len(times.samples_us) for times in measurement.kernels] == [1]
    assert time.monotonic() - started < 60


def test_failure_of_the_importer_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    model = network([helper.make_node("NonZero", ["x"], ["i"]), helper.make_node("Cast", ["i"], ["y"], to=1)], (2, 3),
                    weights={})  # fmt: skip
    model.graph.node[0].op_type = "Det"
    with pytest.raises(MeasurementError, match=r"^TVM could not import 'net': .*Det") as caught:
        TvmRuntime().plan(model, profile())
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().out == ""


def test_advice_to_authors_of_kernels_is_not_shown(capfd: pytest.CaptureFixture[str]) -> None:
    model = network([helper.make_node("Gather", ["x", "first"], ["y"])], (2, 3), weights={})
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(1, np.int64), "first"))
    assert kernels_of(TvmRuntime().plan(model, profile())) == [("Gather",)]
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("target", ["", "llvm -mcpu=znver4", '{"kind": "abacus"}'])
def test_bad_target_names_the_profile(target: str) -> None:
    with pytest.raises(MeasurementError, match="profile 'here.tvm' has tvm_target"):
        TvmRuntime().plan(conv_relu(), profile(target))


def test_target_with_another_pipeline_is_refused() -> None:
    with pytest.raises(MeasurementError, match="planned by another pipeline, expected one of kind llvm"):
        TvmRuntime().plan(conv_relu(), profile('{"kind": "cuda", "arch": "sm_80"}'))


def trace_of(*calls: tuple[str, float]) -> list[tuple[int, str, bool]]:
    """A trace of (name, microseconds), one call after the other."""
    events: list[tuple[int, str, bool]] = []
    now = 1000
    for symbol, duration_us in calls:
        events.append((now, symbol, True))
        now += round(duration_us * 1000)
        events.append((now, symbol, False))
    return events


CALLS = (("fill", None), ("conv", 0), ("reshape1", 1), ("conv", 2))


def test_times_go_to_kernels_in_order_whatever_lies_between() -> None:
    first = trace_of(("vm.builtin.alloc", 9), ("conv", 5), ("vm.builtin.reshape", 1), ("conv", 7.5))
    second = trace_of(("fill", 3), ("conv", 6), ("vm.builtin.alloc", 9), ("reshape1", 2), ("conv", 8))
    times = kernel_times([first, second], CALLS, 3, "net")
    assert [kernel.samples_us for kernel in times] == [(5.0, 6.0), (1.0, 2.0), (7.5, 8.0)]


@pytest.mark.parametrize(
    ("calls", "message"),
    [
        ([("conv", 1), ("conv", 1)], "runs conv in 'net' where its plan has reshape1"),
        ([("conv", 1), ("reshape1", 1)], "runs no more in 'net' where its plan has conv"),
        ([("conv", 1), ("reshape1", 1), ("conv", 1), ("conv", 1)], "runs conv in 'net' where its plan has no more"),
        ([], "runs no more in 'net' where its plan has conv"),
    ],
)
def test_another_sequence_than_the_plan_is_refused(calls: list[tuple[str, Any]], message: str) -> None:
    with pytest.raises(MeasurementError, match=message):
        kernel_times([trace_of(*calls)], CALLS, 3, "net")
