"""The files of the simulated OpenAI: whole ones, and uploads by parts."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tuneport_backends.simulators import openai_requests as requests
from tuneport_backends.simulators.clock import Clock
from tuneport_backends.simulators.openai_requests import Refusal
from tuneport_backends.simulators.openai_rows import Row

UPLOAD_SECONDS = 3600
PART_BYTES = 64 * 2**20


@dataclass
class File:
    id: str
    name: str
    purpose: str
    content: bytes
    created: float

    def payload(self, epoch: float) -> Row:
        return {
            "object": "file",
            "id": self.id,
            "purpose": self.purpose,
            "filename": self.name,
            "bytes": len(self.content),
            "created_at": int(epoch + self.created),
            "status": "processed",
        }


@dataclass
class Upload:
    id: str
    asked: Row
    created: float
    status: str = "pending"
    parts: dict[str, bytes] = field(default_factory=dict[str, bytes])
    file: str | None = None


@dataclass
class Files:
    """`epoch`: what second 0 of the clock is, as a Unix time."""

    clock: Clock
    epoch: float
    held: dict[str, File] = field(default_factory=dict[str, File])
    uploads: dict[str, Upload] = field(default_factory=dict[str, Upload])

    def create_file(self, form: Mapping[str, Any]) -> Row:
        name, purpose, content = requests.file(form)
        return self.keep(name, purpose, content).payload(self.epoch)

    def keep(self, name: str, purpose: str, content: bytes) -> File:
        file = File(f"file-{new_id()}", name, purpose, content, self.clock.seconds())
        self.held[file.id] = file
        return file

    def file(self, file: str) -> Row:
        return self._file(file).payload(self.epoch)

    def _file(self, file: str) -> File:
        if file not in self.held:
            raise Refusal(404, f"No such File object: {file}", param="id")
        return self.held[file]

    def list_files(self, query: Mapping[str, str]) -> Row:
        only(query, {"purpose", "limit", "order", "after"})
        found = [file for file in self.held.values() if query.get("purpose") in {None, file.purpose}]
        if query.get("order", "desc") not in {"asc", "desc"}:
            raise Refusal(400, f"Invalid 'order': {query['order']!r}", code="invalid_value", param="order")
        if query.get("order", "desc") == "desc":
            found.reverse()
        payloads = [file.payload(self.epoch) for file in found]
        return page(payloads, query, requests.limit(query, 10_000, 10_000), files=True)

    def delete_file(self, file: str) -> Row:
        self._file(file)
        del self.held[file]
        return {"id": file, "object": "file", "deleted": True}

    def content(self, file: str) -> bytes:
        return self._file(file).content

    def create_upload(self, body: Any) -> Row:
        upload = Upload(f"upload_{new_id()}", requests.upload(body), self.clock.seconds())
        self.uploads[upload.id] = upload
        return self._upload_payload(upload)

    def add_part(self, upload: str, form: Mapping[str, Any]) -> Row:
        found = self._upload(upload)
        data = form.get("data")
        if set(form) != {"data"} or not isinstance(data, requests.Part):
            raise Refusal(400, "'data' is a required property", param="data")
        content = data.content
        if len(content) > PART_BYTES:
            raise Refusal(400, "A part is at most 64 MB.", param="data")
        part = f"part_{new_id()}"
        found.parts[part] = content
        return {
            "id": part,
            "object": "upload.part",
            "created_at": int(self.epoch + self.clock.seconds()),
            "upload_id": upload,
        }

    def complete_upload(self, upload: str, body: Any) -> Row:
        found, given = self._upload(upload), requests.complete(body)
        if unknown := [part for part in given["part_ids"] if part not in found.parts]:
            raise Refusal(400, f"Unknown part: {unknown[0]}", param="part_ids")
        content = b"".join(found.parts[part] for part in given["part_ids"])
        if len(content) != found.asked["bytes"]:
            raise Refusal(
                400,
                f"The parts hold {len(content)} bytes, but {found.asked['bytes']} were announced.",
                param="part_ids",
            )
        if given.get("md5") and given["md5"] != hashlib.md5(content, usedforsecurity=False).hexdigest():
            raise Refusal(400, "The md5 does not match the parts.", param="md5")
        found.status = "completed"
        found.file = self.keep(str(found.asked["filename"]), str(found.asked["purpose"]), content).id
        found.parts.clear()
        return self._upload_payload(found)

    def cancel_upload(self, upload: str) -> Row:
        found = self._upload(upload)
        found.status = "cancelled"
        found.parts.clear()
        return self._upload_payload(found)

    def _upload(self, upload: str) -> Upload:
        found = self.uploads.get(upload)
        if found is None:
            raise Refusal(404, f"No such Upload object: {upload}", param="upload_id")
        if found.status == "pending" and self.clock.seconds() >= found.created + UPLOAD_SECONDS:
            found.status = "expired"
        if found.status != "pending":
            raise Refusal(400, f"Upload {upload} is {found.status}.", param="upload_id")
        return found

    def _upload_payload(self, upload: Upload) -> Row:
        made: Row = {
            "id": upload.id,
            "object": "upload",
            "bytes": upload.asked["bytes"],
            "created_at": int(self.epoch + upload.created),
            "filename": upload.asked["filename"],
            "purpose": upload.asked["purpose"],
            "status": upload.status,
            "expires_at": int(self.epoch + upload.created + UPLOAD_SECONDS),
        }
        if upload.file is not None:
            made["file"] = self.held[upload.file].payload(self.epoch)
        return made


def page(items: list[Row], query: Mapping[str, str], limit: int, *, files: bool = False) -> Row:
    after = query.get("after")
    if after is not None:
        ids = [item["id"] for item in items]
        if after not in ids:
            raise Refusal(404 if not files else 400, f"No such object: {after}", param="after")
        items = items[ids.index(after) + 1 :]
    page = items[:limit]
    made: Row = {"object": "list", "data": page, "has_more": len(items) > len(page)}
    if files:
        made |= {"first_id": page[0]["id"] if page else "", "last_id": page[-1]["id"] if page else ""}
    return made


def only(query: Mapping[str, str], known: set[str]) -> None:
    for name in query:
        if name not in known | {"api-version"}:
            raise Refusal(400, f"Unknown query parameter: '{name}'.", code="unknown_parameter", param=name)


def new_id() -> str:
    return uuid.uuid4().hex[:24]
