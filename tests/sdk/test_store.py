"""The store, on a real SQLite file and on a real PostgreSQL server: the same tests, the same answers."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.engine import make_url

from tuneport.database import MIGRATIONS, Database, Migration
from tuneport.errors import JobNotFoundError, NameTakenError, NotInstalledError, SpecError, StoreError, TuneportError
from tuneport.ids import new_job_id
from tuneport.status import JobStatus, utcnow
from tuneport.store import JobRecord, Store, _schema

START = datetime(2026, 3, 1, 12, 0, 0, 123000, tzinfo=UTC)
_numbers = count()


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


def make(**changes: Any) -> JobRecord:
    job_id = changes.pop("id", None) or new_job_id()
    fields: dict[str, Any] = {
        "id": job_id,
        "tag": job_id,
        "backend": "local",
        "model": "starter",
        "status": "preparing",
        "created_at": START,
        "updated_at": START,
        "spec": {"schema_version": 1},
        "host": "here",
        "home": "/home",
    }
    return JobRecord.model_validate(fields | changes)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, home: Path) -> str:
    """An empty database."""
    if request.param == "sqlite":
        home.mkdir()
        return f"sqlite:///{home}/tuneport.db"
    server: str = request.getfixturevalue("postgres_url")
    schema = f"test_{next(_numbers)}"  # as good as a database of its own, and a hundred times quicker to make
    with raw(server) as connection:
        connection.execute(text(f"CREATE SCHEMA {schema}"))
    return f"{server}&options=-csearch_path%3D{schema}"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(url: str, clock: Clock) -> Iterator[Store]:
    store = Store.open(url, clock=clock)
    yield store
    store.close()


@contextmanager
def raw(url: str) -> Iterator[Any]:
    """A connection beside tuneport's own, as another program would have it."""
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        yield connection
    engine.dispose()


# ---- records


def test_what_is_stored_comes_back_the_same(store: Store) -> None:
    record = make(
        name="triage",
        created_at=datetime(2026, 3, 1, 14, 0, 0, 1, tzinfo=timezone(timedelta(hours=5, minutes=30))),
        spec={"schema_version": 1, "z": [1, 2.5, None, True], "a": {"b": "é 漢字 😀 \0 \ud800"}},
        plan={"steps": 10},
        ref={"job": "ftjob-1"},
        directory="/somewhere/é",
        attempt=3,
        error="it broke",
        resumable=True,
        result={"loss": float("inf")},
        metadata={"team": "a"},
    )
    store.insert(record)
    back = store.get(record.id)
    assert back == record
    assert list(back.spec) == ["schema_version", "z", "a"]
    assert (back.created_at, back.created_at.tzinfo) == (record.created_at, UTC)
    assert store.get("triage") == record
    assert [store.get(record.id)] == store.list()


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(spec=st.dictionaries(st.text(), _json, max_size=3), at=st.datetimes(timezones=st.just(UTC)))
def test_any_json_and_any_time_come_back_the_same(store: Store, spec: dict[str, Any], at: datetime) -> None:
    record = make(spec=spec, created_at=at)
    store.insert(record)
    assert store.get(record.id) == record


def test_an_older_or_newer_spec_loads_as_it_is(store: Store) -> None:
    record = make(spec={"schema_version": 99, "from_the_future": {"x": 1}})
    store.insert(record)
    assert store.get(record.id).spec == {"schema_version": 99, "from_the_future": {"x": 1}}


def test_text_that_one_database_would_refuse_is_refused_by_both(store: Store) -> None:
    for bad, reason in (("a\0b", "NUL character"), ("a\ud800b", "UTF-8")):
        with pytest.raises(StoreError, match=f"model .* of job .*{reason}"):
            store.insert(make().model_copy(update={"model": bad}))
        with pytest.raises(JobNotFoundError):
            store.get(bad)
        store.insert(record := make())
        with pytest.raises(StoreError, match="row hash"):
            store.add_row_hashes(record.id, "train", [bad])


def test_an_error_report_is_escaped_and_not_lost(store: Store) -> None:
    store.insert(record := make())
    assert store.update(record.id, error="killed\0 \udcff here").error == r"killed\x00 \udcff here"
    assert store.get(record.id).error == r"killed\x00 \udcff here"


