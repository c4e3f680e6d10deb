"""One method for each request that is made, in plain data both ways: nothing else here touches the SDKs.

Answers are read as JSON objects and not through google-genai's models: a state, a null or a key that they do not know yet must
never make us fail, and the payload is kept as it came.
"""

from __future__ import annotations

import base64
import hashlib
import json
import warnings
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from tuneport.errors import RejectedError, RemoteNotFoundError, SubmitUnknownError, UnavailableError
from tuneport_backends.payload import Payload, mapping, objects, text
from tuneport_backends.vertex_errors import TITLE, asking, by_status, creating, theirs, untyped
from tuneport_backends.vertex_service import SECONDS, Clients, Place, connect, last

PAGE = 100
_CHUNK = 16 * 2**20  # of a resumable upload; google-cloud-storage sends up to 8 MiB in one request
_METRICS_BYTES = 64 * 2**20


class Wire:
    """The requests of one job's place."""

    def __init__(self, found: Place) -> None:
        self.place = found

    @property
    def _clients(self) -> Clients:
        return connect(self.place)

    # Objects

    def upload(self, path: Path, name: str) -> str:
        """The object's address, after uploading it where it is not there yet with the same size and MD5.

        An upload that was broken off leaves no object; the SDK goes on with it after a failure that passes.
        """
        from google.api_core import exceptions as api

        size, digest = path.stat().st_size, _md5(path)
        what = f"uploading to {self.place.uri(name)}"
        with _bucket(self.place, what):
            bucket = self._clients.storage.bucket(self.place.bucket)
            retry = untyped("google.cloud.storage.retry").DEFAULT_RETRY.with_timeout(SECONDS)
            there = bucket.get_blob(name, timeout=SECONDS, retry=retry)
            if _same(there, size, digest):
                return self.place.uri(name)
            blob = bucket.blob(name, chunk_size=_CHUNK)
            # With a precondition, the SDK may repeat an upload without overwriting what somebody else wrote meanwhile.
            generation = int(there.generation or 0) if there is not None else 0
            try:
                blob.upload_from_filename(
                    str(path),
                    content_type="application/jsonl",
                    if_generation_match=generation,
                    checksum="md5",
                    timeout=SECONDS,
                    retry=retry,
                )
            except api.PreconditionFailed:  # its own first try had arrived, or another process uploaded it
                if not _same(bucket.get_blob(name, timeout=SECONDS, retry=retry), size, digest):
                    raise
        return self.place.uri(name)

    def objects(self, prefix: str) -> list[str]:
        what = f"listing {self.place.uri(prefix)}"
        with _bucket(self.place, what):
            found = self._clients.storage.list_blobs(self.place.bucket, prefix=prefix, timeout=SECONDS)
            return [str(blob.name) for blob in found]

    def delete_object(self, name: str) -> None:
        with asking(f"deleting {self.place.uri(name)}"):
            self._clients.storage.bucket(self.place.bucket).blob(name).delete(timeout=SECONDS)

    def addresses(self, uri: str) -> list[str]:
        """Of the objects whose `gs://` address begins so."""
        bucket, _, prefix = uri.removeprefix("gs://").partition("/")
        with asking(f"listing {uri}"):
            blobs = self._clients.storage.list_blobs(bucket, prefix=prefix, timeout=SECONDS)
            return [f"gs://{bucket}/{blob.name}" for blob in blobs]

    def texts(self, uri: str) -> list[str]:
        """The text objects at a `gs://` address or below it, up to 64 MiB together."""
        bucket, _, prefix = uri.removeprefix("gs://").partition("/")
        found: list[str] = []
        left = _METRICS_BYTES
        with asking(f"reading {uri}"):
            blobs = self._clients.storage.list_blobs(bucket, prefix=prefix, timeout=SECONDS)
            for blob in blobs:
                left -= int(blob.size or 0)
                if left >= 0 and str(blob.name).endswith((".jsonl", ".json")):
                    found.append(blob.download_as_bytes(timeout=SECONDS).decode("utf-8", "replace"))
        return found

    # Jobs

    def create(self, base_model: str, dataset: str, config: Mapping[str, Any], tag: str) -> Payload:
        """The one request that spends: sent once, by a client that repeats nothing."""
        from google.genai import types

        client = self._clients.creates
        try:
            settings = types.CreateTuningJobConfig(**config)
        except ValidationError as error:
            raise RejectedError(f"{TITLE}: the job cannot be described to the SDK: {error}") from None
        last.response = None
        with creating(tag), _quietly(), _unread(f"creating the job ({tag})"):
            client.tunings.tune(
                base_model=base_model, training_dataset=types.TuningDataset(gcs_uri=dataset), config=settings
            )
        job = _read_last()
        if job is None or text(job, "name") is None:
            raise SubmitUnknownError(
                f"{TITLE} answered the request that creates the job without the job's name: it may exist, and is looked for "
                f"by its tag, {tag}."
            )
        return job

    def job(self, name: str) -> Payload:
        return self._asked(f"looking at {name}", lambda: self._clients.asks.tunings.get(name=name))

    def jobs(self, token: str | None = None, wanted: str | None = None) -> tuple[list[Payload], str | None]:
        """One page, and the token of the next. `wanted` is the service's own filter."""
        config: dict[str, Any] = {"page_size": PAGE}
        if token is not None:
            config["page_token"] = token
        if wanted is not None:
            config["filter"] = wanted
        page = self._asked("listing jobs", lambda: self._clients.asks.tunings.list(config=cast("Any", config)))
        return objects(page.get("tuningJobs")), text(page, "nextPageToken")

    def cancel(self, name: str) -> None:
        self._asked(f"cancelling {name}", lambda: self._clients.asks.tunings.cancel(name=name))

    # Asking a model

    def generate(self, model: str, contents: list[Payload], config: Mapping[str, Any]) -> Payload:
        from google.genai import types

        models = cast("Any", self._clients.asks.models)  # its signature names types that are not installed
        settings = types.GenerateContentConfig(**config)
        return self._asked(
            f"asking {model}", lambda: models.generate_content(model=model, contents=contents, config=settings)
        )

    def _asked(self, what: str, call: Callable[[], Any]) -> Payload:
        last.response = None
        with asking(what), _quietly(), _unread(what):
            call()
        read = _read_last()
        if read is None:
            raise UnavailableError(
                f"{TITLE}, {what}: the answer is not a JSON object: is the address right, and is nothing else answering?"
            )
        return read

    # Endpoints and models, for which google-genai has no calls

    def endpoint(self, name: str) -> Payload | None:
        """None where there is none."""
        try:
            return self._rest("GET", name)
        except RemoteNotFoundError:
            return None

    def undeploy(self, endpoint: str, deployed: str) -> None:
        self._rest("POST", f"{endpoint}:undeployModel", {"deployedModelId": deployed})

    def delete(self, name: str) -> None:
        self._rest("DELETE", name)

    def deploy(self, body: Payload) -> Payload:
        """Begin to put weights on an endpoint: the operation. Sent once."""
        return self._rest("POST", f"{self.place.parent}:deploy", body, version="v1beta1")

    def operation(self, name: str) -> Payload | None:
        """None where the service has forgotten it."""
        try:
            return self._rest("GET", name, version="v1beta1")
        except RemoteNotFoundError:
            return None

    def complete(self, endpoint: str, body: Payload) -> Payload:
        """Ask an endpoint on machines of its own: it speaks OpenAI's chat completions."""
        return self._rest("POST", f"{endpoint}/chat/completions", body, version="v1beta1")

    def _rest(self, method: str, name: str, body: Payload | None = None, version: str = "v1") -> Payload:
        what = f"{method} {name}"
        with asking(what):
            url = f"{self.place.address}/{version}/{name}"
            answer = self._clients.rest.request(method, url, json=body, timeout=SECONDS)
        try:
            read: Any = json.loads(answer.content or b"{}")
        except ValueError:
            read = None
        if answer.status_code >= 400:
            error = mapping(mapping(read).get("error"))
            said, status = text(error, "message"), text(error, "status")
            raise by_status(answer.status_code, answer.headers, said, status, read, f"{TITLE}, {what}")
        if not isinstance(read, dict):
            raise UnavailableError(f"{TITLE}, {what}: the answer is not a JSON object.")
        return cast("Payload", read)


