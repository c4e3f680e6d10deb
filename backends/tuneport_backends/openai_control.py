"""Azure's control plane: the other API, with credentials of its own, at which a tuned model's deployments are made.

Deployments of Microsoft.CognitiveServices accounts, as learn.microsoft.com/rest/api/aifoundry/accountmanagement has them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, cast
from urllib.parse import quote, urlsplit

from tuneport.errors import (
    AccessDeniedError,
    BackendError,
    CredentialsError,
    NotInstalledError,
    RateLimitedError,
    RejectedError,
    RemoteNotFoundError,
    SpecError,
    UnavailableError,
)
from tuneport_backends.openai_service import AZURE, EXTRA, SECONDS, base_url
from tuneport_backends.payload import Payload, mapping, objects, text

VERSION = "2025-06-01"
VARIABLE = "AZURE_MANAGEMENT_TOKEN"
_ADDRESS = "https://management.azure.com"
_ELSEWHERE = "TUNEPORT_AZURE_MANAGEMENT_URL"  # a sovereign cloud's, or a stand-in's
_HOSTS = (".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com")
_WRITE = "Microsoft.CognitiveServices/accounts/deployments/write"
# Each by the option of a deployment, then by the variable.
_PARTS = {
    "subscription": "AZURE_SUBSCRIPTION_ID",
    "resource_group": "AZURE_RESOURCE_GROUP",
    "account": "AZURE_OPENAI_ACCOUNT",
}
PLACE = tuple(_PARTS)


@dataclass(frozen=True)
class Place:
    """The account (the Azure OpenAI or Foundry resource) whose deployments are meant. Nothing of it is secret."""

    subscription: str
    resource_group: str
    account: str


def place(given: Mapping[str, Any], options: Mapping[str, Any]) -> Place:
    """From `given`, else the environment; the account also from the service's address (of the job's `options`).

    SpecError with all that is missing.
    """
    host = urlsplit(base_url(AZURE, options) or "").hostname or ""
    named = next((host.removesuffix(end) for end in _HOSTS if host.endswith(end)), "")
    found = {name: str(given.get(name) or os.environ.get(variable) or "") for name, variable in _PARTS.items()}
    found["account"] = found["account"] or named
    if lacking := [f"{name} (or {_PARTS[name]})" for name, value in found.items() if not value]:
        raise SpecError(
            f"a deployment at {AZURE.title} needs to be told {', '.join(lacking)}: az cognitiveservices account list shows "
            "the accounts that you have, each with the group that it is in."
        )
    return Place(**found)


class Control:
    """The requests about one account's deployments."""

    def __init__(self, at: Place) -> None:
        address = (os.environ.get(_ELSEWHERE) or _ADDRESS).rstrip("/")
        parts: tuple[str, ...] = ("subscriptions", at.subscription, "resourceGroups", at.resource_group)
        parts += ("providers", "Microsoft.CognitiveServices", "accounts", at.account, "deployments")
        self._address = address
        self._all = "/".join((address, *(quote(part, safe="") for part in parts)))
        self._account = at.account

    def create(self, name: str, body: Mapping[str, Any]) -> Payload:
        """Sent once. A PUT of what is there already changes it, so the caller looks first."""
        return self._ask("PUT", self._named(name), f"deploying {name}", body)

    def listed(self) -> list[Payload]:
        found: list[Payload] = []
        following: str | None = f"{self._all}?api-version={VERSION}"
        seen: set[str] = set()
        while following is not None and following not in seen:
            seen.add(following)
            page = self._ask("GET", following, f"listing the deployments of {self._account}")
            found += objects(page.get("value"))
            following = text(page, "nextLink")
            if following is not None and not following.startswith(f"{self._address}/"):
                raise RejectedError(
                    f"{AZURE.title} leads from its list of deployments to another address: not followed."
                )
        return found

    def delete(self, name: str) -> None:
        self._ask("DELETE", self._named(name), f"taking down {name}")

    def _named(self, name: str) -> str:
        return f"{self._all}/{quote(name, safe='')}?api-version={VERSION}"

    def _ask(self, method: str, url: str, what: str, body: Mapping[str, Any] | None = None) -> Payload:
        try:
            import httpx2
        except ImportError:
            raise NotInstalledError(
                f"{AZURE.title} needs the openai package, which is not installed: {EXTRA}", extra="openai"
            ) from None
        secret = token(self._address)
        doing = f"{AZURE.title}'s control plane, {what}"
        try:
            with httpx2.Client(timeout=SECONDS, transport=httpx2.HTTPTransport(retries=2)) as client:
                answer = client.request(method, url, json=body, headers={"Authorization": f"Bearer {secret}"})
        except httpx2.HTTPError as error:
            raise UnavailableError(
                f"{doing}: {type(error).__name__}: {error}".replace(secret, f"<{VARIABLE}>")
            ) from None
        try:
            read: Any = answer.json() if answer.content else {}
        except ValueError:
            read = None
        if answer.status_code >= 300:
            raise _refused(answer.status_code, answer.headers, read, doing, secret)
        if not isinstance(read, dict):
            raise UnavailableError(
                f"{doing}: it answered {answer.status_code} with something that is not a JSON object."
            )
        return cast("Payload", read)


def token(address: str = _ADDRESS) -> str:
    """A bearer token for the control plane: the variable's, else what azure-identity finds (az login, an identity of the
    machine's, …). Never kept. CredentialsError where there is none."""
    if given := os.environ.get(VARIABLE):
        return given
    try:
        identity, core = import_module("azure.identity"), import_module("azure.core.exceptions")
    except ImportError:
        raise CredentialsError(
            f"no credentials for {AZURE.title}'s control plane were found, and the key of the resource itself may not deploy: "
            "pip install azure-identity, which takes an az login or the machine's own identity; or set "
            f"{VARIABLE}, as from: az account get-access-token --query accessToken -o tsv."
        ) from None
    try:
        with identity.DefaultAzureCredential() as credential:
            return str(credential.get_token(f"{address}/.default").token)
    except core.AzureError as error:
        first = " ".join(str(error).split())[:600]
        raise CredentialsError(
            f"azure-identity found no credentials for {AZURE.title}'s control plane: az login, or set {VARIABLE}. It says: "
            f"{first}"
        ) from None


def _refused(status: int, headers: Mapping[str, str], read: Any, doing: str, secret: str) -> BackendError:
    error = mapping(mapping(read).get("error"))
    code = text(error, "code") or ""
    words = " ".join((text(error, "message") or "it gives no reason").split())
    said = f"{doing}: {words} (HTTP {status}{f', {code}' if code else ''})".replace(secret, f"<{VARIABLE}>")
    request = headers.get("x-ms-request-id")
    if status == 401:
        return CredentialsError(
            f"{doing}: the credentials are not taken (HTTP 401). A token lasts about an hour, and is of one tenant: take a new "
            f"one for {VARIABLE}, or unset it and az login.",
            request_id=request,
        )
    if status == 403:
        return AccessDeniedError(f"{said}. Deploying needs a role with {_WRITE}.", request_id=request)
    if status == 404:
        return RemoteNotFoundError(
            f"{said}. Look at {', '.join(f'{name} ({variable})' for name, variable in _PARTS.items())}.",
            request_id=request,
        )
    if status == 429:
        try:
            after = float(headers.get("retry-after") or "")
        except ValueError:
            after = None
        return RateLimitedError(said, request_id=request, retry_after=after)
    if status >= 500 or status in {408, 409}:  # 409: another change of the account is under way
        return UnavailableError(said, request_id=request)
    return RejectedError(said, request_id=request)