def test_what_is_not_json_is_named(store: Store) -> None:
    with pytest.raises(StoreError, match=r"ref of job .* is not JSON.*PosixPath.*model_dump\(mode='json'\)"):
        store.insert(make(ref={"path": Path("/x")}))


def test_a_damaged_record_is_a_store_error(store: Store, url: str) -> None:
    store.insert(record := make())
    with raw(url) as connection:
        connection.execute(text("UPDATE tuneport_jobs SET spec = '{'"))
    with pytest.raises(StoreError, match=f"record of job {record.id} is damaged"):
        store.get(record.id)


# ---- names and ids


def test_a_taken_name_says_whose_it_is(store: Store) -> None:
    store.insert(first := make(name="triage"))
    with pytest.raises(NameTakenError, match=f"'triage' belongs to job {first.id}") as caught:
        store.insert(make(name="triage"))
    assert caught.value.job_id == first.id
    store.insert(second := make())
    with pytest.raises(NameTakenError) as caught:
        store.update(second.id, name="triage")
    assert caught.value.job_id == first.id
    store.insert(make())  # any number of jobs without a name
    store.delete(first.id)
    assert store.update(second.id, name="triage").name == "triage"


def test_the_same_id_or_tag_twice_is_refused(store: Store) -> None:
    store.insert(record := make())
    for twin in (record, make(tag=record.tag)):
        with pytest.raises(StoreError, match="already stored"):
            store.insert(twin)


def test_a_prefix_finds_the_one_job_that_it_fits(store: Store) -> None:
    ids = ["tp-01aaaaaaaabbbbbbbbbbbbbbbb", "tp-01aaaaaaaacccccccccccccccc", "tp-01dddddd00dddddddddddddddd"]
    for job_id in ids:
        store.insert(make(id=job_id))
    assert store.get("tp-01dddd").id == ids[2]
    with pytest.raises(JobNotFoundError, match=f"several jobs: {ids[0]}, {ids[1]}; give more"):
        store.get("tp-01aaaaaa")
    for too_little in ("tp-01ddd", "tp-", "tp-01ddd%", "tp-______"):
        with pytest.raises(JobNotFoundError):
            store.get(too_little)


def test_a_missing_job_names_the_nearest(store: Store) -> None:
    with pytest.raises(JobNotFoundError, match="no job has the id or the name 'triage': there are none yet"):
        store.get("triage")
    store.insert(make(name="triage-v2"))
    with pytest.raises(JobNotFoundError, match="the nearest are triage-v2"):
        store.get("triage-v3")
    with pytest.raises(JobNotFoundError, match="`tuneport jobs` lists them"):
        store.get("zzz")


def test_the_list_is_newest_first_and_filtered(store: Store) -> None:
    for n in range(6):
        backend, status = ("openai", "queued") if n % 2 else ("local", "running")
        store.insert(make(name=f"job{n}", backend=backend, status=status, created_at=START + timedelta(seconds=n)))
    assert [record.name for record in store.list()] == ["job5", "job4", "job3", "job2", "job1", "job0"]
    assert [record.name for record in store.list(limit=2)] == ["job5", "job4"]
    assert [record.name for record in store.list(backend="openai", limit=None)] == ["job5", "job3", "job1"]
    assert [record.name for record in store.list(status=JobStatus.RUNNING)] == ["job4", "job2", "job0"]
    with pytest.raises(SpecError, match="'runing' is not a job status: did you mean 'running'"):
        store.list(status="runing")
    with pytest.raises(SpecError, match="limit is 0"):
        store.list(limit=0)


# ---- changes


def test_update_changes_what_it_names_and_the_time(store: Store, clock: Clock) -> None:
    store.insert(record := make(name="triage"))
    clock.now += timedelta(minutes=1)
    changed = store.update(record.id, status="running", ref={"pid": 7}, resumable=True)
    wanted = {"status": JobStatus.RUNNING, "ref": {"pid": 7}, "resumable": True, "updated_at": clock.now}
    assert changed == record.model_copy(update=wanted) == store.get(record.id)


