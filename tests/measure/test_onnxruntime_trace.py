"""Traces of ONNX Runtime: complete and unambiguous, or a typed error."""

import json
from pathlib import Path
from typing import Any

import pytest

from tvm_narcost.database.measurement import KernelTime
from tvm_narcost.errors import MeasurementError
from tvm_narcost.measure.runtimes.onnxruntime_trace import ProfiledRun, kernel_times, read_trace


def kernel(name: str, duration_us: int) -> dict[str, Any]:
    return {"cat": "Node", "name": f"{name}_kernel_time", "dur": duration_us, "ts": 0, "args": {"op_name": "Conv"}}


def session(name: str, duration_us: int) -> dict[str, Any]:
    return {"cat": "Session", "name": name, "dur": duration_us, "ts": 0, "args": {}}


def trace(folder: Path, *events: dict[str, Any]) -> Path:
    path = folder / "trace.json"
    path.write_text(json.dumps(events))
    return path


def test_runs_end_with_model_run(tmp_path: Path) -> None:
    path = trace(
        tmp_path,
        session("session_initialization", 900),
        kernel("a", 5),
        {**kernel("a", 1), "name": "a_fence_before"},  # older versions write these
        kernel("b_kernel_time", 7),  # a node may be called like this
        session("SequentialExecutor::Execute", 14),
        session("model_run", 15),
        kernel("a", 6),
        session("model_run", 8),
        kernel("a", 99),  # a run that did not end
    )
    assert read_trace(path) == [
        ProfiledRun(15.0, (("a", 5.0), ("b_kernel_time", 7.0))),
        ProfiledRun(8.0, (("a", 6.0),)),
    ]


@pytest.mark.parametrize("content", ["", '[{"cat": "Node", "na', "{}x", "\x00"])
def test_truncated_trace(tmp_path: Path, content: str) -> None:
    path = tmp_path / "trace.json"
    path.write_text(content)
    with pytest.raises(MeasurementError, match="expected a JSON array"):
        read_trace(path)


@pytest.mark.parametrize("document", [[{}], [1], [{"cat": "Node", "name": "a_kernel_time"}], 7])
def test_events_of_another_format(tmp_path: Path, document: object) -> None:
    path = tmp_path / "trace.json"
    path.write_text(json.dumps(document))
    with pytest.raises(MeasurementError, match="expected"):
        read_trace(path)


def test_missing_trace(tmp_path: Path) -> None:
    with pytest.raises(MeasurementError, match="No such file"):
        read_trace(tmp_path / "none.json")


def test_kernels_by_name_whatever_the_order() -> None:
    runs = [ProfiledRun(9.0, (("a", 1.0), ("b", 2.0))), ProfiledRun(9.0, (("b", 4.0), ("a", 3.0)))]
    assert kernel_times(runs, ["a", "b"], "net") == (KernelTime(0, (1.0, 3.0)), KernelTime(1, (2.0, 4.0)))


def test_kernels_of_one_name_by_order() -> None:
    runs = [ProfiledRun(9.0, (("a", 1.0), ("b", 2.0), ("a", 3.0)))]
    assert kernel_times(runs, ["a", "a", "b"], "net") == (
        KernelTime(0, (1.0,)),
        KernelTime(1, (3.0,)),
        KernelTime(2, (2.0,)),
    )


@pytest.mark.parametrize("names", [["a"], ["a", "b", "c"], ["a", "a", "b"], ["b", "c"], []])
def test_kernels_that_do_not_match_the_plan(names: list[str]) -> None:
    with pytest.raises(MeasurementError, match="'net' has .* expected each node once a run"):
        kernel_times([ProfiledRun(9.0, (("a", 1.0), ("b", 2.0)))], names, "net")
