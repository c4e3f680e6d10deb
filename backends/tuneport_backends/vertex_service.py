"""Where Vertex AI is asked, and the clients for it, with the credentials that Google's own libraries find.

The SDKs are imported only when the service is asked, so that planning needs neither the packages nor their start-up.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tuneport.errors import CredentialsError, NotInstalledError, SpecError
from tuneport_backends.vertex_errors import LOGIN, TITLE, asking, untyped

if TYPE_CHECKING:
    from google import genai
    from google.auth.credentials import Credentials

SECONDS = 120  # for one request; google-genai's own default is to wait for ever
ATTEMPTS = 4  # of a request that may be repeated, by the SDK with backoff and jitter; a create gets one
EXTRA = "pip install 'tuneport[vertex]'"
BASE_URL = "TUNEPORT_VERTEX_BASE_URL"
BUCKET = "TUNEPORT_VERTEX_BUCKET"
PROJECT = "GOOGLE_CLOUD_PROJECT"
LOCATION = "GOOGLE_CLOUD_LOCATION"
DEFAULT_LOCATION = "us-central1"
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_STAND_IN_TOKEN = "stand-in"  # noqa: S105  (what a stand-in on this machine is shown; it is no credential)
_KEPT = 8
_ENVIRONMENT = ("GOOGLE_APPLICATION_CREDENTIALS", "CLOUDSDK_CONFIG", "STORAGE_EMULATOR_HOST", "HTTPS_PROXY")


@dataclass(frozen=True)
class Place:
    """`bucket` and `prefix`: where the rows go. `base_url`: a stand-in or a gateway; None: Google's own address."""

    project: str
    location: str
    bucket: str = ""
    prefix: str = ""
    base_url: str | None = None

    @property
    def parent(self) -> str:
        return f"projects/{self.project}/locations/{self.location}"

    @property
    def address(self) -> str:
        if self.base_url is not None:
            return self.base_url
        if self.location == "global":
            return "https://aiplatform.googleapis.com"
        return f"https://{self.location}-aiplatform.googleapis.com"

    @property
    def loopback(self) -> bool:
        return self.base_url is not None and is_loopback(self.base_url)

    def object(self, tag: str, name: str) -> str:
        return "/".join(part for part in (self.prefix, tag, name) if part)

    def uri(self, name: str) -> str:
        return f"gs://{self.bucket}/{name}"


def setting(options: Mapping[str, Any], name: str) -> str | None:
    """One of the options, else its variable."""
    variables = {"project": PROJECT, "location": LOCATION, "bucket": BUCKET, "base_url": BASE_URL}
    found = options.get(name) or os.environ.get(variables[name])
    if name == "base_url" and not found:
        found = os.environ.get("GOOGLE_VERTEX_BASE_URL")  # the SDK's own
    value = str(found).strip() if found else ""
    return value or (DEFAULT_LOCATION if name == "location" else None)


def place(options: Mapping[str, Any]) -> Place:
    """SpecError where the project is not said; without a bucket, nothing can be uploaded, and everything else works."""
    project, url = setting(options, "project"), setting(options, "base_url")
    if project is None:
        raise SpecError(f"{TITLE} has no project: set {PROJECT}, or the option project.")
    bucket, prefix = split_uri(setting(options, "bucket") or "")
    location = setting(options, "location") or DEFAULT_LOCATION
    return Place(project, location, bucket, prefix, url.rstrip("/") if url else None)


def split_uri(uri: str) -> tuple[str, str]:
    """`gs://bucket/a/prefix` as bucket and prefix; a bare name is a bucket."""
    bucket, _, prefix = uri.removeprefix("gs://").partition("/")
    return bucket, prefix.strip("/")


def is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def where(found: Place, options: Mapping[str, Any]) -> dict[str, Any]:
    """What a job's reference keeps, so that another terminal with another environment looks in the same place."""
    kept = {"project": found.project, "location": found.location}
    if found.bucket:
        kept["bucket"] = found.uri(found.prefix).rstrip("/")
    if options.get("base_url"):
        kept["base_url"] = str(options["base_url"])
    return kept


def missing() -> str | None:
    """The packages that are not there, in a sentence with the fix."""
    absent = [name for name in ("google.genai", "google.cloud.storage") if not _there(name)]
    if not absent:
        return None
    return f"{TITLE} needs {' and '.join(absent)}, which cannot be imported: {EXTRA}"


