"""The table of measured networks."""

import csv
import dataclasses
from pathlib import Path

import pytest

from relay_frontend.costs import graph_cost
from relay_frontend.graph import GRAPH_INPUT, Edge, OpGraph, OpNode, TensorType
from tests.export.measured import measured
from tests.training.analytic import PROFILE
from tvm_narcost.database import LatencyRecord
from tvm_narcost.export.table import COLUMNS, write_table


def rows(path: Path, *records: LatencyRecord) -> list[dict[str, str]]:
    assert write_table(records, PROFILE, path) == len(records)
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_figure_of_a_network(tmp_path: Path) -> None:
    record = measured("squeezenet", 1, samples_us=tuple(float(us) for us in range(100, 201)))
    (row,) = rows(tmp_path / "a.csv", record)
    cost = graph_cost(record.graph)
    assert tuple(row) == COLUMNS
    assert row == {
        "name": "squeezenet-1", "family": "squeezenet", "graph_hash": record.measurement.graph_hash,
        "profile": "test.fake", "runtime": "onnxruntime 1.32.0", "threads": "1", "flops": str(cost.flops),
        "parameters": str(cost.parameters), "memory_bytes": str(cost.memory_bytes),
        "operators": str(len(record.graph.nodes)), "kernels": str(len(record.plan.kernels)), "median_us": "150.000",
        "p90_us": "190.000", "p95_us": "195.000", "p99_us": "199.000", "iqr_ratio": "0.33333", "samples": "101",
        "verdict": "stable", "measured_at": "2026-01-01T00:00:00+00:00",
    }  # fmt: skip


@pytest.mark.parametrize("name", ['a,b "c"', "line\nbreak", "../../x", "café"])
def test_any_name_stays_one_field(tmp_path: Path, name: str) -> None:
    record = dataclasses.replace(measured("squeezenet", 1), name=name)
    (row, other) = rows(tmp_path / "a.csv", record, measured("vgg", 1))
    assert (row["name"], row["family"], other["name"]) == (name, "squeezenet", "vgg-1")


def test_costs_are_empty_where_an_operator_is_unknown(tmp_path: Path) -> None:
    kind = TensorType((1, 8), "float32")
    graph = OpGraph("g", (OpNode("Toaster", (Edge(GRAPH_INPUT),), (kind,)),), (("x", kind),), (), (Edge(0),))
    (row,) = rows(tmp_path / "a.csv", dataclasses.replace(measured("squeezenet", 1), graph=graph))
    assert [row[name] for name in ("flops", "parameters", "memory_bytes", "operators")] == ["", "", "", "1"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("old")
    broken = dataclasses.replace(measured("squeezenet", 1), measurement=None)  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        write_table([broken], PROFILE, path)
    assert path.read_text() == "old"
    assert [found.name for found in tmp_path.iterdir()] == ["a.csv"]
