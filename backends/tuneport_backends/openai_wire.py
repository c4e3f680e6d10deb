"""One method for each request that is made, in plain data both ways: nothing else here touches the SDK.

Answers are read as JSON objects and not through the SDK's models: a state, a null or a key that they do not know yet must never
make us fail, and the payload is kept as it came.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from tuneport.errors import RejectedError, RemoteNotFoundError, SubmitUnknownError, UnavailableError
from tuneport_backends.openai_errors import asking, creating
from tuneport_backends.openai_service import Service, connect
from tuneport_backends.payload import Payload, objects, text

if TYPE_CHECKING:
    from openai import OpenAI

PAGE = 100  # jobs, events and checkpoints in one answer
_FILES_PAGE = 10_000
_UPLOAD_SECONDS = 600.0  # the service may look through a whole file before it answers


class Wire:
    """The requests of one job's service."""

    def __init__(self, service: Service, options: Mapping[str, Any]) -> None:
        self.service = service
        self._options = options

    @property
    def _client(self) -> OpenAI:
        return connect(self.service, self._options)

    # Files

    def upload(self, path: Path, name: str) -> Payload:
        """A whole file, streamed from disk."""
        client = self._client.with_options(timeout=_UPLOAD_SECONDS)
        with asking(self.service, f"uploading {name}"), path.open("rb") as file:
            answer = client.files.with_raw_response.create(file=(name, file), purpose="fine-tune")
        return self._read(answer)

    def begin_upload(self, name: str, size: int) -> Payload:
        with asking(self.service, f"uploading {name}"):
            answer = self._client.uploads.with_raw_response.create(
                bytes=size, filename=name, mime_type="text/jsonl", purpose="fine-tune"
            )
        return self._read(answer)

    def add_part(self, upload: str, data: bytes) -> Payload:
        client = self._client.with_options(timeout=_UPLOAD_SECONDS)
        with asking(self.service, f"uploading a part of {upload}"):
            answer = client.uploads.parts.with_raw_response.create(upload, data=("part", data))
        return self._read(answer)

    def complete_upload(self, upload: str, parts: list[str], md5: str) -> Payload:
        client = self._client.with_options(timeout=_UPLOAD_SECONDS)
        with asking(self.service, f"completing {upload}"):
            answer = client.uploads.with_raw_response.complete(upload, part_ids=parts, md5=md5)
        return self._read(answer)

    def cancel_upload(self, upload: str) -> None:
        with asking(self.service, f"cancelling {upload}"):
            self._client.uploads.with_raw_response.cancel(upload)

    def file(self, file: str) -> Payload:
        with asking(self.service, f"looking at {file}"):
            answer = self._client.files.with_raw_response.retrieve(file)
        return self._read(answer)

    def files(self) -> Iterator[Payload]:
        """Every file that was uploaded for tuning, newest first."""
        after: str | None = None
        while True:
            given: dict[str, Any] = {} if after is None else {"after": after}
            with asking(self.service, "listing files"):
                answer = self._client.files.with_raw_response.list(purpose="fine-tune", limit=_FILES_PAGE, **given)
            page = self._read(answer)
            items = objects(page.get("data"))
            yield from items
            following = text(items[-1], "id") if items else None
            if not page.get("has_more") or following in {None, after}:
                return
            after = following

    def content(self, file: str) -> bytes:
        with asking(self.service, f"reading {file}"):
            return self._client.files.content(file).content

    def delete(self, kind: str, name: str) -> None:
        """A file or a model."""
        with asking(self.service, f"deleting {name}"):
            if kind == "model":
                self._client.models.with_raw_response.delete(name)
            else:
                self._client.files.with_raw_response.delete(name)

    def has(self, kind: str, name: str) -> bool:
        """Whether a file or a model is there."""
        try:
            with asking(self.service, f"looking at {name}"):
                if kind == "model":
                    self._client.models.with_raw_response.retrieve(name)
                else:
                    self._client.files.with_raw_response.retrieve(name)
        except RemoteNotFoundError:
            return False
        return True

    # Jobs

    def create(self, body: Mapping[str, Any], tag: str) -> Payload:
        """The one request that spends: sent once. The SDK would retry it, with no idempotency key, and so start two."""
        client = self._client.with_options(max_retries=0)
        with creating(self.service, tag):
            answer = client.fine_tuning.jobs.with_raw_response.create(**body)
        try:
            job = self._read(answer)
        except UnavailableError as error:
            raise SubmitUnknownError(
                f"{error.message} The job may exist: it is looked for by its tag, {tag}.", request_id=error.request_id
            ) from None
        if text(job, "id") is None:
            raise SubmitUnknownError(
                f"{self.service.title} answered the request that creates the job without the job's id: it may exist, and is "
                f"looked for by its tag, {tag}."
            )
        return job

    def job(self, job: str) -> Payload:
        with asking(self.service, f"looking at {job}"):
            answer = self._client.fine_tuning.jobs.with_raw_response.retrieve(job)
        return self._read(answer)

    def jobs(self, after: str | None = None, metadata: Mapping[str, str] | None = None) -> tuple[list[Payload], bool]:
        """One page, newest first, and whether there is another."""
        given: dict[str, Any] = {} if after is None else {"after": after}
        if metadata is not None:
            given["metadata"] = dict(metadata)
        with asking(self.service, "listing jobs"):
            answer = self._client.fine_tuning.jobs.with_raw_response.list(limit=PAGE, **given)
        page = self._read(answer)
        return objects(page.get("data")), bool(page.get("has_more"))

    def events(self, job: str, after: str | None = None) -> tuple[list[Payload], bool]:
        """One page, newest first, and whether there is another."""
        given: dict[str, Any] = {} if after is None else {"after": after}
        with asking(self.service, f"reading the events of {job}"):
            answer = self._client.fine_tuning.jobs.with_raw_response.list_events(job, limit=PAGE, **given)
        page = self._read(answer)
        return objects(page.get("data")), bool(page.get("has_more"))

    def checkpoints(self, job: str) -> list[Payload]:
        found: list[Payload] = []
        after: str | None = None
        while True:
            given: dict[str, Any] = {} if after is None else {"after": after}
            with asking(self.service, f"listing the checkpoints of {job}"):
                answer = self._client.fine_tuning.jobs.checkpoints.with_raw_response.list(job, limit=PAGE, **given)
            page = self._read(answer)
            items = objects(page.get("data"))
            found += items
            following = text(items[-1], "id") if items else None
            if not page.get("has_more") or following in {None, after}:
                return found
            after = following

    def cancel(self, job: str) -> Payload:
        with asking(self.service, f"cancelling {job}"):
            answer = self._client.fine_tuning.jobs.with_raw_response.cancel(job)
        return self._read(answer)

    def pause(self, job: str) -> Payload:
        with asking(self.service, f"pausing {job}"):
            answer = self._client.fine_tuning.jobs.with_raw_response.pause(job)
        return self._read(answer)

    def resume(self, job: str) -> Payload:
        with asking(self.service, f"resuming {job}"):
            answer = self._client.fine_tuning.jobs.with_raw_response.resume(job)
        return self._read(answer)

    # Asking a model

    def chat(self, body: Mapping[str, Any]) -> Payload:
        with asking(self.service, f"asking {body['model']}"):
            answer = cast("Any", self._client.chat.completions.with_raw_response).create(**body)
        return self._read(answer)

    def _read(self, answer: Any) -> Payload:
        response = answer.http_response
        try:
            read: Any = json.loads(response.content)
        except ValueError:
            read = None
        if not isinstance(read, dict):
            raise UnavailableError(
                f"{self.service.title} answered {response.status_code} with something that is not a JSON object: is its "
                "address right, and is nothing else answering in its place?",
                request_id=response.headers.get("x-request-id"),
            )
        return cast("Payload", read)


def required(payload: Mapping[str, Any], key: str, what: str) -> str:
    found = text(payload, key)
    if found is None:
        raise RejectedError(f"{what} came back without its {key}: it cannot be used.")
    return found
