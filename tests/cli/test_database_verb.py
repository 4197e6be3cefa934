"""narcost database: what export writes and import reads, from a small database."""

import dataclasses
from pathlib import Path

import pytest

from hardware_profiles import load_profile
from tests.training.analytic import record
from tvm_narcost.cli.main import main
from tvm_narcost.cli.options import DEFAULT_PROFILE
from tvm_narcost.database import NetworkRecord, open_database
from tvm_narcost.database.store import LatencyDatabase


def add(database: LatencyDatabase, family: str, seed: int, times: int = 1) -> None:
    """A network whose times follow a formula, measured so many times."""
    found = record(family, seed, load_profile(DEFAULT_PROFILE))
    network = NetworkRecord(family, found.name, {"zoo": family, "seed": seed}, found.graph)
    for index in range(times):
        measurement = dataclasses.replace(found.measurement, measured_at=f"2026-01-0{index + 1}T00:00:00+00:00")
        database.add(network, found.plan, measurement)


def test_both_measurements_of_a_network_survive_export_and_import(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second, dataset = (str(tmp_path / name) for name in ("a.sqlite", "b.sqlite", "d.jsonl.xz"))
    with open_database(first) as database:
        add(database, "plain", 0, times=2)
        add(database, "plain", 1)
    assert main(["database", "export", dataset, "--database", first]) == 0
    assert main(["database", "import", dataset, "--database", second]) == 0
    assert "added 2 networks" in capsys.readouterr().out
    with open_database(second) as database:
        dates = [
            [found.measured_at[:10] for found in (*read.earlier, read.measurement)]
            for read in database.records(DEFAULT_PROFILE)
        ]
        assert dates == [["2026-01-01", "2026-01-02"], ["2026-01-01"]]
        assert dict(database.stats().rows)["measurements"] == 3
    assert main(["database", "import", dataset, "--database", second]) == 0
    assert "added 0 networks" in capsys.readouterr().out
