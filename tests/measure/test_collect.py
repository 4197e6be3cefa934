"""Collecting with an engine that needs no runtime: resuming, failures, crashes, limits, Ctrl-C."""

import importlib
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tvm_narcost.database import open_database
from tvm_narcost.database.measurement import Verdict
from tvm_narcost.database.store import LatencyDatabase
from tvm_narcost.errors import DatabaseError, MeasurementError, RuntimeMissingError
from tvm_narcost.measure.collect import CollectReport, collect
from tvm_narcost.measure.sources import FileSource, Source, ZooSource, is_chosen, source_from_document, zoo_sources

PROFILE_ID = "test.fake"


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module fake_engine, importable here and in the worker process by the same name."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    yield importlib.import_module("fake_engine")
    sys.modules.pop("fake_engine")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[LatencyDatabase]:
    with open_database(str(tmp_path / "latency.sqlite")) as opened:
        yield opened


def members(*seeds: int) -> list[Source]:
    return [ZooSource("f", seed) for seed in seeds]


def test_each_network_gets_a_row_and_a_second_run_measures_nothing(fake: Any, database: LatencyDatabase) -> None:
    seen: list[tuple[str, str]] = []
    report = collect(
        members(1, 2, 3),
        fake.make_profile(),
        database,
        make_engine=fake.make_fake_engine,
        progress=lambda source, outcome, _reason: seen.append((source.name, outcome)),
    )
    assert (report.stable, report.skipped, report.ended) == (3, 0, "done")
    assert seen == [("f-1", "stable"), ("f-2", "stable"), ("f-3", "stable")]
    records = list(database.records(PROFILE_ID))
    assert [record.source for record in records] == [{"zoo": "f", "seed": seed} for seed in (1, 2, 3)]
    assert records[2].measurement == fake.measured(fake.chain(3), PROFILE_ID)[1]
    # Nothing is left to do, so no engine is made: this one would raise.
    again = collect(members(1, 2, 3), fake.make_profile(), database, make_engine=fake.make_missing_engine)
    assert (again.stable, again.skipped) == (0, 3)


@pytest.mark.parametrize(
    ("references_us", "unsteady_us"),
    [
        ([100.0 + place for place in range(20)], None),  # 102 to 117
        ([100.0, 210.0] * 10, (100.0, 210.0)),
        ([100.0, 159.0] * 10, None),
        ([100.0, 210.0] * 9, None),  # too few to say
        ([], None),
    ],
)
def test_a_reference_that_takes_now_more_now_less_tells_of_an_unsteady_machine(
    references_us: list[float], unsteady_us: tuple[float, float] | None
) -> None:
    assert CollectReport(references_us=references_us).unsteady_us() == unsteady_us


def test_the_reference_beside_each_row_is_kept(fake: Any, database: LatencyDatabase) -> None:
    def references_us(*seeds: int) -> list[float]:
        found = collect(members(*seeds), fake.make_profile(), database, make_engine=fake.make_fake_engine)
        return found.references_us

    assert references_us(1, 2, 103) == [1.25, 1.25]  # the last one fails
    assert references_us(1, 2, 3) == [1.25]  # two are skipped


def test_what_fails_is_noted_and_the_others_go_on(fake: Any, database: LatencyDatabase) -> None:
    report = collect(members(1, 102, 103, 104, 2), fake.make_profile(), database, make_engine=fake.make_fake_engine)
    assert (report.stable, report.failed) == (2, 3)
    assert report.failures == [
        ("f-102", "UnsupportedOperatorError: operator Foo"),
        ("f-103", "MeasurementError: out of memory"),
        ("f-104", "unexpected ZeroDivisionError: of all things"),
    ]
    assert dict(database.stats().rows)["measurements"] == 5


def test_a_crash_and_a_hang_of_the_worker_cost_one_network_each(fake: Any, database: LatencyDatabase) -> None:
    report = collect(
        members(1, 100, 2, 101, 3), fake.make_profile(), database, make_engine=fake.make_fake_engine, limit_s=0.8
    )
    assert (report.stable, report.failed) == (3, 2)
    assert report.failures[0] == ("f-100", "the process that was measuring it died (signal 11)")
    assert report.failures[1] == ("f-101", "measuring it took more than 1 s and was given up")


