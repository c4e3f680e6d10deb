"""Where botocore's exceptions end: each becomes one of ours, with the request's id and without a credential."""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from tuneport.errors import (
    AccessDeniedError,
    BackendError,
    CredentialsError,
    RateLimitedError,
    RejectedError,
    RemoteNotFoundError,
    SubmitUnknownError,
    UnavailableError,
)

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_BEARER_TOKEN_BEDROCK")
EXTRA = "pip install 'tuneport[bedrock]'"
# Codes of Bedrock, its runtime, S3 and STS; one that is not here is known by its HTTP status.
_CREDENTIALS = frozenset(
    {
        *("UnrecognizedClientException", "InvalidClientTokenId", "InvalidAccessKeyId", "SignatureDoesNotMatch"),
        *(
            "InvalidSignatureException",
            "IncompleteSignature",
            "MissingAuthenticationToken",
            "AuthFailure",
            "InvalidToken",
        ),
        *("MissingAuthenticationTokenException", "ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"),
        *(
            "RequestExpired",
            "InvalidIdentityTokenException",
            "ExpiredTradeInTokenException",
            "IncompleteSignatureException",
        ),
        *(
            "IDPRejectedClaimException",
            "InvalidSubjectCredentialsException",
            "IDPRejectedClaim",
            "InvalidIdentityToken",
        ),
        "RequestTimeTooSkewed",
    }
)
_DENIED = frozenset(
    {
        *("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "NotAuthorized", "AllAccessDisabled"),
        *(
            "OptInRequired",
            "RegionDisabledException",
            "OutboundWebIdentityFederationDisabledException",
            "AccountProblem",
        ),
        "InvalidContextAssertionException",
    }
)
_MISSING = frozenset(
    {"ResourceNotFoundException", "NoSuchBucket", "NoSuchKey", "NoSuchUpload", "NoSuchAnnotation", "NotFound", "404"}
)
_LIMITED = frozenset(
    {
        *("ThrottlingException", "Throttling", "ThrottledException", "RequestThrottled", "RequestThrottledException"),
        *("TooManyRequestsException", "RequestLimitExceeded", "BandwidthLimitExceeded", "LimitExceededException"),
        *(
            "ServiceQuotaExceededException",
            "SlowDown",
            "PriorRequestNotComplete",
            "ProvisionedThroughputExceededException",
        ),
    }
)
_AGAIN = frozenset(
    {
        *("InternalServerException", "InternalServerError", "InternalFailure", "InternalError", "ServiceUnavailable"),
        *("ServiceUnavailableException", "ModelTimeoutException", "ModelErrorException", "ModelStreamErrorException"),
        *("ModelNotReadyException", "RequestTimeout", "RequestTimeoutException", "IDPCommunicationErrorException"),
        *("IDPCommunicationError", "ResourceInUseException", "500", "502", "503", "504"),
    }
)
_ROLE = "assume"


def translated(error: BaseException, what: str = "") -> BackendError:
    """The exception of ours for one of boto3's, s3transfer's or botocore's. `what` was being done, for the message."""
    import boto3.exceptions
    import s3transfer.exceptions
    from botocore import exceptions as boto
    from botocore.parsers import ResponseParserError

    doing = f"Amazon Bedrock, {what}" if what else "Amazon Bedrock"
    if isinstance(error, boto3.exceptions.Boto3Error) and isinstance(error.__context__, boto.ClientError):
        return translated(error.__context__, what)  # an upload's own wrapping
    if isinstance(error, boto.ClientError):
        return _by_code(error, doing)
    said = scrubbed(f"{doing}: {_words(error)}")
    if isinstance(error, _credential_errors()):
        return CredentialsError(
            f"{said}. Set {KEYS[0]} and {KEYS[1]}, or AWS_PROFILE, or log in again; boto3 comes with {EXTRA}."
        )
    again = (
        *(
            boto.HTTPClientError,
            boto.ConnectionError,
            boto.IncompleteReadError,
            boto.ChecksumError,
            boto.FlexibleChecksumError,
            boto.WaiterError,
        ),
        *(boto.EventStreamError, boto.CapacityNotAvailableError, boto.AwsChunkedWrapperError, boto.MD5UnavailableError),
        *(
            boto3.exceptions.Boto3Error,
            s3transfer.exceptions.RetriesExceededError,
            s3transfer.exceptions.CancelledError,
        ),
        *(s3transfer.exceptions.S3UploadFailedError, s3transfer.exceptions.S3DownloadFailedError, ResponseParserError),
        *(s3transfer.exceptions.S3CopyFailedError, s3transfer.exceptions.TransferNotDoneError),
    )
    if isinstance(error, boto.NoRegionError):
        return RejectedError(f"{said}. Set AWS_DEFAULT_REGION, or the option region.")
    return UnavailableError(said) if isinstance(error, again) else RejectedError(said)


@contextmanager
def asking(what: str) -> Generator[None]:
    """Inside, whatever boto3 raises leaves as ours. boto3's own is not chained: it may hold what was sent."""
    try:
        yield
    except _all_errors() as error:
        raise translated(error, what) from None


@contextmanager
def creating(tag: str) -> Generator[None]:
    """Around the one request that spends. SubmitUnknownError where the job may exist all the same.

    Certain that it does not: the connection was never made, or the service answered with a refusal.
    """
    from botocore import exceptions as boto

    try:
        yield
    except boto.ClientError as error:
        made = translated(error, "creating the job")
        if isinstance(made, UnavailableError):
            raise _unknown(error, tag, made.request_id) from None
        raise made from None
    except (boto.EndpointConnectionError, boto.ConnectTimeoutError, boto.ProxyConnectionError) as error:
        raise translated(error, "creating the job") from None
    except _all_errors() as error:
        made = translated(error, "creating the job")
        if isinstance(made, UnavailableError):
            raise _unknown(error, tag, None) from None
        raise made from None


def scrubbed(text: str) -> str:
    """`text` without the credentials of the environment, should a service have echoed one."""
    for name in KEYS:
        value = os.environ.get(name)
        if value and len(value) >= 4:
            text = text.replace(value, f"<{name}>")
    return text


def code_of(error: Any) -> str:
    response = getattr(error, "response", None)
    details: Any = cast("Mapping[str, Any]", response).get("Error") if isinstance(response, dict) else None
    return str(cast("Mapping[str, Any]", details).get("Code") or "") if isinstance(details, dict) else ""


def _by_code(error: ClientError, doing: str) -> BackendError:
    response = cast("Mapping[str, Any]", error.response)
    details = cast("Mapping[str, Any]", response.get("Error") or {})
    meta = cast("Mapping[str, Any]", response.get("ResponseMetadata") or {})
    code, status = code_of(error), int(meta.get("HTTPStatusCode") or 0)
    request = str(meta.get("RequestId") or "") or None
    said = scrubbed(f"{doing}: {' '.join(str(details.get('Message') or code).split())} ({code or f'HTTP {status}'})")
    if code in _CREDENTIALS or status == 401:
        # The service's own sentence may quote parts of the request.
        return CredentialsError(
            f"{doing}: the credentials are not taken ({code}). Look at {KEYS[0]} and {KEYS[1]}, {KEYS[2]} or AWS_PROFILE: "
            "expired, revoked, of another account, or this machine's clock is wrong.",
            request_id=request,
        )
    if code in _LIMITED or (status == 429 and code not in _AGAIN):
        return RateLimitedError(said, request_id=request, retry_after=_retry_after(meta))
    if code in _AGAIN or status >= 500 or status == 408:
        return UnavailableError(said, request_id=request)
    if _ROLE in str(details.get("Message")) and "role" in str(details.get("Message")):
        return AccessDeniedError(
            f"{said} The role's trust policy must allow bedrock.amazonaws.com to assume it, and its own policy to read and "
            "write the bucket.",
            request_id=request,
        )
    if code in _DENIED or (status == 403 and code not in _MISSING):
        return AccessDeniedError(said, request_id=request)
    if code in _MISSING or status == 404:
        return RemoteNotFoundError(said, request_id=request)
    return RejectedError(said, request_id=request)


def _unknown(error: BaseException, tag: str, request: str | None) -> SubmitUnknownError:
    return SubmitUnknownError(
        scrubbed(
            f"Amazon Bedrock did not answer the request that creates the job ({_words(error)}): it may exist. It is looked for "
            f"by its tag, {tag}, which is its name and its client request token: Bedrock makes no second one for these."
        ),
        request_id=request,
    )


def _words(error: BaseException) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


def _retry_after(meta: Mapping[str, Any]) -> float | None:
    """Seconds. A date is left to the caller's own backoff."""
    headers = cast("Mapping[str, Any]", meta.get("HTTPHeaders") or {})
    try:
        return float(headers["retry-after"])
    except (KeyError, TypeError, ValueError):
        return None


def _credential_errors() -> tuple[type[BaseException], ...]:
    from botocore import exceptions as boto

    return (
        *(boto.NoCredentialsError, boto.PartialCredentialsError, boto.CredentialRetrievalError, boto.NoAuthTokenError),
        *(boto.TokenRetrievalError, boto.UnknownTokenProviderError, boto.UnknownCredentialError, boto.ProfileNotFound),
        *(boto.ConfigNotFound, boto.ConfigParseError, boto.SSOError, boto.LoginError, boto.MetadataRetrievalError),
        *(boto.RefreshWithMFAUnsupportedError, boto.InvalidConfigError, boto.InfiniteLoopConfigError),
    )


def _all_errors() -> tuple[type[BaseException], ...]:
    """The roots of what botocore, boto3 and s3transfer raise; a test raises each of their classes."""
    import boto3.exceptions
    import s3transfer.exceptions as transfer
    from botocore import exceptions as boto
    from botocore.parsers import ResponseParserError

    return (
        *(boto.BotoCoreError, boto.ClientError, boto.UndefinedModelAttributeError, boto3.exceptions.Boto3Error),
        *(ResponseParserError, transfer.RetriesExceededError, transfer.CancelledError, transfer.S3UploadFailedError),
        *(transfer.S3DownloadFailedError, transfer.S3CopyFailedError, transfer.InvalidSubscriberMethodError),
        *(transfer.TransferNotDoneError, transfer.S3ValidationError),
    )
