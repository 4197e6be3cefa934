"""narcost train --beside, from two dataset files to artifacts that predict."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from hardware_profiles import HardwareProfile, load_profile
from relay_frontend.plan import FusionPlan
from tests.training.analytic import record
from tvm_narcost.cli.main import main
from tvm_narcost.database import KernelTime, LatencyRecord
from tvm_narcost.database.dataset import write_dataset
from tvm_narcost.training.fit import FittedModels

HERE, THERE = "epyc-zen5.onnxruntime", "epyc-zen4.onnxruntime"


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A file of either profile."""
    folder = tmp_path_factory.mktemp("datasets")
    paths = {name: folder / f"{name}.jsonl.xz" for name in (HERE, THERE)}
    for name, path in paths.items():
        records = [record(family, seed, load_profile(name)) for family in ("plain", "separable") for seed in range(10)]
        write_dataset(records, path, provenance={})
    return paths


def words(datasets: dict[str, Path], *more: str) -> list[str]:
    beside = f"{THERE}={datasets[THERE]}"
    return ["train", "--profile", HERE, "--dataset", str(datasets[HERE]), "--epochs", "1", "--beside", beside, *more]


def test_artifact_of_the_profile_alone(
    datasets: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "deep" / "artifact"
    assert main(words(datasets, "--out", str(out))) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith(
        f"trained on 20 networks of {HERE} beside 20 of {THERE}, into {out}\non families held"
    )
    assert "narcost: fold 1/2: without plain" in captured.err
    facts = FittedModels.open(out).narformer.facts
    assert (facts.profile, facts.dataset["beside"][0]["profile"]) == (HERE, THERE)
    assert [path.name for path in out.parent.iterdir()] == ["artifact"]


def test_artifact_of_each(datasets: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "artifact"
    assert main(words(datasets, "--each", "--out", str(out))) == 0
    assert capsys.readouterr().out.count("on families held out: MAPE") == 2
    found = {path.name: FittedModels.open(path).narformer.facts.profile for path in tmp_path.iterdir()}
    assert found == {"artifact": HERE, THERE: THERE}


def under_plans(family: str, seed: int, profile: HardwareProfile) -> Iterator[LatencyRecord]:
    """None fused, the last two nodes fused, the first two: a fused kernel takes nine tenths of its nodes' time."""
    apart = record(family, seed, profile)
    times = {timed.kernel: timed.samples_us[0] for timed in apart.measurement.kernels}
    nodes = [(index,) for index in range(len(apart.graph.nodes))]
    last, first = (nodes[-2][0], nodes[-1][0]), (nodes[0][0], nodes[1][0])
    for planner, kernels in (("none", nodes), ("tvm", [*nodes[:-2], last]), ("random", [first, *nodes[2:]])):
        plan = FusionPlan(apart.graph, tuple(kernels), planner)
        taken_us = [sum(times[index] for index in members) * (0.9 if len(members) > 1 else 1.0) for members in kernels]
        measurement = dataclasses.replace(
            apart.measurement,
            plan_hash=plan.plan_hash(),
            kernels=tuple(KernelTime(place, (time_us,)) for place, time_us in enumerate(taken_us)),
            samples_us=(sum(taken_us),) * 3,
        )
        yield dataclasses.replace(apart, plan=plan, measurement=measurement)


def test_profiles_whose_networks_were_measured_under_several_plans_get_costs_of_their_own(tmp_path: Path) -> None:
    paths = {name: tmp_path / f"{name}.jsonl.xz" for name in ("epyc-zen5.tvm", "epyc-zen4.tvm")}
    for name, path in paths.items():
        profile = load_profile(name)
        plans = [
            plan for family in ("plain", "narrow") for seed in range(10) for plan in under_plans(family, seed, profile)
        ]
        write_dataset(plans, path, provenance={})
    here, there = paths
    out = tmp_path / "artifacts" / here
    called = ["train", "--profile", here, "--dataset", str(paths[here]), "--epochs", "1", "--each", "--out", str(out)]
    assert main([*called, "--beside", f"{there}={paths[there]}"]) == 0
    fitted = {name: FittedModels.open(out.with_name(name)) for name in paths}
    costs = {name: models.costs for name, models in fitted.items()}
    assert all(found is not None and found.gains is not None for found in costs.values())
    assert costs[here] != costs[there]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--beside", "{other}={file}"], "profile epyc-zen4.onnxruntime is named twice"),
        (["--beside", "epyc-zen5.openvino={file}"], "was measured on epyc-zen4.onnxruntime, expected measurements of"),
        (["--beside", "toaster.tvm={file}"], "'toaster.tvm': unknown"),
        (["--beside", "epyc-zen5.openvino=missing.xz"], "missing.xz"),
        (["--each", "--out", "{folder}/epyc-zen4.onnxruntime"], "is the folder of another profile of --beside"),
    ],
)
def test_mistakes_are_one_line(
    datasets: dict[str, Path], tmp_path: Path, more: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    filled = [word.format(other=THERE, file=datasets[THERE], folder=tmp_path) for word in more]
    assert main(words(datasets, *filled)) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("narcost: error: ") == 1
    assert said in captured.err.splitlines()[-1]


def test_a_file_where_a_folder_of_another_profile_would_be(
    datasets: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / THERE).write_text("mine")
    assert main(words(datasets, "--each", "--out", str(tmp_path / "artifact"))) == 2
    assert f"{tmp_path / THERE}: is a file, expected a folder" in capsys.readouterr().err
    assert (tmp_path / THERE).read_text() == "mine"


def test_each_of_one_profile(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--each"]) == 2
    assert "--each: there is one profile, expected others with --beside PROFILE=FILE" in capsys.readouterr().err