def test_plans_of_one_network_are_rows_beside_each_other(fake: Any, database: LatencyDatabase) -> None:
    def run(count: int | None, *seeds: int) -> tuple[int, int, int]:
        report = collect(members(*seeds), fake.make_profile(), database, make_engine=fake.make_fake_engine, plans=count)
        return report.stable, report.failed, report.skipped

    assert run(3, 5, 103, 1) == (4 + 3, 1, 0)  # the chain of 2 has but two plans; each default is timed twice
    records = list(database.records(PROFILE_ID))
    assert [len(record.plan.kernels) for record in records] == [1, 2, 2, 1, 2]
    assert [record.name for record in records] == ["f-5"] * 3 + ["f-1"] * 2
    assert [len(record.earlier) for record in records] == [1, 0, 0, 1, 0]
    assert run(3, 5, 103, 1) == (0, 0, 3)
    assert run(5, 5, 103, 1) == (4, 0, 2)  # two more plans, and the default beside them
    assert len(database.plan_hashes({"zoo": "f", "seed": 5}, PROFILE_ID)) == 5
    assert run(None, 5, 1) == (0, 0, 2)


def test_a_runtime_of_one_plan_says_so(fake: Any) -> None:
    from tvm_narcost.measure.runtime import plan_runtime

    with pytest.raises(MeasurementError, match=r"'test.fake': fake runs the plan that it makes itself"):
        plan_runtime(object(), fake.make_profile())


def test_failures_are_tried_again_only_when_asked(fake: Any, database: LatencyDatabase) -> None:
    def run(retry: tuple[Verdict, ...] = ()) -> tuple[int, int]:
        profile = fake.make_profile()
        report = collect(members(102, 103), profile, database, make_engine=fake.make_fake_engine, retry=retry)
        return report.failed, report.skipped

    assert run() == (2, 0)
    assert run() == (0, 2)
    assert run(("noisy",)) == (0, 2)
    assert run(("failed",)) == (2, 0)


def test_again_measures_what_is_measured_once_until_it_has_two_stable_rows(
    fake: Any, database: LatencyDatabase
) -> None:
    def run(*seeds: int, again: bool) -> tuple[int, int]:
        profile = fake.make_profile()
        report = collect(members(*seeds), profile, database, make_engine=fake.make_fake_engine, again=again)
        return report.stable, report.skipped

    assert run(1, 2, again=True) == (0, 2)  # nothing is measured yet, and again measures nothing new
    assert run(1, 2, 103, again=False) == (2, 0)
    assert run(1, again=True) == (1, 0)
    assert run(1, 2, 3, 103, again=True) == (1, 3)  # goes on where the last one ended
    assert run(1, 2, 3, 103, again=True) == (0, 4)
    assert [len(record.earlier) for record in database.records(PROFILE_ID)] == [1, 1]


def test_again_takes_two_sources_of_one_network_for_one(fake: Any, database: LatencyDatabase) -> None:
    profile = fake.make_profile()
    collect(members(3, 203), profile, database, make_engine=fake.make_fake_engine)
    report = collect(members(203, 3), profile, database, make_engine=fake.make_fake_engine, again=True)
    assert (report.stable, report.skipped) == (1, 1)


def test_a_source_that_gives_another_network_now_is_not_measured_again(fake: Any, database: LatencyDatabase) -> None:
    from tvm_narcost.database import NetworkRecord

    graph = fake.chain(7)
    network = NetworkRecord("f", "f-1", ZooSource("f", 1).document(), graph)
    database.add(network, *fake.measured(graph, PROFILE_ID))
    report = collect(members(1), fake.make_profile(), database, make_engine=fake.make_fake_engine, again=True)
    assert (report.stable, report.skipped) == (0, 1)
    assert database.count_stable(network.source, PROFILE_ID) == 1


def test_a_sample_of_sources_has_its_size_and_is_part_of_every_larger_one() -> None:
    sources = list(zoo_sources(["a", "b"], 2000))
    small, large = ({source for source in sources if is_chosen(source, size)} for size in (0.03, 0.3))
    assert small < large
    assert len(small) == pytest.approx(120, abs=40)
    assert len(large) == pytest.approx(1200, abs=120)
    assert all(is_chosen(source, 1.0) for source in sources)


def test_two_sources_of_one_network_are_measured_once(fake: Any, database: LatencyDatabase) -> None:
    report = collect(members(3, 203, 4), fake.make_profile(), database, make_engine=fake.make_fake_engine)
    assert (report.stable, report.skipped) == (2, 1)
    assert database.is_measured({"zoo": "f", "seed": 203}, PROFILE_ID)  # without building it again


