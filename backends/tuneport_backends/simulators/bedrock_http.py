"""The wire of the simulated Bedrock: its operations, credentials and errors, and those of the S3 and STS beside it."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import unquote

from tuneport_backends.simulators import bedrock_models as models
from tuneport_backends.simulators import bedrock_s3 as s3
from tuneport_backends.simulators import bedrock_wire as model
from tuneport_backends.simulators import wire
from tuneport_backends.simulators.bedrock_state import ACCOUNT, State
from tuneport_backends.simulators.bedrock_wire import Refusal, Row
from tuneport_backends.simulators.faults import Fault, Faults
from tuneport_backends.simulators.wire import Log, Refused, Reply, Request, read_json

_SCOPE = re.compile(r"Credential=([^/]+)/\d{8}/([a-z0-9-]+)/([a-z0-9-]+)/aws4_request")
_S3 = {"PUT": "s3.put", "GET": "s3.get", "HEAD": "s3.head", "DELETE": "s3.delete", "POST": "s3.post"}
_XML = {"Content-Type": "text/xml"}
_EXPIRED = "The security token included in the request is expired"
_INVALID = "The security token included in the request is invalid."


class Server(wire.Server):
    page_fields = frozenset(
        {
            "modelCustomizationJobSummaries",
            "modelDeploymentSummaries",
            "provisionedModelSummaries",
            "nextToken",
        }
    )

    def __init__(
        self, address: tuple[str, int], log: Log, faults: Faults, state: State, key: str, *, expired: bool
    ) -> None:
        super().__init__(address, log, faults, state.lock)
        self.state = state
        self.key = key
        self.expired = expired

    def route(self, request: Request) -> None:
        service = _signed(request).service
        if service == "s3":
            request.operation, request.do = _s3_name(request), _s3
        elif service == "sts":
            request.operation, request.do = "sts", _sts
        elif (found := model.route(request.method, request.path)) is not None:
            request.operation, request.do = found[0].name, partial(_bedrock, *found)

    def read(self, request: Request) -> Any:
        if _signed(request).service in {"s3", "sts"}:
            return len(request.raw)
        request.body = read_json(request.raw)
        return request.body

    def admit(self, request: Request) -> None:
        if self.expired:
            raise _denied(request, "ExpiredTokenException", _EXPIRED)
        if self.key not in {request.bearer, _signed(request).key}:
            raise _denied(request, "UnrecognizedClientException", _INVALID)

    def usual(self, request: Request, fault: Fault) -> Reply:
        status, given = fault.status or 500, fault.body or {}
        if request.do is _s3:
            code, message = s3.usual(status)
            return s3.S3Refusal(status, str(given.get("Code", code)), str(given.get("Message", message))).answer
        code, message = model.usual(status)
        if request.do is _sts:
            return _sts_error(status, str(given.get("Code", code)), str(given.get("Message", message))).answer
        body = fault.body if fault.body is not None else {"message": message}
        return Reply(status, body, {"x-amzn-ErrorType": str(body.get("__type", code))})

    def answer(self, request: Request) -> Reply:
        self.state.tick()
        if request.do is None:
            raise Refusal(404, "UnknownOperationException", "")
        reply: Reply = request.do(self.state, request)
        return reply

    def identity(self) -> Mapping[str, str]:
        id_ = uuid.uuid4()
        return {"x-amzn-RequestId": str(id_), "x-amz-request-id": id_.hex[:16].upper()}


class _Signed(NamedTuple):
    """What a request's signature says: whose it is, and for what."""

    key: str | None = None
    region: str = "us-east-1"
    service: str = "bedrock"


def _signed(request: Request) -> _Signed:
    found = _SCOPE.search(request.headers.get("authorization", ""))
    return _Signed() if found is None else _Signed(*found.groups())


def _denied(request: Request, code: str, message: str) -> Refused:
    if request.do is _s3:
        expired = code.startswith("Expired")
        return s3.S3Refusal(400 if expired else 403, "ExpiredToken" if expired else "InvalidAccessKeyId", message)
    return _sts_error(403, code, message) if request.do is _sts else Refusal(403, code, message)


def _bedrock(route: model.Route, said: Row, state: State, request: Request) -> Reply:
    asked = model.understood(route, said, request.query_string, request.raw)
    reply = _DO[route.name](state, asked, _signed(request).region)
    try:
        model.check(reply, route.output)
    except Refusal as error:  # a fault of the simulator's own must not look like the caller's
        raise Refusal(500, "InternalServerException", f"the simulator's reply is wrong: {error}") from None
    return Reply(route.status, reply)


def _s3_name(request: Request) -> str:
    bucket, _, key = request.path.strip("/").partition("/")
    if request.method == "GET" and bucket and not key:
        return "s3.list"
    if request.method == "HEAD" and not key:
        return "s3.head-bucket"
    if request.method == "POST":
        return "s3.delete" if "delete" in request.query else "s3.post"
    return _S3[request.method]


def _s3(state: State, request: Request) -> Reply:
    bucket, _, key = unquote(request.path).lstrip("/").partition("/")
    chunked = "aws-chunked" in request.headers.get("content-encoding", "")
    body = s3.dechunked(request.raw) if chunked else request.raw
    at = state.moment(state.now)
    return state.s3.serve(
        s3.Ask(request.method, bucket, key, request.query, request.headers, body, at, _signed(request).region)
    )


def _sts(state: State, request: Request) -> Reply:  # noqa: ARG001  (whoever asks is the same)
    who = f"<Arn>arn:aws:iam::{ACCOUNT}:user/simulated</Arn><UserId>AIDASIMULATED</UserId><Account>{ACCOUNT}</Account>"
    inner = f"<GetCallerIdentityResult>{who}</GetCallerIdentityResult>"
    text = f'<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">{inner}</GetCallerIdentityResponse>'
    return Reply(200, text.encode(), _XML)


def _sts_error(status: int, code: str, message: str) -> Refused:
    inner = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
    return Refused(message, Reply(status, f"<ErrorResponse>{inner}</ErrorResponse>".encode(), _XML))


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
OPERATIONS = frozenset({*_DO, *_S3.values(), "s3.list", "s3.head-bucket", "sts"})
