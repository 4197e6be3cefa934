"""ONNX Runtime on small networks: its plan, its kernels' times, its errors."""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from hardware_profiles import DeviceFacts, HardwareProfile, MeasurementProtocol, RuntimeFacts
from relay_frontend.onnx import load_model
from tvm_narcost.errors import MeasurementError, RuntimeMissingError
from tvm_narcost.measure import runtime
from tvm_narcost.measure.protocol import Samples
from tvm_narcost.measure.runtime import runtime_for
from tvm_narcost.measure.runtimes import onnxruntime as ours
from tvm_narcost.measure.runtimes.onnxruntime_overhead import profiler_overhead_us
from tvm_narcost.measure.weights import can_be_filled

PROFILE = HardwareProfile(
    id="test.onnxruntime",
    device=DeviceFacts("test", "any", (), 1, 32, 32768, 1 << 20, 1 << 22, (), (), 0.0),
    runtime=RuntimeFacts("onnxruntime", "any", 1, "onnxruntime"),
    protocol=MeasurementProtocol(warmup_s=0.01, min_samples=5, budget_s=0.3),
)


pytestmark = pytest.mark.usefixtures("first_core")


def convolutions(count: int, weights: bool = True, names: tuple[str, ...] = (), channels: int = 16) -> onnx.ModelProto:
    """``count`` parallel convolutions of one input with equal weights, each with a Relu, added up."""
    shape = numpy_helper.from_array(np.array([channels, channels, 3, 3], np.int64), "shape")
    value = helper.make_tensor("v", TensorProto.FLOAT, [1], [0.01])
    nodes, inputs = [], [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, channels, 14, 14])]
    for index in range(count):
        if weights:
            nodes.append(helper.make_node("ConstantOfShape", ["shape"], [f"w{index}"], value=value))
        else:
            inputs.append(helper.make_tensor_value_info(f"w{index}", TensorProto.FLOAT, [channels, channels, 3, 3]))
        name = names[index] if names else ""
        nodes.append(helper.make_node("Conv", ["x", f"w{index}"], [f"c{index}"], name, pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Sigmoid", [f"c{index}"], [f"r{index}"], name))
    nodes.append(helper.make_node("Sum", [f"r{index}" for index in range(count)], ["y"]))
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, channels, 14, 14])
    graph = helper.make_graph(nodes, "parallel", inputs, [output], [shape] if weights else [])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def operators(plan: object) -> list[str]:
    return [node.op for node in plan.graph.nodes]  # type: ignore[attr-defined]


def test_equal_parallel_layers_are_not_merged() -> None:
    plan = ours.OnnxRuntime().plan(convolutions(3), PROFILE)
    assert plan.planner == "onnxruntime"
    assert sum("Conv" in operator for operator in operators(plan)) == 3
    assert plan.kernels == tuple((index,) for index in range(len(plan.graph.nodes)))


def test_missing_weights_give_the_same_plan() -> None:
    planner = ours.OnnxRuntime()
    with_data = planner.plan(convolutions(2), PROFILE)
    assert planner.plan(convolutions(2, weights=False), PROFILE).plan_hash() == with_data.plan_hash()


@pytest.mark.parametrize("version", [3, 8])
def test_a_file_read_without_its_weights_gives_the_same_plan(version: int, tmp_path: Path) -> None:
    model = convolutions(2, weights=False, channels=64)
    random = np.random.default_rng(0)
    for value in model.graph.input[1:]:
        weight = random.normal(size=[extent.dim_value for extent in value.type.tensor_type.shape.dim])
        model.graph.initializer.append(numpy_helper.from_array(weight.astype(np.float32), value.name))
    model.ir_version = version
    if version > 3:  # before, initializers were inputs too
        del model.graph.input[1:]
    model.graph.doc_string = " " * 2**21  # smaller files are read as they are
    path = tmp_path / "net.onnx"
    path.write_bytes(model.SerializeToString())
    complete, stripped = load_model(path), load_model(path, weights=False)

    assert not any(tensor.raw_data for tensor in stripped.graph.initializer)
    assert can_be_filled(stripped)
    planner = ours.OnnxRuntime()
    assert planner.plan(stripped, PROFILE).plan_hash() == planner.plan(complete, PROFILE).plan_hash()


def test_a_plan_can_be_made_again() -> None:
    planner = ours.OnnxRuntime()
    assert planner.plan(convolutions(3), PROFILE).plan_hash() == planner.plan(convolutions(3), PROFILE).plan_hash()


def test_measurement_is_complete() -> None:
    plan, measured = ours.OnnxRuntime().measure(convolutions(3), PROFILE, graph_hash="abc")
    assert (measured.graph_hash, measured.plan_hash) == ("abc", plan.plan_hash())
    assert measured.profile_id == "test.onnxruntime"
    assert [time.kernel for time in measured.kernels] == list(range(len(plan.kernels)))
    runs = {len(time.samples_us) for time in measured.kernels}
    assert len(runs) == 1 and 5 < runs.pop() <= 50  # 0.2 s of a short network, capped
    assert len(measured.samples_us) == len(measured.reference_us) >= 5
    assert min(measured.reference_us) > 10
    facts = dict(measured.fingerprint)
    assert facts["onnxruntime"] == onnxruntime.__version__
    assert facts["pinned_cores"].isdigit()


