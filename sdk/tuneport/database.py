"""The database under the store: which URL, how it is opened, how its schema moves forward, how its errors read.

SQLite and PostgreSQL alone. Every error of theirs becomes a `StoreError` of one sentence that never shows a password.
"""

from __future__ import annotations

import os
import re
import sqlite3
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

from sqlalchemy import Connection, Engine, NullPool, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, SQLAlchemyError

from tuneport.errors import NotInstalledError, StoreError
from tuneport.home import home, refuse_network_file_system

BUSY_SECONDS = 30.0  # how long a writer waits for another one's transaction; `?timeout=` in an SQLite URL changes it
CONNECT_SECONDS = 10  # for PostgreSQL; `?connect_timeout=` in its URL changes it
_MIGRATION_LOCK = 0x7475_6E65_706F_7274  # "tuneport": PostgreSQL's advisory locks are numbers
_FORMS = "sqlite:////absolute/path.db or postgresql://user@host/database"

Migration = Callable[[Connection], None]


class Conflict(StoreError):
    """A unique or foreign key was violated. The store turns it into what it means; users never see it."""


def _create_everything(connection: Connection) -> None:
    # Plain statements, valid in both databases, and frozen: what version 1 was must not follow the code of later ones.
    for statement in (
        """CREATE TABLE tuneport_jobs (
            id TEXT PRIMARY KEY, tag TEXT NOT NULL UNIQUE, name TEXT UNIQUE, backend TEXT NOT NULL, model TEXT NOT NULL,
            status TEXT NOT NULL, created_at TEXT NOT NULL, updated_at TEXT NOT NULL, spec TEXT NOT NULL, plan TEXT,
            ref TEXT, host TEXT NOT NULL, home TEXT NOT NULL, directory TEXT, attempt INTEGER NOT NULL, error TEXT,
            resumable BOOLEAN NOT NULL, result TEXT, metadata TEXT NOT NULL)""",
        "CREATE INDEX tuneport_jobs_newest ON tuneport_jobs (created_at, id)",
        """CREATE TABLE tuneport_owners (
            job_id TEXT PRIMARY KEY REFERENCES tuneport_jobs (id) ON DELETE CASCADE,
            owner TEXT NOT NULL, expires_at TEXT NOT NULL)""",
        """CREATE TABLE tuneport_row_hashes (
            job_id TEXT NOT NULL REFERENCES tuneport_jobs (id) ON DELETE CASCADE,
            hash TEXT NOT NULL, split TEXT NOT NULL, PRIMARY KEY (job_id, hash, split))""",
    ):
        connection.execute(text(statement))


def _keep_events(connection: Connection) -> None:
    # What a hosted job's provider said, numbered by us: a provider's own list may be cut short or gone later.
    connection.execute(
        text(
            """CREATE TABLE tuneport_events (
            job_id TEXT NOT NULL REFERENCES tuneport_jobs (id) ON DELETE CASCADE,
            seq INTEGER NOT NULL, key TEXT NOT NULL, event TEXT NOT NULL,
            PRIMARY KEY (job_id, seq), UNIQUE (job_id, key))"""
        )
    )


# The schema's version is how many of these have run. Append; never edit one that was released.
MIGRATIONS: tuple[Migration, ...] = (_create_everything, _keep_events)


