"""Where Google's exceptions end: those of google-genai, google-auth, Cloud Storage and the HTTP clients under them become ours.

None of theirs is chained: they hold the request and its headers.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, cast

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

TITLE = "Vertex AI"
LOGIN = (
    "set GOOGLE_APPLICATION_CREDENTIALS to a key file or a workload identity's configuration, or run `gcloud auth "
    "application-default login` (the SDK comes with pip install 'tuneport[vertex]')"
)
_REQUEST_IDS = ("x-goog-request-id", "x-request-id", "x-guploader-uploadid", "x-cloud-trace-context")
_UNDEPLOYED = ("not deployed", "no deployed model", "undeployed", "has no deployedmodel")


def untyped(name: str) -> Any:
    """A module of Google's that brings no types, imported when it is used."""
    return importlib.import_module(name)


def translated(error: BaseException, what: str = "") -> BackendError:
    """The exception of ours for one of theirs. `what` was being done, for the message."""
    from google.api_core import exceptions as api
    from google.auth import exceptions as auth
    from google.genai import errors as genai

    storage = untyped("google.cloud.storage.exceptions")
    doing = f"{TITLE}, {what}" if what else TITLE
    if isinstance(error, genai.APIError):
        details = cast("Any", error).details
        return by_status(error.code, _headers(error), error.message, error.status, details, doing)
    if isinstance(error, auth.GoogleAuthError):
        return _login(error, doing)
    if isinstance(error, untyped("google.api_core.exceptions").GoogleAPICallError):
        call: Any = error
        code = (
            int(call.code)
            if call.code
            else 400
            if isinstance(error, cast("type[BaseException]", api.ClientError))
            else 0
        )
        return by_status(code, _headers(error), call.message, None, {"error": {"details": call.details}}, doing)
    said = f"{doing}: {_words(error)}"
    if isinstance(error, storage.InvalidResponse):
        response = cast("Any", error).response
        code = int(getattr(response, "status_code", 0))
        return by_status(code, getattr(response, "headers", {}), _body(response) or _words(error), None, None, doing)
    misused = (untyped("google.api_core.exceptions").DuplicateCredentialArgs, api.AsyncRestUnsupportedParameterError)
    if isinstance(error, misused):
        return RejectedError(said)
    if isinstance(error, (api.GoogleAPIError, storage.DataCorruption, *_transport())):
        return UnavailableError(said)
    if isinstance(error, genai.UnknownApiResponseError):
        return UnavailableError(said)
    if isinstance(error, genai.ContinuationInterruptedError):
        return UnavailableError(said)
    return RejectedError(said) if isinstance(error, (ValueError, storage.InvalidPathError)) else BackendError(said)


def theirs() -> tuple[type[BaseException], ...]:
    """Every class that their libraries raise on purpose."""
    from google.api_core import exceptions as api
    from google.auth import exceptions as auth
    from google.genai import errors as genai

    storage = untyped("google.cloud.storage.exceptions")
    return (
        genai.APIError,
        genai.UnknownFunctionCallArgumentError,
        genai.UnsupportedFunctionError,
        genai.FunctionInvocationError,
        genai.UnknownApiResponseError,
        genai.ContinuationInterruptedError,
        auth.GoogleAuthError,
        api.GoogleAPIError,
        api.AsyncRestUnsupportedParameterError,
        storage.InvalidPathError,
        storage.InvalidResponse,
        storage.DataCorruption,
        *_transport(),
    )


@contextmanager
def asking(what: str) -> Generator[None]:
    """Inside, whatever their libraries raise leaves as ours."""
    try:
        yield
    except theirs() as error:
        raise translated(error, what) from None
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        if isinstance(error, BackendError):
            raise
        raise RejectedError(f"{TITLE}, {what}: the SDK cannot send this: {error}") from None


@contextmanager
def creating(tag: str) -> Generator[None]:
    """Around the one request that spends. SubmitUnknownError where the job may exist all the same.

    Certain that it does not: the connection was never made, no credentials were found, or the service answered with a refusal.
    """
    from google.auth import exceptions as auth
    from google.genai import errors as genai

    what = "creating the job"
    try:
        yield
    except genai.APIError as error:
        if 400 <= error.code < 500 and error.code not in {408, 499}:
            raise translated(error, what) from None
        raise _unknown(error, tag) from None
    except auth.GoogleAuthError as error:  # the token is fetched before the request is sent
        raise translated(error, what) from None
    except _transport() as error:
        if isinstance(error, _unconnected()):
            raise translated(error, what) from None
        raise _unknown(error, tag) from None
    except theirs() as error:
        raise _unknown(error, tag) from None
    except BackendError as error:
        if isinstance(error, UnavailableError):
            raise _unknown(error, tag) from None
        raise
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise _unknown(error, tag) from None


