"""narcost predict takes a file of each format, and says of a file of the wrong kind what it holds."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from relay_frontend.graph import OpGraph
from relay_frontend.load import KNOWN_SUFFIXES
from relay_frontend.plan import FusionPlan
from tests.relay_frontend.relax_fixture import FOLDER, network
from tests.relay_frontend.relay_fixture import unpack
from tests.relay_frontend.torch_documents import document, node, save_document, tensor
from tvm_narcost import api
from tvm_narcost.cli.main import main

RELAY_TEXT = """#[version = "0.0.5"]
def @main(%x: Tensor[(1, 3, 8, 8), float32], %w: Tensor[(4, 3, 3, 3), float32]) {
  %0 = nn.conv2d(%x, %w, padding=[1, 1, 1, 1], channels=4, kernel_size=[3, 3]);
  nn.relu(%0)
}
"""


def save_onnx(path: Path) -> None:
    path.write_bytes(network().SerializeToString())


def save_pt2(path: Path) -> None:
    image = tensor(1, 8, 4, 4)
    calls = [node("conv2d", {"input": "x", "weight": "w"}, "c"), node("relu", {"self": "c"}, "y")]
    values = {"x": tensor(1, 3, 4, 4), "w": tensor(8, 3, 1, 1), "c": image, "y": image}
    save_document(path, document(calls, values, parameters=("w",)))


SAVED: dict[str, tuple[Callable[[Path], object], str]] = {
    "net.onnx": (save_onnx, "Conv"),
    "relax.json": (lambda path: path.write_text((FOLDER / "high.json").read_text()), "Conv"),
    "fused.json": (lambda path: path.write_text((FOLDER / "kernels.json").read_text()), "Conv"),
    "relay.json": (lambda path: unpack("squeezenet-3.json", path.parent).rename(path), "Conv"),
    "relay.txt": (lambda path: path.write_text(RELAY_TEXT), "Conv"),
    "net.relay": (lambda path: path.write_text(RELAY_TEXT), "Conv"),
    "net.pt2": (save_pt2, "Conv"),
}


def test_every_format_has_a_file_here() -> None:
    assert {Path(name).suffix for name in SAVED} == set(KNOWN_SUFFIXES)


@pytest.mark.parametrize("name", SAVED)
def test_each_format_is_predicted(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save, operator = SAVED[name]
    path = tmp_path / name
    save(path)
    assert main(["predict", str(path), "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["model"] == str(path)
    assert found["latency_ms"] > 0
    assert found["operators"][operator] >= 1
    assert found["unknown_operators"] == []


def test_fused_module_is_predicted_with_its_own_kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[FusionPlan] = []
    predict_plan = api.NetworkPredictor.predict_plan

    def keep(self: api.NetworkPredictor, graph: OpGraph, plan: FusionPlan, *, name: str = "") -> api.NetworkPrediction:
        seen.append(plan)
        return predict_plan(self, graph, plan, name=name)

    monkeypatch.setattr(api.NetworkPredictor, "predict_plan", keep)
    assert main(["predict", str(FOLDER / "kernels.json"), str(FOLDER / "legal.json")]) == 0
    assert [plan.planner for plan in seen] == ["tvm", "rules"]
    assert len(seen[0].kernels) == 8


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("net.json", b'{"layers": []}', "begins with '{\"layers\": []}'"),
        ("net.json", b"\x08\x07\x12\x07pytorch", "expected the JSON of a Relay or Relax module"),
        ("net.json", b"", "it is empty"),
        ("net.onnx", b'{"root_index": 0, "nodes": []}', "no ONNX model"),
        ("net.txt", b"layer1: conv 3x3", "expected"),
        ("net.pt2", b"\x80\x02}q\x00.", "expected"),
        ("net.tflite", b"TFL3", "suffix '.tflite', expected one of the known formats"),
    ],
)
def test_wrong_kind_of_file_says_what_was_found(
    name: str, content: bytes, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert main(["predict", str(path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("narcost: error: ")
    assert error.count("\n") == 1
    assert name in error
    assert reason in error
