"""LatencyDatabase: what goes in comes out; the newest supersedes; nothing half is written."""

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay_frontend.graph import GRAPH_INPUT, Edge, OpGraph, OpNode, TensorType
from relay_frontend.plan import FusionPlan
from tvm_narcost.database import KernelTime, Measurement, NetworkRecord, open_database
from tvm_narcost.database.store import LatencyDatabase
from tvm_narcost.errors import DatabaseError

PROFILE = "test.fake"


def chain(length: int) -> OpGraph:
    """Relus one after another."""
    kind = TensorType((1, 8), "float32")
    nodes = tuple(OpNode("Relu", (Edge(GRAPH_INPUT) if i == 0 else Edge(i - 1),), (kind,)) for i in range(length))
    return OpGraph("chain", nodes, (("x", kind),), (), (Edge(length - 1),))


def measured(graph: OpGraph, first_us: float = 10.0, profile_id: str = PROFILE) -> tuple[FusionPlan, Measurement]:
    """A plan of one kernel a node, and a measurement that belongs to it."""
    plan = FusionPlan(graph, tuple((index,) for index in range(len(graph.nodes))), "rules")
    kernels = tuple(KernelTime(index, (0.1 + index, 2.0)) for index in range(len(graph.nodes)))
    fingerprint = (("cpu_model", "test"), ("load_average", f"{first_us}"), ("onnx", "1"))
    measurement = Measurement(
        graph.structural_hash(), plan.plan_hash(), profile_id, (first_us, 11.1), (1.0, 1.5), kernels, fingerprint, 1,
        "stable", "", "2026-01-01T00:00:00+00:00",
    )  # fmt: skip
    return plan, measurement


def network(graph: OpGraph | None, seed: int, family: str = "chain") -> NetworkRecord:
    return NetworkRecord(family, f"{family}-{seed}", {"zoo": family, "seed": seed}, graph)


def add(database: LatencyDatabase, length: int, first_us: float = 10.0, family: str = "chain") -> Measurement:
    graph = chain(length)
    plan, measurement = measured(graph, first_us)
    database.add(network(graph, length, family), plan, measurement)
    return measurement


def failure(graph: OpGraph | None) -> Measurement:
    graph_hash = "" if graph is None else graph.structural_hash()
    return Measurement(graph_hash, "", PROFILE, (), (), (), (("cpu_model", "test"),), 1, "failed", "why", "2026")


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LatencyDatabase]:
    url = str(tmp_path / "latency.sqlite")
    if request.param == "postgresql":
        url = os.environ.get("NARCOST_TEST_POSTGRES_URL", "")
        if not url:
            pytest.skip("NARCOST_TEST_POSTGRES_URL names no PostgreSQL database to test on")
        _empty(url)
    with open_database(url) as opened:
        yield opened


def _empty(url: str) -> None:
    from sqlalchemy import create_engine, text

    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    engine.dispose()


def test_what_goes_in_comes_out(database: LatencyDatabase) -> None:
    graph = chain(3)
    plan, measurement = measured(graph)
    database.add(network(graph, 7), plan, measurement)
    (record,) = database.records(PROFILE)
    assert (record.graph, record.plan, record.measurement) == (graph, plan, measurement)
    assert (record.family, record.name, record.source) == ("chain", "chain-7", {"zoo": "chain", "seed": 7})


def test_a_newer_row_supersedes_and_the_older_one_stays(database: LatencyDatabase) -> None:
    add(database, 2, first_us=10.0)
    add(database, 3, first_us=20.0)
    newer = add(database, 2, first_us=30.0)
    assert [record.measurement.samples_us[0] for record in database.records(PROFILE)] == [20.0, 30.0]
    assert database.latest(newer.graph_hash, PROFILE) == newer
    rows = dict(database.stats().rows)
    assert (rows["measurements"], rows["networks"], rows["plans"], rows["sources"]) == (3, 2, 2, 2)


