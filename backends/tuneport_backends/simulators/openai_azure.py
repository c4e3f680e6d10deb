"""The deployments of the simulated Azure: its control plane, another API, with a token of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from tuneport_backends.simulators.openai_requests import Refusal
from tuneport_backends.simulators.openai_rows import Row, inner
from tuneport_backends.simulators.wire import Reply, Request

if TYPE_CHECKING:
    from tuneport_backends.simulators.openai_state import State

MANAGEMENT = "tuneport-simulator-management-token"
PLACE = {
    "AZURE_SUBSCRIPTION_ID": "00000000-0000-0000-0000-000000000001",
    "AZURE_RESOURCE_GROUP": "tuneport",
    "AZURE_OPENAI_ACCOUNT": "tuneport-simulated",
}
ACCOUNT = (
    r"/subscriptions/([^/]+)/resourceGroups/([^/]+)/providers/Microsoft\.CognitiveServices/accounts/([^/]+)/deployments"
)
_VERSION = re.compile(r"20\d\d-\d\d-\d\d(-preview)?")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}[A-Za-z0-9]")
_KINDS = ("Standard", "GlobalStandard", "DeveloperTier", "ProvisionedManaged")
_DAY = 86_400.0
_PAGE = 5  # deployments in one answer of the list


@dataclass
class Standing:
    name: str
    model: str
    kind: str
    capacity: int
    created: float

    def state(self, now: float, deploying: float) -> str:
        return "Succeeded" if now >= self.created + deploying else "Creating"

    def over(self, now: float) -> bool:
        """A developer's deployment is taken down by itself."""
        return self.kind == "DeveloperTier" and now >= self.created + _DAY


def stands(state: State, name: str) -> Standing | None:
    found = state.deployments.get(name)
    return None if found is None or found.over(state.clock.seconds()) else found


def create(state: State, request: Request) -> Reply:
    _place(state, request)
    name, body = request.args[3], inner(request.body)
    _only(body, {"sku", "properties", "tags"}, "the request")
    sku, model = inner(body.get("sku")), inner(inner(body.get("properties")).get("model"))
    _only(sku, {"name", "capacity"}, "sku")
    _only(model, {"format", "name", "version"}, "model")
    if not _NAME.fullmatch(name):
        raise _invalid("InvalidResourceName", f"The deployment name {name!r} is not valid.")
    kind = next((kind for kind in _KINDS if kind.lower() == str(sku.get("name", "")).lower()), None)
    capacity = sku.get("capacity")
    if kind is None or type(capacity) is not int or capacity < 1:
        raise _invalid(
            "InvalidResourceProperties",
            f"The specified SKU {sku.get('name')!r} with capacity {capacity!r} is not valid.",
        )
    if model.get("format") != "OpenAI":
        raise _invalid("DeploymentModelNotSupported", f"The model format {model.get('format')!r} is not supported.")
    known = state.models()
    tuned = str(model.get("name")) in known and str(model.get("name")) not in state.tunable
    if str(model.get("name")) not in known or (tuned and model.get("version") != "1"):
        raise _invalid(
            "DeploymentModelNotSupported",
            f"The model '{model.get('name')}' of version '{model.get('version')}' is not available in this account.",
        )
    before = stands(state, name)
    created = state.clock.seconds() if before is None or before.model != model["name"] else before.created
    state.deployments[name] = made = Standing(name, str(model["name"]), kind, capacity, created)
    return Reply(201 if before is None else 200, _payload(state, made))


def listed(state: State, request: Request) -> Row:
    _place(state, request)
    names = [name for name in state.deployments if stands(state, name) is not None]
    token = request.query.get("$skipToken", "0")
    begin = int(token) if token.isdigit() else 0
    page: Row = {"value": [_payload(state, state.deployments[name]) for name in names[begin : begin + _PAGE]]}
    if begin + _PAGE < len(names):
        query = urlencode({"api-version": request.query["api-version"], "$skipToken": begin + _PAGE})
        page["nextLink"] = f"http://{request.headers['host']}{request.path}?{query}"
    return page


def get(state: State, request: Request) -> Row:
    _place(state, request)
    return _payload(state, _found(state, request.args[3]))


def delete(state: State, request: Request) -> Reply:
    _place(state, request)
    if stands(state, request.args[3]) is None:
        return Reply(204)
    del state.deployments[request.args[3]]
    return Reply(200)


def _found(state: State, name: str) -> Standing:
    found = stands(state, name)
    if found is None:
        raise Refusal(404, f"The deployment '{name}' was not found.", code="DeploymentNotFound")
    return found


def _place(state: State, request: Request) -> None:
    if state.service != "azure":
        raise Refusal(404, f"Invalid URL ({request.method} {request.path})", code="unknown_url")
    if not _VERSION.fullmatch(request.query.get("api-version", "")):
        raise _invalid("MissingApiVersionParameter", "The api-version query parameter (?api-version=) is required.")
    subscription, group, account = PLACE.values()
    if request.args[0] != subscription:
        raise Refusal(404, f"The subscription '{request.args[0]}' could not be found.", code="SubscriptionNotFound")
    if request.args[1].lower() != group:
        raise Refusal(404, f"Resource group '{request.args[1]}' could not be found.", code="ResourceGroupNotFound")
    if request.args[2].lower() != account:
        raise Refusal(404, f"The Resource '{request.args[2]}' was not found.", code="ResourceNotFound")


def _only(given: Mapping[str, object], known: set[str], where: str) -> None:
    if unknown := sorted(set(given) - known):
        raise _invalid("InvalidRequestContent", f"Could not find member '{unknown[0]}' on {where}.")


def _invalid(code: str, message: str) -> Refusal:
    return Refusal(400, message, code=code)


def _payload(state: State, one: Standing) -> Row:
    account = "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.CognitiveServices/accounts/{}".format(
        *PLACE.values()
    )
    return {
        "id": f"{account}/deployments/{one.name}",
        "type": "Microsoft.CognitiveServices/accounts/deployments",
        "name": one.name,
        "sku": {"name": one.kind, "capacity": one.capacity},
        "properties": {
            "model": {"format": "OpenAI", "name": one.model, "version": "1"},
            "provisioningState": one.state(state.clock.seconds(), state.timing.deploying),
        },
    }