def test_kernels_add_up_to_the_network() -> None:
    # short, so that a run fits between two interruptions when the core is shared, and the fastest of each counts;
    # kernels are timed before the network is: a core that other work slows down in between is asked again
    together = pytest.approx(1, rel=0.25)
    for _ in range(10):
        _, measured = ours.OnnxRuntime().measure(convolutions(3, channels=64), PROFILE, graph_hash="")
        overhead_us = float(dict(measured.fingerprint)["profiler_overhead_us"])
        total_us = sum(min(time.samples_us) - overhead_us for time in measured.kernels)
        ratio = total_us / min(measured.samples_us)
        if ratio == together:
            break
    assert ratio == together


def test_kernels_that_do_not_add_up_are_noisy(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Samples((9e6,) * 5, (100.0,) * 5, "stable", "")
    monkeypatch.setattr(ours, "take_samples", lambda *_: slow)
    _, measured = ours.OnnxRuntime().measure(convolutions(1), PROFILE, graph_hash="")
    assert measured.verdict == "noisy"
    assert "expected about the 9000000 us" in measured.reason


@pytest.mark.parametrize("threads", [1, 2])
def test_profiler_overhead_is_a_few_microseconds(threads: int, tmp_path: Path) -> None:
    assert 0.1 < profiler_overhead_us(threads, tmp_path) < 20


def test_profiler_overhead_is_that_of_the_profiles_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ours, "profiler_overhead_us", lambda threads, _folder: 0.25 * threads)
    runtime = replace(PROFILE.runtime, threads=2)
    _, measured = ours.OnnxRuntime().measure(convolutions(1), replace(PROFILE, runtime=runtime), graph_hash="")
    assert dict(measured.fingerprint)["profiler_overhead_us"] == "0.50"


def test_repeated_and_hostile_names() -> None:
    names = ('same"name\\', 'same"name\\', "ünï\n\x00")
    _, measured = ours.OnnxRuntime().measure(convolutions(3, names=names), PROFILE, graph_hash="")
    assert all(len(time.samples_us) > 5 for time in measured.kernels)


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Path] = []

    class Recorded(tempfile.TemporaryDirectory[str]):
        def __init__(self, prefix: str, dir: Path | None) -> None:
            super().__init__(prefix=prefix, dir=tmp_path)
            made.append(Path(self.name))

    monkeypatch.setattr(tempfile, "TemporaryDirectory", Recorded)
    ours.OnnxRuntime().measure(convolutions(1), PROFILE, graph_hash="")
    assert len(made) == 1 and not list(tmp_path.iterdir())


def test_network_that_cannot_be_built() -> None:
    broken = convolutions(1)
    broken.graph.node[1].op_type = "NoSuchOperator"
    with pytest.raises(MeasurementError, match="ONNX Runtime could not build 'parallel': .*NoSuchOperator"):
        ours.OnnxRuntime().plan(broken, PROFILE)


def test_network_that_cannot_be_run() -> None:
    nodes = [helper.make_node("Gather", ["x", "ids"], ["y"], "gather")]
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4]),  # one row, but ids are 0 and 1
        helper.make_tensor_value_info("ids", TensorProto.INT64, [32]),
    ]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [32, 4])
    model = helper.make_model(helper.make_graph(nodes, "lookup", inputs, [output]), ir_version=8)
    model.opset_import[0].version = 13
    with pytest.raises(MeasurementError, match="could not run 'lookup': .*indices"):
        ours.OnnxRuntime().measure(model, PROFILE, graph_hash="")


def test_open_dimension_is_named() -> None:
    model = convolutions(1)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    with pytest.raises(Exception, match="'x'"):
        ours.OnnxRuntime().measure(model, PROFILE, graph_hash="")


def test_options_of_the_profile_reach_the_session() -> None:
    wrong = replace(PROFILE, runtime=replace(PROFILE.runtime, options=(("", "1"),)))
    with pytest.raises(MeasurementError, match="could not build"):
        ours.OnnxRuntime().plan(convolutions(1), wrong)


def test_runtime_for_names_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(runtime_for(PROFILE), ours.OnnxRuntime)
    with pytest.raises(RuntimeMissingError, match="'abacus', expected one of onnxruntime, openvino, tvm"):
        runtime_for(replace(PROFILE, runtime=replace(PROFILE.runtime, name="abacus")))
    monkeypatch.setattr(runtime, "find_spec", lambda _: None)
    with pytest.raises(RuntimeMissingError, match="pip install apache-tvm"):
        runtime_for(replace(PROFILE, runtime=replace(PROFILE.runtime, name="tvm")))
