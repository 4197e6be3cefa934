"""Rows written: a measurement and what it refers to, each where it is new."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, insert, select, update

from relay_frontend.graph import OpGraph
from relay_frontend.plan import FusionPlan
from tvm_narcost.database.blobs import pack_document, pack_samples
from tvm_narcost.database.measurement import Measurement
from tvm_narcost.database.records import NetworkRecord, source_key
from tvm_narcost.database.tables import Base, Fingerprint, KernelTimes, MeasurementRow, Network, Plan, Source
from tvm_narcost.errors import DatabaseError

__all__ = ["check_measurement", "insert_measurement", "insert_source"]


def check_measurement(network: NetworkRecord, plan: FusionPlan | None, measurement: Measurement) -> None:
    """See that hashes, plan and kernel times belong together.

    Raises:
        DatabaseError: naming everything that does not.
    """
    graph_hash = "" if network.graph is None else network.graph.structural_hash()
    plan_hash = "" if plan is None else plan.plan_hash()
    wrong = [
        f"{what} {got!r}, expected {expected!r}"
        for what, got, expected in (
            ("graph_hash", measurement.graph_hash, graph_hash),
            ("plan_hash", measurement.plan_hash, plan_hash),
        )
        if got != expected
    ]
    if measurement.verdict != "failed" and (network.graph is None or plan is None):
        wrong.append(f"verdict {measurement.verdict!r} without graph or plan, expected 'failed'")
    if plan is not None:
        outside = [time.kernel for time in measurement.kernels if not 0 <= time.kernel < len(plan.kernels)]
        if outside:
            wrong.append(f"times of kernels {outside}, expected 0..{len(plan.kernels) - 1}")
    if wrong:
        raise DatabaseError(
            f"measurement of {network.name!r} does not belong to its network: {'; '.join(wrong)}; measure it again"
        )


def insert_measurement(
    connection: Connection, network: NetworkRecord, plan: FusionPlan | None, measurement: Measurement
) -> int:
    """Add one measurement; returns its row id."""
    source_id, network_id = insert_source(connection, network)
    row = {
        "source_id": source_id,
        "network_id": network_id,
        "plan_id": None if plan is None else _plan_id(connection, plan),
        "fingerprint_id": _fingerprint_id(connection, measurement.lasting_facts),
        "conditions": json.dumps(measurement.passing_facts, separators=(",", ":")),
        "profile_id": measurement.profile_id,
        "protocol_version": measurement.protocol_version,
        "verdict": measurement.verdict,
        "reason": measurement.reason,
        "measured_at": measurement.measured_at,
        "samples_us": pack_samples(measurement.samples_us),
        "reference_us": pack_samples(measurement.reference_us),
    }
    identity = _insert(connection, MeasurementRow, row)
    if measurement.kernels:
        connection.execute(
            insert(KernelTimes),
            [
                {"measurement_id": identity, "kernel": time.kernel, "samples_us": pack_samples(time.samples_us)}
                for time in measurement.kernels
            ],
        )
    return identity


def _insert(connection: Connection, table: type[Base], row: Mapping[str, Any]) -> int:
    (identity,) = connection.execute(insert(table).values(**row).returning(table.__table__.c.id)).one()
    return int(identity)


def _network_id(connection: Connection, graph: OpGraph) -> int:
    graph_hash = graph.structural_hash()
    found = connection.execute(select(Network.id).where(Network.graph_hash == graph_hash)).scalar()
    if found is not None:
        return found
    return _insert(connection, Network, {"graph_hash": graph_hash, "document": pack_document(graph.to_json())})


def _plan_id(connection: Connection, plan: FusionPlan) -> int:
    plan_hash = plan.plan_hash()
    found = connection.execute(select(Plan.id).where(Plan.plan_hash == plan_hash)).scalar()
    if found is not None:
        return found
    row = {"plan_hash": plan_hash, "planner": plan.planner, "document": pack_document(plan.to_json())}
    return _insert(connection, Plan, row)


def insert_source(connection: Connection, network: NetworkRecord) -> tuple[int, int | None]:
    """Add or find a source and its network; returns their row ids."""
    network_id = None if network.graph is None else _network_id(connection, network.graph)
    key = source_key(network.source)
    found = connection.execute(select(Source.id, Source.network_id).where(Source.key == key)).first()
    if found is None:
        row = {"key": key, "family": network.family, "name": network.name, "network_id": network_id}
        return _insert(connection, Source, row), network_id
    if network_id is not None and found.network_id != network_id:  # it could not be built before, or gives another now
        connection.execute(update(Source).where(Source.id == found.id).values(network_id=network_id))
    return int(found.id), network_id


def _fingerprint_id(connection: Connection, fingerprint: tuple[tuple[str, str], ...]) -> int:
    document = json.dumps(fingerprint, separators=(",", ":"))
    digest = hashlib.sha256(document.encode()).hexdigest()
    found = connection.execute(select(Fingerprint.id).where(Fingerprint.digest == digest)).scalar()
    if found is not None:
        return found
    return _insert(connection, Fingerprint, {"digest": digest, "document": document})
