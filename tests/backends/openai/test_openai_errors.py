"""Every exception class of the SDK has a home among ours, and every published state among our states."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import typing
import warnings
from collections.abc import Callable
from typing import Any

import httpx2
import openai
import pytest
from openai.types.fine_tuning import FineTuningJob

from tuneport import errors
from tuneport.backend import Prepared
from tuneport.status import JobStatus
from tuneport_backends.openai import OpenAIBackend
from tuneport_backends.openai_errors import asking, translated
from tuneport_backends.openai_read import STATES
from tuneport_backends.openai_service import OPENAI
from tuneport_backends.simulators.openai import OpenAISimulator

Simulate = Callable[..., OpenAISimulator]
Prepare = Callable[..., Prepared]
REQUEST = httpx2.Request("GET", "https://example.invalid/v1/x")
STATUSES = {
    400: errors.RejectedError,
    401: errors.CredentialsError,
    402: errors.RejectedError,
    403: errors.AccessDeniedError,
    404: errors.RemoteNotFoundError,
    408: errors.UnavailableError,
    409: errors.RejectedError,
    413: errors.RejectedError,
    422: errors.RejectedError,
    429: errors.RateLimitedError,
    500: errors.UnavailableError,
    503: errors.UnavailableError,
    529: errors.UnavailableError,
}
HOMES: dict[str, type[errors.BackendError]] = {
    "APIConnectionError": errors.UnavailableError,
    "APITimeoutError": errors.UnavailableError,
    "APIResponseValidationError": errors.UnavailableError,
    "APIError": errors.BackendError,
    "OpenAIError": errors.BackendError,
    "SubjectTokenProviderError": errors.CredentialsError,
    "LengthFinishReasonError": errors.RejectedError,
    "ContentFilterFinishReasonError": errors.RejectedError,
    "InvalidWebhookSignatureError": errors.RejectedError,
    "WebSocketConnectionClosedError": errors.UnavailableError,
    "WebSocketQueueFullError": errors.UnavailableError,
}


def response(status: int, body: Any = None, **headers: str) -> httpx2.Response:
    return httpx2.Response(status, json=body or {}, headers={"x-request-id": "req_1", **headers}, request=REQUEST)


def made(kind: type[BaseException]) -> BaseException:
    """An instance, whatever its constructor wants."""
    given: dict[str, Any] = {
        "request": REQUEST,
        "response": response(400),
        "body": {"message": "m"},
        "message": "m",
        "unsent_messages": [],
        "completion": openai.types.chat.ChatCompletion.construct(usage=None),
    }
    if "__init__" not in vars(kind) and kind.__init__ in {Exception.__init__, ValueError.__init__}:
        return kind("m")
    wanted = inspect.signature(kind).parameters
    if any(item.kind is item.VAR_POSITIONAL for item in wanted.values()):
        return kind("m")
    return kind(**{name: value for name, value in given.items() if name in wanted})


def classes() -> list[type[BaseException]]:
    """Every exception that the SDK's public errors module defines, and whatever else derives from its base."""
    module = importlib.import_module("openai._exceptions")
    own = {item for item in vars(module).values() if inspect.isclass(item) and issubclass(item, Exception)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in ("openai.auth", "openai.lib", "openai.providers"):
            for info in pkgutil.walk_packages(importlib.import_module(name).__path__, f"{name}."):
                try:
                    importlib.import_module(info.name)
                except ImportError:
                    continue  # an optional package of the SDK's own
    waiting = [openai.OpenAIError]
    while waiting:
        kind = waiting.pop()
        own.add(kind)
        waiting += kind.__subclasses__()
    return sorted(own, key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", classes(), ids=lambda kind: kind.__name__)
def test_every_exception_of_the_sdk_is_one_of_ours(kind: type[BaseException]) -> None:
    if kind.__name__ not in vars(importlib.import_module("openai._exceptions")):  # of a room that we do not enter
        assert isinstance(translated(kind.__new__(kind), OPENAI), errors.BackendError)
        return
    found = translated(made(kind), OPENAI)
    if issubclass(kind, openai.APIStatusError):
        status = getattr(kind, "status_code", 400)
        expected = errors.RejectedError if not isinstance(status, int) else None
        assert isinstance(found, expected or errors.BackendError)
    else:
        assert type(found) is HOMES[kind.__name__], "a class that this test does not know has no home yet"
    with pytest.raises(errors.BackendError), asking(OPENAI, "testing"):
        raise made(kind)


@pytest.mark.parametrize(("status", "kind"), STATUSES.items())
def test_every_status_has_its_error_with_the_request_id(
    status: int, kind: type[errors.BackendError], simulate: Simulate, backend: OpenAIBackend, prepare: Prepare
) -> None:
    simulator = simulate()
    ref = backend.submit(prepare(backend))
    simulator.faults.add({"on": "jobs.retrieve", "do": "status", "status": status, "retry_after": 0.01})
    with pytest.raises(kind) as caught:
        backend.snapshots([ref])
    assert caught.value.request_id
    assert caught.value.request_id.startswith("req_")
    assert caught.value.__cause__ is None, "the SDK's own holds the request with its headers"


@pytest.mark.parametrize("raised", [httpx2.ReadError("x"), httpx2.InvalidURL("x"), httpx2.ReadTimeout("x")])
def test_what_the_http_client_raises_itself(raised: Exception) -> None:
    assert isinstance(translated(raised, OPENAI), errors.BackendError)


def test_retry_after_is_read_in_both_spellings() -> None:
    for headers, seconds in (
        ({"retry-after": "7"}, 7.0),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after": "soon"}, None),
    ):
        error = openai.RateLimitError("slow", response=response(429, **headers), body=None)
        found = translated(error, OPENAI)
        assert isinstance(found, errors.RateLimitedError)
        assert found.retry_after == seconds


# States


def test_every_published_state_has_a_home() -> None:
    published = set(typing.get_args(FineTuningJob.model_fields["status"].annotation))
    assert published <= STATES.keys()
    assert {"pausing", "paused"} <= STATES.keys(), "documented, though not in the SDK's type"
    assert JobStatus.UNKNOWN not in STATES.values()
    assert {STATES[name].terminal for name in ("succeeded", "failed", "cancelled")} == {True}


@pytest.mark.parametrize("word", ["reticulating", "", None, 7, ["running"], {"state": "running"}])
def test_a_state_that_nobody_knows_is_unknown_and_kept(
    word: Any, simulate: Simulate, backend: OpenAIBackend, prepare: Prepare
) -> None:
    simulator = simulate()
    ref = backend.submit(prepare(backend))
    simulator.faults.add({"on": "jobs.retrieve", "do": "state", "value": word})
    (snapshot,) = backend.snapshots([ref])
    assert snapshot.status is JobStatus.UNKNOWN
    assert snapshot.raw == (word if isinstance(word, str) else json.dumps(word))
    assert not snapshot.status.terminal
