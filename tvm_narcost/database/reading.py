"""Rows read back: measurements and records."""

import json
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, case, select
from sqlalchemy.orm import aliased

from relay_frontend.graph import OpGraph
from relay_frontend.plan import FusionPlan
from tvm_narcost.database.blobs import unpack_document, unpack_samples
from tvm_narcost.database.measurement import KernelTime, Measurement
from tvm_narcost.database.records import LatencyRecord
from tvm_narcost.database.tables import Fingerprint, KernelTimes, MeasurementRow, Network, Plan, Source

__all__ = ["read_latest", "read_records"]


def read_latest(connection: Connection, rows: ColumnElement[bool]) -> Measurement | None:
    """The newest stable measurement among ``rows``, else the newest noisy one."""
    stable_first = case((MeasurementRow.verdict == "stable", 0), else_=1)
    query = (
        _measurements().where(rows, MeasurementRow.verdict != "failed").order_by(stable_first, MeasurementRow.id.desc())
    )
    row = connection.execute(query.limit(1)).first()
    return None if row is None else _measurement(row, _kernel_times(connection, [row.id])[row.id])


def read_records(connection: Connection, ids: list[int]) -> list[LatencyRecord]:
    """The measurements with these row ids, ascending, each with its graph, its plan and the stable ones before it."""
    query = (
        _measurements()
        .join(Source, Source.id == MeasurementRow.source_id)
        .add_columns(
            Network.document.label("graph"), Plan.document.label("plan"), Source.family, Source.name, Source.key
        )
        .where(MeasurementRow.id.in_(ids))
        .order_by(MeasurementRow.id)
    )
    kernels = _kernel_times(connection, ids)
    earlier = _earlier(connection, ids)
    return [
        LatencyRecord(
            graph=OpGraph.from_json(unpack_document(row.graph)),
            plan=FusionPlan.from_json(unpack_document(row.plan)),
            measurement=_measurement(row, kernels[row.id]),
            family=row.family,
            name=row.name,
            source=json.loads(row.key),
            earlier=earlier[row.id],
        )
        for row in connection.execute(query)
    ]


def _earlier(connection: Connection, ids: list[int]) -> dict[int, tuple[Measurement, ...]]:
    """For each row id the stable measurements of the same network, plan and profile with smaller ids, ascending."""
    current = aliased(MeasurementRow)
    same = and_(
        MeasurementRow.profile_id == current.profile_id,
        MeasurementRow.network_id == current.network_id,
        MeasurementRow.plan_id == current.plan_id,
    )
    query = (
        _measurements()
        .join(current, same)
        .add_columns(current.id.label("superseded_by"))
        .where(current.id.in_(ids), MeasurementRow.id < current.id, MeasurementRow.verdict == "stable")
        .order_by(MeasurementRow.id)
    )
    rows = connection.execute(query).all()
    kernels = _kernel_times(connection, [row.id for row in rows])
    found: dict[int, list[Measurement]] = {identity: [] for identity in ids}
    for row in rows:
        found[row.superseded_by].append(_measurement(row, kernels[row.id]))
    return {identity: tuple(measurements) for identity, measurements in found.items()}


def _measurements() -> Any:
    """Measurements that ran, with the hashes that they belong to."""
    return (
        select(
            MeasurementRow,
            Network.graph_hash,
            Plan.plan_hash,
            Fingerprint.document.label("fingerprint"),
        )
        .join(Network, Network.id == MeasurementRow.network_id)
        .join(Plan, Plan.id == MeasurementRow.plan_id)
        .join(Fingerprint, Fingerprint.id == MeasurementRow.fingerprint_id)
    )


def _kernel_times(connection: Connection, ids: list[int]) -> dict[int, tuple[KernelTime, ...]]:
    query = (
        select(KernelTimes.measurement_id, KernelTimes.kernel, KernelTimes.samples_us)
        .where(KernelTimes.measurement_id.in_(ids))
        .order_by(KernelTimes.measurement_id, KernelTimes.kernel)
    )
    found: dict[int, list[KernelTime]] = {identity: [] for identity in ids}
    for identity, kernel, samples in connection.execute(query):
        found[identity].append(KernelTime(kernel, unpack_samples(samples)))
    return {identity: tuple(times) for identity, times in found.items()}


def _measurement(row: Row[Any], kernels: tuple[KernelTime, ...]) -> Measurement:
    pairs = json.loads(row.fingerprint) + json.loads(row.conditions)
    return Measurement(
        graph_hash=row.graph_hash,
        plan_hash=row.plan_hash,
        profile_id=row.profile_id,
        samples_us=unpack_samples(row.samples_us),
        reference_us=unpack_samples(row.reference_us),
        kernels=kernels,
        fingerprint=tuple(sorted((str(name), str(value)) for name, value in pairs)),
        protocol_version=row.protocol_version,
        verdict=row.verdict,
        reason=row.reason,
        measured_at=row.measured_at,
    )
