"""What day it is, for everything that ends on a date: injected, so that every end date has a test on both its sides.

`TUNEPORT_NOW` (an ISO date or moment) sets it for a whole process: `TUNEPORT_NOW=2027-01-07 tuneport plan …` shows what a
provider will refuse from that day on. Records keep the system's own time (`status.utcnow`); only end dates look here.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, date, datetime

from tuneport.errors import SpecError

VARIABLE = "TUNEPORT_NOW"
_fixed: ContextVar[datetime | None] = ContextVar("tuneport_now", default=None)


def now() -> datetime:
    """The moment, in UTC: that of `at`, else that of `TUNEPORT_NOW`, else the system's."""
    fixed = _fixed.get()
    if fixed is not None:
        return fixed
    text = os.environ.get(VARIABLE)
    return _moment(text) if text else datetime.now(UTC)


def today() -> date:
    """The day, in UTC. Providers' end dates name no zone: a day's difference is within what they promise."""
    return now().date()


def is_set() -> bool:
    """Whether the moment was set, rather than read from the system."""
    return _fixed.get() is not None or bool(os.environ.get(VARIABLE))


@contextmanager
def at(moment: datetime | date | str) -> Generator[None]:
    """Inside, it is `moment` (a date is its midnight in UTC)."""
    token = _fixed.set(_moment(moment))
    try:
        yield
    finally:
        _fixed.reset(token)


def _moment(value: datetime | date | str) -> datetime:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise SpecError(f"{VARIABLE} is {value!r}: write an ISO date or moment, such as 2027-01-06.") from None
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=UTC)
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