class Database:
    """One opened database at the newest schema. `read()` and `write()` give a connection inside a transaction."""

    def __init__(self, url: str | None = None, migrations: Sequence[Migration] = MIGRATIONS) -> None:
        self._url = _parse(url or os.environ.get("TUNEPORT_DATABASE_URL") or f"sqlite:///{home() / 'tuneport.db'}")
        self._secrets = [str(self._url.password)] if self._url.password else []
        self._secrets += [str(value) for key, value in self._url.query.items() if "password" in key]
        self._pid = os.getpid()
        try:
            self._engine = _sqlite(self._url) if self.is_sqlite else _postgresql(self._url)
        except SQLAlchemyError as error:
            raise self._explained(error) from None
        self._writer = self._engine.execution_options(tuneport_begin="BEGIN IMMEDIATE")
        try:
            if self.is_sqlite:
                self._use_wal()
            self._migrate(migrations)
        except BaseException:
            self.close()
            raise

    @property
    def is_sqlite(self) -> bool:
        return self._url.get_backend_name() == "sqlite"

    def __str__(self) -> str:
        """Where it is, without a password."""
        if self.is_sqlite:
            return str(self._url.database)
        return self._masked(self._url.set(drivername="postgresql").render_as_string(hide_password=True))

    @contextmanager
    def read(self) -> Generator[Connection]:
        with self._transaction(self._engine) as connection:
            yield connection

    @contextmanager
    def write(self) -> Generator[Connection]:
        # SQLite takes its write lock at the start: a read that became a write later could not wait for it, only fail.
        with self._transaction(self._writer) as connection:
            yield connection

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def _transaction(self, engine: Engine) -> Generator[Connection]:
        if self._pid != os.getpid():  # forked: the pooled connections are the parent's, and two may not speak on one
            engine.dispose(close=False)
            self._pid = os.getpid()
        try:
            with engine.begin() as connection:
                yield connection
        except IntegrityError as error:
            raise Conflict(self._explained(error).message) from None
        except SQLAlchemyError as error:
            raise self._explained(error) from None

    def _use_wal(self) -> None:
        # Kept in the file, so it is set once. SQLite does not wait for other openers here, so this does.
        deadline = time.monotonic() + _busy_seconds(self._url)
        while True:
            try:
                connection = self._engine.raw_connection()  # outside a transaction, where alone the mode can change
                try:
                    cursor = connection.cursor()
                    cursor.execute("PRAGMA journal_mode")
                    if cursor.fetchone() != ("wal",):
                        cursor.execute("PRAGMA journal_mode = WAL")
                finally:
                    connection.close()
                return
            except (SQLAlchemyError, sqlite3.Error) as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise self._explained(error) from None
                time.sleep(0.02)

    def _migrate(self, migrations: Sequence[Migration]) -> None:
        with self.read() as connection:
            version = self._version(connection, newest=len(migrations))
        if version == len(migrations):
            return
        with self.write() as connection:  # one transaction: all the steps or none
            if not self.is_sqlite:
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
            version = self._version(connection, newest=len(migrations))  # another opener may have been faster
            if version is None:
                connection.execute(text("CREATE TABLE tuneport_meta (schema_version INTEGER NOT NULL)"))
                connection.execute(text("INSERT INTO tuneport_meta VALUES (0)"))
            for migration in migrations[version or 0 :]:
                migration(connection)
            connection.execute(text("UPDATE tuneport_meta SET schema_version = :v"), {"v": len(migrations)})

    def _version(self, connection: Connection, newest: int) -> int | None:
        if not inspect(connection).has_table("tuneport_meta"):
            return None
        version = connection.execute(text("SELECT schema_version FROM tuneport_meta")).scalar_one()
        if version > newest:
            raise StoreError(
                f"the job database {self} has schema version {version}, and this tuneport knows those up to {newest}: "
                "upgrade tuneport (pip install -U tuneport), or point TUNEPORT_DATABASE_URL at another database"
            )
        return int(version)

    def _masked(self, words: str) -> str:
        for secret in self._secrets:
            words = words.replace(secret, "***").replace(quote_plus(secret), "***")
        return words

    def _explained(self, error: Exception) -> StoreError:
        cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
        lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
        words = lines[0] if lines else type(cause).__name__
        words = self._masked(words)
        if not self.is_sqlite:
            if getattr(cause, "sqlstate", None) is None:  # no server has spoken
                return StoreError(
                    f"the job database {self} cannot be reached: {words}. Start the server, or correct "
                    "TUNEPORT_DATABASE_URL (unset, it is an SQLite file in TUNEPORT_HOME)"
                )
            return StoreError(f"the job database {self} refused: {words}. Check its user, its rights and its disk")
        for sign, fix in _SQLITE_FIXES.items():
            if sign in words:
                return StoreError(f"the job database {self} {fix} (SQLite: {words})")
        return StoreError(
            f"the job database {self} failed: {words}. Check that its disk has room and that you may write there"
        )


