"""narcost train --schedules and database export --format schedules, from records of four small workloads."""

from pathlib import Path

import pytest
import torch
from tvm.s_tir import Schedule
from tvm.s_tir import meta_schedule as ms

from tests.hook.metaschedule.candidates import TARGET, matmul, seconds_of
from tvm_narcost.cli.main import main
from tvm_narcost.models.folders import own_ranker_folder, ranker_folder
from tvm_narcost.models.ranker_artifact import read_ranker

PROFILE = "epyc-zen5.tvm"


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("records")
    for size in (8, 16, 24, 32):
        (root / str(size)).mkdir()
        database = ms.database.JSONDatabase(work_dir=str(root / str(size)))
        module = matmul(size)
        workload = database.commit_workload(module)
        for lanes in (1, 2, 4, 8):
            schedule = Schedule(module)
            block = schedule.get_sblock("C")
            i, j, k = schedule.get_loops(block)
            outer, inner = schedule.split(j, [None, lanes])
            schedule.reorder(i, outer, k, inner)
            schedule.vectorize(inner)
            schedule.decompose_reduction(block, k)
            arguments = ms.arg_info.ArgInfo.from_prim_func(module["main"])
            database.commit_tuning_record(
                ms.database.TuningRecord(schedule.trace, workload, [seconds_of(schedule.mod)], TARGET, arguments)
            )
    return root


def test_a_ranker_is_trained_from_folders_and_from_the_packed_file(
    records: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    packed, out = tmp_path / "packed.jsonl.xz", tmp_path / "ranker"
    export = ["database", "export", str(packed), "--format", "schedules", "--profile", PROFILE]
    assert main([*export, "--work-dir", str(records)]) == 0
    assert "wrote 16 tuning records of 4 workloads" in capsys.readouterr().out
    assert main(["train", "--schedules", str(packed), "--profile", PROFILE, "--epochs", "1", "--out", str(out)]) == 0
    assert "trained on 16 candidates of 4 workloads" in capsys.readouterr().out
    _, facts = read_ranker(out)
    assert (facts.profile, facts.dataset["failed"], facts.metrics["seeds"]) == (PROFILE, 0, 3)
    assert main(["train", "--schedules", str(records), "--profile", PROFILE, "--epochs", "1"]) == 0
    assert ranker_folder(PROFILE) == own_ranker_folder(PROFILE)  # your own goes before the shipped one
    _, again = read_ranker(ranker_folder(PROFILE))
    assert again.dataset == facts.dataset and again.metrics == facts.metrics
    more = ["--beside", f"epyc-zen4.tvm={packed}", "--deals", "1", "--epochs", "1", "--out", str(out)]
    assert main(["train", "--schedules", str(records), "--profile", PROFILE, *more]) == 0
    assert "trained on 16 candidates of 4 workloads and 16 of epyc-zen4.tvm, into" in capsys.readouterr().out
    assert read_ranker(out)[1].metrics["seeds"] == 1


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["train", "--schedules", "nowhere", "--profile", PROFILE], "neither a file nor a folder"),
        (["train", "--schedules", "x", "--members", "2"], "--members"),
        (["train", "--schedules", "x", "--beside", "y"], "'y': expected PROFILE=FILE"),
        (["train", "--deals", "2"], "--deals is of tuning records, expected --schedules RECORDS"),
        (["train", "--schedules", "x", "--beside", "epyc-zen4.tvm=y", "--each"], "--each"),
        (["train", "--schedules", "x", "--dataset", "y"], "--dataset"),
        (["database", "export", "x", "--format", "schedules"], "--work-dir"),
        (["database", "export", "x", "--work-dir", "y", "--profile", PROFILE], "--format schedules"),
    ],
)
def test_mistakes_are_one_line(argv: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    error = capsys.readouterr().err
    assert error.count("narcost: error: ") == 1 and said in error.splitlines()[-1]