def test_update_refuses_what_it_must_not_touch(store: Store) -> None:
    store.insert(record := make())
    with pytest.raises(StoreError, match="no column 'stauts' that may be updated: did you mean 'status'"):
        store.update(record.id, stauts="running")
    for fixed in ("id", "tag", "created_at", "updated_at", "result"):
        with pytest.raises(StoreError, match=f"'{fixed}'"):
            store.update(record.id, **{fixed: None})
    for column, value in (("status", "finished"), ("attempt", 0), ("attempt", 2**40), ("spec", None), ("host", 5)):
        with pytest.raises(StoreError, match=f"{column} of job {record.id} cannot be"):
            store.update(record.id, **{column: value})
    assert store.get(record.id) == record
    with pytest.raises(JobNotFoundError):
        store.update("tp-none", status="running")


def test_two_updates_at_once_lose_nothing(store: Store) -> None:
    store.insert(record := make())
    with ThreadPoolExecutor(8) as pool:
        for n in range(20):
            status, ref = pool.submit(store.update, record.id, status="running"), {"n": n}
            pool.submit(store.update, record.id, ref=ref).result()
            status.result()
            assert (store.get(record.id).status, store.get(record.id).ref) == ("running", ref)


def test_a_result_is_written_once(store: Store) -> None:
    store.insert(record := make())
    result = {"loss": float("nan"), "curve": [1, 2]}
    store.set_result(record.id, result)
    store.set_result(record.id, {"curve": [1, 2], "loss": float("nan")})  # the same, so nothing is lost
    with pytest.raises(StoreError, match="already has a result"):
        store.set_result(record.id, {"loss": 1})
    stored = store.get(record.id).result
    assert stored is not None
    assert stored["curve"] == [1, 2]
    with pytest.raises(JobNotFoundError):
        store.set_result("tp-none", {})


# ---- owners


def test_a_claim_is_renewed_by_its_owner_and_taken_when_it_expires(store: Store, clock: Clock) -> None:
    store.insert(record := make())
    assert store.owner(record.id) is None
    assert store.claim(record.id, "a", 10)
    assert not store.claim(record.id, "b", 10)
    clock.now += timedelta(seconds=9)
    assert store.claim(record.id, "a", 10)
    clock.now += timedelta(seconds=9)
    assert not store.claim(record.id, "b", 10)
    assert store.owner(record.id) == ("a", START + timedelta(seconds=19))
    clock.now += timedelta(seconds=1)
    assert store.owner(record.id) is None
    assert store.claim(record.id, "b", 10)
    assert not store.claim(record.id, "a", 10)
    store.release(record.id, "a")  # no longer a's to give back
    assert not store.claim(record.id, "a", 10)
    store.release(record.id, "b")
    assert store.claim(record.id, "a", 10)


def test_a_claim_must_make_sense(store: Store) -> None:
    with pytest.raises(JobNotFoundError):
        store.claim("tp-none", "a", 10)
    for seconds in (0, -1, float("nan"), float("inf")):
        with pytest.raises(StoreError, match="a claim of"):
            store.claim("tp-none", "a", seconds)


def test_one_of_many_threads_wins(store: Store) -> None:
    for _ in range(5):
        store.insert(record := make())
        with ThreadPoolExecutor(16) as pool:
            won = list(pool.map(lambda n, job_id=record.id: store.claim(job_id, f"thread {n}", 60), range(16)))
        assert won.count(True) == 1


# ---- row hashes


def test_row_hashes_overlap(store: Store) -> None:
    store.insert(record := make())
    store.insert(other := make())
    rows = [f"{n:064x}" for n in range(1234)]
    store.add_row_hashes(record.id, "train", (row for row in [*rows, *rows[:5]]))
    store.add_row_hashes(record.id, "train", rows[:3])
    store.add_row_hashes(record.id, "validation", ["v1", rows[0]])
    store.add_row_hashes(record.id, "test", [])
    assert store.row_hashes(record.id, "train") == set(rows)
    assert store.row_hashes(record.id) == {*rows, "v1"}
    assert store.row_hashes(record.id, "test") == store.row_hashes(other.id) == set()
    assert store.overlapping(record.id, ["new", "v1", rows[9], "v1", rows[1], "\0"]) == ["v1", rows[9], rows[1]]
    assert store.overlapping(record.id, ["v1", rows[9]], split="train") == [rows[9]]
    assert store.overlapping(record.id, rows) == rows
    assert store.overlapping(other.id, rows) == []
    for ask in (
        store.row_hashes,
        lambda job: store.overlapping(job, rows),
        lambda job: store.add_row_hashes(job, "t", rows),
    ):
        with pytest.raises(JobNotFoundError):
            ask("tp-none")