@contextmanager
def _quietly() -> Generator[None]:
    """The SDK warns of its tuning calls, and of each word that its enums lack; neither is for an application to see.

    Python's filters belong to the process, so they are as narrow as can be, should another thread see them.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The SDK's tuning implementation is experimental")
        warnings.filterwarnings("ignore", r"(?s).* is not a valid \w+$", UserWarning, r"google\.genai\.")
        yield


@contextmanager
def _unread(what: str) -> Generator[None]:
    """An answer that came, and that the SDK's models would not have, is read from the response that was kept."""
    try:
        yield
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        response = getattr(last, "response", None)
        if isinstance(error, theirs()) or response is None:
            raise
        if response.status_code >= 400:  # an error in a shape that the SDK could not read either
            raise by_status(response.status_code, response.headers, None, None, None, f"{TITLE}, {what}") from None


@contextmanager
def _bucket(found: Place, what: str) -> Generator[None]:
    """A bucket that is not there is said with the option that names it."""
    if not found.bucket:
        raise RejectedError(f"{TITLE}, {what}: no bucket is named: set the option bucket.")
    try:
        with asking(what):
            yield
    except RemoteNotFoundError as error:
        raise RemoteNotFoundError(
            f"{error.message} Does the bucket {found.bucket!r} exist? It is the option bucket, and must be in the location "
            f"of the job, {found.location}.",
            request_id=error.request_id,
        ) from None


def _read_last() -> Payload | None:
    response = getattr(last, "response", None)
    if response is None:
        return None
    try:
        read: Any = json.loads(response.content or b"{}")
    except ValueError:
        return None
    return cast("Payload", read) if isinstance(read, dict) else None


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
    return base64.b64encode(digest.digest()).decode()


def _same(blob: Any, size: int, digest: str) -> bool:
    return blob is not None and blob.size == size and blob.md5_hash == digest
