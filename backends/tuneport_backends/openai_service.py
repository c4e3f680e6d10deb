"""The services that speak OpenAI's fine-tuning wire, as data, and the client for each, with the credentials that its SDK finds.

The SDK is imported only when a service is asked, so that planning needs neither the package nor its second of start-up.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from tuneport.errors import CredentialsError, NotInstalledError, SpecError

if TYPE_CHECKING:
    from openai import OpenAI

SECONDS = 60.0  # without a byte in either direction; the SDK's own 600 would let a dead connection hold a poll
RETRIES = 2  # with the SDK's backoff and jitter, honouring Retry-After up to 120 seconds; a create gets none
EXTRA = "pip install 'tuneport[openai]'"
_KEPT_CLIENTS = 8
_WHERE = ("base_url", "organization", "project", "api_version", "region")  # of the options: where the job lives


@dataclass(frozen=True)
class Service:
    """`keys`: the variables that hold a credential, the usual one first. `places`: those that say where, never secret.

    `sends`: which of create's optional fields the service is known to take. `graders`: the types that it runs.
    """

    name: str
    title: str
    keys: tuple[str, ...]
    places: tuple[str, ...]
    options: tuple[str, ...]
    graders: frozenset[str]
    sends: frozenset[str] = frozenset({"metadata", "seed", "suffix", "integrations"})


_GRADERS = frozenset({"string_check", "text_similarity", "python", "score_model", "multi"})

OPENAI = Service(
    name="openai",
    title="OpenAI",
    keys=("OPENAI_API_KEY",),
    places=("OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"),
    options=("base_url", "organization", "project", "suffix"),
    graders=_GRADERS,
)
AZURE = Service(
    name="azure",
    title="Azure OpenAI",
    keys=("AZURE_OPENAI_API_KEY", "AZURE_OPENAI_AD_TOKEN"),
    places=("AZURE_OPENAI_ENDPOINT", "OPENAI_API_VERSION"),
    options=("base_url", "api_version", "suffix", "deployment"),
    graders=_GRADERS,
)
# The requests in AWS's guide hold a model, the files and the method, and say that a suffix is not supported; nothing is said
# of the other fields, so none is sent.
BEDROCK = Service(
    name="bedrock-openai",
    title="Bedrock's OpenAI-compatible endpoint",
    # A Bedrock API key: signing by AWS's own keys (SigV4) needs a body that can be read twice, and the SDK streams uploads.
    keys=("AWS_BEARER_TOKEN_BEDROCK",),
    places=("AWS_BEDROCK_BASE_URL", "AWS_REGION", "AWS_DEFAULT_REGION"),
    options=("base_url", "region"),
    graders=frozenset({"lambda"}),
    sends=frozenset(),
)

_clients: OrderedDict[tuple[Any, ...], OpenAI] = OrderedDict()
_lock = threading.Lock()


def where(options: Mapping[str, Any]) -> dict[str, Any]:
    """Of a job's options, those that say which service, account and project it lives in."""
    return {name: options[name] for name in _WHERE if options.get(name)}


def base_url(service: Service, options: Mapping[str, Any]) -> str | None:
    """Where the service is asked to be, by the options or the environment; None: where it usually is."""
    found = options.get("base_url") or os.environ.get(service.places[0])
    return str(found).strip() if found and str(found).strip() else None


