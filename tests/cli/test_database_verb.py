"""narcost database: what export writes and import reads, from a small database."""

import dataclasses
from pathlib import Path

import pytest

from hardware_profiles import load_profile
from tests.export.measured import measured
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


def test_a_table_has_a_row_a_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    database, table = str(tmp_path / "a.sqlite"), tmp_path / "a.csv"
    with open_database(database) as opened:
        add(opened, "plain", 0, times=2)
        add(opened, "mixed", 1)
    argv = ["database", "export", "--format", "csv", str(table), "--database", database]
    assert main(argv) == 0
    assert f"wrote 2 networks of {DEFAULT_PROFILE} to {table}" in capsys.readouterr().out
    header, *lines = table.read_text().splitlines()
    assert header.startswith("name,family,graph_hash,profile,runtime,threads,")
    assert [line.split(",")[1] for line in lines] == ["plain", "mixed"]
    assert main([*argv, "--families", "mixed"]) == 0
    assert len(table.read_text().splitlines()) == 2


def test_a_folder_as_nnlqp_lays_it_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    database, folder = str(tmp_path / "a.sqlite"), tmp_path / "out"
    found = measured("squeezenet", 1, profile_id=DEFAULT_PROFILE)
    with open_database(database) as opened:
        opened.add(NetworkRecord(found.family, found.name, found.source, found.graph), found.plan, found.measurement)
        for seed in range(7):
            add(opened, "plain", seed)
    argv = ["database", "export", "--format", "nnlqp", str(folder), "--database", database]
    assert main(argv) == 0
    out = capsys.readouterr().out
    assert f"wrote 1 networks of {DEFAULT_PROFILE} to {folder}, 0 were there already, 7 are left out" in out
    assert out.count("unknown zoo family 'plain'") == 5
    assert out.endswith(f"and 2 more, all of them in {folder / 'narcost-export.json'}\n")
    assert (folder / "gt.txt").read_text().startswith("00001 onnx/squeezenet/squeezenet-1.onnx 1 2.06137 squeezenet 1 ")
    assert main(argv) == 0
    assert "wrote 0 networks" in capsys.readouterr().out


def test_a_folder_of_something_else_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    database = str(tmp_path / "a.sqlite")
    with open_database(database) as opened:
        add(opened, "plain", 0)
    assert main(["database", "export", "--format", "nnlqp", str(tmp_path), "--database", database]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "holds files and no narcost-export.json" in captured.err.splitlines()[-1]
