"""From a URL to an engine whose schema is current; every driver error becomes a DatabaseError."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, OperationalError, SQLAlchemyError

from tvm_narcost.database.place import chosen_place
from tvm_narcost.database.tables import HEAD, Base
from tvm_narcost.errors import DatabaseError

__all__ = ["connect", "reading", "resolve_url", "typed_errors", "writing"]

_SQLITE_MAGIC = b"SQLite format 3\0"
_MIGRATIONS = Path(__file__).parent / "migrations"


def resolve_url(url: str | None) -> URL:
    """The URL to open, see :func:`tvm_narcost.database.place.chosen_place`.

    Raises:
        DatabaseError: no URL that SQLAlchemy can parse.
    """
    chosen = chosen_place(url)
    if "://" not in chosen:
        return URL.create("sqlite", database=str(Path(chosen).expanduser()))
    try:
        return make_url(chosen)
    except (ArgumentError, ValueError) as error:
        raise DatabaseError(
            f"database {chosen!r}: {error}, expected a path or a URL such as postgresql+psycopg://user@host/name"
        ) from error


def connect(url: URL, busy_timeout_s: float) -> Engine:
    """An engine on a database that exists and is at ``HEAD``.

    Raises:
        DatabaseError: locked, of a newer narcost, or not a latency database.
    """
    engine = _make_engine(url, busy_timeout_s)
    try:
        with typed_errors(engine):
            with reading(engine) as connection:
                revision = _revision(connection)
            if revision != HEAD:
                with writing(engine) as connection:
                    _migrate(connection)
    except DatabaseError:
        engine.dispose()
        raise
    return engine


def _make_engine(url: URL, busy_timeout_s: float) -> Engine:
    is_sqlite = url.get_backend_name() == "sqlite"
    if is_sqlite and url.database and url.database != ":memory:":
        _check_file(Path(url.database))
    try:
        engine = create_engine(url, connect_args={"timeout": busy_timeout_s} if is_sqlite else {})
    except (NoSuchModuleError, ModuleNotFoundError, ArgumentError) as error:
        shown = url.render_as_string(hide_password=True)
        raise DatabaseError(
            f"database {shown}: {error}, expected a database whose driver is installed; for PostgreSQL install "
            "'psycopg[binary]' and write postgresql+psycopg://"
        ) from error
    if is_sqlite:
        event.listen(engine, "connect", lambda connection, _record: _set_pragmas(connection, busy_timeout_s))
        event.listen(engine, "begin", _begin)
    return engine


def _check_file(path: Path) -> None:
    """Make the directory of a new file; see that one that is there is a database (SQLite overwrites short ones)."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatabaseError(
            f"database {str(path)!r}: cannot make its directory ({error}); give another path with --database"
        ) from error
    try:
        with path.open("rb") as file:
            magic = file.read(len(_SQLITE_MAGIC))
    except FileNotFoundError:
        return
    except OSError as error:
        raise DatabaseError(
            f"database {str(path)!r}: unable to open it ({error.strerror}), expected a SQLite file; give another path"
        ) from error
    if magic and magic != _SQLITE_MAGIC:
        raise DatabaseError(
            f"database {str(path)!r}: is not a database, it begins with {magic!r}, expected a SQLite file of narcost; "
            "give another path"
        )


def _set_pragmas(connection: Any, busy_timeout_s: float) -> None:
    connection.isolation_level = None  # the sqlite3 module must not begin transactions of its own, see _begin
    deadline = time.monotonic() + busy_timeout_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL").close()
            break
        except sqlite3.OperationalError as error:  # the one statement for which SQLite itself does not wait
            if "locked" not in str(error) or time.monotonic() >= deadline:
                raise
            time.sleep(0.02)
    # FULL: a commit costs a few milliseconds beside a sample's seconds, and outlives a power cut too.
    connection.execute("PRAGMA synchronous=FULL").close()
    connection.execute("PRAGMA foreign_keys=ON").close()


def _begin(connection: Connection) -> None:
    # A writer takes its lock at once: upgrading a reader's snapshot fails without waiting when another has written.
    is_writer = connection.get_execution_options().get("narcost_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writer else "BEGIN")


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection for queries."""
    with engine.connect() as connection:
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A connection in one transaction: committed at the end, rolled back on any exception."""
    with engine.execution_options(narcost_write=True).begin() as connection:
        yield connection


@contextmanager
def typed_errors(engine: Engine) -> Iterator[None]:
    """Turn the driver's errors into DatabaseError with the next step."""
    try:
        yield
    except SQLAlchemyError as error:
        what = f"database {engine.url.render_as_string(hide_password=True)}"
        cause = str(getattr(error, "orig", None) or error).splitlines()[0]
        if "locked" in cause or "busy" in cause:
            step = "another process holds it; wait for that one to end, or give another with --database"
        elif "not a database" in cause or "malformed" in cause:
            step = "expected a SQLite file of narcost; give another path, or restore a copy"
        elif isinstance(error, OperationalError):
            step = "check that it can be reached and written, or give another with --database"
        else:
            step = "expected a latency database of this narcost; give another with --database"
        raise DatabaseError(f"{what}: {cause}; {step}") from error


def _revision(connection: Connection) -> str | None:
    """The migration that the database is at; None when it is empty.

    Raises:
        DatabaseError: it holds tables of something else.
    """
    tables = set(inspect(connection).get_table_names())
    what = f"database {connection.engine.url.render_as_string(hide_password=True)}"
    if "alembic_version" in tables:
        revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        missing = sorted(set(Base.metadata.tables) - tables) if revision == HEAD else []
        if revision is not None and not missing:
            return str(revision)
        raise DatabaseError(f"{what}: says revision {revision!r} but lacks tables {missing}; give another path")
    ours = tables & set(Base.metadata.tables)
    if tables and (ours or connection.dialect.name == "sqlite"):
        raise DatabaseError(
            f"{what}: holds tables {sorted(tables)[:5]} and no narcost revision, expected an empty database or one "
            "that narcost made; give another path"
        )
    return None


def _migrate(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    revision = _revision(connection)  # again, now that no other process can migrate
    if revision is not None and revision not in known:
        raise DatabaseError(
            f"database {connection.engine.url.render_as_string(hide_password=True)}: got schema revision "
            f"{revision!r}, expected at most {HEAD!r}: it was written by a newer narcost; upgrade narcost "
            "(pip install -U tvm-narcost) or give another database"
        )
    command.upgrade(config, "head")
