"""Where the latency database is when nobody says; SQLAlchemy, which takes a while to import, is not needed to know."""

import os
from pathlib import Path

from tvm_narcost.errors import DatabaseError

__all__ = ["chosen_place"]


def chosen_place(url: str | None) -> str:
    """The given path or URL, else ``NARCOST_DATABASE``, else the path of a SQLite file in the user's data directory.

    Raises:
        DatabaseError: it holds a null byte.
    """
    chosen = url or os.environ.get("NARCOST_DATABASE") or str(_default_path())
    if "\0" in chosen:
        raise DatabaseError(f"database {chosen!r}: holds a null byte, expected a path or a URL")
    return chosen


def _default_path() -> Path:
    from platformdirs import user_data_dir

    return Path(user_data_dir("narcost")) / "latency.sqlite"
