"""Every job in one database: what was asked for, what the backend calls it, how it stands, how it ended.

A record is committed before the first paid call (the intent), so whatever dies afterwards, the job can be found again.
Kept as text throughout (JSON, ISO times in UTC), so that the same value comes back from SQLite and from PostgreSQL.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Annotated, Any, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from sqlalchemy import Boolean, Column, Connection, ForeignKey, Integer, MetaData, Table, Text, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from tuneport.database import Conflict, Database, unstorable
from tuneport.errors import JobNotFoundError, NameTakenError, SpecError, StoreError
from tuneport.status import Event, JobStatus, utcnow
from tuneport.strict import suggest

_schema = MetaData()
_jobs = Table(
    "tuneport_jobs",
    _schema,
    Column("id", Text, primary_key=True),
    *(Column(name, Text) for name in ("tag", "name", "backend", "model", "status", "created_at", "updated_at", "spec")),
    *(Column(name, Text) for name in ("plan", "ref", "result", "metadata", "host", "home", "directory", "error")),
    Column("attempt", Integer),
    Column("resumable", Boolean),
)
_owners = Table(
    "tuneport_owners",
    _schema,
    Column("job_id", Text, ForeignKey("tuneport_jobs.id"), primary_key=True),
    Column("owner", Text),
    Column("expires_at", Text),
)
_hashes = Table(
    "tuneport_row_hashes",
    _schema,
    Column("job_id", Text, ForeignKey("tuneport_jobs.id"), primary_key=True),
    Column("hash", Text, primary_key=True),
    Column("split", Text, primary_key=True),
)

_events = Table(
    "tuneport_events",
    _schema,
    Column("job_id", Text, ForeignKey("tuneport_jobs.id"), primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("key", Text),
    Column("event", Text),
)

_JSON = frozenset({"spec", "plan", "ref", "result", "metadata"})
_TIMES = frozenset({"created_at", "updated_at"})
_FIXED = frozenset({"id", "tag", "created_at", "updated_at", "result"})  # what `update` may not touch
_SHORTEST_PREFIX = 6  # characters after "tp-"
_BATCH = 500  # values in one statement, below every limit of both databases


def _utc(value: datetime) -> datetime:
    return value.astimezone(UTC)


def _printable(value: Any) -> Any:
    # A report, perhaps with a program's last words: what a database refuses is escaped, as losing it would be worse.
    return (
        value.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00") if isinstance(value, str) else value
    )


UtcDatetime = Annotated[AwareDatetime, AfterValidator(_utc)]


class JobRecord(BaseModel):
    """One job. `spec`, `plan`, `ref` and `result` stay plain dicts, so that an old one loads in any later version."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: str
    tag: str = Field(description="what the provider is told to find the job by, also if the answer to submit was lost")
    name: str | None = None
    backend: str
    model: str
    status: JobStatus
    created_at: UtcDatetime
    updated_at: UtcDatetime
    spec: dict[str, Any] = Field(description="the dumped FineTuneSpec, as requested")
    plan: dict[str, Any] | None = Field(default=None, description="what the plan resolved, beside what was requested")
    ref: dict[str, Any] | None = Field(default=None, description="the backend's own; None: an intent, not submitted")
    host: str
    home: str
    directory: str | None = None
    attempt: int = Field(default=1, ge=1, lt=2**31)
    error: Annotated[str | None, BeforeValidator(_printable)] = None
    resumable: bool = False
    result: dict[str, Any] | None = Field(default=None, description="the dumped FineTuneResult, once it succeeded")
    metadata: dict[str, Any] = Field(default_factory=dict)


Records = list[JobRecord]  # `Store.list` hides the builtin inside the class
Hashes = list[str]
EventList = list[Event]


