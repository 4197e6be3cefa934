"""Networks, plans and measurements, kept: a latency database, and the compact dataset file made from it."""

from typing import TYPE_CHECKING

from tvm_narcost.database.measurement import PROTOCOL_VERSION, KernelTime, Measurement
from tvm_narcost.database.records import LatencyRecord, NetworkRecord

if TYPE_CHECKING:
    from tvm_narcost.database.store import LatencyDatabase

__all__ = ["PROTOCOL_VERSION", "KernelTime", "LatencyRecord", "Measurement", "NetworkRecord", "open_database"]


def open_database(url: str | None = None, *, busy_timeout_s: float = 5.0) -> "LatencyDatabase":
    """Open a latency database and bring its schema up to date; a SQLite file that is missing is made.

    Args:
        url: an SQLAlchemy URL, or a plain path, which is taken as a SQLite file. None: the environment variable
            ``NARCOST_DATABASE``, else a SQLite file in the user's data directory.
        busy_timeout_s: how long to wait for a lock that another process holds, seconds.

    Raises:
        DatabaseError: locked, of a newer narcost, or not a latency database.
    """
    from tvm_narcost.database.store import LatencyDatabase  # SQLAlchemy is heavy: only for those who open one

    return LatencyDatabase.open(url, busy_timeout_s=busy_timeout_s)
