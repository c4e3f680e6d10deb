"""As much of Cloud Storage's JSON API as google-cloud-storage needs: buckets, objects, uploads at once and resumed."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tuneport_backends.simulators.clock import Clock
from tuneport_backends.simulators.vertex_requests import Refusal, Row, inner
from tuneport_backends.simulators.wire import Reply

_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")


@dataclass(frozen=True)
class Object:
    bucket: str
    name: str
    content: bytes
    generation: int
    kind: str = "application/octet-stream"

    def payload(self, created: str) -> Row:
        return {
            "kind": "storage#object",
            "id": f"{self.bucket}/{self.name}/{self.generation}",
            "bucket": self.bucket,
            "name": self.name,
            "size": str(len(self.content)),
            "generation": str(self.generation),
            "metageneration": "1",
            "contentType": self.kind,
            "md5Hash": base64.b64encode(hashlib.md5(self.content, usedforsecurity=False).digest()).decode(),
            "crc32c": crc32c(self.content),
            "timeCreated": created,
            "updated": created,
        }


@dataclass
class Session:
    """A resumable upload that has begun."""

    bucket: str
    name: str
    kind: str
    query: Mapping[str, str]
    md5: str | None
    received: bytearray = field(default_factory=bytearray)
    done: Row | None = None


class Objects:
    """`buckets`: the names of those that exist, each with its location."""

    def __init__(self, clock: Clock, buckets: Mapping[str, str]) -> None:
        self._clock = clock
        self._generation = 1_700_000_000_000_000
        self._sessions: dict[str, Session] = {}
        self.lock = threading.RLock()
        self.buckets = dict(buckets)
        self.held: dict[tuple[str, str], Object] = {}

    def bucket(self, name: str) -> Row:
        self._demand(name)
        return {"kind": "storage#bucket", "id": name, "name": name, "location": self.buckets[name].upper()}

    def list(self, bucket: str, query: Mapping[str, str]) -> Row:
        self._demand(bucket)
        prefix, after = query.get("prefix", ""), query.get("pageToken", "")
        most = int(query.get("maxResults", 1000))
        names = sorted(name for held, name in self.held if held == bucket and name.startswith(prefix) and name > after)
        page: Row = {"kind": "storage#objects", "items": [self._payload(bucket, name) for name in names[:most]]}
        if len(names) > most:
            page["nextPageToken"] = names[most - 1]
        return page

    def get(self, bucket: str, name: str, query: Mapping[str, str]) -> Any:
        held = self._held(bucket, name)
        if query.get("alt") == "media":
            payload = held.payload(self._now())
            return Reply(200, held.content, {"x-goog-hash": f"crc32c={payload['crc32c']},md5={payload['md5Hash']}"})
        return held.payload(self._now())

    def delete(self, bucket: str, name: str) -> Reply:
        self._held(bucket, name)
        del self.held[bucket, name]
        return Reply(204)

    def upload(self, bucket: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes) -> Any:
        self._demand(bucket)
        kind = query.get("uploadType")
        if kind == "multipart":
            described, content = _related(headers.get("content-type", ""), body)
            name = str(described.get("name") or query.get("name") or "")
            return self._put(
                bucket, name, content, str(described.get("contentType") or ""), query, described.get("md5Hash")
            )
        if kind == "resumable":
            described = inner(json.loads(body or b"{}"))
            name = str(described.get("name") or query.get("name") or "")
            self._matches(bucket, name, query)
            identity = uuid.uuid4().hex
            what = headers.get("x-upload-content-type") or str(described.get("contentType") or "")
            self._sessions[identity] = Session(bucket, name, what, query, described.get("md5Hash"))
            place = f"http://{headers['host']}/upload/storage/v1/b/{bucket}/o?uploadType=resumable&upload_id={identity}"
            return Reply(200, {}, {"Location": place, "X-GUploader-UploadID": identity})
        return self._put(bucket, query.get("name", ""), body, headers.get("content-type", ""), query, None)

    def resume(self, query: Mapping[str, str], headers: Mapping[str, str], body: bytes) -> Any:
        """A chunk of a resumable upload, or the question how far it came."""
        session = self._sessions.get(query.get("upload_id", ""))
        if session is None:
            raise Refusal(404, "The upload session is unknown.")
        if session.done is not None:
            return session.done
        found = _RANGE.fullmatch(headers.get("content-range", ""))
        start = int(found[1]) if found is not None and found[1] is not None else None
        total = None if found is None or found[3] == "*" else int(found[3])
        if found is None:
            session.received[:] = body
            total = len(body)
        elif start is not None:
            if start > len(session.received):
                raise Refusal(503, "The chunk does not follow what was received.")
            session.received[start:] = body
        if total is not None and len(session.received) >= total:
            made = self._put(
                session.bucket, session.name, bytes(session.received), session.kind, session.query, session.md5
            )
            session.done = made
            return made
        received = len(session.received)
        return Reply(308, None, {"Range": f"bytes=0-{received - 1}"} if received else {})

    def put(self, bucket: str, name: str, content: bytes) -> None:
        """What the service itself writes."""
        self._put(bucket, name, content, "application/jsonl", {}, None)

    def content(self, uri: str) -> bytes | None:
        bucket, _, name = uri.removeprefix("gs://").partition("/")
        held = self.held.get((bucket, name))
        return None if held is None else held.content

    def _put(self, bucket: str, name: str, content: bytes, kind: str, query: Mapping[str, str], md5: str | None) -> Row:
        if not name:
            raise Refusal(400, "Required parameter: name")
        with self.lock:
            self._matches(bucket, name, query)
            self._generation += 1
            made = Object(bucket, name, content, self._generation, kind or "application/octet-stream")
            if md5 is not None and md5 != made.payload("")["md5Hash"]:
                raise Refusal(400, f'Provided MD5 hash "{md5}" doesn\'t match calculated MD5 hash.')
            self.held[bucket, name] = made
        return made.payload(self._now())

    def _matches(self, bucket: str, name: str, query: Mapping[str, str]) -> None:
        wanted = query.get("ifGenerationMatch")
        held = self.held.get((bucket, name))
        if wanted is not None and int(wanted) != (held.generation if held is not None else 0):
            raise Refusal(412, "At least one of the pre-conditions you specified did not hold.")

    def _demand(self, bucket: str) -> None:
        if bucket not in self.buckets:
            raise Refusal(404, "The specified bucket does not exist.")

    def _held(self, bucket: str, name: str) -> Object:
        self._demand(bucket)
        held = self.held.get((bucket, name))
        if held is None:
            raise Refusal(404, f"No such object: {bucket}/{name}")
        return held

    def _payload(self, bucket: str, name: str) -> Row:
        return self.held[bucket, name].payload(self._now())

    def _now(self) -> str:
        return self._clock.now().isoformat().replace("+00:00", "Z")


def _related(kind: str, body: bytes) -> tuple[Row, bytes]:
    """The two parts of multipart/related: what the object is, and its content."""
    found = re.search(r'boundary="?([^";]+)"?', kind)
    if found is None:
        raise Refusal(400, "The multipart body has no boundary.")
    parts = body.split(b"--" + found[1].encode())
    if len(parts) < 4:
        raise Refusal(400, "The multipart body must have two parts.")
    described = parts[1].partition(b"\r\n\r\n")[2]
    mark = b"--" + found[1].encode()
    # The content may hold anything: it lies between the second mark and the last.
    rest = body.split(mark, 2)[2].rpartition(mark)[0]
    return inner(json.loads(described)), rest.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")


def crc32c(content: bytes) -> str:
    """As Cloud Storage writes it: big-endian, base64. google-crc32c comes with google-cloud-storage."""
    import importlib

    library: Any = importlib.import_module("google_crc32c")  # without types
    return base64.b64encode(int(library.value(content)).to_bytes(4, "big")).decode()