class Store:
    """The job database. Safe for threads, forks and many processes; every failure of it is a `StoreError`."""

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._db = database
        self._clock = clock
        self._insert = sqlite.insert if database.is_sqlite else postgresql.insert

    @classmethod
    def open(cls, url: str | None = None, *, clock: Callable[[], datetime] = utcnow) -> Self:
        """Open `url`, else `$TUNEPORT_DATABASE_URL`, else `tuneport.db` in the home; create or migrate it as needed.

        Raises `StoreError` where it cannot be opened, `NotInstalledError` for PostgreSQL without psycopg.
        """
        return cls(Database(url), clock)

    def __repr__(self) -> str:
        return f"Store({str(self._db)!r})"

    def close(self) -> None:
        self._db.close()

    def insert(self, record: JobRecord, *, owner: str | None = None, seconds: float = 120.0) -> None:
        """Commit a new job, before anything is spent on it; with `owner`, claimed for `seconds` in the same transaction,
        so that an intent without an owner is one whose process is gone. Raises `NameTakenError` with the job in `.job_id`.
        """
        row = {name: _encoded(record.id, name, getattr(record, name)) for name in JobRecord.model_fields}
        if owner is not None:
            _refuse_unstorable(record.id, "owner", owner)
        try:
            with self._db.write() as connection:
                connection.execute(_jobs.insert().values(row))
                if owner is not None:
                    expires = _time(self._clock() + timedelta(seconds=seconds))
                    connection.execute(_owners.insert().values(job_id=record.id, owner=owner, expires_at=expires))
        except Conflict:
            self._refuse_taken_name(record.id, record.name)
            raise StoreError(f"a job with the id {record.id!r} or the tag {record.tag!r} is already stored") from None

    def get(self, id_or_name: str) -> JobRecord:
        """The job with this id, else this name, else whose id alone begins so (6 characters or more after `tp-`).

        Raises `JobNotFoundError`, with the nearest ids and names, or with the ids where the prefix fits several.
        """
        with self._db.read() as connection:
            return self._get(connection, id_or_name)

    def list(self, backend: str | None = None, status: str | None = None, limit: int | None = 50) -> Records:
        """The newest jobs first, at most `limit` (None: all)."""
        query = select(_jobs).order_by(_jobs.c.created_at.desc(), _jobs.c.id.desc())
        if backend is not None:
            query = query.where(_jobs.c.backend == backend)
        if status is not None:
            if status not in set(JobStatus):
                raise SpecError(f"{status!r} is not a job status: {suggest(status, map(str, JobStatus))}")
            query = query.where(_jobs.c.status == status)
        if limit is not None:
            if not 1 <= limit < 2**31:
                raise SpecError(f"limit is {limit}: it counts jobs, from 1; None gives all of them")
            query = query.limit(limit)
        with self._db.read() as connection:
            return [_record(row) for row in connection.execute(query).mappings()]

    def update(self, job_id: str, **changes: Any) -> JobRecord:
        """Change some columns and `updated_at`; the others keep what another process wrote meanwhile.

        Raises `JobNotFoundError`, `NameTakenError`, or `StoreError` for a column that is unknown or never changes.
        """
        changeable = JobRecord.model_fields.keys() - _FIXED
        if wrong := sorted(changes.keys() - changeable):
            raise StoreError(f"a job has no column {wrong[0]!r} that may be updated: {suggest(wrong[0], changeable)}")
        try:
            with self._db.write() as connection:
                before = self._exact(connection, job_id, lock=True)
                after = _checked(job_id, {**before.model_dump(), **changes, "updated_at": self._clock()})
                row = {name: _encoded(job_id, name, getattr(after, name)) for name in (*changes, "updated_at")}
                connection.execute(update(_jobs).where(_jobs.c.id == job_id).values(row))
                return after
        except Conflict:
            self._refuse_taken_name(job_id, changes.get("name"))
            raise

    def set_result(self, job_id: str, result: dict[str, Any]) -> None:
        """Write the result, once and whole. The same one again is nothing; another one is a `StoreError`."""
        written = _encoded(job_id, "result", result)
        with self._db.write() as connection:
            before = self._exact(connection, job_id, lock=True).result
            if before is None:
                row = {"result": written, "updated_at": _time(self._clock())}
                connection.execute(update(_jobs).where(_jobs.c.id == job_id).values(row))
            elif json.dumps(before, sort_keys=True) != json.dumps(json.loads(written), sort_keys=True):
                raise StoreError(
                    f"job {job_id} already has a result, and a result is written once: run a new job instead"
                )

    def claim(self, job_id: str, owner: str, seconds: float) -> bool:
        """Take the job's owner row until `seconds` from now, or renew one's own; True where `owner` holds it now.

        Of any number of claimants one wins. An expired row can be taken by anyone: claim for several times as long as
        the renewals are apart, and far longer than the clocks of the hosts that share the database differ.
        """
        if not 0 < seconds <= 366 * 86400:
            raise StoreError(f"a claim of {seconds} seconds: it must last above 0 seconds and at most a year")
        _refuse_unstorable(job_id, "owner", owner)
        now = self._clock()
        new = self._insert(_owners).values(
            job_id=job_id, owner=owner, expires_at=_time(now + timedelta(seconds=seconds))
        )
        free = (_owners.c.owner == owner) | (_owners.c.expires_at <= _time(now))
        # One statement: the database itself compares and sets, under the row's lock. A row comes back only if it did.
        claim = new.on_conflict_do_update(
            index_elements=["job_id"],
            set_={"owner": new.excluded.owner, "expires_at": new.excluded.expires_at},
            where=free,
        ).returning(_owners.c.owner)
        with self._db.write() as connection:
            self._exact(connection, job_id)
            return connection.execute(claim).first() is not None

    def owner(self, job_id: str) -> tuple[str, datetime] | None:
        """Who holds the job and until when (UTC), or None where nobody does or the claim has expired."""
        query = select(_owners.c.owner, _owners.c.expires_at).where(_owners.c.job_id == job_id)
        with self._db.read() as connection:
            row = connection.execute(query.where(_owners.c.expires_at > _time(self._clock()))).first()
        return None if row is None else (row.owner, datetime.fromisoformat(row.expires_at))

    def release(self, job_id: str, owner: str) -> None:
        """Give the owner row back. Nothing happens where `owner` no longer holds it."""
        with self._db.write() as connection:
            connection.execute(delete(_owners).where(_owners.c.job_id == job_id, _owners.c.owner == owner))

    def add_row_hashes(self, job_id: str, split: str, hashes: Iterable[str]) -> None:
        """Record the normalised hashes of a split's rows: all of them or none. Those already there stay."""
        distinct = dict.fromkeys(hashes)  # gone through before the transaction: the rows may be slow to come
        for value in (split, *distinct):
            _refuse_unstorable(job_id, "row hash", value)
        statement = self._insert(_hashes).on_conflict_do_nothing()
        with self._db.write() as connection:
            self._exact(connection, job_id)
            for batch in _batches(distinct):
                connection.execute(statement, [{"job_id": job_id, "split": split, "hash": value} for value in batch])

    def row_hashes(self, job_id: str, split: str | None = None) -> set[str]:
        """The hashes of one split, or of all of them."""
        query = select(_hashes.c.hash).where(_hashes.c.job_id == job_id)
        if split is not None:
            query = query.where(_hashes.c.split == split)
        with self._db.read() as connection:
            self._exact(connection, job_id)
            return set(connection.execute(query).scalars())

    def overlapping(self, job_id: str, hashes: Iterable[str], split: str | None = None) -> Hashes:
        """Those of `hashes` that the job's rows hold too (in any split, unless one is named), once each, in order."""
        query = select(_hashes.c.hash).where(_hashes.c.job_id == job_id)
        if split is not None:
            query = query.where(_hashes.c.split == split)
        asked = [value for value in dict.fromkeys(hashes) if unstorable(value) is None]
        found: set[str] = set()
        with self._db.read() as connection:
            self._exact(connection, job_id)
            for batch in _batches(asked):
                found.update(connection.execute(query.where(_hashes.c.hash.in_(batch))).scalars())
        return [value for value in asked if value in found]

    def add_events(self, job_id: str, events: Iterable[Event]) -> None:
        """Keep those whose `key` is not kept yet, in order, each under the job's next number (its `seq` is ours, from 1)."""
        fresh = {event.key: event for event in events if event.key is not None}
        if not fresh:
            return
        with self._db.write() as connection:
            self._exact(connection, job_id, lock=True)
            kept = select(_events.c.key, _events.c.seq).where(_events.c.job_id == job_id)
            known = {row.key: row.seq for row in connection.execute(kept)}
            last = max(known.values(), default=0)
            new = [event for key, event in fresh.items() if key not in known]
            rows = [
                {
                    "job_id": job_id,
                    "seq": seq,
                    "key": _printable(event.key),
                    "event": json.dumps(event.model_copy(update={"seq": seq}).model_dump(mode="json")),
                }
                for seq, event in enumerate(new, last + 1)
            ]
            if rows:
                connection.execute(_events.insert(), rows)

    def events(self, job_id: str, after: int = 0) -> EventList:
        """The kept events with a number above `after`, in order."""
        query = select(_events.c.event).where(_events.c.job_id == job_id, _events.c.seq > after).order_by(_events.c.seq)
        with self._db.read() as connection:
            return [Event.model_validate_json(text) for text in connection.execute(query).scalars()]

    def delete(self, job_id: str) -> None:
        """Remove the job with its hashes and its owner. Raises `JobNotFoundError`."""
        with self._db.write() as connection:
            self._exact(connection, job_id)
            connection.execute(delete(_jobs).where(_jobs.c.id == job_id))

    def _exact(self, connection: Connection, job_id: str, *, lock: bool = False) -> JobRecord:
        query = select(_jobs).where(_jobs.c.id == job_id)
        row = None
        if unstorable(job_id) is None:  # SQLite has no FOR UPDATE and needs none: its writers are one at a time
            row = connection.execute(query.with_for_update() if lock else query).mappings().first()
        if row is None:
            raise self._not_found(connection, job_id)
        return _record(row)

    def _get(self, connection: Connection, wanted: str) -> JobRecord:
        if unstorable(wanted) is None:
            for column in (_jobs.c.id, _jobs.c.name):
                if row := connection.execute(select(_jobs).where(column == wanted)).mappings().first():
                    return _record(row)
        if re.fullmatch(rf"tp-[0-9a-z]{{{_SHORTEST_PREFIX},}}", wanted):
            query = select(_jobs).where(_jobs.c.id.startswith(wanted)).order_by(_jobs.c.id)
            rows = connection.execute(query.limit(6)).mappings().all()
            if len(rows) == 1:
                return _record(rows[0])
            if rows:
                ids = ", ".join([row["id"] for row in rows[:5]] + ["…"] * (len(rows) > 5))
                raise JobNotFoundError(f"{wanted!r} begins the ids of several jobs: {ids}; give more characters")
        raise self._not_found(connection, wanted)

    def _not_found(self, connection: Connection, wanted: str) -> JobNotFoundError:
        recent = select(_jobs.c.id, _jobs.c.name).order_by(_jobs.c.created_at.desc()).limit(1000)
        known = [word for row in connection.execute(recent) for word in row if word]
        near = difflib.get_close_matches(wanted, known, n=3, cutoff=0.6)
        if near:
            hint = "the nearest are " + ", ".join(near)
        else:
            hint = "`tuneport jobs` lists them" if known else f"there are none yet in {self._db}"
        return JobNotFoundError(f"no job has the id or the name {wanted!r}: {hint}", job_id=wanted)

    def _refuse_taken_name(self, job_id: str, name: str | None) -> None:
        if name is None:
            return
        with self._db.read() as connection:
            taken = connection.execute(select(_jobs.c.id).where(_jobs.c.name == name, _jobs.c.id != job_id)).scalar()
        if taken is not None:
            message = f"the name {name!r} belongs to job {taken}: choose another, or delete that job"
            raise NameTakenError(message, job_id=taken)


