"""narcost profile --active: which networks it measures, and how it goes on."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from hardware_profiles import load_profile
from tests.models.untrained import untrained_narformer
from tests.training.analytic import record
from tvm_narcost.cli.active import choose_sources
from tvm_narcost.cli.main import main
from tvm_narcost.cli.options import DEFAULT_PROFILE
from tvm_narcost.database import NetworkRecord, open_database
from tvm_narcost.database.store import LatencyDatabase
from tvm_narcost.errors import ArtifactError, NarcostError
from tvm_narcost.measure.collect import CollectReport
from tvm_narcost.measure.sources import FileSource, Source, ZooSource, zoo_sources

POOL = list(zoo_sources(("alexnet", "squeezenet"), 3))
BEFORE, CREATED, SINCE = (f"2026-01-01T0{hour}:00:00+00:00" for hour in (1, 2, 3))


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    model = untrained_narformer(DEFAULT_PROFILE)
    folder = tmp_path_factory.mktemp("artifact")
    dataclasses.replace(model, facts=dataclasses.replace(model.facts, created=CREATED)).save(folder)
    return folder


@pytest.fixture(autouse=True)
def any_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is measured here, so any machine will do."""
    monkeypatch.setattr("tvm_narcost.measure.device.require_device", lambda profile: None)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[LatencyDatabase]:
    with open_database(str(tmp_path / "latency.sqlite")) as opened:
        yield opened


def choose(artifact: Path, database: LatencyDatabase, count: int, pool: list[Source] | None = None) -> list[Source]:
    return choose_sources(pool or [*POOL], artifact, load_profile(DEFAULT_PROFILE), database, count)


def measured(database: LatencyDatabase, source: Source, measured_at: str) -> None:
    """A row that says so; the network in it is any."""
    found = record("plain", POOL.index(source), load_profile(DEFAULT_PROFILE))  # type: ignore[arg-type]
    network = NetworkRecord(source.family, source.name, source.document(), found.graph)
    database.add(network, found.plan, dataclasses.replace(found.measurement, measured_at=measured_at))


def test_the_same_command_chooses_the_same_and_more_of_the_same(artifact: Path, database: LatencyDatabase) -> None:
    chosen = choose(artifact, database, 4)
    assert len(set(chosen)) == 4
    assert choose(artifact, database, 2) == chosen[:2]
    measured(database, chosen[0], SINCE)  # a collection that was stopped after its first network
    assert choose(artifact, database, 4) == chosen


def test_what_the_artifact_may_have_learned_from_takes_no_part(artifact: Path, database: LatencyDatabase) -> None:
    chosen = choose(artifact, database, 3)
    measured(database, chosen[0], BEFORE)
    measured(database, chosen[0], SINCE)
    again = choose(artifact, database, 6)
    assert len(again) == 5
    assert chosen[0] not in again
    for source in again:
        measured(database, source, BEFORE)
    with pytest.raises(NarcostError, match="all 6 candidates were measured before .*; give a larger --pool"):
        choose(artifact, database, 1)


def test_a_file_that_cannot_be_read_is_left_out_and_named(
    artifact: Path, database: LatencyDatabase, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    pool: list[Source] = [FileSource.of(broken), ZooSource("squeezenet", 0), ZooSource("squeezenet", 0)]
    assert choose(artifact, database, 3, pool) == [ZooSource("squeezenet", 0)]
    printed = capsys.readouterr().err
    assert "narcost: broken: no candidate: " in printed
    assert "narcost: chose 1 of 1 candidates" in printed
    assert "squeezenet 1; 2 more were measured before, are repeats or cannot be read" in printed


def test_an_artifact_of_another_profile_is_refused(artifact: Path, database: LatencyDatabase) -> None:
    profile = dataclasses.replace(load_profile(DEFAULT_PROFILE), id="other.onnxruntime")
    with pytest.raises(ArtifactError, match=f"of profile '{DEFAULT_PROFILE}', expected 'other.onnxruntime'"):
        choose_sources(POOL, artifact, profile, database, 1)


def test_the_verb_measures_what_was_chosen(
    artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    collected: list[Source] = []

    def collect(sources: list[Source], *others: object, **options: object) -> CollectReport:
        collected.extend(sources)
        return CollectReport(stable=len(sources))

    monkeypatch.setattr("tvm_narcost.measure.collect.collect", collect)
    options = ("--database", str(tmp_path / "latency.sqlite"), "--zoo", "alexnet,squeezenet", "--pool", "3")
    assert main(["profile", "--active", str(artifact), "--count", "2", *options]) == 0
    captured = capsys.readouterr()
    assert len(collected) == 2
    assert set(collected) <= set(POOL)
    assert "chose 2 of 6 candidates" in captured.err
    assert f"profile {DEFAULT_PROFILE}: 2 stable" in captured.out


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (("--zoo", "vgg", "--pool", "3"), "--pool 3: candidates for --active; give --active DIR too"),
        (("--zoo", "vgg", "--active", "a", "--again", "0.1"), "--active: picks among what was never measured"),
        (("--zoo", "vgg", "--active", "a", "--retry-failed"), "--active: picks among what was never measured"),
        (("--active", "a"), "nothing to measure; give model files, or --zoo FAMILY"),
        (("--zoo", "vgg", "--active", "nowhere"), "artifact nowhere/artifact.json: No such file or directory"),
    ],
)
def test_bad_options(argv: tuple[str, ...], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "--database", str(tmp_path / "latency.sqlite"), *argv]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert f"narcost: error: {expected}" in captured.err