def test_a_noisy_row_supersedes_no_stable_one(database: LatencyDatabase) -> None:
    graph = chain(2)
    plan, stable = measured(graph, 20.0)
    older, newer = (dataclasses.replace(stable, samples_us=(us,), verdict="noisy", reason="why") for us in (10.0, 30.0))
    current = []
    for measurement in (older, stable, newer):
        database.add(network(graph, 1), plan, measurement)
        (record,) = database.records(PROFILE)
        assert database.latest(graph.structural_hash(), PROFILE) == record.measurement
        current.append((record.measurement.samples_us[0], record.earlier))
    assert current == [(10.0, ()), (20.0, ()), (20.0, ())]


def test_a_record_carries_the_stable_rows_that_it_supersedes(database: LatencyDatabase) -> None:
    first = add(database, 2, first_us=10.0)
    other = add(database, 3, first_us=20.0)
    graph = chain(2)
    plan, second = measured(graph, 30.0)
    noisy = dataclasses.replace(second, verdict="noisy", reason="why")
    third = dataclasses.replace(second, samples_us=(40.0,))
    database.add(network(graph, 2), plan, third, earlier=[noisy, second])
    records = {record.graph.structural_hash(): record for record in database.records(PROFILE)}
    assert records[first.graph_hash].measurement == third
    assert records[first.graph_hash].earlier == (first, second)
    assert records[other.graph_hash].earlier == ()


def test_stable_rows_are_counted_under_the_newest_plan(database: LatencyDatabase) -> None:
    graph = chain(2)
    plan, measurement = measured(graph)
    source = {"zoo": "chain", "seed": 2}
    counts = [database.count_stable(source, PROFILE)]
    for verdict in ("stable", "noisy", "stable"):
        database.add(network(graph, 2), plan, dataclasses.replace(measurement, verdict=verdict))
        counts.append(database.count_stable(source, PROFILE))
    fused = FusionPlan(graph, ((0, 1),), "tvm")
    database.add(network(graph, 2), fused, dataclasses.replace(measurement, plan_hash=fused.plan_hash(), kernels=()))
    assert [*counts, database.count_stable(graph.structural_hash(), PROFILE)] == [0, 1, 1, 2, 1]
    assert database.count_stable(source, "test.other") == 0


def test_an_earlier_row_that_does_not_belong_leaves_nothing(database: LatencyDatabase) -> None:
    graph = chain(2)
    plan, measurement = measured(graph)
    with pytest.raises(DatabaseError, match="plan_hash 'b'"):
        database.add(network(graph, 1), plan, measurement, earlier=[dataclasses.replace(measurement, plan_hash="b")])
    assert set(dict(database.stats().rows).values()) == {0}


def test_another_plan_of_the_same_network_supersedes_nothing(database: LatencyDatabase) -> None:
    graph = chain(2)
    plan, measurement = measured(graph)
    fused = FusionPlan(graph, ((0, 1),), "tvm")
    database.add(network(graph, 1), plan, measurement)
    other = dataclasses.replace(measurement, plan_hash=fused.plan_hash(), kernels=())
    database.add(network(graph, 1), fused, other)
    assert [record.plan.planner for record in database.records(PROFILE)] == ["rules", "tvm"]
    assert database.latest(graph.structural_hash(), PROFILE) == other


def test_environments_are_stored_once_whatever_the_load_was(database: LatencyDatabase) -> None:
    first, second = add(database, 1, first_us=1.0), add(database, 2, first_us=2.0)
    assert first.fingerprint != second.fingerprint
    assert dict(database.stats().rows)["fingerprints"] == 1
    assert [record.measurement.fingerprint for record in database.records(PROFILE)] == [
        first.fingerprint,
        second.fingerprint,
    ]


def test_is_measured_by_source_and_by_hash(database: LatencyDatabase) -> None:
    measurement = add(database, 4)
    assert database.is_measured({"seed": 4, "zoo": "chain"}, PROFILE)  # the order of the keys does not matter
    assert database.is_measured(measurement.graph_hash, PROFILE)
    assert not database.is_measured({"zoo": "chain", "seed": 5}, PROFILE)
    assert not database.is_measured({"zoo": "chain", "seed": 4}, "test.other")
    assert not database.is_measured("0" * 64, PROFILE)


