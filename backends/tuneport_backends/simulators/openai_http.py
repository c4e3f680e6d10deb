"""The socket of the simulated OpenAI: routes, forms, credentials, faults, and a log of every request."""

from __future__ import annotations

import json
import re
import socket
import sys
import threading
import traceback
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast
from urllib.parse import parse_qsl, unquote, urlsplit

from tuneport_backends.simulators.faults import Fault
from tuneport_backends.simulators.openai_requests import Part, Refusal
from tuneport_backends.simulators.openai_rows import Row
from tuneport_backends.simulators.openai_state import State

_PREFIX = re.compile(r"^/(?:openai/v1|openai|v1)(?=/)")
_ID = r"([^/]+)"


@dataclass(frozen=True)
class Entry:
    """One request as it came and was answered. No header is kept, so no credential is. `status` None: no answer was sent."""

    operation: str
    method: str
    path: str
    query: Mapping[str, str]
    body: Any  # the JSON; of a form, its fields, and of a file in it, its name and size
    status: int | None
    reply: Any = None


@dataclass
class Request:
    args: tuple[str, ...]
    query: dict[str, str]
    body: Any = None
    form: dict[str, Any] = field(default_factory=dict[str, Any])


Do = Callable[[State, Request], Any]

# Operations by method and path, under the names that fault scripts and the log use.
_TABLE: list[tuple[str, str, str, Do]] = [
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
]
ROUTES = [(method, re.compile(path + "$"), name, do) for method, path, name, do in _TABLE]
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


class Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, host: str, port: int, state: State, key: str) -> None:
        super().__init__((host, port), Handler)
        self.state = state
        self.key = key
        self.log: list[Entry] = []
        self.failures: list[str] = []
        self.connections: set[socket.socket] = set()
        self.noted = threading.Lock()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002  (the base's arguments)
        """A client that went away is no failure; anything else is the simulator's own, and kept to be told."""
        if not isinstance(sys.exception(), OSError):
            self.failures.append(traceback.format_exc())


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "tuneport-simulator"
    disable_nagle_algorithm = True

    @property
    def _server(self) -> Server:
        return cast("Server", self.server)

    def setup(self) -> None:
        super().setup()
        with self._server.noted:
            self._server.connections.add(self.connection)

    def finish(self) -> None:
        with self._server.noted:
            self._server.connections.discard(self.connection)
        super().finish()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the base's name)
        """Nothing: what came is in `log`."""

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        path = _PREFIX.sub("", parts.path)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        operation, do, args = _route(self.command, path)
        faults = self._server.state.faults
        if cuts := faults.meet(operation, "cut"):
            self.rfile.read(min(int(cuts[0].value or 0), int(self.headers.get("Content-Length") or 0)))
            self._note(operation, path, query, None, None)
            return self._hang_up()
        raw = self._body()
        request = Request(args, query)
        shown = self._understood(request, raw)
        for fault in faults.meet(operation, "delay"):
            threading.Event().wait(fault.seconds)
        status, reply, headers = self._answer(operation, do, request, faults.meet(operation, "status"))
        if status < 400 and isinstance(reply, dict):
            for fault in faults.meet(operation, "field", "state"):
                _set(cast("Row", reply), fault)
        if faults.meet(operation, "lose-reply"):
            self._note(operation, path, query, shown, None, reply)
            return self._hang_up()
        self._note(operation, path, query, shown, status, reply)
        self._send(status, reply, headers)
        return None

    def _answer(self, operation: str, do: Do | None, request: Request, scripted: list[Fault]) -> tuple[int, Any, Row]:
        state = self._server.state
        try:
            self._demand_key()
            if scripted:
                fault = scripted[0]
                status = fault.status or 500
                after = {} if fault.retry_after is None else {"Retry-After": f"{fault.retry_after:g}"}
                return status, fault.body if fault.body is not None else _usual(status, operation), after
            if do is None:
                raise Refusal(404, f"Invalid URL ({self.command} {urlsplit(self.path).path})", code="unknown_url")
            with state.lock:
                return 200, do(state, request), {}
        except Refusal as refusal:
            return refusal.status, refusal.body, {}

    def _demand_key(self) -> None:
        bearer = self.headers.get("Authorization", "").removeprefix("Bearer ").strip()
        if self._server.key not in {bearer, self.headers.get("api-key", "")}:
            message, kind, code = _USUAL[401]
            raise Refusal(401, message, code=code, kind=kind)

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            pieces: list[bytes] = []
            while size := int(self.rfile.readline().split(b";")[0] or b"0", 16):
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(pieces)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _understood(self, request: Request, raw: bytes) -> Any:
        """The body into `request`; what of it goes into the log."""
        kind = self.headers.get("Content-Type", "")
        if kind.startswith("multipart/form-data"):
            request.form = _form(kind, raw)
            return {
                name: {"filename": value.name, "bytes": len(value.content)} if isinstance(value, Part) else value
                for name, value in request.form.items()
            }
        if raw:
            try:
                request.body = json.loads(raw)
            except ValueError:
                request.body = None
        return request.body

    def _send(self, status: int, reply: Any, headers: Row) -> None:
        plain = isinstance(reply, bytes)
        body = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/octet-stream" if plain else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("x-request-id", f"req_{uuid.uuid4().hex}")
        for name, value in headers.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)

    def _hang_up(self) -> None:
        self.close_connection = True
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # the client was quicker

    def _note(
        self, operation: str, path: str, query: Mapping[str, str], body: Any, status: int | None, reply: Any = None
    ) -> None:
        with self._server.noted:
            kept = None if isinstance(reply, bytes) else reply
            self._server.log.append(Entry(operation, self.command, path, query, body, status, kept))


def _route(method: str, path: str) -> tuple[str, Do | None, tuple[str, ...]]:
    for verb, pattern, name, do in ROUTES:
        if verb == method and (match := pattern.match(path)):
            return name, do, tuple(unquote(part) for part in match.groups())
    return "unknown", None, ()


def _usual(status: int, operation: str) -> Row:
    if status == 403 and operation == "jobs.create":
        return Refusal(
            403, "Fine-tuning is no longer available to your organization.", code="training_not_available"
        ).body
    message, kind, code = _USUAL.get(
        status, ("The server had an error while processing your request. Sorry about that!", "server_error", None)
    )
    return Refusal(status, message, code=code, kind=kind).body


def _set(reply: Row, fault: Fault) -> None:
    """Into the reply, or into each item of a list. A state is the field `status`; a dotted name leads into objects; `data` and
    `has_more` are the list's own."""
    path = ("status" if fault.do == "state" else fault.field or "").split(".")
    listed = reply.get("data")
    items = cast("list[Row]", listed) if isinstance(listed, list) and path[0] not in {"data", "has_more"} else [reply]
    for item in items:
        target = item
        for name in path[:-1]:
            step = target.get(name)
            target = cast("Row", step) if isinstance(step, dict) else target.setdefault(name, {})
        target[path[-1]] = fault.value


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
