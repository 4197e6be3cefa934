"""A real collection with ONNX Runtime, killed in the middle of it; and the command line around it."""

import dataclasses
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from hardware_profiles import load_profile, profile_to_toml
from hardware_profiles.probe import describe_device
from hardware_profiles.profile import MeasurementProtocol
from tvm_narcost.cli.main import main
from tvm_narcost.database import open_database

PROFILE_ID = "epyc-zen5.onnxruntime"
SEEDS = 2
FAMILIES = ("squeezenet", "nasbench201")


@pytest.fixture
def profile_path(tmp_path: Path) -> Path:
    """The shipped profile as if of this device, and in a hurry."""
    hurried = MeasurementProtocol(
        warmup_s=0.0, warmup_runs=1, min_samples=3, max_samples=5, budget_s=0.3, profiled_runs=1
    )
    path = tmp_path / "hurried.toml"
    profile = load_profile(PROFILE_ID)
    facts = {name: value for name, value in dataclasses.asdict(describe_device()).items() if name != "name"}
    device = dataclasses.replace(profile.device, **facts)
    path.write_text(profile_to_toml(dataclasses.replace(profile, device=device, protocol=hurried)))
    return path


def _command(profile: Path, database: Path) -> list[str]:
    verb = ["profile", "--zoo", ",".join(FAMILIES), "--count", str(SEEDS)]
    return [*verb, "--profile", str(profile), "--database", str(database)]


def _rows(database: Path) -> int:
    if not database.is_file():
        return 0
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        return int(connection.execute("SELECT count(*) FROM measurements").fetchone()[0])
    except sqlite3.OperationalError:  # the tables are being made
        return 0
    finally:
        connection.close()


def _wait_for_rows(database: Path, wanted: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while _rows(database) < wanted:
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"the collection ended with {process.poll()}, or was too slow, before {wanted} rows were there")
        time.sleep(0.01)


def test_kill_9_loses_at_most_the_network_in_flight_and_a_second_run_goes_on(
    tmp_path: Path, profile_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "latency.sqlite"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    bar = tmp_path / "stderr.txt"
    with bar.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "tvm_narcost.cli.main", *_command(profile_path, path)],
            env=environment,
            stderr=stderr,
        )
    _wait_for_rows(path, 2, process)
    workers = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    gone, alive = psutil.wait_procs(workers, timeout=10)
    assert gone and not alive, "a worker that outlives its parent disturbs the next timings"

    with open_database(str(path)) as database:
        # What was committed is whole, and what was reported as done is committed.
        kept = [record.source for record in database.records(PROFILE_ID)]
        assert len(kept) == dict(database.stats().rows)["measurements"] >= 2
    reported = [int(count) for count in re.findall(rf"(\d+)/{len(FAMILIES) * SEEDS}", bar.read_text())]
    assert reported and reported[-1] <= len(kept)
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()

    assert main(_command(profile_path, path)) == 0
    assert f"{len(kept)} were measured before" in capsys.readouterr().out
    with open_database(str(path)) as database:
        records = list(database.records(PROFILE_ID))
        expected = [{"zoo": family, "seed": seed} for seed in range(SEEDS) for family in FAMILIES]
        assert [record.source for record in records] == expected  # in order: only the one in flight was done again
        assert dict(database.stats().rows)["measurements"] == len(expected)
    for record in records:
        assert record.graph.structural_hash() == record.measurement.graph_hash
        assert record.plan.planner == "onnxruntime"
        assert {time.kernel for time in record.measurement.kernels} == set(range(len(record.plan.kernels)))
        assert 10 < min(record.measurement.samples_us) < 1e6


