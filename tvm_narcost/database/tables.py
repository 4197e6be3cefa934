"""The tables. A change here needs a migration under migrations/versions/ and a new ``HEAD``."""

from sqlalchemy import ForeignKey, Index, LargeBinary, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

__all__ = ["HEAD", "Base", "Fingerprint", "KernelTimes", "MeasurementRow", "Network", "Plan", "Source"]

HEAD = "0001"  # the newest migration, kept here so that opening a current database need not load alembic


class Base(DeclarativeBase):
    """Of all tables."""


class Network(Base):
    """A network as read, once for each structure."""

    __tablename__ = "networks"
    id: Mapped[int] = mapped_column(primary_key=True)
    graph_hash: Mapped[str] = mapped_column(String(64), unique=True)
    document: Mapped[bytes] = mapped_column(LargeBinary)  # OpGraph.to_json(), see blobs.py


class Source(Base):
    """Where a network comes from. Several may give the same network; one that cannot be built gives none."""

    __tablename__ = "sources"
    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(Text, unique=True)  # records.source_key() of its JSON document
    family: Mapped[str] = mapped_column(Text, index=True)
    name: Mapped[str] = mapped_column(Text)
    network_id: Mapped[int | None] = mapped_column(ForeignKey("networks.id"), index=True)


class Plan(Base):
    """A fusion plan, once for each partition."""

    __tablename__ = "plans"
    id: Mapped[int] = mapped_column(primary_key=True)
    plan_hash: Mapped[str] = mapped_column(String(64), unique=True)
    planner: Mapped[str] = mapped_column(Text)
    document: Mapped[bytes] = mapped_column(LargeBinary)  # FusionPlan.to_json(), see blobs.py


class Fingerprint(Base):
    """An environment, once for each that measurements were taken in."""

    __tablename__ = "fingerprints"
    id: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), unique=True)  # sha256 of document
    document: Mapped[str] = mapped_column(Text)  # JSON list of [name, value]


class MeasurementRow(Base):
    """One measurement; never updated. The newest stable one of its network, plan and profile is current."""

    __tablename__ = "measurements"
    __table_args__ = (
        Index("ix_measurements_current", "profile_id", "network_id", "plan_id"),
        Index("ix_measurements_source", "source_id", "profile_id"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    source_id: Mapped[int] = mapped_column(ForeignKey("sources.id"))
    network_id: Mapped[int | None] = mapped_column(ForeignKey("networks.id"))  # NULL: could not be built
    plan_id: Mapped[int | None] = mapped_column(ForeignKey("plans.id"))  # NULL: failed before it ran
    fingerprint_id: Mapped[int] = mapped_column(ForeignKey("fingerprints.id"))
    profile_id: Mapped[str] = mapped_column(Text)
    protocol_version: Mapped[int]
    verdict: Mapped[str] = mapped_column(String(8))
    reason: Mapped[str] = mapped_column(Text)
    measured_at: Mapped[str] = mapped_column(String(40))  # UTC, ISO 8601
    conditions: Mapped[str] = mapped_column(Text)  # JSON list: what of the fingerprint differs from row to row
    samples_us: Mapped[bytes] = mapped_column(LargeBinary)  # see blobs.py
    reference_us: Mapped[bytes] = mapped_column(LargeBinary)


class KernelTimes(Base):
    """Samples of one kernel of a measurement's plan."""

    __tablename__ = "kernel_times"
    measurement_id: Mapped[int] = mapped_column(ForeignKey("measurements.id"), primary_key=True)
    kernel: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    samples_us: Mapped[bytes] = mapped_column(LargeBinary)
