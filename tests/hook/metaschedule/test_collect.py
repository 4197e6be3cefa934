"""Collecting schedules: what is on disk, what a killed process leaves, and that candidates never repeat."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("tvm")

import tvm
from tvm import te, topi
from tvm.s_tir import meta_schedule as ms

from hardware_profiles import load_profile
from tvm_narcost.errors import DatabaseError
from tvm_narcost.hook.metaschedule.candidates import Space, trace_key
from tvm_narcost.hook.metaschedule.collect import collect_schedules, folder_name
from tvm_narcost.hook.metaschedule.measuring import MeasureSettings
from tvm_narcost.hook.metaschedule.tuning_database import open_tuning_database, records_of_module
from tvm_narcost.hook.metaschedule.workloads import Workload

PROFILE = load_profile("epyc-zen5.tvm")
HERE = replace(PROFILE, runtime=replace(PROFILE.runtime, tvm_target='{"kind":"llvm","num-cores":1}'))
QUICK = MeasureSettings(budget_s=0.005)


def matmul(size: int = 32) -> Workload:
    left, right = te.placeholder((size, size), name="left"), te.placeholder((size, size), name="right")
    function = te.create_prim_func([left, right, topi.matmul(left, right)])
    module = tvm.IRModule({"main": function.with_attr("global_symbol", "main")})
    return Workload(f"matmul.{size}", "matmul", module, "test")


def doubled(size: int = 64) -> Workload:
    """A kernel with few different schedules."""
    given = te.placeholder((size,), name="given")
    function = te.create_prim_func([given, topi.add(given, given)])
    return Workload("add", "elementwise", tvm.IRModule({"main": function.with_attr("global_symbol", "main")}), "test")


def traces(folder: Path, workload: Workload) -> list[str]:
    database = open_tuning_database(folder / folder_name(workload))
    return [trace_key(record.trace) for record in database.get_all_tuning_records()]


def test_collects_different_schedules_of_each_and_goes_on(tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    work = [matmul(), doubled()]
    report = collect_schedules(
        work, HERE, tmp_path, candidates=12, progress=lambda *one: seen.append((one[0].name, *one[1:])), settings=QUICK
    )
    assert report.ended == "done"
    assert report.exhausted == 1
    assert report.failed == 0
    assert seen[0][0] != seen[1][0]  # in turn
    assert len(traces(tmp_path, matmul())) == 12
    again = collect_schedules(work, HERE, tmp_path, candidates=16, settings=QUICK)
    assert again.found == report.measured
    assert again.measured == 4
    assert len(set(traces(tmp_path, matmul()))) == 16
    facts = json.loads((tmp_path / folder_name(matmul()) / "workload.json").read_text())
    assert facts == {"name": "matmul.32", "kind": "matmul", "origin": "test"}


def test_a_killed_collection_goes_on(tmp_path: Path) -> None:
    script = (
        "import sys\nsys.path[:0] = sys.argv[2:4]\nfrom pathlib import Path\nimport test_collect as given\n"
        "given.collect_schedules([given.matmul()], given.HERE, Path(sys.argv[1]), candidates=999, settings=given.QUICK)"
    )
    command = [sys.executable, "-c", script, str(tmp_path), str(Path(__file__).parent), os.getcwd()]
    with subprocess.Popen(command) as process:
        records = tmp_path / folder_name(matmul()) / "database_tuning_record.json"
        deadline = time.monotonic() + 90
        while not records.exists() or records.read_bytes().count(b"\n") < 8:
            assert process.poll() is None, "it ended by itself"
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    with records.open("ab") as file:
        file.write(b'[0, [[["GetSBl')  # what a kill in the middle of a write leaves
    count = len(traces(tmp_path, matmul()))
    report = collect_schedules([matmul()], HERE, tmp_path, candidates=count + 4, settings=QUICK)
    assert (report.found, report.measured) == (count, 4)
    assert len(set(traces(tmp_path, matmul()))) == count + 4
    assert not (tmp_path / ".libraries").exists()


def test_schedules_of_another_profile_are_not_mixed_in(tmp_path: Path) -> None:
    collect_schedules([], HERE, tmp_path, candidates=1)
    with pytest.raises(DatabaseError, match="has schedules measured for"):
        collect_schedules([], PROFILE, tmp_path, candidates=1)


def test_a_database_of_other_content_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "database_workload.json").write_text("[1, 2]\n")
    with pytest.raises(DatabaseError, match="cannot be read"):
        open_tuning_database(tmp_path)


def test_a_failed_candidate_is_a_record(tmp_path: Path) -> None:
    impossible = replace(QUICK, run_timeout_s=0.001)
    report = collect_schedules([matmul()], HERE, tmp_path, candidates=2, settings=impossible)
    assert (report.measured, report.failed) == (2, 2)
    database = open_tuning_database(tmp_path / folder_name(matmul()))
    space = Space(matmul().module, tvm.target.Target(HERE.runtime.tvm_target), 1)
    assert [float(one.run_secs[0]) for one in records_of_module(database, space.module)] == [1e10, 1e10]
    assert not database.get_top_k(database.commit_workload(space.module), 5)


def test_evolution_starts_from_the_best(tmp_path: Path) -> None:
    collect_schedules([matmul()], HERE, tmp_path, candidates=8, settings=QUICK)
    database = open_tuning_database(tmp_path / folder_name(matmul()))
    space = Space(matmul().module, tvm.target.Target(HERE.runtime.tvm_target), 1)
    known = [record.trace for record in records_of_module(database, space.module)]
    space.know(known)
    search = ms.search_strategy.EvolutionarySearch(population_size=16, init_min_unmeasured=4, genetic_num_iters=1)
    found = space.evolution(database, ms.cost_model.RandomModel(), search, 4).draw()
    assert found
    assert not {trace_key(one.sch.trace) for one in found} & set(map(trace_key, known))
