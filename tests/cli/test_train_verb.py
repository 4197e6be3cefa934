"""narcost train, from a database of networks whose times follow a formula to an artifact that predicts."""

import dataclasses
from pathlib import Path

import pytest
import torch

import tvm_narcost
from hardware_profiles import load_profile
from tests.training.analytic import member, one_kernel_a_node, record
from tvm_narcost.api import own_artifact_folder
from tvm_narcost.cli.main import main
from tvm_narcost.cli.options import DEFAULT_PROFILE
from tvm_narcost.database import NetworkRecord, open_database

BRIEF = ("--epochs", "1", "--members", "1")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def fill(path: Path, families: tuple[str, ...], count: int, verdict: str = "stable") -> str:
    """A database of ``count`` measured networks a family, for the default profile."""
    with open_database(str(path)) as database:
        for family in families:
            for seed in range(count):
                found = record(family, seed, load_profile(DEFAULT_PROFILE))
                network = NetworkRecord(family, found.name, {"zoo": family, "seed": seed}, found.graph)
                measurement = dataclasses.replace(found.measurement, verdict=verdict)  # type: ignore[arg-type]
                database.add(network, found.plan, measurement)
    return str(path)


def error_line(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    assert main(["train", *argv]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    last = captured.err.splitlines()[-1]
    assert last.startswith("narcost: error: ")
    assert captured.err.count("narcost: error: ") == 1
    return last


def test_artifact_is_what_predict_finds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    database = fill(tmp_path / "latency.sqlite", ("plain", "separable"), 12)
    assert main(["train", "--database", database, *BRIEF]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith(f"trained on 24 networks, into {own_artifact_folder(DEFAULT_PROFILE)}\n")
    assert "on families held out: MAPE" in captured.out
    assert "narcost: fold 1/2: without plain" in captured.err

    predictor = tvm_narcost.load(DEFAULT_PROFILE)
    graph = member("mixed", 0)
    prediction = predictor.predict_plan(graph, one_kernel_a_node(graph))
    assert prediction.latency_ms == pytest.approx(sum(kernel.predicted_ms for kernel in prediction.kernels))
    # One epoch teaches the network little; the trees know the formula.
    measured_ms = record("mixed", 0, load_profile(DEFAULT_PROFILE)).measurement.samples_us[0] / 1e3
    assert prediction.kernel_sum_ms == pytest.approx(measured_ms, rel=0.3)


def test_out_names_the_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    database, folder = fill(tmp_path / "latency.sqlite", ("plain", "separable"), 10), tmp_path / "deep" / "artifact"
    assert main(["train", "--database", database, "--out", str(folder), *BRIEF]) == 0
    assert str(folder) in capsys.readouterr().out
    names = {path.name for path in folder.iterdir()}
    assert names >= {"artifact.json", "model.safetensors", "kernel_sum.json"}
    assert not own_artifact_folder(DEFAULT_PROFILE).exists()


def test_missing_database_is_not_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "nowhere.sqlite"
    line = error_line(capsys, "--database", str(path))
    assert f"{path}: no such file" in line
    assert f"narcost profile --database {path} --zoo all" in line
    assert not path.exists()


@pytest.mark.parametrize("verdict", ["noisy", "stable"])
def test_database_without_measurements_to_train_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], verdict: str
) -> None:
    """Noisy ones do not count, nor do those of another profile."""
    database = fill(tmp_path / "latency.sqlite", ("plain",), 2, verdict)
    profile = DEFAULT_PROFILE if verdict == "noisy" else f"{DEFAULT_PROFILE}-2t"
    line = error_line(capsys, "--database", database, "--profile", profile)
    assert f"measurements of {profile}: none that are stable in {database}" in line


@pytest.mark.parametrize(("families", "count"), [(("plain",), 25), (("plain", "separable"), 5)])
def test_too_few_networks_or_families(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], families: tuple[str, ...], count: int
) -> None:
    line = error_line(capsys, "--database", fill(tmp_path / "latency.sqlite", families, count), *BRIEF)
    assert f"got {len(families) * count} stable networks" in line
    assert "expected at least 20 of two families" in line
    assert not own_artifact_folder(DEFAULT_PROFILE).exists()


def test_out_that_is_a_file_is_told_before_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    database, out = fill(tmp_path / "latency.sqlite", ("plain", "separable"), 10), tmp_path / "file"
    out.write_text("mine")
    assert "is a file, expected a folder" in error_line(capsys, "--database", database, "--out", str(out))
    assert out.read_text() == "mine"


@pytest.mark.parametrize("option", ["--epochs", "--members"])
@pytest.mark.parametrize("value", ["0", "-1", "x", "1.5", "²", ""])
def test_count_that_is_none(option: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "expected a positive integer" in error_line(capsys, f"{option}={value}")


def test_unknown_profile(capsys: pytest.CaptureFixture[str]) -> None:
    assert "'toaster.tvm': unknown" in error_line(capsys, "--profile", "toaster.tvm")


def test_database_and_dataset_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert "not allowed with" in error_line(capsys, "--database", "a.sqlite", "--dataset", "b.xz")