def test_row_hashes_are_added_whole_or_not_at_all(store: Store) -> None:
    store.insert(record := make())

    def rows() -> Iterator[str]:
        yield from (str(n) for n in range(1000))
        raise RuntimeError("the reader broke")

    with pytest.raises(RuntimeError):
        store.add_row_hashes(record.id, "train", rows())
    assert store.row_hashes(record.id) == set()


def test_delete_takes_hashes_and_owner_along(store: Store, url: str) -> None:
    store.insert(record := make())
    store.insert(kept := make())
    for job_id in (record.id, kept.id):
        store.add_row_hashes(job_id, "train", ["a", "b"])
        store.claim(job_id, "me", 60)
    store.delete(record.id)
    assert store.list() == [kept]
    with raw(url) as connection:
        for table in ("tuneport_row_hashes", "tuneport_owners"):
            assert set(connection.execute(text(f"SELECT job_id FROM {table}")).scalars()) == {kept.id}
    with pytest.raises(JobNotFoundError):
        store.delete(record.id)


# ---- processes

_CHILD = """
import os, sys, time
from sqlalchemy import text
from tuneport.store import JobRecord, Store
from tuneport.ids import new_job_id
from tuneport.status import utcnow

def record():
    job_id, now = new_job_id(), utcnow()
    return JobRecord(id=job_id, tag=job_id, backend="local", model="starter", status="preparing", created_at=now,
                     updated_at=now, spec={"rows": list(range(500))}, host="here", home="/home")

def say(*words):  # in one write, as several processes speak on one pipe
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

url, task, processes = sys.argv[1], sys.argv[2], int(sys.argv[3])
gate, opener = os.pipe()  # all begin at one moment: when the last writing end is closed
children = []
for _ in range(processes - 1):
    children.append(os.fork())
    if children[-1] == 0:
        children = []
        break
os.close(opener)
os.read(gate, 1)
store = Store.open(url)
exec(task)
sys.exit(any([os.waitpid(child, 0)[1] for child in children]))
"""


