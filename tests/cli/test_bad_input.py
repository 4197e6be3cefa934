"""Bad input of each kind, through the command line: one line that says what to do, status 2, nothing on stdout."""

import functools
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import tvm_narcost
import tvm_narcost.database
from hardware_profiles import HardwareProfile, load_profile
from relay_frontend.graph import OpGraph
from relay_frontend.plan import FusionPlan
from tvm_narcost.api import NetworkPredictor
from tvm_narcost.cli.main import main
from tvm_narcost.cli.options import DEFAULT_PROFILE
from tvm_narcost.predictor import Prediction

ROOT = Path(__file__).parent.parent.parent


class Constant:
    """A LatencyModel that says one millisecond of every network."""

    def predict(
        self, graphs: Sequence[OpGraph], plans: Sequence[FusionPlan], profile: HardwareProfile
    ) -> list[Prediction]:
        return [
            Prediction(1.0, (0.9, 1.1), (1.0 / len(plan.kernels),) * len(plan.kernels), plan.planner) for plan in plans
        ]


@pytest.fixture
def constant_predictor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads and plans for real; only the model is a fake."""
    predictor = NetworkPredictor(load_profile(DEFAULT_PROFILE), Constant(), Constant())
    monkeypatch.setattr(tvm_narcost, "load", lambda profile: predictor, raising=False)


def network(batch: int | str = 1, op: str = "Relu", domain: str = "") -> onnx.ModelProto:
    nodes = [helper.make_node(op, ["image"], ["out"], domain=domain)]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, 3, 8, 8])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, [batch, 3, 8, 8])
    opsets = [helper.make_opsetid("", 17), *([helper.make_opsetid(domain, 1)] if domain else [])]
    model = helper.make_model(helper.make_graph(nodes, "net", [image], [out]), opset_imports=opsets)
    model.ir_version = 9
    return model


def saved(tmp_path: Path, model: onnx.ModelProto) -> str:
    path = tmp_path / "net.onnx"
    path.write_bytes(model.SerializeToString())
    return str(path)


def error_line(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """The one line that `narcost predict` ends with."""
    assert main(["predict", *argv]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("narcost: error: ")
    assert captured.err.count("\n") == 1
    return captured.err


def test_good_input_is_predicted(constant_predictor: None, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["predict", saved(tmp_path, network()), "--json"]) == 0
    (document,) = json.loads(capsys.readouterr().out)
    assert document["operators"] == {"Relu": 1}
    assert document["latency_ms"] == 1.0


@pytest.mark.parametrize("content", [b"", b"not a model", b"PK\x03\x04" + bytes(100), bytes(1000)])
def test_file_that_is_not_onnx(
    constant_predictor: None, capsys: pytest.CaptureFixture[str], tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    line = error_line(capsys, str(path))
    assert str(path) in line
    assert "expected an ONNX model" in line or "expected a serialised ModelProto" in line


def test_missing_file(constant_predictor: None, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    line = error_line(capsys, str(tmp_path / "missing.onnx"))
    assert "missing.onnx" in line
    assert "No such file or directory" in line


def test_directory(constant_predictor: None, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "directory" in error_line(capsys, str(tmp_path)).lower()


@pytest.mark.parametrize("kept", [0.25, 0.5, 0.75, 0.95])
def test_truncated_file(
    constant_predictor: None, capsys: pytest.CaptureFixture[str], tmp_path: Path, kept: float
) -> None:
    whole = network().SerializeToString()
    path = tmp_path / "net.onnx"
    path.write_bytes(whole[: int(len(whole) * kept)])
    assert str(path) in error_line(capsys, str(path))


def test_open_dimension_names_the_option_that_binds_it(
    constant_predictor: None, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = saved(tmp_path, network(batch="batch"))
    line = error_line(capsys, path)
    assert "batch" in line
    assert "--shape image=" in line
    assert main(["predict", path, "--shape", "image=2x3x8x8"]) == 0


def test_shape_of_an_input_that_is_not_there(
    constant_predictor: None, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    line = error_line(capsys, saved(tmp_path, network()), "--shape", "picture=1x3x8x8")
    assert "picture" in line
    assert "image" in line


def test_operator_that_nobody_knows(
    constant_predictor: None, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = saved(tmp_path, network(op="Frobnicate", domain="com.example"))
    assert main(["predict", path]) == 0
    assert "unknown operators com.example.Frobnicate" in capsys.readouterr().out
    assert "com.example.Frobnicate" in error_line(capsys, path, "--strict")


def test_unknown_profile_names_those_that_are_known(capsys: pytest.CaptureFixture[str]) -> None:
    line = error_line(capsys, "net.onnx", "--profile", "toaster.onnxruntime")
    assert "toaster.onnxruntime" in line
    assert DEFAULT_PROFILE in line


def test_unknown_profile_prints_no_traceback() -> None:
    command = [sys.executable, "-m", "tvm_narcost.cli.main", "predict", "net.onnx", "--profile", "toaster.onnxruntime"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("narcost: error: profile 'toaster.onnxruntime'")
    assert done.stderr.count("\n") == 1


@pytest.fixture
def artifact() -> Path:
    """The folder of an artifact of one's own for the default profile, empty so far."""
    folder = Path(os.environ["XDG_DATA_HOME"]) / "narcost" / "artifacts" / DEFAULT_PROFILE
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format_version": 1}', "{" * 100_000, "\x00"])
def test_corrupt_artifact(artifact: Path, capsys: pytest.CaptureFixture[str], content: str) -> None:
    (artifact / "artifact.json").write_text(content)
    line = error_line(capsys, "net.onnx")
    assert str(artifact) in line
    assert "train" in line


def test_artifact_of_a_newer_narcost(artifact: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (artifact / "artifact.json").write_text('{"format_version": 999, "anything": "else"}')
    line = error_line(capsys, "net.onnx")
    assert "999" in line
    assert "install the narcost that wrote it" in line


@pytest.mark.parametrize("content", [b"", b"\xff" * 8, bytes(64), np.float32(np.nan).tobytes()])
def test_corrupt_weights(
    artifact: Path, capsys: pytest.CaptureFixture[str], content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tvm_narcost.models import artifact as module

    monkeypatch.setattr(module, "_read_facts", lambda path: None)
    (artifact / "model.safetensors").write_bytes(content)
    assert "model.safetensors" in error_line(capsys, "net.onnx")


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty latency database, opened without waiting seconds for a lock."""
    impatient = functools.partial(tvm_narcost.database.open_database, busy_timeout_s=0.05)
    monkeypatch.setattr(tvm_narcost.database, "open_database", impatient)
    path = str(tmp_path / "latency.sqlite")
    impatient(path).close()
    return path


@pytest.fixture
def other_process(database: str) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(database, isolation_level=None)
    yield connection
    connection.close()


def test_locked_database(
    constant_predictor: None, database: str, other_process: sqlite3.Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    other_process.execute("PRAGMA locking_mode=EXCLUSIVE")
    other_process.execute("BEGIN EXCLUSIVE")
    line = error_line(capsys, "net.onnx", "--database", database)
    assert "locked" in line
    assert "another process holds it" in line


def test_database_of_a_newer_narcost(
    constant_predictor: None, database: str, other_process: sqlite3.Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    other_process.execute("UPDATE alembic_version SET version_num = '9999'")
    line = error_line(capsys, "net.onnx", "--database", database)
    assert "'9999'" in line
    assert "newer narcost" in line


def test_file_that_is_no_database(constant_predictor: None, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "latency.sqlite"
    path.write_bytes(b"not a database at all" * 1000)
    assert "expected a SQLite file of narcost" in error_line(capsys, "net.onnx", "--database", str(path))
    assert path.read_bytes() == b"not a database at all" * 1000


def test_url_that_no_driver_takes(constant_predictor: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert "whose driver is installed" in error_line(capsys, "net.onnx", "--database", "toaster://host/name")


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["train"], "`narcost profile"),
        (["train", "--dataset", "missing.xz"], "'missing.xz'"),
        (["evaluate", "--profile", "toaster.tvm"], "List them with `narcost profiles list`"),
        (["profile"], "give model files, or --zoo FAMILY"),
        (["profile", "--zoo", "toasters"], "unknown families toasters, expected some of alexnet, "),
        (["profile", "--zoo", "resnet", "--again", "3"], "expected a fraction above 0 and at most 1"),
        (["profile", "--schedules", "5", "--zoo", "resnet"], "--schedules: got --zoo beside it, expected"),
        (["profile", "--schedules", "5"], "--schedules: expected --work-dir DIR"),
        (["profile", "--zoo", "resnet", "--work-dir", "x"], "--work-dir x: is for --schedules"),
        (["profile", "net.onnx", "--again", "0.1"], "--again: expected --zoo, and neither model files"),
        (["profile", "--zoo", "resnet", "--again", "1", "--retry-noisy"], "measure those with a command of their own"),
        (["profile", "net.onnx", "--budget", "soon"], "expected a time such as 90s"),
        (["profiles", "show", "toaster.tvm"], DEFAULT_PROFILE),
        (["profiles", "probe", "--out", "missing/box.toml"], "no folder missing"),
        (["database", "import", __file__], "expected an xz file of `narcost database export`"),
        (["database", "export", "out.xz"], "nothing measured"),
    ],
)
def test_other_verbs_say_what_to_do(argv: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("narcost: error: ")
    assert captured.err.count("\n") == 1
    assert expected in captured.err
