"""The wire of the simulated OpenAI: its routes, forms, credentials and errors."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from tuneport_backends.simulators import openai_azure as azure
from tuneport_backends.simulators import wire
from tuneport_backends.simulators.faults import Fault, Faults
from tuneport_backends.simulators.openai_requests import Part, Refusal
from tuneport_backends.simulators.openai_state import State
from tuneport_backends.simulators.wire import Log, Reply, Request, Routes, read_json

_PREFIX = re.compile(r"^/(?:openai/v1|openai|v1)(?=/)")
_ID = r"([^/]+)"
_TABLE: list[tuple[str, str, str, Callable[[State, Request], Any]]] = [
    ("POST", "/files", "files.create", lambda s, r: s.files.create_file(r.form)),
    ("GET", "/files", "files.list", lambda s, r: s.files.list_files(r.query)),
    ("GET", f"/files/{_ID}", "files.retrieve", lambda s, r: s.files.file(r.args[0])),
    ("DELETE", f"/files/{_ID}", "files.delete", lambda s, r: s.files.delete_file(r.args[0])),
    ("GET", f"/files/{_ID}/content", "files.content", lambda s, r: s.files.content(r.args[0])),
    ("POST", "/uploads", "uploads.create", lambda s, r: s.files.create_upload(r.body)),
    ("POST", f"/uploads/{_ID}/parts", "uploads.part", lambda s, r: s.files.add_part(r.args[0], r.form)),
    ("POST", f"/uploads/{_ID}/complete", "uploads.complete", lambda s, r: s.files.complete_upload(r.args[0], r.body)),
    ("POST", f"/uploads/{_ID}/cancel", "uploads.cancel", lambda s, r: s.files.cancel_upload(r.args[0])),
    ("POST", "/fine_tuning/jobs", "jobs.create", lambda s, r: s.create_job(r.body)),
    ("GET", "/fine_tuning/jobs", "jobs.list", lambda s, r: s.list_jobs(r.query)),
    ("GET", f"/fine_tuning/jobs/{_ID}", "jobs.retrieve", lambda s, r: s.job(r.args[0])),
    ("GET", f"/fine_tuning/jobs/{_ID}/events", "jobs.events", lambda s, r: s.events(r.args[0], r.query)),
    ("GET", f"/fine_tuning/jobs/{_ID}/checkpoints", "jobs.checkpoints", lambda s, r: s.checkpoints(r.args[0], r.query)),
    ("POST", f"/fine_tuning/jobs/{_ID}/cancel", "jobs.cancel", lambda s, r: s.cancel_job(r.args[0])),
    ("POST", f"/fine_tuning/jobs/{_ID}/pause", "jobs.pause", lambda s, r: s.pause_job(r.args[0])),
    ("POST", f"/fine_tuning/jobs/{_ID}/resume", "jobs.resume", lambda s, r: s.resume_job(r.args[0])),
    ("GET", "/models", "models.list", lambda s, _: s.list_models()),
    ("GET", f"/models/{_ID}", "models.retrieve", lambda s, r: s.model(r.args[0])),
    ("DELETE", f"/models/{_ID}", "models.delete", lambda s, r: s.delete_model(r.args[0])),
    ("POST", "/chat/completions", "chat", lambda s, r: s.chat(r.body)),
    ("POST", f"/deployments/{_ID}/chat/completions", "chat", lambda s, r: s.chat(r.body, r.args[0])),
    ("GET", azure.ACCOUNT, "deployments.list", azure.listed),
    ("PUT", f"{azure.ACCOUNT}/{_ID}", "deployments.create", azure.create),
    ("GET", f"{azure.ACCOUNT}/{_ID}", "deployments.get", azure.get),
    ("DELETE", f"{azure.ACCOUNT}/{_ID}", "deployments.delete", azure.delete),
]
ROUTES = Routes(_TABLE)
_USUAL: Mapping[int, tuple[str, str, str | None]] = {  # status: message, type, code
    400: ("The request is not valid.", "invalid_request_error", None),
    401: (
        "Incorrect API key provided: sk-…. You can find your API key in your account.",
        "invalid_request_error",
        "invalid_api_key",
    ),
    403: ("You do not have access to this resource.", "invalid_request_error", "access_denied"),
    404: ("No such object.", "invalid_request_error", None),
    408: ("The request timed out.", "server_error", None),
    409: ("The resource is locked by another request.", "invalid_request_error", "conflict"),
    422: ("The request could not be processed.", "invalid_request_error", None),
    429: ("Rate limit reached for requests.", "requests", "rate_limit_exceeded"),
}


class Server(wire.Server):
    page_fields = frozenset({"data", "has_more"})

    def __init__(self, address: tuple[str, int], log: Log, faults: Faults, state: State, key: str) -> None:
        super().__init__(address, log, faults, state.lock)
        self.state = state
        self.key = key
        self.management = azure.MANAGEMENT

    def route(self, request: Request) -> None:
        request.path = _PREFIX.sub("", request.path)
        ROUTES.find(request)

    def read(self, request: Request) -> Any:
        kind = request.headers.get("content-type", "")
        if not kind.startswith("multipart/form-data"):
            request.body = read_json(request.raw)
            return request.body
        request.form = _form(kind, request.raw)
        return {
            name: {"filename": value.name, "bytes": len(value.content)} if isinstance(value, Part) else value
            for name, value in request.form.items()
        }

    def admit(self, request: Request) -> None:
        if request.operation.startswith("deployments."):
            if request.bearer != self.management:
                raise Refusal(401, "The access token is missing or invalid.", code="InvalidAuthenticationToken")
            return
        if self.key not in {request.bearer, request.headers.get("api-key")}:
            raise _usual(401, request.operation)

    def usual(self, request: Request, fault: Fault) -> Reply:
        said = _usual(fault.status or 500, request.operation).answer
        return said if fault.body is None else Reply(said.status, fault.body)

    def answer(self, request: Request) -> Reply:
        if request.do is None:
            raise Refusal(404, f"Invalid URL ({request.method} {request.path})", code="unknown_url")
        made = request.do(self.state, request)
        return made if isinstance(made, Reply) else Reply(200, made)

    def identity(self) -> Mapping[str, str]:
        return {"x-request-id": f"req_{uuid.uuid4().hex}"}


def _usual(status: int, operation: str) -> Refusal:
    if status == 403 and operation == "jobs.create":
        return Refusal(403, "Fine-tuning is no longer available to your organization.", code="training_not_available")
    message, kind, code = _USUAL.get(
        status, ("The server had an error while processing your request. Sorry about that!", "server_error", None)
    )
    return Refusal(status, message, code=code, kind=kind)


def _form(kind: str, raw: bytes) -> dict[str, Any]:
    """The fields of a multipart form; a file is its name and content."""
    found = re.search(r'boundary="?([^";]+)"?', kind)
    if found is None:
        return {}
    mark = b"--" + found[1].encode()
    fields: dict[str, Any] = {}
    for part in raw.split(mark)[1:-1]:
        head, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        content = content.removesuffix(b"\r\n")
        disposition = head.decode("utf-8", "replace")
        name = re.search(r'\bname="([^"]*)"', disposition)
        file = re.search(r'\bfilename="([^"]*)"', disposition)
        if name is not None:
            fields[name[1]] = Part(file[1], content) if file is not None else content.decode("utf-8", "replace")
    return fields
