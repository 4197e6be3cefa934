"""Networks, plans and measurements, kept: a latency database, and the compact dataset file made from it."""

from pathlib import Path
from typing import TYPE_CHECKING

from tvm_narcost.database.measurement import PROTOCOL_VERSION, KernelTime, Measurement
from tvm_narcost.database.place import chosen_place
from tvm_narcost.database.records import LatencyRecord, NetworkRecord
from tvm_narcost.errors import DatabaseError

if TYPE_CHECKING:
    from tvm_narcost.database.store import LatencyDatabase

__all__ = [
    "PROTOCOL_VERSION",
    "KernelTime",
    "LatencyRecord",
    "Measurement",
    "NetworkRecord",
    "database_is_there",
    "open_database",
]


def open_database(url: str | None = None, *, busy_timeout_s: float = 5.0, create: bool = True) -> "LatencyDatabase":
    """Open a latency database and bring its schema up to date.

    Args:
        url: an SQLAlchemy URL, or a plain path, which is taken as a SQLite file. None: the environment variable
            ``NARCOST_DATABASE``, else a SQLite file in the user's data directory.
        busy_timeout_s: how long to wait for a lock that another process holds, seconds.
        create: make a SQLite file that is missing.

    Raises:
        DatabaseError: locked, of a newer narcost, not a latency database, or missing and not to be made.
    """
    if not create and not database_is_there(url):
        from tvm_narcost.database.connection import resolve_url

        place = resolve_url(url).database
        raise DatabaseError(
            f"database {place}: no such file, expected one that `narcost profile` has made; "
            f"measure networks with `narcost profile --database {place} --zoo all`"
        )
    from tvm_narcost.database.store import LatencyDatabase  # SQLAlchemy is heavy: only for those who open one

    return LatencyDatabase.open(url, busy_timeout_s=busy_timeout_s)


def database_is_there(url: str | None = None) -> bool:
    """Whether the file of a SQLite database exists; true for any other database, which only opening can tell."""
    place = chosen_place(url)
    if "://" not in place:
        return Path(place).expanduser().is_file()
    from tvm_narcost.database.connection import resolve_url

    resolved = resolve_url(place)
    return resolved.get_backend_name() != "sqlite" or Path(resolved.database or "").is_file()