def by_status(
    code: int, headers: Mapping[str, Any], message: Any, status: str | None, details: Any, doing: str
) -> BackendError:
    """By the HTTP status, with Google's own words, the request's id, and how long to wait where that is said."""
    words = " ".join(str(message).split()) if message else "no reason was given"
    said = f"{doing}: {words} (HTTP {code}{f', {status}' if status else ''})"
    request = next((str(headers[name]) for name in _REQUEST_IDS if headers.get(name)), None) or _request_id(details)
    if code == 401:
        return CredentialsError(
            f"{doing}: the credentials are not taken (HTTP 401{f', {status}' if status else ''}): expired, revoked, or of "
            f"another account; {LOGIN}.",
            request_id=request,
        )
    if code == 403:
        return AccessDeniedError(said, request_id=request)
    if code == 404:
        return RemoteNotFoundError(said, request_id=request)
    if code == 429:
        return RateLimitedError(said, request_id=request, retry_after=_retry_after(headers))
    if code in {408, 499} or code >= 500 or code < 400:  # below 400: a redirect, or no answer that has a status
        return UnavailableError(said, request_id=request)
    if any(mark in words.lower() for mark in _UNDEPLOYED):
        return NotDeployedError(said, request_id=request)
    return RejectedError(said, request_id=request)


def _login(error: BaseException, doing: str) -> BackendError:
    from google.auth import exceptions as auth

    passing = isinstance(error, (auth.TransportError, auth.TimeoutError)) or bool(getattr(error, "retryable", False))
    if passing:
        return UnavailableError(f"{doing}: Google's token service could not be reached ({type(error).__name__}).")
    # Their own sentences may quote a server's answer or a key file: the kind alone says enough.
    kind = type(error).__name__
    if isinstance(error, auth.DefaultCredentialsError):
        return CredentialsError(f"{doing}: no usable credentials were found ({kind}): {LOGIN}.")
    return CredentialsError(f"{doing}: the credentials could not be used or renewed ({kind}): {LOGIN}.")


def _unknown(error: BaseException, tag: str) -> SubmitUnknownError:
    ours = error if isinstance(error, BackendError) else translated(error, "creating the job")
    return SubmitUnknownError(
        f"{ours.message} The job may exist: it is looked for by its tag, {tag}.", request_id=ours.request_id
    )


def _transport() -> tuple[type[BaseException], ...]:
    """What the HTTP clients raise; google-genai uses httpx or httpx2, Cloud Storage requests."""
    import requests
    import urllib3

    found: list[type[BaseException]] = [requests.RequestException, urllib3.exceptions.HTTPError]
    found += [ConnectionError, TimeoutError]
    for module in _httpx():
        found += [module.HTTPError, module.InvalidURL, module.StreamError]
    return tuple(found)


def _unconnected() -> tuple[type[BaseException], ...]:
    found: list[type[BaseException]] = []
    for module in _httpx():
        found += [module.ConnectError, module.ConnectTimeout, module.PoolTimeout, module.UnsupportedProtocol]
        found.append(module.InvalidURL)
    return tuple(found)


def _httpx() -> list[Any]:
    return [importlib.import_module(name) for name in ("httpx", "httpx2") if importlib.util.find_spec(name)]


def _headers(error: Any) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", getattr(getattr(error, "response", None), "headers", None) or {})


def _request_id(details: Any) -> str | None:
    """From google.rpc.RequestInfo, where the answer's details have one."""
    body: Any = cast("dict[str, Any]", details).get("error") if isinstance(details, dict) else None
    items: Any = cast("dict[str, Any]", body).get("details") if isinstance(body, dict) else None
    for item in cast("list[Any]", items) if isinstance(items, list) else []:
        if isinstance(item, dict) and (found := cast("dict[str, Any]", item).get("requestId")):
            return str(found)
    return None


def _body(response: Any) -> str:
    text = str(getattr(response, "text", "") or "")
    return " ".join(text.split())[:500]


def _words(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    cause = error.__cause__ or error.__context__
    return f"{text} ({type(cause).__name__})" if cause is not None else f"{text} ({type(error).__name__})"


def _retry_after(headers: Mapping[str, Any]) -> float | None:
    """Seconds. A date is left to the caller's own backoff."""
    try:
        return float(headers["retry-after"])
    except (KeyError, ValueError):
        return None
