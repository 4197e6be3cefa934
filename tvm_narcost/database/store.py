"""LatencyDatabase: add measurements, read the current ones."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from sqlalchemy import ColumnElement, Engine, case, func, select

from relay_frontend.plan import FusionPlan
from tvm_narcost.database.connection import connect, reading, resolve_url, typed_errors, writing
from tvm_narcost.database.inserting import check_measurement, insert_measurement, insert_source
from tvm_narcost.database.measurement import VERDICTS, Measurement, Verdict
from tvm_narcost.database.reading import read_latest, read_records
from tvm_narcost.database.records import LatencyRecord, NetworkRecord, source_key
from tvm_narcost.database.tables import HEAD, Base, MeasurementRow, Network, Plan, Source

__all__ = ["DatabaseStats", "FamilyStats", "LatencyDatabase"]

_BATCH = 64  # records that are read at a time


@dataclass(frozen=True, slots=True)
class FamilyStats:
    """How many measurements of one family on one profile have which verdict, superseded ones included."""

    profile_id: str
    family: str
    stable: int
    noisy: int
    failed: int


@dataclass(frozen=True, slots=True)
class DatabaseStats:
    """What a database holds; ``rows`` is (table, rows) and ``size_bytes`` 0 where it is not a file."""

    url: str
    revision: str
    size_bytes: int
    rows: tuple[tuple[str, int], ...]
    families: tuple[FamilyStats, ...]


class LatencyDatabase:
    """Networks, plans and measurements.

    Rows are only ever added: a newer measurement supersedes an older one, but a noisy one no stable one.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @classmethod
    def open(cls, url: str | None = None, *, busy_timeout_s: float = 5.0) -> Self:
        """See :func:`tvm_narcost.database.open_database`."""
        return cls(connect(resolve_url(url), busy_timeout_s))

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        """Where it is, without a password."""
        return self._engine.url.render_as_string(hide_password=True)

    def add(
        self,
        network: NetworkRecord,
        plan: FusionPlan | None,
        measurement: Measurement,
        *,
        earlier: Iterable[Measurement] = (),
    ) -> int:
        """Add one measurement, with its network and plan where they are new, in one transaction; returns its row id.

        ``plan`` is None, ``measurement.plan_hash`` empty, and ``network.graph`` may be None, only when it failed.
        ``earlier`` are others of the same network and plan, which get rows before it in the same transaction.

        Raises:
            DatabaseError: the hashes do not belong to the graph and plan, or the database cannot be written.
        """
        superseded = tuple(earlier)
        for checked in (*superseded, measurement):
            check_measurement(network, plan, checked)
        with typed_errors(self._engine), writing(self._engine) as connection:
            for older in superseded:
                insert_measurement(connection, network, plan, older)
            return insert_measurement(connection, network, plan, measurement)

    def add_plans(self, network: NetworkRecord, pairs: Iterable[tuple[FusionPlan, Measurement]]) -> None:
        """Add measurements of several plans of one network, in this order, in one transaction.

        Raises:
            DatabaseError: as for :meth:`add`.
        """
        checked = list(pairs)
        for plan, measurement in checked:
            check_measurement(network, plan, measurement)
        with typed_errors(self._engine), writing(self._engine) as connection:
            for plan, measurement in checked:
                insert_measurement(connection, network, plan, measurement)

    def link(self, network: NetworkRecord) -> None:
        """Note that ``network.source`` gives a network that is there already, so that it counts as measured."""
        with typed_errors(self._engine), writing(self._engine) as connection:
            insert_source(connection, network)

    def is_measured(
        self, source: Mapping[str, Any] | str, profile_id: str, *, verdicts: Collection[Verdict] = VERDICTS
    ) -> bool:
        """Whether a measurement of ``source`` (its document, or a graph hash) on the profile is there.

        Args:
            source: a source document such as ``{"zoo": "resnet", "seed": 7}``, or a graph hash.
            profile_id: ``DEVICE.RUNTIME``.
            verdicts: which ones count.
        """
        query = (
            select(MeasurementRow.id)
            .where(_rows_of(source, profile_id))
            .where(MeasurementRow.verdict.in_(list(verdicts)))
        )
        with typed_errors(self._engine), reading(self._engine) as connection:
            return connection.execute(query.limit(1)).first() is not None

    def plan_hashes(
        self, source: Mapping[str, Any] | str, profile_id: str, *, verdicts: Collection[Verdict] = VERDICTS
    ) -> frozenset[str]:
        """Plans of a source or graph hash that have a measurement of one of these verdicts on the profile."""
        query = (
            select(Plan.plan_hash)
            .join(MeasurementRow, MeasurementRow.plan_id == Plan.id)
            .where(_rows_of(source, profile_id), MeasurementRow.verdict.in_(list(verdicts)))
            .distinct()
        )
        with typed_errors(self._engine), reading(self._engine) as connection:
            return frozenset(connection.execute(query).scalars())

    def count_stable(self, source: Mapping[str, Any] | str, profile_id: str) -> int:
        """How many stable measurements a source or graph hash has, under the plan of the newest of them."""
        query = (
            select(func.count())
            .where(_rows_of(source, profile_id), MeasurementRow.verdict == "stable")
            .group_by(MeasurementRow.network_id, MeasurementRow.plan_id)
            .order_by(func.max(MeasurementRow.id).desc())
        )
        with typed_errors(self._engine), reading(self._engine) as connection:
            return connection.execute(query.limit(1)).scalar() or 0

    def first_measured_at(self, source: Mapping[str, Any] | str, profile_id: str) -> str | None:
        """When a source or graph hash was first measured, whatever came of it, UTC, ISO 8601; None where never."""
        query = select(func.min(MeasurementRow.measured_at)).where(_rows_of(source, profile_id))
        with typed_errors(self._engine), reading(self._engine) as connection:
            return connection.execute(query).scalar()

    def latest(self, source: Mapping[str, Any] | str, profile_id: str) -> Measurement | None:
        """The newest stable measurement of a source or graph hash, else the newest noisy one; None where none is."""
        with typed_errors(self._engine), reading(self._engine) as connection:
            return read_latest(connection, _rows_of(source, profile_id))

    def records(self, profile_id: str, *, families: Iterable[str] | None = None) -> Iterator[LatencyRecord]:
        """The current measurements of a profile that did not fail, in the order in which they were added.

        Of each network and plan it is the newest stable one, or where none is stable the newest noisy one.

        Args:
            profile_id: ``DEVICE.RUNTIME``.
            families: only these; None for all.
        """
        stable_id = case((MeasurementRow.verdict == "stable", MeasurementRow.id))
        newest = (
            select(func.coalesce(func.max(stable_id), func.max(MeasurementRow.id)))
            .where(
                MeasurementRow.profile_id == profile_id,
                MeasurementRow.plan_id.is_not(None),
                MeasurementRow.verdict != "failed",
            )
            .group_by(MeasurementRow.network_id, MeasurementRow.plan_id)
        )
        query = (
            select(MeasurementRow.id)
            .join(Source, Source.id == MeasurementRow.source_id)
            .where(MeasurementRow.id.in_(newest))
            .order_by(MeasurementRow.id)
        )
        if families is not None:
            query = query.where(Source.family.in_(list(families)))
        with typed_errors(self._engine), reading(self._engine) as connection:
            ids = list(connection.execute(query).scalars())
        for start in range(0, len(ids), _BATCH):  # a batch a transaction: a slow reader must not hold up the log
            with typed_errors(self._engine), reading(self._engine) as connection:
                batch = read_records(connection, ids[start : start + _BATCH])
            yield from batch

    def profiles(self) -> tuple[str, ...]:
        """The profiles that have measurements, sorted."""
        query = select(MeasurementRow.profile_id).distinct().order_by(MeasurementRow.profile_id)
        with typed_errors(self._engine), reading(self._engine) as connection:
            return tuple(connection.execute(query).scalars())

    def stats(self) -> DatabaseStats:
        """How much is in it."""
        verdicts = [func.sum(case((MeasurementRow.verdict == verdict, 1), else_=0)) for verdict in VERDICTS]
        by_family = (
            select(MeasurementRow.profile_id, Source.family, *verdicts)
            .join(Source, Source.id == MeasurementRow.source_id)
            .group_by(MeasurementRow.profile_id, Source.family)
            .order_by(MeasurementRow.profile_id, Source.family)
        )
        with typed_errors(self._engine), reading(self._engine) as connection:
            rows = tuple(
                (name, connection.execute(select(func.count()).select_from(table)).scalar_one())
                for name, table in sorted(Base.metadata.tables.items())
            )
            families = tuple(
                FamilyStats(profile, family, int(stable), int(noisy), int(failed))
                for profile, family, stable, noisy, failed in connection.execute(by_family)
            )
        return DatabaseStats(self.url, HEAD, _file_bytes(self._engine), rows, families)


def _rows_of(source: Mapping[str, Any] | str, profile_id: str) -> ColumnElement[bool]:
    """Whether a measurement on a profile is of a source document, of another source of its network, or of a hash."""
    on_profile = select(MeasurementRow.id).where(MeasurementRow.profile_id == profile_id)
    if isinstance(source, str):
        network = select(Network.id).where(Network.graph_hash == source)
        return MeasurementRow.id.in_(on_profile.where(MeasurementRow.network_id.in_(network)))
    key = source_key(source)
    own = on_profile.where(MeasurementRow.source_id.in_(select(Source.id).where(Source.key == key)))
    shared = on_profile.where(MeasurementRow.network_id.in_(select(Source.network_id).where(Source.key == key)))
    return MeasurementRow.id.in_(own.union_all(shared))  # a union has an index for either side, an OR scans the profile


def _file_bytes(engine: Engine) -> int:
    """Size of a SQLite file and of its write-ahead log."""
    if engine.dialect.name != "sqlite" or not engine.url.database:
        return 0
    files = (Path(engine.url.database), Path(f"{engine.url.database}-wal"))
    return sum(path.stat().st_size for path in files if path.is_file())