def test_the_first_measurement_counts_whatever_came_of_it(database: LatencyDatabase) -> None:
    plan, measurement = measured(chain(1))
    source = {"zoo": "chain", "seed": 1}
    assert database.first_measured_at(source, PROFILE) is None
    for day in (3, 2, 4):
        noisy = dataclasses.replace(measurement, measured_at=f"2026-01-0{day}T00:00:00+00:00", verdict="noisy")
        database.add(network(chain(1), 1), plan, noisy)
    assert database.first_measured_at(source, PROFILE) == "2026-01-02T00:00:00+00:00"
    assert database.first_measured_at(measurement.graph_hash, PROFILE) == "2026-01-02T00:00:00+00:00"
    assert database.first_measured_at(source, "test.other") is None


def test_a_linked_source_counts_as_measured(database: LatencyDatabase) -> None:
    measurement = add(database, 4)
    database.link(network(chain(4), 99))
    assert database.is_measured({"zoo": "chain", "seed": 99}, PROFILE)
    assert database.latest({"zoo": "chain", "seed": 99}, PROFILE) == measurement
    assert len(list(database.records(PROFILE))) == 1


def test_a_failure_is_kept_but_is_no_record(database: LatencyDatabase) -> None:
    database.add(network(None, 1), None, failure(None))
    database.add(network(chain(2), 2), None, failure(chain(2)))
    assert list(database.records(PROFILE)) == []
    assert database.latest(chain(2).structural_hash(), PROFILE) is None
    for seed in (1, 2):
        assert database.is_measured({"zoo": "chain", "seed": seed}, PROFILE)
        assert not database.is_measured({"zoo": "chain", "seed": seed}, PROFILE, verdicts=("stable", "noisy"))
    (family,) = database.stats().families
    assert (family.stable, family.noisy, family.failed) == (0, 0, 2)


def test_a_later_success_of_what_failed_is_found(database: LatencyDatabase) -> None:
    database.add(network(None, 3), None, failure(None))
    add(database, 3)
    assert database.is_measured({"zoo": "chain", "seed": 3}, PROFILE, verdicts=("stable", "noisy"))
    assert len(list(database.records(PROFILE))) == 1


def test_records_of_some_families_across_batches(database: LatencyDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tvm_narcost.database.store._BATCH", 3)
    for length in range(1, 20):
        add(database, length, first_us=float(length), family="odd" if length % 2 else "even")
    found = [record.measurement.samples_us[0] for record in database.records(PROFILE, families=["odd"])]
    assert found == [float(length) for length in range(1, 20, 2)]


def test_what_does_not_belong_together_is_refused_and_leaves_nothing(database: LatencyDatabase) -> None:
    graph = chain(2)
    plan, measurement = measured(graph)
    outside = (*measurement.kernels, KernelTime(9, (1.0,)))
    wrong = dataclasses.replace(measurement, graph_hash="a" * 64, kernels=outside)
    with pytest.raises(DatabaseError, match=r"graph_hash 'aaa.*kernels \[9\]"):
        database.add(network(graph, 1), plan, wrong)
    with pytest.raises(DatabaseError, match="without graph or plan"):
        database.add(network(graph, 1), None, dataclasses.replace(measurement, plan_hash=""))
    assert set(dict(database.stats().rows).values()) == {0}


def test_a_failing_insert_rolls_the_whole_transaction_back(database: LatencyDatabase) -> None:
    graph = chain(2)
    plan, measurement = measured(graph)
    twice = dataclasses.replace(measurement, kernels=(measurement.kernels[0],) * 2)
    with pytest.raises(DatabaseError):
        database.add(network(graph, 1), plan, twice)
    assert set(dict(database.stats().rows).values()) == {0}
