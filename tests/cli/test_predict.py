"""narcost predict, over a predictor that answers with constants."""

import argparse
import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import tvm_narcost
from hardware_profiles import HardwareProfile, ProfileError, load_profile
from hardware_profiles.probe import DeviceDescription
from relay_frontend.errors import UnsupportedOperatorError
from tvm_narcost.api import KernelPrediction, NetworkPrediction
from tvm_narcost.cli import predict
from tvm_narcost.cli.main import main
from tvm_narcost.cli.options import DEFAULT_PROFILE, parse_shape
from tvm_narcost.errors import NarcostError
from tvm_narcost.measure.device import device_differences, profiles_of_this_device

KERNELS = tuple(
    KernelPrediction(
        f"conv{index}", "Conv", "convolution", predicted_ms=float(index), share=index / 300, flops=index, bytes=8
    )
    for index in range(25)
)

PREDICTION = NetworkPrediction(
    model="net.onnx",
    profile="box.onnxruntime",
    latency_ms=12.3456,
    interval_ms=(11.0, 14.0),
    kernel_sum_ms=13.0,
    roofline_ms=8.0,
    flops=4_089_184_256,
    parameters=25_000_000,
    memory_bytes=10**8,
    operators={"Conv": 25},
    tokens=25,
    out_of_distribution=False,
    unknown_operators=(),
    planner="onnxruntime",
    calibration=1.0,
    kernels=KERNELS,
    graph_hash="0" * 64,
)


PROFILE = load_profile("epyc-zen5.onnxruntime")


@dataclasses.dataclass
class FakePredictor:
    """Answers every model with one prediction, and keeps what it was asked."""

    prediction: NetworkPrediction = PREDICTION
    profile: HardwareProfile = PROFILE
    shapes: Mapping[str, tuple[int, ...]] | None = None

    def predict(self, model: str, *, shapes: Mapping[str, tuple[int, ...]]) -> NetworkPrediction:
        self.shapes = shapes
        return dataclasses.replace(self.prediction, model=model)

    def calibrated(self) -> "FakePredictor":
        self.prediction = dataclasses.replace(self.prediction, calibration=1.25)
        return self


@pytest.fixture
def predictor(monkeypatch: pytest.MonkeyPatch) -> FakePredictor:
    fake = FakePredictor()
    monkeypatch.setattr(tvm_narcost, "load", lambda profile: fake, raising=False)
    return fake


def predict_json(*argv: str, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    assert main(["predict", "--json", *argv]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    documents: list[dict[str, Any]] = json.loads(captured.out)
    return documents


def test_json_is_one_array_with_one_object_a_model(
    predictor: FakePredictor, capsys: pytest.CaptureFixture[str]
) -> None:
    documents = predict_json("a.onnx", "b.onnx", capsys=capsys)
    assert [document["model"] for document in documents] == ["a.onnx", "b.onnx"]
    expected = {field.name for field in dataclasses.fields(NetworkPrediction)} - {"kernels"} | {"measured_ms"}
    assert set(documents[0]) == expected
    assert documents[0]["interval_ms"] == [11.0, 14.0]
    assert documents[0]["measured_ms"] is None


def test_json_has_the_kernels_when_asked(predictor: FakePredictor, capsys: pytest.CaptureFixture[str]) -> None:
    (document,) = predict_json("a.onnx", "--breakdown", capsys=capsys)
    assert len(document["kernels"]) == 25
    assert document["kernels"][3] == {
        "name": "conv3", "op": "Conv", "category": "convolution",
        "predicted_ms": 3.0, "share": 0.01, "flops": 3, "bytes": 8, "out_of_distribution": False,
    }  # fmt: skip


def test_table_has_one_line_a_model(predictor: FakePredictor, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "a.onnx", "models/longer.onnx"]) == 0
    assert capsys.readouterr().out == (
        "profile box.onnxruntime, kernels planned by onnxruntime\n"
        "\n"
        "model               predicted ms    interval ms  kernel sum ms  roofline ms   FLOPs\n"
        "a.onnx                     12.35  11.00 - 14.00          13.00        8.000  4.09 G\n"
        "models/longer.onnx         12.35  11.00 - 14.00          13.00        8.000  4.09 G\n"
    )


def test_breakdown_shows_the_largest_twenty_and_sums_the_rest(
    predictor: FakePredictor, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", "a.onnx", "--breakdown"]) == 0
    lines = capsys.readouterr().out.split("a.onnx: 25 kernels\n")[1].splitlines()
    assert len(lines) == 1 + 20 + 1
    assert lines[1].split() == ["8.0%", "24.00", "24", "Conv", "conv24"]
    # The five left over are conv0 to conv4: 0 + 1 + 2 + 3 + 4 = 10.
    assert lines[-1].split(maxsplit=3) == ["3.3%", "10.00", "10", "5 more kernels"]


def test_calibration_is_said(predictor: FakePredictor, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "a.onnx", "--calibrate"]) == 0
    assert "scaled by 1.250 to this machine" in capsys.readouterr().out


def test_calibration_on_another_device_says_so_and_names_the_profiles_of_this_one(
    predictor: FakePredictor, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = load_profile("epyc-zen4.onnxruntime").device
    here = DeviceDescription("", facts.cpu_model, facts.isa, 2, facts.vector_bytes, facts.l1d_bytes, facts.l2_bytes, 0)
    monkeypatch.setattr("tvm_narcost.measure.device.describe_device", lambda: here)
    assert main(["predict", "a.onnx", "--calibrate"]) == 0
    said = capsys.readouterr().err
    assert "this machine is another device than that of epyc-zen5.onnxruntime (isa without avx_vnni; l1d_bytes" in said
    assert said.endswith("for one of its own: --profile epyc-zen4.onnxruntime\n")
    predictor.profile = load_profile("epyc-zen4.onnxruntime")
    assert main(["predict", "a.onnx", "--calibrate"]) == 0
    assert capsys.readouterr().err == ""


def test_a_system_that_does_not_tell_what_it_is_has_no_profile_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def untold() -> DeviceDescription:
        raise ProfileError("device facts: this system does not tell")

    monkeypatch.setattr("tvm_narcost.measure.device.describe_device", untold)
    assert device_differences(PROFILE) == ()
    assert profiles_of_this_device(PROFILE) == ()


def test_shapes_reach_the_reader(predictor: FakePredictor, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "a.onnx", "--shape", "image=1x3x224x224", "--shape", "mask=1x77"]) == 0
    assert predictor.shapes == {"image": (1, 3, 224, 224), "mask": (1, 77)}


@pytest.mark.parametrize("text", ["", "x", "=1x3", "x=", "x=1x", "x=0x3", "x=-1x3", "x=1,3", "x=1x3x", "x=²"])
def test_malformed_shape_says_what_was_expected(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "a.onnx", "--shape", text]) == 2
    assert f"{text!r}: expected NAME=1x3x224x224" in capsys.readouterr().err


