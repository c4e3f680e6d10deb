"""Every exception of Google's libraries becomes one of ours, with the request's id, the fix, and no credential."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests

from tuneport import errors as ours
from tuneport.errors import (
    AccessDeniedError,
    BackendError,
    CredentialsError,
    NotDeployedError,
    RateLimitedError,
    RejectedError,
    RemoteNotFoundError,
    SubmitUnknownError,
    UnavailableError,
)
from tuneport_backends.vertex import VertexBackend
from tuneport_backends.vertex_errors import by_status, creating, theirs, translated

Simulate = Any
Prepare = Any
MODULES = (
    "google.genai.errors",
    "google.auth.exceptions",
    "google.api_core.exceptions",
    "google.cloud.storage.exceptions",
    "httpx",
    "requests.exceptions",
)
NOT_OF_A_REQUEST = {"CookieConflict"}  # of reading httpx's cookies by hand


def classes() -> Iterator[tuple[str, type[BaseException]]]:
    """Those that each module defines for its users; what it only imports is its own business."""
    for name in MODULES:
        root = name.removesuffix(".exceptions").removesuffix(".errors")
        for value in vars(importlib.import_module(name)).values():
            if not isinstance(value, type) or not issubclass(value, Exception) or issubclass(value, Warning):
                continue
            if not value.__name__.startswith("_") and value.__module__.startswith(root):
                yield f"{name}.{value.__name__}", value


def made(kind: type[BaseException]) -> BaseException:
    """One of the class, made as its library would."""
    response = requests.Response()
    response.status_code, response._content = 503, b"busy"
    body = {"error": {"code": 500, "message": "no", "status": "X"}}
    if kind.__name__ in {"InvalidResponse", "DataCorruption"}:
        return kind(response, "said")
    for arguments in (("said",), (500, body), ("said", "x", 0), ("said", ValueError()), ()):
        try:
            return kind(*arguments)
        except TypeError:
            continue
    return kind("said", request=httpx.Request("GET", "http://x"), response=httpx.Response(500))  # type: ignore[call-arg]


@pytest.mark.parametrize(("name", "kind"), [*classes()], ids=lambda value: value if isinstance(value, str) else "")
def test_every_class_is_one_of_ours(name: str, kind: type[BaseException]) -> None:
    if kind.__name__ in NOT_OF_A_REQUEST:
        return
    assert issubclass(kind, theirs()), f"{name} would leave as it is"
    error = translated(made(kind), "testing")
    assert type(error) is not BackendError, name
    assert "testing" in error.message


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (400, RejectedError),
        (401, CredentialsError),
        (403, AccessDeniedError),
        (404, RemoteNotFoundError),
        (408, UnavailableError),
        (409, RejectedError),
        (412, RejectedError),
        (413, RejectedError),
        (429, RateLimitedError),
        (499, UnavailableError),
        (500, UnavailableError),
        (503, UnavailableError),
        (599, UnavailableError),
    ],
)
def test_by_status(code: int, kind: type[BackendError]) -> None:
    error = by_status(code, {"x-goog-request-id": "r-1", "retry-after": "7"}, "said", "WORD", None, "doing")
    assert type(error) is kind
    assert error.request_id == "r-1"
    assert str(code) in error.message
    if isinstance(error, RateLimitedError):
        assert error.retry_after == 7


def test_the_request_id_is_found_in_the_details_too() -> None:
    details = {"error": {"details": [{"@type": "type.googleapis.com/google.rpc.RequestInfo", "requestId": "r-2"}]}}
    assert by_status(500, {}, None, None, details, "doing").request_id == "r-2"
    assert type(by_status(400, {}, "Endpoint x has no deployed model.", None, None, "d")) is NotDeployedError


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (httpx.ConnectError("refused"), UnavailableError),
        (httpx.ConnectTimeout("late"), UnavailableError),
        (httpx.ReadTimeout("late"), SubmitUnknownError),
        (httpx.ReadError("cut"), SubmitUnknownError),
        (httpx.RemoteProtocolError("cut"), SubmitUnknownError),
        (requests.ConnectionError("cut"), SubmitUnknownError),
    ],
)
def test_a_create_is_unknown_unless_it_was_never_sent(error: Exception, kind: type[BackendError]) -> None:
    with pytest.raises(kind) as caught, creating("tp-x"):
        raise error
    assert type(caught.value) is kind


@pytest.mark.parametrize("code", [400, 401, 403, 404, 429, 500, 503])
@pytest.mark.usefixtures("quick")
def test_faults_of_the_service(backend: VertexBackend, simulate: Simulate, prepare: Prepare, code: int) -> None:
    simulator = simulate()
    ref = backend.submit(prepare(backend))
    fault = {"do": "status", "status": code, "retry_after": 3, "times": 1}
    for operation in ("jobs.get", "jobs.cancel", "generate"):
        simulator.faults.add({"on": operation, **fault})
    calls = [
        lambda: backend.snapshots([ref]),
        lambda: backend.cancel(ref),
        lambda: backend.open_model("gemini-3.5-flash").chat([{"role": "user", "content": "x"}]),
    ]
    for call in calls:
        with pytest.raises(BackendError) as caught:
            call()
        assert type(caught.value) is type(by_status(code, {}, "", None, None, ""))
        assert caught.value.request_id
        assert getattr(caught.value, "retry_after", 3) == 3


def test_what_passes_is_asked_again_but_a_create_never(
    backend: VertexBackend, simulate: Simulate, prepare: Prepare
) -> None:
    simulator = simulate(faults=[{"on": "jobs.get", "do": "status", "status": 503, "times": 1}])
    ref = backend.submit(prepare(backend))
    assert backend.snapshots([ref])
    assert len(simulator.requests("jobs.get")) == 2


@pytest.mark.parametrize("body", [{"error": "text"}, {"error": {"code": "x", "message": None}}, {}, {"error": None}])
@pytest.mark.usefixtures("quick")
def test_an_error_in_an_odd_shape(backend: VertexBackend, simulate: Simulate, prepare: Prepare, body: Any) -> None:
    simulator = simulate()
    prepared = prepare(backend)
    for status, kind in ((400, RejectedError), (503, SubmitUnknownError)):
        simulator.faults.add({"on": "jobs.create", "do": "status", "status": status, "body": body, "times": 1})
        with pytest.raises(kind):
            backend.submit(prepared)
    ref = backend.submit(prepared)
    for operation in ("jobs.get", "jobs.list"):
        simulator.faults.add({"on": operation, "do": "status", "status": 503, "body": body, "times": 1})
    with pytest.raises(UnavailableError):
        backend.snapshots([ref])
    with pytest.raises(UnavailableError):
        backend.adopt(prepared.tag, prepared.directory)


def test_a_server_that_is_gone(backend: VertexBackend, simulate: Simulate, prepare: Prepare, quick: None) -> None:
    simulator = simulate()
    ref = backend.submit(prepare(backend))
    simulator.stop()
    with pytest.raises(UnavailableError):
        backend.snapshots([ref])


# Credentials

KEYS = ("ya29.planted-token-value", "planted-private-key-value", "planted-refresh-value")


def test_none_found_names_the_variable(
    backend: VertexBackend, prepare: Prepare, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GCE_METADATA_HOST", "127.0.0.1:9")
    options = {"project": "p", "bucket": "gs://b"}
    with pytest.raises(CredentialsError, match="GOOGLE_APPLICATION_CREDENTIALS"):
        backend.submit(prepare(backend, options=options))


def test_a_wrong_key_file_is_not_quoted(
    backend: VertexBackend, prepare: Prepare, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "key.json"
    path.write_text(
        json.dumps({"type": "service_account", "private_key": KEYS[1], "client_email": "a@b", "token_uri": "x"})
    )
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    with pytest.raises(BackendError) as caught:
        backend.submit(prepare(backend, options={"project": "p", "bucket": "gs://b"}))
    assert isinstance(caught.value, CredentialsError)
    assert KEYS[1] not in repr(caught.value) + str(caught.value)
    assert caught.value.__cause__ is None


def test_a_stand_in_is_never_shown_a_real_token(
    backend: VertexBackend, simulate: Simulate, prepare: Prepare, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "login.json"
    login = {"type": "authorized_user", "client_id": "i", "client_secret": KEYS[1], "refresh_token": KEYS[2]}
    path.write_text(json.dumps(login))
    simulator = simulate()
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    prepared = prepare(backend)
    ref = backend.submit(prepared)
    simulator.clock.advance(1000)
    result = backend.result(ref)
    written = [file.read_text() for file in prepared.directory.rglob("*") if file.is_file()]
    everything = " ".join(
        [repr(ref), result.model_dump_json(), repr(backend.events(ref, 0)), repr(backend.diagnose()), *written]
    )
    assert not [key for key in KEYS if key in everything]
    assert "GOOGLE_APPLICATION_CREDENTIALS" in repr(backend.diagnose())


def test_planning_needs_no_sdk() -> None:
    code = (
        "import sys\n"
        "from tuneport_backends.vertex import VertexBackend\n"
        "VertexBackend().capabilities()\n"
        "loaded = {name for name in sys.modules if name.startswith(('google.genai', 'google.cloud.', 'google.auth'))}\n"
        "assert not loaded, loaded\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ.copy())


def test_our_tree_is_whole() -> None:
    """What is raised here survives pickling, as all of ours does."""
    import pickle

    error = by_status(429, {"retry-after": "7", "x-request-id": "r"}, "said", None, None, "doing")
    again = pickle.loads(pickle.dumps(error))
    assert isinstance(again, ours.RateLimitedError)
    assert (again.request_id, again.retry_after) == ("r", 7)
