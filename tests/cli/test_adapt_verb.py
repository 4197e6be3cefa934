"""narcost adapt, from an artifact and a database of few networks to an artifact that predicts for another profile."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch

import tvm_narcost
from hardware_profiles import load_profile
from tests.models.untrained import untrained_narformer
from tests.training.analytic import examples, member, one_kernel_a_node, record
from tvm_narcost.api import own_artifact_folder
from tvm_narcost.cli.main import main
from tvm_narcost.cli.options import DEFAULT_PROFILE
from tvm_narcost.database import NetworkRecord, open_database
from tvm_narcost.models.flops import fit_flops
from tvm_narcost.training.evaluate import fit_kernel_sum_to, measured_ms
from tvm_narcost.training.fit import FittedModels

NEW = "epyc-zen5.onnxruntime-2t"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact of the default profile."""
    torch.set_num_threads(1)
    known = examples(("plain",), 3)
    flops = fit_flops([example.graph for example in known], measured_ms(known))
    folder = tmp_path_factory.mktemp("source") / "artifact"
    FittedModels(untrained_narformer(DEFAULT_PROFILE), fit_kernel_sum_to(known, 0), flops).save(folder)
    return folder


def fill(path: Path, families: tuple[str, ...], count: int) -> str:
    """A database of ``count`` measured networks a family, for the new profile."""
    with open_database(str(path)) as database:
        for family in families:
            for seed in range(count):
                found = record(family, seed, load_profile(NEW))
                network = NetworkRecord(family, found.name, {"zoo": family, "seed": seed}, found.graph)
                database.add(network, found.plan, found.measurement)
    return str(path)


def error_line(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    assert main(["adapt", *argv]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("narcost: error: ") == 1
    return captured.err.splitlines()[-1]


def test_artifact_is_what_predict_finds(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    database = fill(tmp_path / "latency.sqlite", ("plain", "separable"), 5)
    assert main(["adapt", str(source), "--profile", NEW, "--database", database]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith(f"adapted from {DEFAULT_PROFILE} to {NEW} by 10 networks, into ")
    assert f"into {own_artifact_folder(NEW)}\non families held out: MAPE" in captured.out
    assert "narcost: fold 1/2: without plain" in captured.err

    graph = member("plain", 1)  # one of those that were measured
    prediction = tvm_narcost.load(NEW).predict_plan(graph, one_kernel_a_node(graph))
    measured_ms = record("plain", 1, load_profile(NEW)).measurement.samples_us[0] / 1e3
    assert prediction.latency_ms == pytest.approx(measured_ms, rel=0.5)
    assert prediction.interval_ms[0] < measured_ms < prediction.interval_ms[1]


def test_source_by_profile_and_out(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own_artifact_folder(DEFAULT_PROFILE).parent.mkdir(parents=True)
    source.rename(own_artifact_folder(DEFAULT_PROFILE))
    try:
        database, out = fill(tmp_path / "latency.sqlite", ("plain", "separable"), 3), tmp_path / "deep" / "artifact"
        assert main(["adapt", DEFAULT_PROFILE, "--profile", NEW, "--database", database, "--out", str(out)]) == 0
    finally:
        own_artifact_folder(DEFAULT_PROFILE).rename(source)
    assert str(out) in capsys.readouterr().out
    assert {path.name for path in out.iterdir()} >= {"artifact.json", "model.safetensors", "correction.json"}
    assert not own_artifact_folder(NEW).exists()


def test_source_of_another_schema(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    former = tmp_path / "former"
    former.mkdir()
    for path in source.iterdir():
        (former / path.name).write_bytes(path.read_bytes())
    facts = json.loads((former / "artifact.json").read_text())
    (former / "artifact.json").write_text(json.dumps({**facts, "schema_version": 1}))
    line = error_line(capsys, str(former), "--profile", NEW, "--database", str(tmp_path / "none.sqlite"))
    assert "narformer on schema default 1, expected narformer on default" in line


def test_source_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert "'toaster.tvm': unknown" in error_line(capsys, "toaster.tvm", "--profile", NEW)


def test_source_of_the_profile_itself(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with open_database(str(tmp_path / "own.sqlite")) as database:
        found = record("plain", 0, load_profile(DEFAULT_PROFILE))
        network = NetworkRecord("plain", found.name, {"zoo": "plain", "seed": 0}, found.graph)
        database.add(network, found.plan, dataclasses.replace(found.measurement))
    line = error_line(capsys, str(source), "--profile", DEFAULT_PROFILE, "--database", str(tmp_path / "own.sqlite"))
    assert f"an artifact of {DEFAULT_PROFILE} itself" in line


def test_nothing_measured_on_the_new_profile(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    database = fill(tmp_path / "latency.sqlite", ("plain",), 1)
    line = error_line(capsys, str(source), "--profile", "epyc-zen5.openvino", "--database", database)
    assert "measurements of epyc-zen5.openvino: none that are stable" in line


def test_too_few(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    database = fill(tmp_path / "latency.sqlite", ("plain", "separable"), 2)
    line = error_line(capsys, str(source), "--profile", NEW, "--database", database)
    assert "got 4 stable networks" in line
    assert not own_artifact_folder(NEW).exists()


def test_out_that_is_a_file(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "file"
    out.write_text("mine")
    assert "is a file, expected a folder" in error_line(capsys, str(source), "--profile", NEW, "--out", str(out))
    assert out.read_text() == "mine"


def test_profile_has_to_be_named(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--profile" in error_line(capsys, str(source))
