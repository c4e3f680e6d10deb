"""The socket of the simulated Vertex AI and Cloud Storage: routes, credentials, faults, and a log of every request."""

from __future__ import annotations

import json
import re
import socket
import sys
import threading
import traceback
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast
from urllib.parse import parse_qsl, unquote, urlsplit

from tuneport_backends.simulators.faults import Fault
from tuneport_backends.simulators.vertex_gcs import Reply
from tuneport_backends.simulators.vertex_requests import Refusal, Row, usual
from tuneport_backends.simulators.vertex_state import State

_LIST = "tuningJobs"  # where a list's items are
_PARENT = r"/v1(?:beta1)?/(projects/[^/]+/locations/[^/]+)"
_BUCKET, _OBJECT = r"/storage/v1/b/([^/]+)", r"/o/(.+)"


@dataclass(frozen=True)
class Entry:
    """One request as it came and was answered. No header is kept, so no credential is. `status` None: no answer was sent."""

    operation: str
    method: str
    path: str
    query: Mapping[str, str]
    body: Any  # the JSON; of an upload, how many bytes
    status: int | None
    reply: Any = None


@dataclass
class Request:
    args: tuple[str, ...]
    query: dict[str, str]
    headers: Mapping[str, str]
    raw: bytes
    body: Any
    root: str


Do = Callable[[State, Request], Any]

# Operations by method and path, under the names that fault scripts and the log use.
_TABLE: list[tuple[str, str, str, Do]] = [
    ("POST", f"{_PARENT}/tuningJobs", "jobs.create", lambda s, r: s.create_job(r.args[0], r.body)),
    ("GET", f"{_PARENT}/tuningJobs", "jobs.list", lambda s, r: s.list_jobs(r.args[0], r.query)),
    ("GET", f"{_PARENT}(/tuningJobs/[^/:]+)", "jobs.get", lambda s, r: s.job("".join(r.args))),
    ("POST", f"{_PARENT}(/tuningJobs/[^/:]+):cancel", "jobs.cancel", lambda s, r: s.cancel_job("".join(r.args))),
    (
        "POST",
        f"{_PARENT}(/endpoints/[^/:]+|/publishers/google/models/[^/:]+):generateContent",
        "generate",
        lambda s, r: s.generate("".join(r.args), r.body),
    ),
    ("GET", f"{_PARENT}(/endpoints/[^/:]+)", "endpoints.get", lambda s, r: s.endpoint("".join(r.args))),
    ("DELETE", f"{_PARENT}(/endpoints/[^/:]+)", "endpoints.delete", lambda s, r: s.delete_endpoint("".join(r.args))),
    (
        "POST",
        f"{_PARENT}(/endpoints/[^/:]+):undeployModel",
        "endpoints.undeploy",
        lambda s, r: s.undeploy("".join(r.args), r.body),
    ),
    ("GET", f"{_PARENT}(/models/[^/:]+)", "models.get", lambda s, r: s.model("".join(r.args))),
    ("DELETE", f"{_PARENT}(/models/[^/:]+)", "models.delete", lambda s, r: s.delete_model("".join(r.args))),
    ("GET", f"{_BUCKET}", "gcs.bucket", lambda s, r: s.objects.bucket(r.args[0])),
    ("GET", f"{_BUCKET}/o", "gcs.list", lambda s, r: s.objects.list(r.args[0], r.query)),
    ("GET", f"{_BUCKET}{_OBJECT}", "gcs.get", lambda s, r: s.objects.get(r.args[0], r.args[1], r.query)),
    ("GET", f"/download{_BUCKET}{_OBJECT}", "gcs.get", lambda s, r: s.objects.get(r.args[0], r.args[1], r.query)),
    ("DELETE", f"{_BUCKET}{_OBJECT}", "gcs.delete", lambda s, r: s.objects.delete(r.args[0], r.args[1])),
    (
        "POST",
        f"/upload{_BUCKET}/o",
        "gcs.upload",
        lambda s, r: s.objects.upload(r.args[0], r.query, r.headers, r.raw, r.root),
    ),
    ("PUT", f"/upload{_BUCKET}/o", "gcs.upload", lambda s, r: s.objects.resume(r.query, r.headers, r.raw)),
]
ROUTES = [(method, re.compile(path), name, do) for method, path, name, do in _TABLE]


class Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, host: str, port: int, state: State) -> None:
        super().__init__((host, port), Handler)
        self.state = state
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

    def do_PUT(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        operation, do, args = _route(self.command, parts.path)
        faults = self._server.state.faults
        if cuts := faults.meet(operation, "cut"):
            self.rfile.read(min(int(cuts[0].value or 0), int(self.headers.get("Content-Length") or 0)))
            self._note(operation, parts.path, query, None, None)
            return self._hang_up()
        raw = self._body()
        read, shown = _understood(raw, storage="/storage/" in parts.path)
        root = f"http://{self.headers.get('Host') or f'127.0.0.1:{self._server.server_port}'}"
        request = Request(args, query, self.headers, raw, read, root)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        for fault in faults.meet(operation, "delay"):
            threading.Event().wait(fault.seconds)
        status, reply, headers = self._answer(operation, do, request, faults.meet(operation, "status"))
        if status < 400 and isinstance(reply, dict):
            for fault in faults.meet(operation, "field", "state"):
                _set(cast("Row", reply), fault)
        if faults.meet(operation, "lose-reply"):
            self._note(operation, parts.path, query, shown, None, reply)
            return self._hang_up()
        self._note(operation, parts.path, query, shown, status, reply)
        self._send(status, reply, headers)
        return None

    def _answer(self, operation: str, do: Do | None, request: Request, scripted: list[Fault]) -> tuple[int, Any, Row]:
        state = self._server.state
        try:
            if not operation.startswith("gcs.") and not self.headers.get("Authorization", "").startswith("Bearer "):
                raise Refusal(401, usual(401)["error"]["message"])
            if scripted:
                fault = scripted[0]
                status = fault.status or 500
                after = {} if fault.retry_after is None else {"Retry-After": f"{fault.retry_after:g}"}
                return status, fault.body if fault.body is not None else usual(status), after
            if do is None:
                raise Refusal(404, f"Not found: {self.command} {urlsplit(self.path).path}")
            with state.lock:
                made = do(state, request)
            if isinstance(made, Reply):
                return made.code, made.body, dict(made.headers)
            return 200, made, {}
        except Refusal as refusal:
            return refusal.code, refusal.body, {}

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            pieces: list[bytes] = []
            while size := int(self.rfile.readline().split(b";")[0] or b"0", 16):
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(pieces)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _send(self, status: int, reply: Any, headers: Row) -> None:
        plain = isinstance(reply, bytes)
        empty = reply is None
        body = b"" if empty else reply if isinstance(reply, bytes) else json.dumps(reply).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/octet-stream" if plain else "application/json; charset=UTF-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("x-goog-request-id", f"req-{uuid.uuid4().hex}")
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


def _understood(raw: bytes, *, storage: bool) -> tuple[Any, Any]:
    """The body as JSON, and what of it goes into the log."""
    if storage:
        return None, {"bytes": len(raw)} if raw else None
    try:
        read = json.loads(raw) if raw else None
    except ValueError:
        read = None
    return read, read


def _route(method: str, path: str) -> tuple[str, Do | None, tuple[str, ...]]:
    for verb, pattern, name, do in ROUTES:
        if verb == method and (match := pattern.fullmatch(path)):
            return name, do, tuple(unquote(part) for part in match.groups())
    return "unknown", None, ()


def _set(reply: Row, fault: Fault) -> None:
    """Into the reply, or into each item of a list. A state is the field `state`; a dotted name leads into objects."""
    path = ("state" if fault.do == "state" else fault.field or "").split(".")
    listed = reply.get(_LIST)
    for target in cast("list[Row]", listed) if isinstance(listed, list) else [reply]:
        inner = target
        for name in path[:-1]:
            step = inner.get(name)
            if not isinstance(step, dict):
                step = inner[name] = {}
            inner = cast("Row", step)
        inner[path[-1]] = fault.value