def test_a_spent_budget_begins_no_other_network(fake: Any, database: LatencyDatabase) -> None:
    report = collect(
        members(*range(50)), fake.make_profile(budget_s=0.2), database, make_engine=fake.make_fake_engine, budget_s=0.5
    )
    assert report.ended == "budget"
    assert 1 <= report.stable <= 4
    assert len(list(database.records(PROFILE_ID))) == report.stable


def test_a_row_of_failures_ends_the_run(fake: Any, database: LatencyDatabase) -> None:
    sources = [ZooSource("f" * (index + 1), 103) for index in range(30)]
    with pytest.raises(MeasurementError, match=r"20 networks in a row failed.*out of memory.*--retry-failed"):
        collect(sources, fake.make_profile(), database, make_engine=fake.make_fake_engine)


def test_a_missing_runtime_and_a_worker_that_does_not_start_fail_no_network(
    fake: Any, database: LatencyDatabase
) -> None:
    with pytest.raises(RuntimeMissingError, match="no such runtime"):
        collect(members(1), fake.make_profile(), database, make_engine=fake.make_missing_engine)
    with pytest.raises(MeasurementError, match=r"did not start .exit status 3."):
        collect(members(1), fake.make_profile(), database, make_engine=fake.make_dead_engine)
    assert dict(database.stats().rows)["measurements"] == 0


def test_ctrl_c_abandons_the_sample_in_flight_and_reports(fake: Any, database: LatencyDatabase) -> None:
    def interrupt(source: Source, _outcome: str, _reason: str) -> None:
        if source.name == "f-2":
            signal.setitimer(signal.ITIMER_REAL, 0.3)  # in the middle of the third, which takes a second

    profile = fake.make_profile(budget_s=1.0)
    with _alarm_as_ctrl_c():
        report = collect(members(1, 2, 3), profile, database, make_engine=fake.make_fake_engine, progress=interrupt)
    assert (report.ended, report.stable) == ("interrupted", 2)
    assert [record.name for record in database.records(PROFILE_ID)] == ["f-1", "f-2"]


class _alarm_as_ctrl_c:  # noqa: N801 - reads as a statement
    def __enter__(self) -> None:
        self._old = signal.signal(signal.SIGALRM, signal.default_int_handler)

    def __exit__(self, *exception: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._old)


def test_a_database_that_is_gone_ends_the_run(fake: Any, database: LatencyDatabase, tmp_path: Path) -> None:
    def lock_up(*_event: object) -> None:
        database._engine.dispose()
        for path in tmp_path.iterdir():
            path.unlink()
        (tmp_path / "latency.sqlite").mkdir()

    with pytest.raises(DatabaseError, match=r"latency\.sqlite"):
        collect(members(1, 2), fake.make_profile(), database, make_engine=fake.make_fake_engine, progress=lock_up)


def test_a_worker_is_replaced_after_a_number_of_networks(
    fake: Any, database: LatencyDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tvm_narcost.measure import worker_handle as module

    started: list[int] = []
    start: Callable[[Any], None] = module.WorkerHandle._start

    def count_and_start(worker: Any) -> None:
        started.append(1)
        start(worker)

    monkeypatch.setattr(module, "_NETWORKS_A_WORKER", 2)
    monkeypatch.setattr(module.WorkerHandle, "_start", count_and_start)
    report = collect(members(1, 2, 3, 4, 5), fake.make_profile(), database, make_engine=fake.make_fake_engine)
    assert (report.stable, len(started)) == (5, 3)


def test_families_are_interleaved() -> None:
    assert [source.name for source in zoo_sources(["a", "b"], 2, first_seed=5)] == ["a-5", "b-5", "a-6", "b-6"]


def test_a_file_is_known_by_its_content_and_shapes(tmp_path: Path) -> None:
    first, second = tmp_path / "a.onnx", tmp_path / "b.onnx"
    first.write_bytes(b"model")
    second.write_bytes(b"model")
    shapes = {"y": (2, 3), "x": (1,)}
    assert FileSource.of(first, shapes).document() == FileSource.of(second, shapes).document()
    assert FileSource.of(first).document() != FileSource.of(first, shapes).document()


@pytest.mark.parametrize("source", [ZooSource("f", 3), FileSource("m.onnx", "ab", (("x", (1, 2)),))])
def test_a_source_comes_back_from_its_document(source: Source) -> None:
    assert source_from_document(source.document(), getattr(source, "path", "")) == source
