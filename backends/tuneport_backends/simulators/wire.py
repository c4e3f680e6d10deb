"""The socket of every simulator: a request read, faults met, an answer written, and all of it kept in a log.

`Server` is what a provider's own module fills in: which operation a request is, who may ask, and what is answered.
"""

from __future__ import annotations

import copy
import json
import re
import socket
import sys
import threading
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast
from urllib.parse import parse_qsl, unquote, urlsplit

from tuneport_backends.simulators.clock import Clock
from tuneport_backends.simulators.faults import Fault, Faults

Row = dict[str, Any]
UNKNOWN = "unknown"  # what the log calls a request that is no operation; no fault can name it


@dataclass(frozen=True)
class Entry:
    """One request as it came and was answered. No header is kept, so no credential is. `status` None: no answer was sent.

    `at`: the second of the simulator's clock.
    """

    operation: str
    method: str
    path: str
    query: Mapping[str, str]
    body: Any  # the JSON; of a file or an object, what is said of it and its size
    status: int | None
    reply: Any = None
    at: float = 0.0


@dataclass
class Request:
    """`path` is still quoted, `args` (what the route found in it) is not. `headers` by their lower-case names."""

    method: str
    path: str
    query_string: str
    headers: Mapping[str, str]
    operation: str = UNKNOWN
    do: Callable[[Any, Request], Any] | None = None  # what answers it
    args: tuple[str, ...] = ()
    raw: bytes = b""
    body: Any = None  # the JSON
    form: dict[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        self.query = dict(parse_qsl(self.query_string, keep_blank_values=True))

    @property
    def bearer(self) -> str | None:
        kind, _, token = self.headers.get("authorization", "").partition(" ")
        return token.strip() if kind == "Bearer" else None


@dataclass(frozen=True)
class Reply:
    """`body`: an object is sent as JSON, bytes as they are, None as nothing."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


class Refused(Exception):
    """A request that is answered with an error. `answer`: in the provider's own shape."""

    def __init__(self, message: str, answer: Reply) -> None:
        super().__init__(message)
        self.message = message
        self.answer = answer


Do = Callable[[Any, Request], Any]  # from what a simulator holds and a request to the body of an answer, or a Reply


class Log:
    """What came, and what went wrong in the simulator itself. Outlives the server, which may be started again."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.entries: list[Entry] = []
        self.failures: list[str] = []


class Server(ThreadingHTTPServer, ABC):
    """One provider behind a socket. `lock` is held while a request is answered."""

    daemon_threads = True
    allow_reuse_address = True
    json_type = "application/json"
    state_field = "status"  # what a job's state is called
    page_fields: frozenset[str] = frozenset()  # of a list's answer, those that are its own and not its items'

    def __init__(self, address: tuple[str, int], log: Log, faults: Faults, lock: threading.RLock) -> None:
        super().__init__(address, Handler)
        self.log = log
        self.faults = faults
        self.lock = lock
        self.connections: set[socket.socket] = set()
        self.noted = threading.Lock()

    # A provider's own

    @abstractmethod
    def route(self, request: Request) -> None:
        """Its `operation`, and whatever else its method, path and headers say, into `request`."""

    @abstractmethod
    def read(self, request: Request) -> Any:
        """The raw body into `request`; what of it goes into the log."""

    @abstractmethod
    def admit(self, request: Request) -> None:
        """Refused, where the credentials are not taken."""

    @abstractmethod
    def usual(self, request: Request, fault: Fault) -> Reply:
        """The answer with `fault.status`, and the provider's own words where the fault has no body."""

    @abstractmethod
    def answer(self, request: Request) -> Reply:
        """What was asked for; Refused where it cannot be. `lock` is held."""

    @abstractmethod
    def identity(self) -> Mapping[str, str]:
        """The headers that give an answer its id."""

    def items(self, reply: Row) -> list[Row] | None:
        """The items of a list's answer; None where it is none."""
        names = [name for name in self.page_fields if isinstance(reply.get(name), list)]
        return None if not names else [item for item in cast("list[Any]", reply[names[0]]) if isinstance(item, dict)]

    # Of all

    def answered(self, request: Request, scripted: list[Fault]) -> Reply:
        try:
            self.admit(request)
            if scripted:
                fault = scripted[0]
                usual = self.usual(request, fault)
                after = {} if fault.retry_after is None else {"Retry-After": f"{fault.retry_after:g}"}
                return Reply(usual.status, usual.body, {**usual.headers, **after})
            with self.lock:
                return self.answer(request)
        except Refused as refused:
            return refused.answer

    def falsify(self, reply: Reply, fault: Fault) -> Reply:
        """A field of the answer, or of each item of a list, set. A dotted name leads into objects; `state` is the job's."""
        body = copy.deepcopy(cast("Row", reply.body))  # what is held stays as it is
        *path, last = (self.state_field if fault.do == "state" else str(fault.field)).split(".")
        items = None if (path or [last])[0] in self.page_fields else self.items(body)
        for item in [body] if items is None else items:
            target = item
            for name in path:
                if not isinstance(target.get(name), dict):
                    target[name] = {}
                target = cast("Row", target[name])
            target[last] = fault.value
        return Reply(reply.status, body, reply.headers)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002  (the base's arguments)
        """A client that went away is no failure; anything else is the simulator's own, and kept to be told."""
        if not isinstance(sys.exception(), OSError):
            self.log.failures.append(traceback.format_exc())

    def end(self) -> None:
        """Closes the port and every connection."""
        self.shutdown()
        with self.noted:
            connections = list(self.connections)
        for connection in connections:
            _shut(connection)
        self.server_close()


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
        server = self._server
        parts = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, parts.path, parts.query, headers)
        server.route(request)
        operation = request.operation
        if cuts := server.faults.meet(operation, "cut"):
            self.rfile.read(min(int(cuts[0].value or 0), int(headers.get("content-length") or 0)))
            self._hang_up(request, None)
            return
        request.raw = self._body(headers)
        shown = server.read(request)
        for fault in server.faults.meet(operation, "delay"):
            threading.Event().wait(fault.seconds)
        reply = server.answered(request, server.faults.meet(operation, "status"))
        if reply.status < 400 and isinstance(reply.body, dict):
            for fault in server.faults.meet(operation, "field", "state"):
                reply = server.falsify(reply, fault)
        if server.faults.meet(operation, "lose-reply"):
            self._hang_up(request, shown, reply)
            return
        self._note(request, shown, reply.status, reply)
        self._send(reply)

    do_POST = do_PUT = do_DELETE = do_HEAD = do_GET  # noqa: N815

    def _body(self, headers: Mapping[str, str]) -> bytes:
        if "chunked" not in headers.get("transfer-encoding", ""):
            return self.rfile.read(int(headers.get("content-length") or 0))
        pieces: list[bytes] = []
        while size := int(self.rfile.readline().split(b";")[0] or b"0", 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def _send(self, reply: Reply) -> None:
        raw = isinstance(reply.body, bytes)
        body = reply.body if raw else b"" if reply.body is None else json.dumps(reply.body).encode()
        kind = "application/octet-stream" if raw else self._server.json_type
        said = {name.lower(): value for name, value in {**self._server.identity(), **reply.headers}.items()}
        self.send_response(reply.status)
        for name, value in {"content-type": kind, **said, "content-length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _hang_up(self, request: Request, shown: Any, reply: Reply | None = None) -> None:
        """Closes the connection without an answer; `reply` is the one that is lost."""
        self._note(request, shown, None, reply)
        self.close_connection = True
        _shut(self.connection)

    def _note(self, request: Request, shown: Any, status: int | None, reply: Reply | None) -> None:
        kept = None if reply is None or isinstance(reply.body, bytes) else reply.body
        at = self._server.log.clock.seconds()
        entry = Entry(request.operation, self.command, request.path, request.query, shown, status, kept, at)
        with self._server.noted:
            self._server.log.entries.append(entry)


class Routes:
    """Operations by method and path, under the names that fault scripts and the log use."""

    def __init__(self, table: Iterable[tuple[str, str, str, Do]]) -> None:
        self._table = [(method, re.compile(path), name, do) for method, path, name, do in table]
        self.operations = frozenset(name for _, _, name, _ in self._table)

    def find(self, request: Request) -> None:
        """The operation, what answers it and what the path says, into `request`."""
        for method, pattern, name, do in self._table:
            if method == request.method and (match := pattern.fullmatch(request.path)):
                request.operation, request.do = name, do
                request.args = tuple(unquote(part) for part in match.groups())
                return


def read_json(raw: bytes) -> Any:
    """None where it is none."""
    try:
        return json.loads(raw) if raw else None
    except ValueError:
        return None


def _shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # closed by its client meanwhile
