"""narcost tune: what it prints, what it refuses, and that it goes on where it was killed."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("tvm")

import onnx
from onnx import TensorProto, helper

from tvm_narcost.cli.main import main


@pytest.fixture
def model(tmp_path: Path) -> Path:
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["a"]), helper.make_node("Relu", ["a"], ["y"])],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("n", 32))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ("n", 48))],
        [helper.make_tensor("w", TensorProto.FLOAT, (32, 48), [0.01 * place for place in range(32 * 48)])],
    )
    path = tmp_path / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


def arguments(model: Path, *more: str) -> list[str]:
    return ["tune", str(model), "--shape", "x=16x32", "--work-dir", str(model.parent / "tuned"), *more]


def test_tunes_and_goes_on(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(model, "--trials", "4", "--cost-model", "random")) == 0
    printed = capsys.readouterr()
    assert re.search(r"^fused_matmul_relu +1 +4 +\d+\.\d", printed.out, flags=re.MULTILINE)
    assert "4 schedules measured, 0 of them failed; 0 were there before" in printed.out
    assert "4/4" in printed.err
    assert main(arguments(model, "--trials", "6", "--cost-model", "random", "--json")) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["measured"], found["measured_before"], found["ended"]) == (2, 4, "done")
    (kernel,) = found["kernels"]
    assert kernel["measured"] == 6
    assert 0 < kernel["best_us"] < 1e4


def test_zero_trials_measure_nothing(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(model, "--trials", "0", "--cost-model", "random")) == 0
    assert "chosen by prediction alone: nothing was measured" in capsys.readouterr().out
    records = (model.parent / "tuned" / "database_tuning_record.json").read_text().splitlines()
    assert len(records) == 1


def test_killed_it_goes_on(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [
        sys.executable,
        "-m",
        "tvm_narcost.cli.main",
        *arguments(model, "--trials", "16", "--cost-model", "random"),
    ]
    records = model.parent / "tuned" / "database_tuning_record.json"
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, cwd=os.getcwd()) as process:
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline and not (records.exists() and records.read_bytes().count(b"\n")):
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    count = records.read_bytes().count(b"\n")
    assert 0 < count < 16, "it was killed in the middle"
    assert main(arguments(model, "--trials", str(count + 2), "--cost-model", "random", "--json")) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["measured_before"], found["measured"]) == (count, 2)
    assert not (model.parent / "tuned" / ".libraries").exists()


def test_a_folder_of_another_profile_is_refused(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = model.parent / "tuned"
    folder.mkdir()
    (folder / "profile.json").write_text('{"profile": "other.tvm"}')
    assert main(arguments(model, "--trials", "1", "--cost-model", "random")) == 2
    assert "has schedules measured for {'profile': 'other.tvm'}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--trials", "0", "--cost-model", "xgb"], "knows nothing before anything is measured"),
        (["--trials", "-1"], "expected a whole number"),
        (["--trials", "1", "--cost-model", "best"], "invalid choice: 'best'"),
        (["--trials", "1", "--cost-model", "xgb", "--weights", "w"], "--weights w: are narcost's, expected"),
        (["--trials", "1", "--weights", "nowhere"], "artifact nowhere/ranker.json: No such file or directory"),
        (["--trials", "1", "--profile", "epyc-zen5.onnxruntime"], "has tvm_target ''"),
        (["--trials", "1", "--profile", "toaster.tvm"], "toaster.tvm"),
        ([], "--trials"),
    ],
)
def test_wrong_options_are_errors(
    model: Path, capsys: pytest.CaptureFixture[str], more: list[str], message: str
) -> None:
    assert main(arguments(model, *more)) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.startswith("narcost: error: ")
    assert not printed.out


def test_an_open_dimension_is_an_error(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    work = str(model.parent / "tuned")
    assert main(["tune", str(model), "--trials", "1", "--cost-model", "random", "--work-dir", work]) == 2
    assert capsys.readouterr().err.startswith("narcost: error: ")
