"""The artifact in the package: it opens, and says of real networks what it said when it was trained.

Plans are by rules for vectors of 64 bytes, so that every machine that runs this sees the same kernels.
"""

import dataclasses
from pathlib import Path

import onnx
import pytest

import tvm_narcost
from tvm_narcost.api import NetworkPredictor
from tvm_narcost.models.narformer_latency import NarFormerLatency

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
PROFILE = "epyc-zen5.onnxruntime"


@pytest.fixture(scope="module")
def predictor() -> NetworkPredictor:
    shipped = tvm_narcost.load(PROFILE)
    by_rules = dataclasses.replace(shipped.profile.runtime, planner="rules")
    return dataclasses.replace(shipped, profile=dataclasses.replace(shipped.profile, runtime=by_rules))


# milliseconds, uncalibrated; the figures of the day on which the artifact was made
@pytest.mark.parametrize(("network", "latency_ms"), [("resnet50", 32.71), ("squeezenet", 2.77), ("densenet121", 28.26)])
def test_real_networks(predictor: NetworkPredictor, network: str, latency_ms: float) -> None:
    prediction = predictor.predict(LIGHT / f"light_{network}.onnx")
    assert prediction.latency_ms == pytest.approx(latency_ms, rel=0.01)
    assert prediction.interval_ms[0] < prediction.latency_ms < prediction.interval_ms[1]
    assert prediction.roofline_ms < prediction.latency_ms < 2 * prediction.roofline_ms
    assert sum(kernel.predicted_ms for kernel in prediction.kernels) == pytest.approx(prediction.latency_ms)
    assert prediction.planner == "rules"
    assert not prediction.out_of_distribution
    assert prediction.unknown_operators == ()


def test_facts_say_where_it_comes_from(predictor: NetworkPredictor) -> None:
    assert isinstance(predictor.model, NarFormerLatency)
    facts = predictor.model.facts
    assert facts.profile == PROFILE
    assert facts.dataset["networks"] > 6000
    assert len(facts.dataset["families"]) == 36
    assert facts.command.startswith("narcost train ")


def test_a_kernel_unlike_any_in_training_is_flagged(predictor: NetworkPredictor) -> None:
    huge = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17]> g (float[1, 70000] x, float[70000, 9000] w) => (float[1, 9000] y)'
        "{ y = MatMul(x, w) }"
    )
    assert predictor.predict(huge).out_of_distribution
