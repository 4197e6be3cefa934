"""narcost evaluate: a row a family, from an artifact or by leaving families out."""

import json
from pathlib import Path

import pytest
import torch

from hardware_profiles import load_profile
from tests.models.untrained import untrained_narformer
from tests.training.analytic import examples, record
from tvm_narcost.api import own_artifact_folder
from tvm_narcost.cli.main import main
from tvm_narcost.cli.options import DEFAULT_PROFILE
from tvm_narcost.database import NetworkRecord, open_database
from tvm_narcost.training.evaluate import fit_kernel_sum_to

FAMILIES = ("mixed", "plain", "separable")
LEAVE_OUT = "--leave-one-family-out"


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Six networks of each of three families, whose times follow a formula."""
    path = str(tmp_path_factory.mktemp("database") / "latency.sqlite")
    with open_database(path) as opened:
        for family in FAMILIES:
            for seed in range(6):
                found = record(family, seed, load_profile(DEFAULT_PROFILE))
                network = NetworkRecord(family, found.name, {"zoo": family, "seed": seed}, found.graph)
                opened.add(network, found.plan, found.measurement)
    return path


@pytest.fixture
def artifact() -> None:
    """An artifact of the default profile that nobody trained."""
    folder = own_artifact_folder(DEFAULT_PROFILE)
    untrained_narformer(DEFAULT_PROFILE).save(folder)
    fit_kernel_sum_to(examples(("plain",), 2), 0).save(folder / "kernel_sum.json")


def error_line(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    assert main(["evaluate", *argv]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    last = captured.err.splitlines()[-1]
    assert last.startswith("narcost: error: ")
    assert captured.err.count("narcost: error: ") == 1
    return last


def test_table_has_a_row_a_family(database: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--database", database, LEAVE_OUT, "--predictor", "roofline"]) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split()[:3] == ["family", "networks", "MAPE"]
    assert [row.split()[:2] for row in rows] == [[family, "6"] for family in FAMILIES]


def test_json_has_every_figure(database: str, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["evaluate", "--database", database, LEAVE_OUT, "--predictor", "flops", "--families", "mixed,plain"]
    assert main([*argv, "--json"]) == 0
    captured = capsys.readouterr()
    figures = json.loads(captured.out)
    assert list(figures) == ["mixed", "plain"]
    assert set(figures["mixed"]) == {"networks", "mape", "acc_5", "acc_10", "rmse_ms", "kendall_tau"}
    assert figures["mixed"]["networks"] == 6
    assert figures["mixed"]["mape"] > 0
    assert "narcost: flops without mixed" in captured.err


def test_kernel_sum_beats_flops_on_families_left_out(database: str, capsys: pytest.CaptureFixture[str]) -> None:
    mape = {}
    for predictor in ("flops", "kernel_sum"):
        argv = ["evaluate", "--database", database, LEAVE_OUT, "--families", "mixed", "--predictor", predictor]
        assert main([*argv, "--json"]) == 0
        mape[predictor] = json.loads(capsys.readouterr().out)["mixed"]["mape"]
    assert mape["kernel_sum"] < 0.5 * mape["flops"]


def test_artifact_is_judged_on_what_was_measured(
    database: str, artifact: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "--database", database, "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert list(figures) == list(FAMILIES)
    assert all(family["networks"] == 6 for family in figures.values())


def test_artifact_that_is_corrupt(database: str, artifact: None, capsys: pytest.CaptureFixture[str]) -> None:
    path = own_artifact_folder(DEFAULT_PROFILE) / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    assert str(path) in error_line(capsys, "--database", database)


@pytest.mark.parametrize("leave_out", [(), (LEAVE_OUT, "--predictor", "flops")])
@pytest.mark.parametrize("families", ["toaster", "plain,toaster", "plain,"])
def test_unknown_family(
    database: str, artifact: None, capsys: pytest.CaptureFixture[str], leave_out: tuple[str, ...], families: str
) -> None:
    unknown = families.rsplit(",", maxsplit=1)[-1]
    assert f"family {unknown!r}: " in error_line(capsys, "--database", database, "--families", families, *leave_out)


def test_unknown_predictor_names_those_that_are_known(database: str, capsys: pytest.CaptureFixture[str]) -> None:
    line = error_line(capsys, "--database", database, LEAVE_OUT, "--predictor", "oracle")
    assert "predictor 'oracle': unknown" in line
    assert "'narformer_paper'" in line


def test_predictor_that_would_be_ignored(database: str, artifact: None, capsys: pytest.CaptureFixture[str]) -> None:
    line = error_line(capsys, "--database", database, "--predictor", "flops")
    assert "--predictor flops: without --leave-one-family-out" in line


def test_nothing_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "latency.sqlite"
    assert f"{path}: no such file" in error_line(capsys, "--database", str(path))
    open_database(str(path)).close()
    assert f"none that are stable in {path}" in error_line(capsys, "--database", str(path))


def test_one_family_leaves_nothing_to_train_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "latency.sqlite")
    with open_database(path) as opened:
        found = record("plain", 0, load_profile(DEFAULT_PROFILE))
        network = NetworkRecord("plain", found.name, {"zoo": "plain", "seed": 0}, found.graph)
        opened.add(network, found.plan, found.measurement)
    line = error_line(capsys, "--database", path, LEAVE_OUT, "--predictor", "kernel_sum")
    assert "family 'plain': 1 networks, expected one of ['plain'] and another besides" in line