_SQLITE_FIXES = {
    "locked": "is locked by another process: end the one that holds it (`lsof` on the file names it), then try again",
    "readonly": "is read-only: make the file and its folder writable for this user, or set TUNEPORT_HOME",
    "unable to open": "cannot be opened: make its folder writable for this user, or set TUNEPORT_HOME",
    "not a database": "is not an SQLite database: move the file aside, or point TUNEPORT_DATABASE_URL at another",
    "malformed": "is damaged: move the file aside and restore a copy; jobs at a provider go on without it",
    "full": "has no room left: free some space on its disk, then try again",
}


def _parse(given: str) -> URL:
    try:
        url = make_url(given)
    except (ArgumentError, ValueError):
        # Not shown: what cannot be parsed may still hold a password.
        raise StoreError(f"the database URL cannot be read: it must look like {_FORMS}") from None
    if url.drivername in {"postgres", "postgresql", "postgresql+psycopg"}:
        return url.set(drivername="postgresql+psycopg")
    if url.drivername not in {"sqlite", "sqlite+pysqlite"}:
        raise StoreError(f"the database URL begins with {url.drivername!r}, which is not supported: use {_FORMS}")
    name = url.database or ""
    if name in {"", ":memory:"} or name.startswith("file:"):
        raise StoreError(f"the database URL names no file ({name!r}), so the jobs would be lost: use {_FORMS}")
    path = Path(name).expanduser().absolute()  # absolute, as the application may change its folder between two calls
    if path.is_dir():
        raise StoreError(f"the job database {path} is a folder: name a file in it, such as {path / 'tuneport.db'}")
    if not path.parent.is_dir():
        raise StoreError(f"the job database {path} has no folder: create {path.parent}, or correct the URL")
    refuse_network_file_system(path)
    return url.set(database=str(path))


def _sqlite(url: URL) -> Engine:
    # A connection a transaction (about 0.2 ms): none outlives its call, so none is shared by threads or across a fork.
    engine = create_engine(url, poolclass=NullPool, hide_parameters=True, connect_args={"timeout": _busy_seconds(url)})

    def connected(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # Python's sqlite3 then leaves BEGIN to us, also around CREATE TABLE
        connection.execute("PRAGMA foreign_keys = ON")
        # FULL and not NORMAL: an intent that was committed before a paid call must outlive a power cut as well.
        connection.execute("PRAGMA synchronous = FULL")

    def begun(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get("tuneport_begin", "BEGIN"))

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", begun)
    return engine


def _busy_seconds(url: URL) -> float:
    given = url.query.get("timeout", BUSY_SECONDS)
    try:
        return float(str(given))
    except ValueError:
        raise StoreError(f"timeout={given} in the database URL is not a number of seconds, such as timeout=5") from None


def _postgresql(url: URL) -> Engine:
    if find_spec("psycopg") is None:
        raise NotInstalledError(
            "a PostgreSQL job database needs psycopg: pip install 'tuneport[postgres]'", extra="postgres"
        )
    # No prepared statements: a pooler such as pgbouncer gives each transaction another server connection.
    arguments: dict[str, Any] = {"prepare_threshold": None, "application_name": "tuneport"}
    if "connect_timeout" not in url.query:
        arguments["connect_timeout"] = CONNECT_SECONDS
    return create_engine(url, pool_pre_ping=True, hide_parameters=True, connect_args=arguments)


def unstorable(value: str) -> str | None:
    """Why no text column may hold `value`, or None. The same rule for both databases, so that a team can move."""
    if "\0" in value:
        return "it holds a NUL character, which PostgreSQL cannot keep"
    if re.search("[\ud800-\udfff]", value):
        return "it holds bytes that are not valid UTF-8"
    return None