def shown(url: str) -> str:
    """A URL without what may be secret in it."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return urlunsplit((parts.scheme, f"{host}:{parts.port}" if parts.port else host, parts.path, "", ""))


def credentials(service: Service) -> list[str]:
    """The names of the variables that hold a credential for the service now."""
    return [name for name in service.keys if os.environ.get(name)]


def missing(service: Service) -> str | None:
    """What keeps the service from being asked, in a sentence with the fix; None where nothing is seen to be missing."""
    if find_spec("openai") is None:
        return f"{service.title} needs the openai package, which is not installed: {EXTRA}"
    if not credentials(service):
        return f"no credentials for {service.title} were found: set {' or '.join(service.keys)} (the SDK comes with {EXTRA})."
    if service.name == AZURE.name and base_url(service, {}) is None:
        return f"{service.title} has no address: set AZURE_OPENAI_ENDPOINT, or the option base_url."
    return None


def connect(service: Service, options: Mapping[str, Any]) -> OpenAI:
    """The client for the service, kept for the next call with the same options and environment.

    CredentialsError where no credential is found, NotInstalledError without the SDK. No request is made.
    """
    environment = tuple(os.environ.get(name) for name in (*service.keys, *service.places))
    key = (os.getpid(), service.name, *sorted(where(options).items()), environment)
    with _lock:
        if key in _clients:
            _clients.move_to_end(key)
            return _clients[key]
        client = _connected(service, options)
        _clients[key] = client
        while len(_clients) > _KEPT_CLIENTS:
            _clients.popitem(last=False)  # closed when its last user lets go of it
        return client


def close() -> None:
    """Let go of every kept client and its connections."""
    with _lock:
        for client in _clients.values():
            client.close()
        _clients.clear()


atexit.register(close)


def _connected(service: Service, options: Mapping[str, Any]) -> OpenAI:
    try:
        import openai
    except ImportError:
        raise NotInstalledError(
            f"{service.title} needs the openai package, which is not installed: {EXTRA}", extra="openai"
        ) from None
    said = missing(service)
    if said is not None and not (service.name == AZURE.name and options.get("base_url") and credentials(service)):
        raise CredentialsError(said)
    try:
        if service.name == AZURE.name:
            return _azure(options)
        if service.name == BEDROCK.name:
            return _bedrock(options)
        return openai.OpenAI(
            base_url=options.get("base_url"),
            organization=options.get("organization"),
            project=options.get("project"),
            timeout=SECONDS,
            max_retries=RETRIES,
        )
    except (openai.OpenAIError, ValueError) as error:
        # The SDK's own sentences name variables and arguments, never values.
        raise CredentialsError(f"{service.title} cannot be asked: {error} ({', '.join(service.keys)})") from None


def _azure(options: Mapping[str, Any]) -> OpenAI:
    """Azure's v1 API where no `api_version` is given: it needs none; else the dated API of that version."""
    import openai

    address = base_url(AZURE, options)
    version = options.get("api_version") or os.environ.get("OPENAI_API_VERSION")
    if address is None:
        raise SpecError("Azure OpenAI has no address: set AZURE_OPENAI_ENDPOINT, or the option base_url.")
    address = address.rstrip("/")
    # Told both, as the SDK takes a variable that is set and empty for a token.
    token, key = os.environ.get("AZURE_OPENAI_AD_TOKEN") or None, os.environ.get("AZURE_OPENAI_API_KEY")
    if address.endswith("/openai/v1") or not version:
        v1 = address if address.endswith("/openai/v1") else f"{address}/openai/v1"
        return openai.OpenAI(api_key=token or key, base_url=v1, timeout=SECONDS, max_retries=RETRIES)
    return openai.AzureOpenAI(
        azure_endpoint=address.removesuffix("/openai"),
        azure_ad_token=token,
        api_key=None if token else key,
        api_version=str(version),
        timeout=SECONDS,
        max_retries=RETRIES,
    )


def _bedrock(options: Mapping[str, Any]) -> OpenAI:
    """AWS's guide has fine-tuning below /v1."""
    import openai

    region = options.get("region") or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    address = base_url(BEDROCK, options)
    if address is None:
        if not region:
            raise SpecError("Bedrock needs a region: set AWS_REGION, or the option region.")
        address = f"https://bedrock-mantle.{region}.api.aws/v1"
    return openai.BedrockOpenAI(aws_region=region, base_url=address, timeout=SECONDS, max_retries=RETRIES)
