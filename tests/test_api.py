"""From a model file to milliseconds: reader, planner and models joined."""

import dataclasses
import math
from pathlib import Path
from types import SimpleNamespace

import onnx
import pytest
import torch
from onnx import TensorProto, helper

import tvm_narcost
from hardware_profiles import HardwareProfile, load_profile
from hardware_profiles.errors import ProfileError
from relay_frontend.errors import FrontendError
from relay_frontend.plan import FusionPlan
from tests.models.untrained import untrained_narformer
from tests.training.analytic import PROFILE, examples, member, one_kernel_a_node
from tvm_narcost import api
from tvm_narcost.api import NetworkPredictor, artifact_folder, own_artifact_folder
from tvm_narcost.errors import ArtifactError, MeasurementError, RuntimeMissingError
from tvm_narcost.measure import calibrate
from tvm_narcost.models import folders
from tvm_narcost.models.constant import ConstantModel
from tvm_narcost.predictor import Prediction
from tvm_narcost.training.evaluate import fit_kernel_sum_to

PREDICTOR = NetworkPredictor(PROFILE, ConstantModel(4.0), ConstantModel(5.0))
SHIPPED_PROFILE = "epyc-zen5.onnxruntime"


def network(batch: int | str = 1) -> onnx.ModelProto:
    """A convolution and its activation."""
    nodes = [
        helper.make_node("Conv", ["image", "w"], ["c"], name="conv", pads=[1, 1, 1, 1], kernel_shape=[3, 3]),
        helper.make_node("Relu", ["c"], ["out"], name="relu"),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, 3, 8, 8])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, [batch, 4, 8, 8])
    weight = helper.make_tensor("w", TensorProto.FLOAT, [4, 3, 3, 3], [i / 108 for i in range(108)])
    graph = helper.make_graph(nodes, "tiny", [image], [out], [weight])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


class FakeRuntime:
    """Plans one kernel a node of a graph that it is given; remembers what it was asked to plan."""

    def __init__(self, latency_us: float = 1.0) -> None:
        self.latency_us = latency_us
        self.planned: list[onnx.ModelProto] = []

    def plan(self, model: onnx.ModelProto, profile: HardwareProfile) -> FusionPlan:
        self.planned.append(model)
        return one_kernel_a_node(member("plain", 0), "fake")

    def measure(
        self, model: onnx.ModelProto, profile: HardwareProfile, *, graph_hash: str
    ) -> tuple[FusionPlan, SimpleNamespace]:
        self.latency_us *= 2
        samples_us = (self.latency_us, 1.0, self.latency_us * 100) if math.isfinite(self.latency_us) else ()
        return self.plan(model, profile), SimpleNamespace(samples_us=samples_us, verdict="failed", reason="of a fake")


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> FakeRuntime:
    fake = FakeRuntime()
    monkeypatch.setattr(api, "runtime_for", lambda profile: fake)
    monkeypatch.setattr(calibrate, "runtime_for", lambda profile: fake)
    return fake


@pytest.fixture
def no_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(profile: HardwareProfile) -> None:
        raise RuntimeMissingError("not installed")

    monkeypatch.setattr(api, "runtime_for", missing)
    monkeypatch.setattr(calibrate, "runtime_for", missing)