def test_name_of_an_input_may_hold_an_equals_sign() -> None:
    assert parse_shape("a=b=2x3") == ("a=b", (2, 3))


def test_shape_given_twice_is_refused(predictor: FakePredictor, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "a.onnx", "--shape", "x=1", "--shape", "x=2"]) == 2
    assert "--shape given more than once for x" in capsys.readouterr().err


def test_what_the_file_leaves_open_is_told(predictor: FakePredictor, capsys: pytest.CaptureFixture[str]) -> None:
    note = "Loop 'last': how often it runs depends on data; counted 1x"
    predictor.prediction = dataclasses.replace(PREDICTION, notes=(note,))
    assert main(["predict", "a.onnx"]) == 0
    assert f"note: a.onnx: {note}" in capsys.readouterr().out
    assert main(["predict", "a.onnx", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["notes"] == [note]


def test_strict_refuses_what_is_unfamiliar_and_names_every_offender(
    predictor: FakePredictor, capsys: pytest.CaptureFixture[str]
) -> None:
    predictor.prediction = dataclasses.replace(PREDICTION, out_of_distribution=True, unknown_operators=("Foo", "Bar"))
    assert main(["predict", "a.onnx", "b.onnx", "--strict"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    for part in ("a.onnx (unknown operators Foo, Bar, unlike any", "b.onnx (", "leave out --strict"):
        assert part in captured.err


def test_strict_refuses_unknown_operators_by_their_own_error(predictor: FakePredictor) -> None:
    arguments = argparse.Namespace(
        models=["a.onnx"], profile="box", shapes=[], database=None, calibrate=False, strict=True, json=True
    )
    predictor.prediction = dataclasses.replace(PREDICTION, unknown_operators=("example.com.Splat",))
    with pytest.raises(UnsupportedOperatorError, match=r"a\.onnx \(unknown operators example\.com\.Splat\)"):
        predict.run(arguments)
    predictor.prediction = dataclasses.replace(PREDICTION, out_of_distribution=True)
    with pytest.raises(NarcostError, match="unlike any"):
        predict.run(arguments)


def test_without_strict_the_doubt_is_a_note(predictor: FakePredictor, capsys: pytest.CaptureFixture[str]) -> None:
    predictor.prediction = dataclasses.replace(PREDICTION, out_of_distribution=True)
    assert main(["predict", "a.onnx"]) == 0
    assert capsys.readouterr().out.endswith("note: a.onnx: unlike any network in training\n")


def test_default_profile_is_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["predict", "--help"])
    assert DEFAULT_PROFILE in capsys.readouterr().out


def test_database_that_is_named_must_exist(
    predictor: FakePredictor, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "missing.sqlite"
    assert main(["predict", "a.onnx", "--database", str(path)]) == 2
    assert "no such file" in capsys.readouterr().err
    assert not path.exists()


def test_measurement_in_the_database_is_shown_beside(
    predictor: FakePredictor, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "latency.sqlite"
    assert main(["predict", "a.onnx"]) == 0
    assert "measured" not in capsys.readouterr().out

    from tvm_narcost.database import open_database
    from tvm_narcost.database.store import LatencyDatabase

    open_database(str(path)).close()
    monkeypatch.setattr(
        LatencyDatabase,
        "latest",
        lambda self, graph_hash, profile_id: (
            SimpleNamespace(samples_us=(9000.0, 1000.0, 11_000.0))
            if (graph_hash, profile_id) == ("0" * 64, "box.onnxruntime")
            else None
        ),
    )
    (document,) = predict_json("a.onnx", "--database", str(path), capsys=capsys)
    assert document["measured_ms"] == 9.0
    assert main(["predict", "a.onnx", "--database", str(path)]) == 0
    assert "measured ms" in capsys.readouterr().out
