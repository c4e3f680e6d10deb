"""Finding the job that a create has made whose reply was lost. It reads lists, and never spends."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tuneport_backends import openai_files as files
from tuneport_backends.openai_request import TAG
from tuneport_backends.openai_service import OPENAI, base_url
from tuneport_backends.openai_wire import Wire
from tuneport_backends.payload import Payload, mapping, number, text


def find(wire: Wire, tag: str, directory: Path, options: Mapping[str, Any]) -> Payload | None:
    """By the tag in the metadata, as OpenAI keeps it; elsewhere also by the training file, whose name carries the tag."""
    job = _tagged(wire, tag) if "metadata" in wire.service.sends else None
    if job is None and (wire.service is not OPENAI or base_url(OPENAI, options) is not None):
        job = _trained_on_ours(wire, tag, directory)
    return job


def _tagged(wire: Wire, tag: str) -> Payload | None:
    after: str | None = None
    while True:
        page, more = wire.jobs(after, metadata={TAG: tag})
        # Looked at again: a service that does not know the filter lists every job.
        ours = [job for job in page if mapping(job.get("metadata")).get(TAG) == tag and text(job, "id") is not None]
        if ours:
            return ours[
                -1
            ]  # the first that was made: there is one, as a create is never sent again before this found none
        following = text(page[-1], "id") if page else None
        if not more or following in {None, after} or page:
            return None  # a page of others: it did not filter, and its whole history need not be read for that
        after = following


def _trained_on_ours(wire: Wire, tag: str, directory: Path) -> Payload | None:
    if not (directory / "upload").exists():
        return None  # no upload was ever begun from here
    known = [file for file in wire.files() if files.is_of(tag, file)]
    ids = {*files.recorded(directory), *(found for file in known if (found := text(file, "id")))}
    if not ids:
        return None
    oldest = min((made for file in known if (made := number(file.get("created_at")))), default=0.0)
    after: str | None = None
    while True:
        page, more = wire.jobs(after)
        for job in page:
            if job.get("training_file") in ids and text(job, "id") is not None:
                return job
        following = text(page[-1], "id") if page else None
        past = bool(page) and (number(page[-1].get("created_at")) or oldest) < oldest
        if not more or past or following in {None, after}:
            return None
        after = following
