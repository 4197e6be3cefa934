"""Opening: defaults, older and newer schemas, and every file that is no database of ours."""

import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tvm_narcost.database import NetworkRecord, open_database
from tvm_narcost.errors import DatabaseError


def _set_revision(path: Path, revision: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    connection.close()


def test_the_migrations_make_the_tables_that_the_code_has(tmp_path: Path) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    from tvm_narcost.database import migrations
    from tvm_narcost.database.connection import connect, resolve_url
    from tvm_narcost.database.tables import HEAD, Base

    engine = connect(resolve_url(str(tmp_path / "a.sqlite")), 1.0)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    engine.dispose()
    (folder,) = migrations.__path__
    assert ScriptDirectory(folder).get_current_head() == HEAD


def test_commits_outlive_a_power_cut(tmp_path: Path) -> None:
    from tvm_narcost.database.connection import connect, resolve_url

    engine = connect(resolve_url(str(tmp_path / "a.sqlite")), 1.0)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
    engine.dispose()


def test_the_default_is_the_environment_variable_then_the_user_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NARCOST_DATABASE", str(tmp_path / "new" / "mine.sqlite"))
    open_database().close()
    assert (tmp_path / "new" / "mine.sqlite").is_file()
    monkeypatch.delenv("NARCOST_DATABASE")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    with open_database() as database:
        assert database.url == f"sqlite:///{tmp_path}/home/narcost/latency.sqlite"


def test_a_file_that_is_missing_is_found_missing_without_sqlalchemy(tmp_path: Path) -> None:
    """`narcost predict` asks so each time; importing SQLAlchemy takes a tenth of what it takes in all."""
    asked = f"from tvm_narcost.database import database_is_there; print(database_is_there({str(tmp_path / 'a')!r}))"
    program = f"import sys; {asked}; print('sqlalchemy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_an_empty_file_is_a_fresh_database(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    path.touch()
    with open_database(str(path)) as database:
        assert database.profiles() == ()


def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    open_database(str(path)).close()
    _set_revision(path, "9999")
    with pytest.raises(DatabaseError, match=r"'9999', expected at most '\d+'.*newer narcost; upgrade"):
        open_database(str(path))
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("9999",)]
    connection.close()


@pytest.mark.parametrize(
    "content", [b"not a database " * 500, b"SQLite format 3\0" + b"\xff" * 4000, b"\0" * 5000, b"x"]
)
def test_a_file_of_something_else_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.sqlite"
    path.write_bytes(content)
    with pytest.raises(DatabaseError, match=r"not a database|malformed"):
        open_database(str(path))
    assert path.read_bytes() == content


def test_a_truncated_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    open_database(str(path)).close()
    path.write_bytes(path.read_bytes()[:6000])
    with pytest.raises(DatabaseError), open_database(str(path)) as database:
        database.stats()


def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE cookies (id INTEGER)")
    connection.close()
    with pytest.raises(DatabaseError, match=r"\['cookies'\] and no narcost revision"):
        open_database(str(path))


def test_a_database_that_lacks_a_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    open_database(str(path)).close()
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE kernel_times")
    connection.close()
    with pytest.raises(DatabaseError, match=r"lacks tables \['kernel_times'\]"):
        open_database(str(path))


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nosuchdriver://host/name", "nosuchdriver.*expected a database whose driver is installed"),
        ("post gres://", "expected a path or a URL"),
        ("sqlite:////proc/nowhere/a.sqlite", "cannot make its directory"),
        ("/proc/version", "database"),
        ("/", "unable to open"),
        ("a\0b", "null byte"),
    ],
)
def test_what_cannot_be_opened_says_why(url: str, message: str) -> None:
    with pytest.raises(DatabaseError, match=message):
        open_database(url)


def test_a_password_is_not_shown() -> None:
    with pytest.raises(DatabaseError) as caught:
        open_database("nosuchdriver://me:secret@host/name")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("lock", ["BEGIN EXCLUSIVE", "BEGIN IMMEDIATE"])
def test_a_lock_is_waited_for_and_then_given_up(tmp_path: Path, lock: str) -> None:
    path = tmp_path / "a.sqlite"
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute(lock)
    started = time.monotonic()
    with pytest.raises(DatabaseError, match="locked; another process holds it"):
        open_database(str(path), busy_timeout_s=0.3)
    assert 0.2 < time.monotonic() - started < 5
    holder.close()
    open_database(str(path)).close()


def test_a_writer_waits_for_another_one(tmp_path: Path) -> None:
    from relay_frontend.graph import OpGraph

    path = tmp_path / "a.sqlite"
    network = NetworkRecord("f", "n", {"zoo": "f", "seed": 1}, OpGraph("g", (), (), (), ()))
    with open_database(str(path), busy_timeout_s=0.2) as database:
        holder = sqlite3.connect(path, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseError, match="locked"):
            database.link(network)
        assert dict(database.stats().rows)["sources"] == 0  # readers are not held up
        holder.execute("ROLLBACK")
        database.link(network)
        assert dict(database.stats().rows)["sources"] == 1
        holder.close()


def test_two_processes_may_make_the_same_database(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from tvm_narcost.database import open_database as o; print(o().stats().revision)"]
    environment = {
        **os.environ,
        "NARCOST_DATABASE": str(tmp_path / "a.sqlite"),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    started = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate()[0].strip() for process in started] == ["0001"] * 2


def test_importing_the_package_and_reopening_are_cheap(tmp_path: Path) -> None:
    open_database(str(tmp_path / "a.sqlite")).close()
    code = (
        "import sys, tvm_narcost.database as d; assert 'sqlalchemy' not in sys.modules;"
        f"d.open_database({str(tmp_path / 'a.sqlite')!r}); print('alembic' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
