"""Tuning records: database folders and the compact file give the same candidates; broken ones are typed errors."""

import lzma
from pathlib import Path

import numpy as np
import pytest
from tvm.s_tir import meta_schedule as ms

from hardware_profiles import load_profile
from tests.hook.metaschedule.candidates import TARGET, context_of, matmul, random_candidates, seconds_of
from tvm_narcost.errors import DatabaseError
from tvm_narcost.hook.metaschedule.records import latency_us, read_records, replay_records, write_records
from tvm_narcost.training.schedules import MeasuredSchedules

PROFILE = load_profile("epyc-zen5.tvm")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two workloads of six candidates; one candidate failed."""
    root = tmp_path_factory.mktemp("records")
    for size in (16, 32):
        place = root / f"matmul-{size}"
        place.mkdir()
        database = ms.database.JSONDatabase(work_dir=str(place))
        context = context_of(matmul(size))
        workload = database.commit_workload(context.mod)
        for number, candidate in enumerate(random_candidates(context, 6)):
            seconds = [1e10] if size == 32 and number == 2 else [2 * seconds_of(candidate.sch.mod), 1e-4]
            record = ms.database.TuningRecord(candidate.sch.trace, workload, seconds, TARGET, candidate.args_info)
            database.commit_tuning_record(record)
    return root


def replay(place: Path) -> MeasuredSchedules:
    return replay_records(read_records(place), PROFILE)


def test_folders_are_replayed_with_failures_among_them(folder: Path) -> None:
    measured = replay(folder)
    assert measured.names == ("matmul-16", "matmul-32")
    assert np.bincount(measured.workload).tolist() == [6, 6]
    assert np.isinf(measured.latency_us).sum() == 1
    assert np.allclose(measured.latency_us[np.isfinite(measured.latency_us)], 100.0)  # the least sample
    assert len(measured.tokens.values) == measured.tokens.counts.sum()
    assert len(replay(folder / "matmul-16")) == 6


def test_the_compact_file_holds_the_same(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl.xz"
    assert write_records(path, read_records(folder), {"profile": PROFILE.id}) == (2, 12)
    fresh, again = replay(folder), replay(path)
    assert again.names == fresh.names
    assert np.array_equal(again.tokens.values, fresh.tokens.values)
    assert np.array_equal(again.latency_us, fresh.latency_us)


def test_a_line_cut_short_by_a_kill_is_left_out(folder: Path, tmp_path: Path) -> None:
    source = folder / "matmul-16"
    (tmp_path / "database_workload.json").write_bytes((source / "database_workload.json").read_bytes())
    whole = (source / "database_tuning_record.json").read_bytes()
    (tmp_path / "database_tuning_record.json").write_bytes(whole[:-40])
    (own,) = read_records(tmp_path)
    assert len(own.records) == 5


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"no xz", "expected a file that narcost wrote"),
        (lzma.compress(b'{"format": "other"}\n'), "not a file of"),
        (lzma.compress(b'{"format": "narcost tuning records", "format_version": 9}\n'), "format version 9"),
        (
            lzma.compress(
                b'{"format": "narcost tuning records", "format_version": 1}\n'
                b'{"workload": "w", "hash": "1", "module": "", "records": 3}\n[]\n'
            ),
            "ends in the middle",
        ),
        (
            lzma.compress(
                b'{"format": "narcost tuning records", "format_version": 1}\n'
                b'{"workload": "w", "hash": "1", "module": "{}", "records": 1}\n[1, 2]\n'
            ),
            "TVM refuses one",
        ),
    ],
)
def test_broken_files_are_typed_errors(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl.xz"
    path.write_bytes(content)
    with pytest.raises(DatabaseError, match=said):
        replay(path)


def test_nothing_there_is_a_typed_error(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="neither a file nor a folder"):
        replay(tmp_path)


def test_failed_measurements_are_infinite() -> None:
    assert latency_us([2e-3, 1e-3]) == pytest.approx(1e3)
    assert latency_us(None) == latency_us([]) == latency_us([1e10]) == float("inf")
