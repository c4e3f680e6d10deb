"""Bedrock's wire as its own service model has it: which operation a request is, and whether it keeps to the model.

botocore checks types, required and unknown members; patterns, enumerations and upper bounds, which it leaves to the service,
are checked here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast
from urllib.parse import parse_qsl, unquote

from botocore.session import Session
from botocore.validate import ParamValidator

from tuneport_backends.simulators.wire import Refused, Reply

Row = dict[str, Any]

# Operations under the names that fault scripts and the log use.
OPERATIONS: Mapping[str, str] = {
    "CreateModelCustomizationJob": "jobs.create",
    "GetModelCustomizationJob": "jobs.get",
    "ListModelCustomizationJobs": "jobs.list",
    "StopModelCustomizationJob": "jobs.stop",
    "GetCustomModel": "models.get",
    "DeleteCustomModel": "models.delete",
    "CreateCustomModelDeployment": "deployments.create",
    "GetCustomModelDeployment": "deployments.get",
    "ListCustomModelDeployments": "deployments.list",
    "DeleteCustomModelDeployment": "deployments.delete",
    "CreateProvisionedModelThroughput": "provisioned.create",
    "GetProvisionedModelThroughput": "provisioned.get",
    "ListProvisionedModelThroughputs": "provisioned.list",
    "DeleteProvisionedModelThroughput": "provisioned.delete",
    "CreateModelImportJob": "imports.create",
    "GetModelImportJob": "imports.get",
    "Converse": "converse",
}


class Refusal(Refused):
    """An error, in Bedrock's shape: its code is in a header."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message, Reply(status, {"message": message}, {"x-amzn-ErrorType": code}))


def inner(row: Mapping[str, Any], *path: str) -> Row:
    """An object inside another; empty where there is none."""
    found: Any = row
    for name in path:
        found = cast("Row", found).get(name) if isinstance(found, dict) else None
    return cast("Row", found) if isinstance(found, dict) else {}


def invalid(message: str) -> Refusal:
    return Refusal(400, "ValidationException", message)


def missing(message: str) -> Refusal:
    return Refusal(404, "ResourceNotFoundException", message)


def usual(status: int) -> tuple[str, str]:
    """The service's usual code and words for a status."""
    return {
        400: ("ValidationException", "The provided request is not valid."),
        403: ("AccessDeniedException", "User is not authorized to perform this action."),
        404: ("ResourceNotFoundException", "The specified resource could not be found."),
        409: ("ConflictException", "The request conflicts with the state of the resource."),
        429: ("ThrottlingException", "Too many requests, please wait before trying again."),
        503: ("ServiceUnavailableException", "The service is temporarily unavailable."),
    }.get(status, ("InternalServerException", "The service encountered an internal error."))


@dataclass(frozen=True)
class Route:
    name: str  # ours
    method: str
    pattern: re.Pattern[str]
    input: Any  # botocore's shapes
    output: Any
    status: int


@lru_cache(maxsize=1)
def routes() -> tuple[Route, ...]:
    session = Session()
    found: list[Route] = []
    for service in ("bedrock", "bedrock-runtime"):
        model = session.get_service_model(service)
        for operation in model.operation_names:
            if (name := OPERATIONS.get(operation)) is None:
                continue
            shape = model.operation_model(operation)
            path = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(shape.http["requestUri"]))
            found.append(
                Route(
                    name=name,
                    method=shape.http["method"],
                    pattern=re.compile(f"{path}/?"),
                    input=shape.input_shape,
                    output=shape.output_shape,
                    status=int(shape.http.get("responseCode", 200)),
                )
            )
    return tuple(found)


def route(method: str, path: str) -> tuple[Route, Row] | None:
    """The operation of a request, and what its path says."""
    for candidate in routes():
        if candidate.method == method and (match := candidate.pattern.fullmatch(path)):
            return candidate, {name: unquote(value) for name, value in match.groupdict().items()}
    return None


def understood(found: Route, said: Row, query: str, raw: bytes) -> Row:
    """Everything that a request asks for, by member name. Refusal where it is not what the service model allows."""
    asked: Row = dict(said)
    members: dict[str, Any] = found.input.members if found.input is not None else {}
    places = {
        shape.serialization.get("name", name): (name, shape)
        for name, shape in members.items()
        if shape.serialization.get("location") == "querystring"
    }
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key not in places:
            raise invalid(f"Unknown parameter in the query: {key}")
        name, shape = places[key]
        asked[name] = _scalar(shape.type_name, value, name)
    if raw:
        try:
            body = json.loads(raw)
        except ValueError:
            raise invalid("The request's body is not JSON.") from None
        if not isinstance(body, dict):
            raise invalid("The request's body is not an object.")
        asked |= cast("Row", body)
    check(asked, found.input)
    return asked


def check(value: Any, shape: Any) -> None:
    """Refusal (400 ValidationException) where `value` is not of `shape`."""
    if shape is None:
        return
    report = ParamValidator().validate(value, shape)
    if report.has_errors():
        raise invalid(" ".join(report.generate_report().split()))
    problems: list[str] = []
    _constraints(value, shape, "", problems)
    if problems:
        raise invalid(
            f"{len(problems)} validation error{'s' if len(problems) > 1 else ''} detected: " + "; ".join(problems)
        )


def _scalar(kind: str, value: str, name: str) -> Any:
    try:
        if kind in {"integer", "long"}:
            return int(value)
        if kind == "float":
            return float(value)
    except ValueError:
        raise invalid(f"{name} is {value!r}, which is no number") from None
    return value == "true" if kind == "boolean" else value


def _constraints(value: Any, shape: Any, path: str, problems: list[str]) -> None:
    kind = shape.type_name
    if kind == "structure":
        members: Mapping[str, Any] = shape.members
        for name, item in cast("Row", value).items():
            if name in members and item is not None:
                _constraints(item, members[name], f"{path}.{name}".strip("."), problems)
    elif kind == "list":
        items = cast("list[Any]", value)
        _bounds(len(items), shape, path, problems)
        for number, item in enumerate(items):
            _constraints(item, shape.member, f"{path}[{number}]", problems)
    elif kind == "map":
        _bounds(len(cast("Row", value)), shape, path, problems)
    elif kind == "string":
        _bounds(len(str(value)), shape, path, problems)
        pattern, allowed = shape.metadata.get("pattern"), shape.metadata.get("enum")
        if pattern and re.fullmatch(str(pattern), str(value)) is None:
            problems.append(f"Value {value!r} at '{path}' failed to satisfy constraint: regular expression {pattern}")
        if allowed and value not in allowed:
            problems.append(f"Value {value!r} at '{path}' failed to satisfy constraint: one of {list(allowed)}")
    elif kind in {"integer", "long", "float", "double"}:
        _bounds(float(value), shape, path, problems)


def _bounds(size: float, shape: Any, path: str, problems: list[str]) -> None:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if (low is not None and size < float(low)) or (high is not None and size > float(high)):
        problems.append(f"Value at '{path}' failed to satisfy constraint: {low} to {high}")