def test_ctrl_c_ends_with_a_summary_and_status_130(tmp_path: Path, profile_path: Path) -> None:
    path = tmp_path / "latency.sqlite"
    process = subprocess.Popen(
        [sys.executable, "-m", "tvm_narcost.cli.main", *_command(profile_path, path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        # A job that a shell runs in the background is born ignoring SIGINT, and Python then leaves it so.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 (no threads here)
    )
    _wait_for_rows(path, 1, process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: parent and worker both get it
    output, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert b"interrupted: the same command goes on from here" in output
    assert b"Traceback" not in errors


def test_a_model_file_is_measured_once_and_its_median_printed(
    tmp_path: Path, profile_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import onnx

    from tvm_narcost.zoo import generate

    model = tmp_path / "mine.onnx"
    onnx.save(generate("squeezenet", 1), model)
    command = ["profile", str(model), "--profile", str(profile_path), "--database", str(tmp_path / "a.sqlite")]
    assert main(command) == 0
    first = capsys.readouterr().out
    assert main(command) == 0
    second = capsys.readouterr().out
    assert "nothing new; 1 were measured before" in second
    assert first.splitlines()[-1].startswith("mine ")
    assert first.splitlines()[-1] == second.splitlines()[-1]


def test_open_dimensions_are_bound_by_shape_and_by_name(
    tmp_path: Path, profile_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from onnx import TensorProto, helper, save

    row = ["batch", "width"]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, row) for name in ("x", "y", "z")]
    graph = helper.make_graph([helper.make_node("Add", ["x", "y"], ["z"])], "g", values[:2], values[2:])
    model, path = tmp_path / "open.onnx", tmp_path / "a.sqlite"
    save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]), model)
    command = ["profile", str(model), "--profile", str(profile_path), "--database", str(path)]
    assert main(command) == 0
    assert "failed: open: DynamicShapeError" in capsys.readouterr().out
    assert main([*command, "--shape", "x=4x256"]) == 0
    assert "failed" not in capsys.readouterr().out
    with open_database(str(path)) as database:
        (record,) = database.records(PROFILE_ID)
    assert [kind.shape for _, kind in record.plan.graph.inputs] == [(4, 256), (4, 256)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["profile"], "nothing to measure; give model files, or --zoo"),
        (["profile", "--zoo", "resnet,nonesuch"], "unknown families nonesuch, expected some of "),
        (["profile", "--zoo", "resnet", "--count", "0"], "expected a positive integer"),
        (["profile", "--zoo", "resnet", "--budget", "soon"], "expected a time such as 90s, 20m or 1.5h"),
        (["profile", "--zoo", "resnet", "--profile", "no.such"], "no.such"),
        (["profile", "missing.onnx"], "missing.onnx"),
        (["database", "export", "x.xz"], "has 0 profiles"),
        (["database", "import", "missing.xz"], "No such file"),
        (["database", "import", __file__], "expected an xz file"),
    ],
)
def test_errors_of_the_user_are_one_line(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--database", str(tmp_path / "a.sqlite")]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.splitlines()[-1].startswith("narcost: error: ")
    assert captured.out == ""


def test_export_and_import_through_the_command_line(
    tmp_path: Path, profile_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import json

    first, second, file = (str(tmp_path / name) for name in ("a.sqlite", "b.sqlite", "d.jsonl.xz"))
    profile = ["profile", "--zoo", "squeezenet", "--count", "1", "--profile", str(profile_path), "--database", first]
    assert main(profile) == 0
    assert main(["database", "export", file, "--database", first]) == 0
    assert main(["database", "import", file, "--database", second]) == 0
    assert main(["database", "import", file, "--database", second]) == 0
    assert "added 0 networks" in capsys.readouterr().out
    assert main(["database", "stats", "--json", "--database", second]) == 0
    (family,) = json.loads(capsys.readouterr().out)["families"]
    assert (family["profile_id"], family["family"]) == (PROFILE_ID, "squeezenet")
    assert family["stable"] + family["noisy"] == 1
    assert main([*profile[:-1], second]) == 0  # imported ones count as measured
    assert "1 were measured before" in capsys.readouterr().out


def test_a_locked_database_is_an_error_of_the_user(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.sqlite"
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    assert main(["database", "stats", "--database", str(path)]) == 2
    assert "database is locked; another process holds it" in capsys.readouterr().err
    holder.close()


def test_a_profile_of_another_device_is_refused(
    profile_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    database = tmp_path / "a.sqlite"
    text = profile_path.read_text()
    profile_path.write_text(re.sub(r"l1d_bytes = \d+", "l1d_bytes = 12345", text))
    assert main(_command(profile_path, database)) == 2
    assert f"profile {PROFILE_ID}: this machine is another device (l1d_bytes " in capsys.readouterr().err
    assert not database.exists()
    schedules = ["profile", "--schedules", "1", "--work-dir", str(tmp_path / "records"), "--profile", str(profile_path)]
    assert main(schedules) == 2
    assert "make its own with `narcost profiles probe --runtime onnxruntime" in capsys.readouterr().err
    assert not (tmp_path / "records").exists()