def start(url: str, task: str, processes: int = 1) -> subprocess.Popen[str]:
    """Processes that each open the store and run `task`, with one standard output."""
    command = [sys.executable, "-c", _CHILD, url, task, str(processes)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def lines_of(child: subprocess.Popen[str]) -> Iterator[str]:
    assert child.stdout is not None
    with child.stdout:
        for line in child.stdout:
            yield line.strip()


def test_eight_processes_create_the_database_and_insert_at_once(url: str) -> None:
    task = "for _ in range(5):\n    r = record()\n    store.insert(r)\n    store.update(r.id, status='queued')\n    say(r.id)"
    child = start(url, task, processes=8)
    printed = set(lines_of(child))
    assert child.wait() == 0
    store = Store.open(url)
    assert {r.id for r in store.list(status="queued")} == printed
    assert len(printed) == 40
    store.close()


def test_one_of_many_processes_wins_the_claim(url: str) -> None:
    store = Store.open(url)
    store.insert(record := make())
    child = start(url, f"say(os.getpid(), store.claim({record.id!r}, str(os.getpid()), 60))", processes=8)
    answers = dict(line.split() for line in lines_of(child))
    assert child.wait() == 0
    assert sorted(answers.values()) == ["False"] * 7 + ["True"]
    owner = store.owner(record.id)
    assert owner is not None
    assert answers[owner[0]] == "True"
    store.close()


def test_a_killed_process_leaves_whole_records(url: str) -> None:
    task = (
        "while True:\n    r = record()\n    store.insert(r)\n    say(r.id)\n"
        "    store.update(r.id, status='queued', ref={'n': 1})"
    )
    child = start(url, task)
    lines = lines_of(child)
    printed = [next(lines) for _ in range(10)]
    child.kill()
    printed += lines
    child.wait()
    store = Store.open(url)
    stored = {record.id: record for record in store.list(limit=None)}
    assert set(printed) <= stored.keys()
    for record in stored.values():
        assert record.spec == {"rows": list(range(500))}
        assert (record.status, record.ref) in [("preparing", None), ("queued", {"n": 1})]
    store.update(printed[0], status="interrupted")  # nothing is left locked
    store.close()


def test_a_process_killed_inside_a_transaction_leaves_nothing(url: str) -> None:
    child = start(
        url,
        "r = record()\nstore.insert(r)\nwith store._db.write() as connection:\n"
        "    connection.execute(text('DELETE FROM tuneport_jobs'))\n    say(r.id)\n    time.sleep(60)",
    )
    lines = lines_of(child)
    job_id = next(lines)
    child.kill()
    assert list(lines) == []
    child.wait()
    store = Store.open(url)
    assert store.update(job_id, status="failed").status == "failed"
    store.close()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_uses_its_own_connections(store: Store) -> None:
    store.insert(record := make())
    children = []
    for n in range(4):
        pid = os.fork()
        if pid == 0:
            try:
                store.insert(make(name=f"child{n}"))
                os._exit(0)
            except BaseException:
                os._exit(1)
        children.append(pid)
    for _ in range(20):
        assert store.get(record.id) == record
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 4
    assert {r.name for r in store.list()} == {None, "child0", "child1", "child2", "child3"}


# ---- schema


def test_the_schema_is_what_the_code_asks_for(store: Store, url: str) -> None:
    with raw(url) as connection:
        found = inspect(connection)
        tables = {name: {column["name"] for column in found.get_columns(name)} for name in found.get_table_names()}
    meta = tables.pop("tuneport_meta")
    assert meta == {"schema_version"}
    assert tables == {name: set(table.columns.keys()) for name, table in _schema.tables.items()}
    assert tables["tuneport_jobs"] == set(JobRecord.model_fields)


def test_an_older_database_moves_forward_and_keeps_its_jobs(url: str) -> None:
    Store.open(url).close()
    old = Store.open(url)
    old.insert(record := make())
    old.close()

    def add_a_column(connection: Any) -> None:
        connection.execute(text("ALTER TABLE tuneport_jobs ADD COLUMN colour TEXT"))
        connection.execute(text("UPDATE tuneport_jobs SET colour = 'blue'"))

    steps: list[Migration] = [*MIGRATIONS, add_a_column]
    with ThreadPoolExecutor(8) as pool:  # once, whoever comes first
        databases = list(pool.map(lambda _: Database(url, steps), range(8)))
    with databases[0].read() as connection:
        row = connection.execute(text("SELECT id, colour FROM tuneport_jobs")).one()
    assert tuple(row) == (record.id, "blue")
    for database in databases:
        database.close()
    with pytest.raises(StoreError, match=rf"schema version {len(steps)}, .* up to {len(MIGRATIONS)}: upgrade tuneport"):
        Store.open(url)


def test_a_migration_that_fails_changes_nothing(url: str) -> None:
    Store.open(url).close()

    def half(connection: Any) -> None:
        connection.execute(text("ALTER TABLE tuneport_jobs ADD COLUMN colour TEXT"))
        connection.execute(text("UPDATE no_such_table SET x = 1"))

    with pytest.raises(StoreError, match="no_such_table"):
        Database(url, [*MIGRATIONS, half])
    store = Store.open(url)
    store.insert(make())
    store.close()
    with raw(url) as connection:
        assert "colour" not in {column["name"] for column in inspect(connection).get_columns("tuneport_jobs")}


# ---- opening, and failing to


def test_the_default_is_a_private_wal_database_in_the_home(home: Path) -> None:
    store = Store.open()
    store.insert(record := make())
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    with sqlite3.connect(home / "tuneport.db") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("SELECT id FROM tuneport_jobs").fetchall() == [(record.id,)]
    connection.close()
    store.close()


def test_the_environment_names_the_database(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNEPORT_DATABASE_URL", url)
    store = Store.open()
    store.insert(record := make())
    store.close()
    store = Store.open(url.replace("postgresql://", "postgres://"))
    assert store.get(record.id) == record
    store.close()


def test_an_sqlite_file_that_cannot_be_used(tmp_path: Path) -> None:
    garbage = tmp_path / "garbage.db"
    garbage.write_bytes(b"this is not a database at all" * 100)
    for target, reason in {
        str(garbage): "not an SQLite database: move the file aside",
        str(tmp_path): "is a folder: name a file in it",
        str(tmp_path / "no" / "x.db"): "has no folder: create",
        ":memory:": "names no file",
        "": "names no file",
        "file:x?uri=true": "names no file",
        f"{tmp_path}/x.db?timeout=soon": "not a number of seconds",
    }.items():
        with pytest.raises(StoreError, match=reason):
            Store.open(f"sqlite:///{target}")


def test_a_damaged_sqlite_file(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    store = Store.open(f"sqlite:///{path}")
    for _ in range(50):
        store.insert(make(spec={"text": "x" * 2000}))
    content = bytearray(path.read_bytes())
    content[4096 * 2 :] = b"\xff" * (len(content) - 4096 * 2)
    path.write_bytes(content)
    with pytest.raises(StoreError, match="damaged: move the file aside"):
        store.list()


def test_a_locked_sqlite_file_says_so_after_the_timeout(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/x.db"
    Store.open(url).close()
    other = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    store = Store.open(f"{url}?timeout=0.2")
    assert store.list() == []  # readers go on
    with pytest.raises(StoreError, match="locked by another process: end the one"):
        store.insert(make())
    other.execute("ROLLBACK")
    store.insert(make())
    other.close()


@contextmanager
def unprivileged() -> Iterator[None]:
    """Not root for a while, as permissions do not bind root."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


def test_a_read_only_sqlite_file() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.db"
        Store.open(f"sqlite:///{path}").close()
        path.chmod(0o444)
        path.parent.chmod(0o555)
        try:
            with unprivileged(), pytest.raises(StoreError, match="writable for this user, or set TUNEPORT_HOME"):
                Store.open(f"sqlite:///{path}").insert(make())
        finally:
            path.parent.chmod(0o755)


def test_urls_that_no_store_can_be_kept_in() -> None:
    for url in (
        "mysql://me:hunter2@host/db",
        "postgresql+asyncpg://me:hunter2@host/db",
        "nonsense hunter2",
        "x:hunter2",
    ):
        with pytest.raises(
            StoreError, match=r"sqlite:////absolute/path\.db or postgresql://user@host/database"
        ) as caught:
            Store.open(url)
        assert "hunter2" not in str(caught.value)


def test_a_server_that_is_not_there() -> None:
    with pytest.raises(
        StoreError, match=r"cannot be reached: .*Start the server, or correct TUNEPORT_DATABASE_URL"
    ) as e:
        Store.open("postgresql://me:hunter2@127.0.0.1:1/db?sslpassword=hunter+3%2F")
    assert "hunter" not in str(e.value)
    assert "postgresql://me:***@127.0.0.1:1/db" in str(e.value)


@pytest.mark.postgres
def test_no_password_is_shown(postgres_url: str) -> None:
    password = make_url(postgres_url).password
    assert password is not None
    store = Store.open(postgres_url)
    texts = [repr(store), str(store)]
    wrong = [
        postgres_url.replace(password, password + "x"),
        postgres_url.replace("/postgres?", "/no_such_database?"),
        postgres_url.replace("?host=", f"?host=/no/{password}"),
        postgres_url.replace("?", f"?password={password}y&"),
        postgres_url.replace("?", f"?{password}=1&"),
    ]
    for url in wrong:
        with pytest.raises(TuneportError) as caught:
            Store.open(url)
        texts += [str(caught.value), repr(caught.value), str(caught.value.__cause__)]
    with pytest.raises(StoreError) as caught, store._db.write() as connection:
        connection.execute(text("SELECT * FROM secrets WHERE x = :x"), {"x": password})
    texts.append(str(caught.value))
    store.close()
    assert not [shown for shown in texts if password in shown]


@pytest.mark.postgres
def test_a_restarted_connection_is_replaced(postgres_url: str) -> None:
    store = Store.open(postgres_url)
    store.list()
    with raw(postgres_url) as connection:
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tuneport'"
        connection.execute(text(others))
    assert isinstance(store.list(), list)
    store.close()


def test_postgresql_without_its_driver_names_the_extra(tmp_path: Path) -> None:
    code = (
        "import importlib.util as u; real = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'psycopg' else real(name, *a)\n"
        "from tuneport.store import Store\nfrom tuneport.errors import NotInstalledError\n"
        "try: Store.open('postgresql://localhost/x')\nexcept NotInstalledError as e: print(e.extra, e)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "postgres a PostgreSQL job database needs psycopg: pip install 'tuneport[postgres]'\n"
    assert issubclass(NotInstalledError, ImportError)


def test_the_clock_is_the_callers(url: str) -> None:
    clock: Callable[[], datetime] = utcnow
    store = Store.open(url, clock=clock)
    store.insert(record := make())
    assert store.update(record.id, status="queued").updated_at > START
    store.close()
