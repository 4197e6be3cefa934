"""Measured networks as a table: comma-separated values, one row a network and plan."""

import csv
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from hardware_profiles import HardwareProfile
from relay_frontend.costs import graph_cost
from relay_frontend.errors import UnsupportedOperatorError
from relay_frontend.graph import OpGraph
from tvm_narcost.database.records import LatencyRecord
from tvm_narcost.measure.protocol import iqr_ratio

__all__ = ["COLUMNS", "write_table"]

COLUMNS = (
    "name", "family", "graph_hash", "profile", "runtime", "threads", "flops", "parameters", "memory_bytes",
    "operators", "kernels", "median_us", "p90_us", "p95_us", "p99_us", "iqr_ratio", "samples", "verdict", "measured_at",
)  # fmt: skip


def write_table(records: Iterable[LatencyRecord], profile: HardwareProfile, path: Path) -> int:
    """Write a row for each record; returns how many. A file that is there is replaced only once all is written.

    ``operators`` counts the nodes of the network as read, ``kernels`` those of the plan that ran. Microseconds have
    three digits; ``runtime`` has the version that the measurement says. FLOPs, parameters and memory are empty where
    the operator table lacks an operator of the network.
    """
    partial = path.with_name(f"{path.name}.partial-{os.getpid()}")
    count = 0
    try:
        with partial.open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            for count, record in enumerate(records, start=1):  # noqa: B007 - the last count is the number of rows
                writer.writerow(_row(record, profile))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return count


def _row(record: LatencyRecord, profile: HardwareProfile) -> list[object]:
    measurement = record.measurement
    versions = dict(measurement.fingerprint)
    runtime = profile.runtime.name
    return [
        record.name,
        record.family,
        measurement.graph_hash,
        measurement.profile_id,
        f"{runtime} {versions[runtime]}" if runtime in versions else runtime,
        profile.runtime.threads,
        *_costs(record.graph),
        len(record.graph.nodes),
        len(record.plan.kernels),
        *(f"{np.quantile(measurement.samples_us, level):.3f}" for level in (0.5, 0.9, 0.95, 0.99)),
        f"{iqr_ratio(measurement.samples_us):.5f}",
        len(measurement.samples_us),
        measurement.verdict,
        measurement.measured_at,
    ]


def _costs(graph: OpGraph) -> tuple[int | str, int | str, int | str]:
    """FLOPs, parameters, bytes of memory."""
    try:
        cost = graph_cost(graph)
    except UnsupportedOperatorError:
        return "", "", ""
    return cost.flops, cost.parameters, cost.memory_bytes