def _encoded(job_id: str, name: str, value: Any) -> Any:
    """What the column holds. JSON is escaped to ASCII, so that it may hold any text, NUL included."""
    if value is None:
        return None
    if name in _JSON:
        try:
            return json.dumps(value)
        except (TypeError, ValueError) as error:
            raise StoreError(f"{name} of job {job_id} is not JSON: {error}; use model_dump(mode='json')") from None
    if name in _TIMES:
        return _time(value)
    if isinstance(value, str):
        _refuse_unstorable(job_id, name, value)
    return str(value) if isinstance(value, JobStatus) else value


def _refuse_unstorable(job_id: str, name: str, value: str) -> None:
    if reason := unstorable(value):
        raise StoreError(f"{name} {value[:80]!r} of job {ascii(job_id)[1:-1]} cannot be stored: {reason}. Remove it")


def _time(value: datetime) -> str:
    return value.astimezone(UTC).isoformat(timespec="microseconds")  # of one width, so that text order is time order


def _record(row: Any) -> JobRecord:
    try:
        return JobRecord.model_validate(
            {name: json.loads(value) if name in _JSON and value is not None else value for name, value in row.items()}
        )
    except ValueError as error:
        raise StoreError(f"the record of job {row['id']} is damaged ({error}): delete it, or restore a copy") from None


def _checked(job_id: str, values: dict[str, Any]) -> JobRecord:
    try:
        return JobRecord.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise StoreError(f"{first['loc'][0]} of job {job_id} cannot be {first['input']!r}: {first['msg']}") from None


def _batches(values: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(values)
    while batch := list(islice(rest, _BATCH)):
        yield batch
