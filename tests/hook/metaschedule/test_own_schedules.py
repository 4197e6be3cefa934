"""A tuned record goes before narcost's own schedule only where it is faster, and what is spoiled is a typed error."""

import dataclasses
import json
import math
from pathlib import Path

import pytest

pytest.importorskip("tvm")

import tvm
import tvm_ffi

from tests.hook.metaschedule.test_tune import HERE, QUICK, kernels, network
from tvm_narcost.errors import DatabaseError
from tvm_narcost.hook import open_schedules
from tvm_narcost.hook.importing import import_onnx
from tvm_narcost.hook.metaschedule.measuring import measuring
from tvm_narcost.hook.metaschedule.own_schedules import kernel_key, measure_own_schedules, read_own_times
from tvm_narcost.hook.metaschedule.tune import fused_module, new_cost_model, tune
from tvm_narcost.hook.schedules import schedule


@pytest.fixture(scope="module")
def module() -> tvm.IRModule:
    return fused_module(import_onnx(network()), HERE)


@pytest.fixture(scope="module")
def tuned(module: tvm.IRModule, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tuned")
    report = tune(module, HERE, folder, trials=8, cost_model=new_cost_model("random", HERE, 0), settings=QUICK)
    assert all(one.own_us is not None and one.own_us > 0 for one in report.kernels)
    return folder


def test_the_faster_one_counts_kernel_by_kernel(module: tvm.IRModule, tuned: Path, tmp_path: Path) -> None:
    for path in tuned.glob("*.json"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    mine = kernels(module)
    seconds = {kernel_key(function): None if name == "softmax" else 1e-12 for name, function in mine.items()}
    assert set(seconds) == set(read_own_times(tuned))
    (tmp_path / "own_schedules.json").write_text(json.dumps({"version": 1, "seconds": seconds}))
    database = open_schedules(tmp_path)
    own, records = kernels(schedule(module, HERE)), kernels(schedule(module, HERE, database=database.database))
    both = kernels(schedule(module, HERE, database=database))
    for name in mine:
        expected, other = (records, own) if name == "softmax" else (own, records)
        assert tvm_ffi.structural_equal(both[name].body, expected[name].body), name
        assert not tvm_ffi.structural_equal(both[name].body, other[name].body), name


def test_records_of_before_get_their_own_schedules_beside_them(
    module: tvm.IRModule, tuned: Path, tmp_path: Path
) -> None:
    for path in tuned.glob("database_*.json"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    report = tune(module, HERE, tmp_path, trials=8, cost_model=new_cost_model("random", HERE, 0), settings=QUICK)
    assert (report.found, report.measured) == (8, 0)
    assert set(read_own_times(tmp_path)) == {kernel_key(function) for function in kernels(module).values()}


def test_what_is_on_disk_is_not_measured_again(module: tvm.IRModule, tuned: Path) -> None:
    before = read_own_times(tuned)
    with measuring(HERE, tuned / "libraries", QUICK.limits) as measured:
        assert measure_own_schedules(module, HERE, tuned, measured) == before
        assert measured.times.built == 0


def test_a_schedule_that_does_not_run_is_infinite_and_kept(module: tvm.IRModule, tmp_path: Path) -> None:
    hasty = dataclasses.replace(QUICK.limits, build_timeout_s=1e-4)
    with measuring(HERE, tmp_path / "libraries", hasty) as measured:
        times = measure_own_schedules(module, HERE, tmp_path, measured)
    assert set(times.values()) == {math.inf}
    assert read_own_times(tmp_path) == times


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff", b"[]", b'{"version": 2, "seconds": {}}', b'{"version": 1, "seconds": {"a": "fast"}}',
     b'{"version": 1, "seconds": {"a": -1}}', b'{"version": 1, "seconds": {"a": NaN}}', b'{"version": 1}',
     b"[" * 200_000, b" " * (2**20 + 1)],
)  # fmt: skip
def test_a_broken_file_is_a_typed_error(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "own_schedules.json").write_bytes(content)
    with pytest.raises(DatabaseError, match="expected version 1 with seconds of each kernel"):
        open_schedules(tmp_path)


def test_a_folder_that_is_not_there_is_a_typed_error(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="no such folder, expected what `narcost tune` leaves"):
        open_schedules(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()
