"""The socket of the simulated Bedrock: credentials, faults, the log, and which service a request is for."""

from __future__ import annotations

import json
import re
import socket
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast
from urllib.parse import parse_qsl, unquote, urlsplit

from tuneport_backends.simulators import bedrock_models as models
from tuneport_backends.simulators import bedrock_s3 as s3
from tuneport_backends.simulators import bedrock_wire as wire
from tuneport_backends.simulators.bedrock_state import ACCOUNT, State
from tuneport_backends.simulators.bedrock_wire import Refusal, Row
from tuneport_backends.simulators.faults import Fault

_SCOPE = re.compile(r"Credential=([^/]+)/\d{8}/([a-z0-9-]+)/([a-z0-9-]+)/aws4_request")
_S3_NAMES = {"PUT": "s3.put", "GET": "s3.get", "HEAD": "s3.head", "DELETE": "s3.delete", "POST": "s3.post"}
_EXPIRED = "The security token included in the request is expired"


@dataclass(frozen=True)
class Entry:
    """One request as it came and was answered. No header is kept, so no credential is. `status` None: no answer was sent."""

    operation: str
    method: str
    path: str
    query: Mapping[str, str]
    body: Any  # the JSON; of an object, its size
    status: int | None
    reply: Any = None


class Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, host: str, port: int, state: State, key: str) -> None:
        super().__init__((host, port), Handler)
        self.state = state
        self.key = key
        self.expired = False
        self.log: list[Entry] = []
        self.connections: set[socket.socket] = set()
        self.noted = threading.Lock()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no event here; whatever else is wrong is told by replies of status 500."""


@dataclass
class _Reply:
    status: int
    body: bytes
    headers: dict[str, str]
    shown: Any = None  # the JSON


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

    do_POST = do_PUT = do_DELETE = do_HEAD = do_GET  # noqa: N815

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        scope = _SCOPE.search(self.headers.get("Authorization", ""))
        service = scope[3] if scope is not None else "bedrock"
        found = wire.route(self.command, parts.path) if service == "bedrock" else None
        operation = {"s3": self._s3_name(parts.path, query), "sts": "sts"}.get(service)
        operation = operation or (found[0].name if found is not None else "unknown")
        faults = self._server.state.faults
        size = int(self.headers.get("Content-Length") or 0)
        if cuts := faults.meet(operation, "cut"):
            self.rfile.read(min(int(cuts[0].value or 0), size))
            self._note(operation, query, None, None)
            return self._hang_up()
        raw = self.rfile.read(size)
        for fault in faults.meet(operation, "delay"):
            threading.Event().wait(fault.seconds)
        scripted = faults.meet(operation, "status")
        body: Any = len(raw)
        with self._server.state.lock:
            self._server.state.tick()
            if service == "s3":
                reply = self._s3(raw, query, scope[2] if scope else "us-east-1", scripted)
            elif service == "sts":
                reply = self._sts()
            else:
                body = _json(raw)
                reply = self._bedrock(found, parts.query, raw, scope[2] if scope else "us-east-1", scripted)
        if faults.meet(operation, "lose-reply"):
            self._note(operation, query, body, None, reply.shown)
            return self._hang_up()
        self._note(operation, query, body, reply.status, reply.shown)
        self._send(reply)
        return None

    def _refused(self) -> tuple[str, str] | None:
        """Why the credentials are not taken: a code and its words."""
        bearer = self.headers.get("Authorization", "").removeprefix("Bearer ").strip()
        scope = _SCOPE.search(self.headers.get("Authorization", ""))
        if self._server.expired:
            return "ExpiredTokenException", _EXPIRED
        if self._server.key not in {bearer, scope[1] if scope is not None else ""}:
            return "UnrecognizedClientException", "The security token included in the request is invalid."
        return None

    # Bedrock

    def _bedrock(
        self, found: tuple[wire.Route, Row] | None, query: str, raw: bytes, region: str, scripted: list[Fault]
    ) -> _Reply:
        try:
            if (refused := self._refused()) is not None:
                raise Refusal(403, *refused)
            if scripted:
                return _scripted(scripted[0], wire.usual)
            if found is None:
                raise Refusal(404, "UnknownOperationException", "")
            route, said = found
            asked = wire.understood(route, said, query, raw)
            reply = _DO[route.name](self._server.state, asked, region)
            try:
                wire.check(reply, route.output)
            except Refusal as error:  # a fault of the simulator's own must not look like the caller's
                raise Refusal(500, "InternalServerException", f"the simulator's reply is wrong: {error}") from None
        except Refusal as error:
            return _reply(error.status, {"message": error.message}, {"x-amzn-ErrorType": error.code})
        for fault in self._server.state.faults.meet(route.name, "field", "state"):
            _set(reply, fault)
        return _reply(route.status, reply, {})

    # S3 and STS

    def _s3_name(self, path: str, query: Mapping[str, str]) -> str:
        bucket, _, key = path.strip("/").partition("/")
        if self.command == "GET" and bucket and not key:
            return "s3.list"
        if self.command == "HEAD" and not key:
            return "s3.head-bucket"
        if self.command == "POST":
            return "s3.delete" if "delete" in query else "s3.post"
        return _S3_NAMES[self.command]

    def _s3(self, raw: bytes, query: Mapping[str, str], region: str, scripted: list[Fault]) -> _Reply:
        bucket, _, key = unquote(urlsplit(self.path).path).lstrip("/").partition("/")
        headers = {name.lower(): value for name, value in self.headers.items()}
        if "aws-chunked" in headers.get("content-encoding", ""):
            raw = s3.dechunked(raw)
        state = self._server.state
        ask = s3.Ask(self.command, bucket, key, query, headers, raw, state.moment(state.now), region)
        try:
            if (refused := self._refused()) is not None:
                expired = refused[0].startswith("Expired")
                raise s3.S3Refusal(
                    400 if expired else 403, "ExpiredToken" if expired else "InvalidAccessKeyId", refused[1]
                )
            if scripted:
                status = scripted[0].status or 500
                code, message = s3.usual(status)
                extra = {} if scripted[0].retry_after is None else {"Retry_After": f"{scripted[0].retry_after:g}"}
                given = scripted[0].body or {}
                raise s3.S3Refusal(status, str(given.get("Code", code)), str(given.get("Message", message)), **extra)
            answer = state.s3.serve(ask)
        except s3.S3Refusal as error:
            answer = s3.refused(error)
        return _Reply(answer.status, answer.body, answer.headers)

    def _sts(self) -> _Reply:
        if (refused := self._refused()) is not None:
            inner = f"<Error><Type>Sender</Type><Code>{refused[0]}</Code><Message>{refused[1]}</Message></Error>"
            return _Reply(403, f"<ErrorResponse>{inner}</ErrorResponse>".encode(), {"Content-Type": "text/xml"})
        who = f"<Arn>arn:aws:iam::{ACCOUNT}:user/simulated</Arn><UserId>AIDASIMULATED</UserId><Account>{ACCOUNT}</Account>"
        inner = f"<GetCallerIdentityResult>{who}</GetCallerIdentityResult>"
        text = f'<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">{inner}</GetCallerIdentityResponse>'
        return _Reply(200, text.encode(), {"Content-Type": "text/xml"})

    # Answering

    def _send(self, reply: _Reply) -> None:
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        id_ = uuid.uuid4()
        self.send_header("x-amzn-RequestId", str(id_))
        self.send_header("x-amz-request-id", id_.hex[:16].upper())
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)

    def _hang_up(self) -> None:
        self.close_connection = True
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # the client was quicker

    def _note(self, operation: str, query: Mapping[str, str], body: Any, status: int | None, reply: Any = None) -> None:
        with self._server.noted:
            entry = Entry(operation, self.command, urlsplit(self.path).path, query, body, status, reply)
            self._server.log.append(entry)


def _words(asked: Row, name: str) -> str:
    return str(asked[name])


_DO: Mapping[str, Callable[[State, Row, str], Row]] = {
    "jobs.create": lambda s, a, r: s.create_job(a, r),
    "jobs.get": lambda s, a, _: s.job(_words(a, "jobIdentifier")).payload(s.now),
    "jobs.list": lambda s, a, r: s.list_jobs(a, r),
    "jobs.stop": lambda s, a, _: s.stop_job(_words(a, "jobIdentifier")),
    "models.get": lambda s, a, _: s.model_payload(_words(a, "modelIdentifier")),
    "models.delete": lambda s, a, _: s.delete_model(_words(a, "modelIdentifier")),
    "deployments.create": models.deploy,
    "deployments.get": lambda s, a, _: models.standing_payload(
        s, models.stands(s, _words(a, "customModelDeploymentIdentifier"))
    ),
    "deployments.list": lambda s, a, r: models.list_standing(s, a, r, "Active", "modelDeploymentSummaries"),
    "deployments.delete": lambda s, a, _: models.take_down(s, _words(a, "customModelDeploymentIdentifier")),
    "provisioned.create": models.provision,
    "provisioned.get": lambda s, a, _: models.standing_payload(s, models.stands(s, _words(a, "provisionedModelId"))),
    "provisioned.list": lambda s, a, r: models.list_standing(s, a, r, "InService", "provisionedModelSummaries"),
    "provisioned.delete": lambda s, a, _: models.take_down(s, _words(a, "provisionedModelId")),
    "imports.create": models.import_model,
    "imports.get": lambda s, a, _: models.import_job(s, _words(a, "jobIdentifier")),
    "converse": models.converse,
}


def _scripted(fault: Fault, usual: Callable[[int], tuple[str, str]]) -> _Reply:
    status = fault.status or 500
    code, message = usual(status)
    body = fault.body if fault.body is not None else {"message": message}
    headers = {"x-amzn-ErrorType": str(body.get("__type", code))}
    if fault.retry_after is not None:
        headers["Retry-After"] = f"{fault.retry_after:g}"
    return _reply(status, body, headers)


def _set(reply: Row, fault: Fault) -> None:
    """A field of the reply, written as a path with dots; `state` is the job's status, also in a list."""
    name = "status" if fault.do == "state" else str(fault.field)
    lists = [cast("list[Row]", value) for value in reply.values() if isinstance(value, list)]
    targets = [reply] if "status" in reply or fault.do == "field" else [item for found in lists for item in found]
    for target in targets:
        *path, last = name.split(".")
        within = target
        for part in path:
            within = cast("Row", within.setdefault(part, {}))
        within[last] = fault.value


def _reply(status: int, reply: Row, headers: dict[str, str]) -> _Reply:
    return _Reply(status, json.dumps(reply).encode(), {"Content-Type": "application/json", **headers}, reply)


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw) if raw else None
    except ValueError:
        return None
