"""Where the SDK's exceptions end: each becomes one of ours, with the provider's request id and without a credential."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tuneport.errors import (
    AccessDeniedError,
    BackendError,
    CredentialsError,
    NotDeployedError,
    RateLimitedError,
    RejectedError,
    RemoteNotFoundError,
    SubmitUnknownError,
    TrainingClosedError,
    UnavailableError,
)
from tuneport_backends.openai_service import OPENAI, Service

if TYPE_CHECKING:
    from openai import APIStatusError

_CLOSED = "training_not_available"
_UNDEPLOYED = "DeploymentNotFound"


def translated(error: BaseException, service: Service = OPENAI, what: str = "") -> BackendError:
    """The exception of ours for one of the SDK's (or of its HTTP client's). `what` was being done, for the message."""
    import httpx2
    import openai

    doing = f"{service.title}, {what}" if what else service.title
    if isinstance(error, openai.APIStatusError):
        return _by_status(error, service, doing)
    said = scrubbed(f"{doing}: {_words(error)}", service)
    if isinstance(error, (openai.APIConnectionError, openai.APIResponseValidationError, httpx2.HTTPError)):
        return UnavailableError(said)
    if any(kind.__name__ == "SubjectTokenProviderError" for kind in type(error).__mro__):  # raised, but not exported
        return CredentialsError(said)
    if isinstance(error, (openai.WebSocketConnectionClosedError, openai.WebSocketQueueFullError)):
        return UnavailableError(said)
    if isinstance(
        error,
        (openai.LengthFinishReasonError, openai.ContentFilterFinishReasonError, openai.InvalidWebhookSignatureError),
    ):
        return RejectedError(said)
    return BackendError(said)


@contextmanager
def asking(service: Service, what: str) -> Generator[None]:
    """Inside, whatever the SDK raises leaves as ours. The SDK's own is not chained: it holds the request and its headers."""
    import httpx2
    import openai

    try:
        yield
    except (openai.OpenAIError, openai.InvalidWebhookSignatureError, httpx2.HTTPError) as error:
        raise translated(error, service, what) from None


@contextmanager
def creating(service: Service, tag: str) -> Generator[None]:
    """Around the one request that spends. SubmitUnknownError where the job may exist all the same.

    Certain that it does not: the connection was never made, or the service answered with a refusal.
    """
    import httpx2
    import openai

    try:
        yield
    except openai.APIStatusError as error:
        if error.status_code < 500 and error.status_code != 408:
            raise translated(error, service, "creating the job") from None
        raise _unknown(error, service, tag) from None
    except (openai.APIConnectionError, openai.APIResponseValidationError) as error:
        if isinstance(error.__cause__, (httpx2.ConnectError, httpx2.ConnectTimeout)):
            raise translated(error, service, "creating the job") from None
        raise _unknown(error, service, tag) from None
    except openai.OpenAIError as error:
        raise translated(error, service, "creating the job") from None


def scrubbed(text: str, service: Service) -> str:
    """`text` without the credentials of this service, should a server have echoed one."""
    for name in service.keys:
        value = os.environ.get(name)
        if value and len(value) >= 4:
            text = text.replace(value, f"<{name}>")
    return text


def _by_status(error: APIStatusError, service: Service, doing: str) -> BackendError:
    status, request = error.status_code, error.request_id
    code = error.code or ""
    said = scrubbed(f"{doing}: {_words(error)} (HTTP {status}{f', {code}' if code else ''})", service)
    if status == 401:
        # The service's own sentence quotes parts of the key.
        return CredentialsError(
            f"{doing}: the credentials are not taken (HTTP 401{f', {code}' if code else ''}). Look at "
            f"{' or '.join(service.keys)}: expired, revoked, of another account, or for another address.",
            request_id=request,
        )
    if status == 403:
        if _CLOSED in f"{code} {_words(error)} {error.type or ''}":
            return TrainingClosedError(
                f"{service.title} takes no more fine-tuning jobs from this organisation ({_CLOSED}): self-serve "
                "fine-tuning is ending, and nothing was started or billed. The same data can be tuned elsewhere: `tuneport "
                "migrate inventory` lists what you have, and `tuneport plan DATA --model azure:…` (or bedrock:…, vertex:…, "
                "local:…) says what another target would do with it.",
                request_id=request,
            )
        return AccessDeniedError(said, request_id=request)
    if status == 404:
        if code == _UNDEPLOYED:
            return NotDeployedError(said, request_id=request)
        return RemoteNotFoundError(said, request_id=request)
    if status == 429:
        return RateLimitedError(said, request_id=request, retry_after=_retry_after(error))
    if status >= 500 or status == 408:
        return UnavailableError(said, request_id=request)
    return RejectedError(said, request_id=request)


def _unknown(error: Any, service: Service, tag: str) -> SubmitUnknownError:
    return SubmitUnknownError(
        scrubbed(
            f"{service.title} did not answer the request that creates the job ({_words(error)}): it may exist. It is looked "
            f"for by its tag, {tag}, and never created again blindly.",
            service,
        ),
        request_id=getattr(error, "request_id", None),
    )


def _words(error: Any) -> str:
    """What the provider says, from the body's own message where there is one."""
    body = getattr(error, "body", None)
    if isinstance(body, dict) and isinstance(message := body.get("message"), str) and message.strip():  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        return " ".join(message.split())
    text = " ".join(str(error).split()) or type(error).__name__
    cause = error.__cause__
    return f"{text} ({type(cause).__name__})" if cause is not None else text


def _retry_after(error: APIStatusError) -> float | None:
    """Seconds. A date is left to the caller's own backoff."""
    headers = error.response.headers
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            return float(headers[name]) * unit
        except (KeyError, ValueError):
            continue
    return None
