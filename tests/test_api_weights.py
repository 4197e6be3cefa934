"""Predicting a file needs none of its weights, unless a runtime has to see them to plan."""

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hardware_profiles import HardwareProfile
from relay_frontend.plan import FusionPlan
from tests.training.analytic import PROFILE, member, one_kernel_a_node
from tvm_narcost import api
from tvm_narcost.api import NetworkPredictor
from tvm_narcost.errors import RuntimeMissingError
from tvm_narcost.models.constant import ConstantModel

PREDICTOR = NetworkPredictor(PROFILE, ConstantModel(4.0), ConstantModel(5.0))


class FakeRuntime:
    """Remembers what it was asked to plan."""

    def __init__(self) -> None:
        self.planned: list[onnx.ModelProto] = []

    def plan(self, model: onnx.ModelProto, profile: HardwareProfile) -> FusionPlan:
        self.planned.append(model)
        return one_kernel_a_node(member("plain", 0), "fake")


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> FakeRuntime:
    fake = FakeRuntime()
    monkeypatch.setattr(api, "runtime_for", lambda profile: fake)
    return fake


def product(dtype: type[np.generic], *, constant: bool = False) -> onnx.ModelProto:
    """A product by a weight of four million bytes, which is an initializer or in a node."""
    weight = numpy_helper.from_array(np.ones((1000, 4_000_000 // 1000 // np.dtype(dtype).itemsize), dtype), "w")
    integers = np.issubdtype(dtype, np.integer)
    nodes = [helper.make_node("MatMulInteger" if integers else "MatMul", ["x", "w"], ["y"])]
    if constant:
        nodes.insert(0, helper.make_node("Constant", [], ["w"], value=weight))
    kind = TensorProto.UINT8 if integers else TensorProto.FLOAT
    x = helper.make_tensor_value_info("x", kind, [1, 1000])
    y = helper.make_tensor_value_info("y", TensorProto.INT32 if integers else TensorProto.FLOAT, [1, weight.dims[1]])
    graph = helper.make_graph(nodes, "net", [x], [y], [] if constant else [weight])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def saved(model: onnx.ModelProto, folder: Path) -> Path:
    path = folder / "net.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_big_floating_point_weights_are_not_read(runtime: FakeRuntime, tmp_path: Path) -> None:
    model = product(np.float32)
    prediction = PREDICTOR.predict(saved(model, tmp_path))

    assert [given.ByteSize() < 1000 for given in runtime.planned] == [True]
    assert prediction.parameters == 1_000_000
    assert prediction.graph_hash == PREDICTOR.predict(model).graph_hash


@pytest.mark.parametrize("model", [product(np.uint8), product(np.float32, constant=True)])
def test_weights_without_a_stand_in_are(model: onnx.ModelProto, runtime: FakeRuntime, tmp_path: Path) -> None:
    PREDICTOR.predict(saved(model, tmp_path))

    assert [given.ByteSize() for given in runtime.planned] == [model.ByteSize()]


def test_rules_need_no_weights_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[bool] = []

    def load_model(path: Path, *, weights: bool = True) -> onnx.ModelProto:
        read.append(weights)
        return onnx.load(path)

    def missing(profile: HardwareProfile) -> None:
        raise RuntimeMissingError("not installed")

    monkeypatch.setattr(api, "load_model", load_model)
    monkeypatch.setattr(api, "runtime_for", missing)
    by_rules = dataclasses.replace(PROFILE, runtime=dataclasses.replace(PROFILE.runtime, planner="rules"))

    prediction = dataclasses.replace(PREDICTOR, profile=by_rules).predict(saved(product(np.uint8), tmp_path))
    assert prediction.planner == "rules"
    assert read == [False]
