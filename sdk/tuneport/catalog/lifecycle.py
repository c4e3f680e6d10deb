"""What ends when: before a date a warning with the days left, from the date on an error that says what to do instead."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal, NamedTuple

from tuneport.catalog.schema import EndDate, Entry

SOON_DAYS = 180  # half a year: about what a team needs to move a fine-tune, and what providers give as notice


class Notice(NamedTuple):
    """One end date as it stands today."""

    severity: Literal["error", "warning", "info"]
    code: str
    message: str
    fix: str
    date: date


def lifecycle(entry: Entry, now: datetime | date) -> list[Notice]:
    """Every end date of the model, earliest first.

    Error: from the day on. Warning: within 180 days; also from the day on where it concerns some only, where the day may have
    moved, or where the sources disagree: a job is never stopped on a date that is not sure. Info: further off.
    """
    today = now.date() if isinstance(now, datetime) else now
    ends = sorted(entry.lifecycle.values(), key=lambda end: (end.date, end.what))
    return [_notice(entry, end, (end.date - today).days) for end in ends]


def _notice(entry: Entry, end: EndDate, left: int) -> Notice:
    name = f"{entry.name} ({entry.ref})"
    if end.what == "stops-answering":
        subject, will, has = f"{name} and every model tuned from it", "stop answering", "have stopped answering"
    else:
        subject, will, has = name, "takes no new fine-tuning jobs", "takes no new fine-tuning jobs"
    who = f" from {end.affects}" if end.affects else ""
    severity: Literal["error", "warning", "info"]
    if left > 0:
        days = "tomorrow" if left == 1 else f"{left} days from now"
        earliest = "" if end.firm else " at the earliest"
        message = f"{subject} {will}{who} from {end.date} on{earliest}, {days}."
        severity = "warning" if left <= SOON_DAYS else "info"
    elif not end.firm:
        message = f"{subject} may end at any time: {end.date} was the earliest day."
        severity = "warning"
    elif end.source.sure == "unconfirmed":
        message = f"{subject} {has}{who} since {end.date} as far as was read, but the sources do not agree."
        severity = "warning"
    else:
        message = f"{subject} {has}{who} since {end.date}."
        severity = "warning" if end.affects else "error"
    return Notice(severity, f"lifecycle.{end.what}", f"{message} Source: {end.source}.", end.instead, end.date)