def _there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # a parent package is missing
        return False


@dataclass(frozen=True)
class Clients:
    """`creates` never repeats a request; `asks` does. `rest` is for what google-genai has no call for: endpoints, models.

    `storage` (a google.cloud.storage.Client) and `rest` (an AuthorizedSession) come from libraries without types.
    """

    asks: genai.Client
    creates: genai.Client
    storage: Any
    rest: Any


_clients: OrderedDict[tuple[Any, ...], Clients] = OrderedDict()
_lock = threading.Lock()
last = threading.local()  # `last.response`: what google-genai was answered on this thread


def connect(found: Place) -> Clients:
    """Kept for the next call in the same place and environment. CredentialsError or NotInstalledError; asks no service yet,
    but on Google's own machines the metadata server."""
    environment = (os.environ.get(name) for name in _ENVIRONMENT)
    key = (os.getpid(), found.project, found.location, found.base_url, _login_stamp(), *environment)
    with _lock:
        if key in _clients:
            _clients.move_to_end(key)
            return _clients[key]
        made = _clients[key] = _connected(found)
        while len(_clients) > _KEPT:
            _clients.popitem(last=False)  # closed when its last user lets go of it
        return made


def login() -> Path:
    """Where Google's libraries look for a login on this machine; it may not be there."""
    if named := os.environ.get("GOOGLE_APPLICATION_CREDENTIALS"):
        return Path(named)
    folder = Path(os.environ.get("CLOUDSDK_CONFIG") or Path.home() / ".config" / "gcloud")
    return folder / "application_default_credentials.json"


def _login_stamp() -> int:
    """So that whoever logs in again is asked for with the new login, in a process that goes on."""
    try:
        return login().stat().st_mtime_ns
    except OSError:
        return 0


def close() -> None:
    """Let go of every kept client and its connections."""
    with _lock:
        for kept in _clients.values():
            kept.asks.close()
            kept.creates.close()
            kept.storage.close()
            kept.rest.close()
        _clients.clear()


atexit.register(close)


def _connected(found: Place) -> Clients:
    if (said := missing()) is not None:
        raise NotInstalledError(said, extra="vertex")
    from google import genai
    from google.auth.credentials import AnonymousCredentials
    from google.auth.transport.requests import AuthorizedSession
    from google.genai import types

    storage = untyped("google.cloud.storage")

    with asking("finding credentials"):
        credentials = _credentials(found)
        retries = types.HttpRetryOptions(attempts=ATTEMPTS, initial_delay=0.5, max_delay=20.0)

        def client(retry: types.HttpRetryOptions | None) -> genai.Client:
            return genai.Client(
                vertexai=True,
                project=found.project,
                location=found.location,
                credentials=credentials,
                http_options=types.HttpOptions(
                    base_url=found.base_url,
                    timeout=SECONDS * 1000,
                    retry_options=retry,
                    client_args={"event_hooks": {"response": [_remember]}},
                ),
            )

        emulated = bool(os.environ.get("STORAGE_EMULATOR_HOST"))
        if found.loopback and not emulated:
            objects = storage.Client(
                project=found.project,
                credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
                client_options={"api_endpoint": found.base_url},
            )
        elif emulated:
            objects = storage.Client(project=found.project)
        else:
            objects = storage.Client(project=found.project, credentials=credentials)
        return Clients(client(retries), client(None), objects, AuthorizedSession(credentials))  # type: ignore[no-untyped-call]


def _credentials(found: Place) -> Credentials:
    """Google's own chain; a stand-in on this machine is never shown a real token."""
    # Typed in some releases and not in others: taken as untyped in all.
    auth: Any = import_module("google.auth")
    if found.loopback:
        fixed: Credentials = import_module("google.oauth2.credentials").Credentials(token=_STAND_IN_TOKEN)
        return fixed
    credentials: Credentials | None = auth.default(scopes=[_SCOPE])[0]
    if credentials is None:
        raise CredentialsError(f"{TITLE}: no credentials were found: {LOGIN}.")
    return credentials


def _remember(response: Any) -> None:
    """google-genai reads answers through its models, which fail on a null or a type that they do not expect: we keep the
    answer as it came, and read that."""
    response.read()
    last.response = response