def test_prediction_of_a_known_plan() -> None:
    graph = member("separable", 0)
    plan = one_kernel_a_node(graph, "tvm")
    prediction = PREDICTOR.predict_plan(graph, plan)
    kernels = len(plan.kernels)
    assert (prediction.model, prediction.profile) == ("separable-0", "box.onnxruntime")
    assert (prediction.latency_ms, prediction.interval_ms, prediction.kernel_sum_ms) == (4.0, (4.0, 4.0), 5.0)
    assert prediction.roofline_ms > 0
    assert (prediction.planner, prediction.calibration, prediction.tokens) == ("tvm", 1.0, kernels)
    assert prediction.operators == {"Conv": 1 + 2 * (kernels - 1) // 3, "Relu": (kernels - 1) // 3}
    assert not prediction.out_of_distribution
    assert prediction.unknown_operators == ()
    assert prediction.graph_hash == graph.structural_hash()
    # By hand: weights of one full convolution, and of depthwise and pointwise ones by turns; all of one width.
    channels = graph.inputs[0][1].shape[1]
    rounds = (kernels - 1) // 3
    assert prediction.parameters == 9 * channels**2 + rounds * (9 * channels + channels**2)
    pixels = math.prod(graph.inputs[0][1].shape[2:])
    assert prediction.flops == pixels * (2 * prediction.parameters + rounds * channels)
    assert prediction.memory_bytes > 4 * prediction.parameters


def with_opaque_operator() -> onnx.ModelProto:
    return onnx.parser.parse_model(
        """<ir_version: 9, opset_import: ["" : 17, "example.com" : 1]>
        net (float[2, 8] x) => (float[2, 4] y) { a = Relu(x) y = example.com.Splat(a) }"""
    )


def test_an_operator_outside_the_table_flags_the_prediction(no_runtime: None) -> None:
    prediction = PREDICTOR.predict(with_opaque_operator())
    assert prediction.operators == {"Relu": 1, "example.com.Splat": 1}
    assert prediction.unknown_operators == ("example.com.Splat",)
    assert prediction.out_of_distribution
    assert prediction.flops == 16
    assert [kernel.op for kernel in prediction.kernels] == ["Relu", "example.com.Splat"]
    assert prediction.kernels[1].bytes == 4 * (16 + 8)


def test_a_runtime_that_refuses_an_operator_outside_the_table_leaves_it_to_the_rules(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Refusing(FakeRuntime):
        def plan(self, model: onnx.ModelProto, profile: HardwareProfile) -> FusionPlan:
            raise MeasurementError("no kernel for it")

    monkeypatch.setattr(api, "runtime_for", lambda profile: Refusing())
    assert PREDICTOR.predict(with_opaque_operator()).planner == "rules"
    with pytest.raises(MeasurementError, match="no kernel for it"):
        PREDICTOR.predict(network())


def test_breakdown_names_every_kernel() -> None:
    graph = member("separable", 0)
    rest = tuple((index,) for index in range(3, len(graph.nodes)))
    prediction = PREDICTOR.predict_plan(graph, FusionPlan(graph, ((0,), (1, 2), *rest), "rules"), name="net.onnx")
    assert prediction.model == "net.onnx"
    assert len(prediction.kernels) == prediction.tokens == len(graph.nodes) - 1
    first, second = prediction.kernels[:2]
    assert (first.name, first.op, first.category) == ("conv3", "Conv", "convolution")
    assert (second.name, second.op) == ("depthwise+relu", "Conv")
    assert sum(kernel.share for kernel in prediction.kernels) == pytest.approx(1.0)
    assert sum(kernel.predicted_ms for kernel in prediction.kernels) == pytest.approx(4.0)
    assert sum(kernel.flops for kernel in prediction.kernels) == prediction.flops
    # Fused: the convolution's output stays inside, so input, weights and one output are moved.
    assert second.bytes == 2 * graph.nodes[0].outputs[0].bytes + graph.parameters[1][1].bytes


def test_breakdown_points_out_kernels_unlike_training() -> None:
    graph = member("separable", 0)
    kernels = len(graph.nodes)
    odd = Prediction(4.0, (4.0, 4.0), (4.0 / kernels,) * kernels, "rules", True, (), (True, *(kernels - 1) * (False,)))

    class OneOdd:
        def predict(self, *_: object) -> list[Prediction]:
            return [odd]

    told = dataclasses.replace(PREDICTOR, model=OneOdd()).predict_plan(graph, one_kernel_a_node(graph))
    assert [kernel.out_of_distribution for kernel in told.kernels] == [True] + (kernels - 1) * [False]
    untold = PREDICTOR.predict_plan(graph, one_kernel_a_node(graph))
    assert not any(kernel.out_of_distribution for kernel in untold.kernels)


def test_calibration_scales_every_figure_of_time_and_no_other() -> None:
    graph = member("separable", 0)
    plan = one_kernel_a_node(graph)
    shipped = PREDICTOR.predict_plan(graph, plan)
    scaled = dataclasses.replace(PREDICTOR, calibration=1.5).predict_plan(graph, plan)
    assert scaled.calibration == 1.5
    for name in ("latency_ms", "kernel_sum_ms", "roofline_ms"):
        assert getattr(scaled, name) == pytest.approx(1.5 * getattr(shipped, name))
    assert scaled.interval_ms == pytest.approx((6.0, 6.0))
    for before, after in zip(shipped.kernels, scaled.kernels, strict=True):
        assert after.predicted_ms == pytest.approx(1.5 * before.predicted_ms)
        assert dataclasses.replace(after, predicted_ms=before.predicted_ms) == before
    times = ("latency_ms", "kernel_sum_ms", "roofline_ms", "interval_ms", "kernels", "calibration")
    assert dataclasses.replace(scaled, **{name: getattr(shipped, name) for name in times}) == shipped


def test_calibration_is_the_geometric_mean_over_three_networks(runtime: FakeRuntime) -> None:
    runtime.latency_us = 1000.0  # doubled at each network: medians of 2, 4 and 8 ms, predicted as 4 each
    assert PREDICTOR.calibrated().calibration == pytest.approx((2 * 4 * 8 / 4**3) ** (1 / 3))
    assert len({model.graph.name for model in runtime.planned}) == 3


def test_calibration_without_samples_is_an_error(runtime: FakeRuntime) -> None:
    runtime.latency_us = math.inf
    with pytest.raises(MeasurementError, match="calibration: failed .of a fake."):
        PREDICTOR.calibrated()


def test_calibration_needs_the_runtime(no_runtime: None) -> None:
    with pytest.raises(RuntimeMissingError):
        PREDICTOR.calibrated()


def test_file_and_loaded_model_give_the_same(runtime: FakeRuntime, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(network().SerializeToString())
    from_file, from_text, from_model = (PREDICTOR.predict(model) for model in (path, str(path), network()))
    assert (from_file.model, from_text.model, from_model.model) == (str(path), str(path), "tiny")
    assert dataclasses.replace(from_model, model=str(path)) == from_file == from_text
    assert from_file.operators == {"Conv": 1, "Relu": 1}
    assert from_file.planner == "fake"


def test_rules_plan_where_the_runtime_is_missing_and_it_is_said(no_runtime: None) -> None:
    prediction = PREDICTOR.predict(network())
    assert prediction.planner == "rules"
    assert prediction.tokens == len(prediction.kernels) >= 1
    assert {kernel.op for kernel in prediction.kernels} >= {"Conv"}
    assert "Relu" not in {kernel.op for kernel in prediction.kernels}  # the rules fuse it


def test_given_shapes_reach_reader_and_runtime(runtime: FakeRuntime) -> None:
    model = network(batch="batch")
    before = model.SerializeToString()
    prediction = PREDICTOR.predict(model, shapes={"image": (5, 3, 8, 8)})
    assert prediction.flops == 5 * PREDICTOR.predict(network()).flops
    dimensions = runtime.planned[0].graph.input[0].type.tensor_type.shape.dim
    assert [dimension.dim_value for dimension in dimensions] == [5, 3, 8, 8]
    assert model.SerializeToString() == before


def test_open_shape_is_an_error(runtime: FakeRuntime) -> None:
    with pytest.raises(FrontendError, match="image"):
        PREDICTOR.predict(network(batch="batch"))
    assert not runtime.planned


def test_missing_file_is_an_error_before_anything_is_planned(runtime: FakeRuntime, tmp_path: Path) -> None:
    with pytest.raises(FrontendError, match="nowhere.onnx"):
        PREDICTOR.predict(tmp_path / "nowhere.onnx")
    assert not runtime.planned


def save_artifact(folder: Path, profile_id: str) -> None:
    torch.set_num_threads(1)
    untrained_narformer(profile_id).save(folder)
    fit_kernel_sum_to(examples(("plain",), 2), 0).save(folder / "kernel_sum.json")


def test_an_artifact_of_ones_own_is_loaded(runtime: FakeRuntime) -> None:
    save_artifact(own_artifact_folder(SHIPPED_PROFILE), SHIPPED_PROFILE)
    predictor = tvm_narcost.load(SHIPPED_PROFILE)
    assert predictor.profile == load_profile(SHIPPED_PROFILE)
    prediction = predictor.predict(network())
    assert prediction.latency_ms == pytest.approx(sum(kernel.predicted_ms for kernel in prediction.kernels))
    assert prediction.interval_ms[0] < prediction.latency_ms < prediction.interval_ms[1]
    assert prediction.kernel_sum_ms > 0


def test_ones_own_artifact_goes_before_the_shipped_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "_ARTIFACTS", tmp_path)
    (tmp_path / "box.tvm").mkdir()
    assert artifact_folder("box.tvm") == tmp_path / "box.tvm"
    own_artifact_folder("box.tvm").mkdir(parents=True)
    assert artifact_folder("box.tvm") == own_artifact_folder("box.tvm")


def test_profile_without_artifact_says_how_to_train_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "_ARTIFACTS", tmp_path)
    (tmp_path / "other.tvm").mkdir()
    with pytest.raises(ArtifactError, match=r"none found in .*\['other.tvm'\].*narcost train --profile epyc"):
        tvm_narcost.load(SHIPPED_PROFILE)


def test_artifact_of_another_profile_is_refused() -> None:
    save_artifact(own_artifact_folder(SHIPPED_PROFILE), "box.onnxruntime")
    with pytest.raises(ArtifactError, match="trained for profile 'box.onnxruntime', expected 'epyc-zen5.onnxruntime'"):
        tvm_narcost.load(SHIPPED_PROFILE)


def test_artifact_without_kernel_sum_is_an_error() -> None:
    folder = own_artifact_folder(SHIPPED_PROFILE)
    save_artifact(folder, SHIPPED_PROFILE)
    (folder / "kernel_sum.json").unlink()
    with pytest.raises(ArtifactError, match=r"kernel_sum\.json"):
        tvm_narcost.load(SHIPPED_PROFILE)


@pytest.mark.parametrize("profile", ["toaster.onnxruntime", "../../etc/passwd", "", "nowhere.toml"])
def test_unknown_profile(profile: str) -> None:
    with pytest.raises(ProfileError):
        tvm_narcost.load(profile)


def test_front_door() -> None:
    assert tvm_narcost.load is api.load
    assert tvm_narcost.NetworkPredictor is NetworkPredictor
    with pytest.raises(AttributeError, match="no attribute 'open_sesame'"):
        _ = tvm_narcost.open_sesame
