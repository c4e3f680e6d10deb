"""Every exception of boto3, botocore and the service models, and every published state, has a home of ours."""

from __future__ import annotations

import inspect
import string
from collections.abc import Iterator
from typing import Any, get_args

import boto3
import boto3.exceptions
import pytest
import s3transfer.exceptions
from botocore import exceptions as boto
from botocore.parsers import ResponseParserError
from botocore.session import Session

from tuneport import errors as ours
from tuneport.backend import Deployment
from tuneport.status import JobStatus
from tuneport_backends import bedrock_deploy, bedrock_read
from tuneport_backends.bedrock_errors import asking, creating, translated

SERVICES = ("bedrock", "bedrock-runtime", "s3", "sts")
KINDS = (
    *(
        ours.AccessDeniedError,
        ours.CredentialsError,
        ours.RateLimitedError,
        ours.RejectedError,
        ours.RemoteNotFoundError,
    ),
    ours.UnavailableError,
)


def modelled() -> Iterator[tuple[str, str, int]]:
    session = Session()
    for service in SERVICES:
        model = session.get_service_model(service)
        for shape in model.error_shapes:
            details = shape.metadata.get("error", {})
            yield service, details.get("code") or shape.name, int(details.get("httpStatusCode", 400))


def client_error(code: str, status: int, message: str = "in the service's words", **headers: str) -> boto.ClientError:
    meta: Any = {"HTTPStatusCode": status, "RequestId": "req-1", "HTTPHeaders": headers}
    return boto.ClientError({"Error": {"Code": code, "Message": message}, "ResponseMetadata": meta}, "Operation")


@pytest.mark.parametrize(("service", "code", "status"), sorted(set(modelled())))
def test_each_error_of_the_service_models(service: str, code: str, status: int) -> None:
    found = translated(client_error(code, status), "doing it")
    assert isinstance(found, KINDS)
    assert found.request_id == "req-1"
    assert code in str(found)


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("ThrottlingException", 429, ours.RateLimitedError),
        ("ServiceQuotaExceededException", 400, ours.RateLimitedError),
        ("ModelNotReadyException", 429, ours.UnavailableError),
        ("ExpiredTokenException", 403, ours.CredentialsError),
        ("AccessDeniedException", 403, ours.AccessDeniedError),
        ("NoSuchBucket", 404, ours.RemoteNotFoundError),
        ("ValidationException", 400, ours.RejectedError),
        ("ConflictException", 400, ours.RejectedError),
        ("NewThing", 400, ours.RejectedError),
        ("NewThing", 403, ours.AccessDeniedError),
        ("NewThing", 404, ours.RemoteNotFoundError),
        ("NewThing", 429, ours.RateLimitedError),
        ("NewThing", 500, ours.UnavailableError),
        ("", 503, ours.UnavailableError),
    ],
)
def test_codes_and_statuses(code: str, status: int, kind: type[Exception]) -> None:
    assert type(translated(client_error(code, status))) is kind


def made(kind: type[BaseException]) -> BaseException:
    """An exception of the SDK's, with whatever its message and its constructor want."""
    given = list(inspect.signature(kind.__init__).parameters.values())[1:]
    wanted = {one.name for one in given if one.kind is one.POSITIONAL_OR_KEYWORD and one.default is one.empty}
    if any(one.kind is one.VAR_KEYWORD for one in given):
        wanted |= {name for _, name, _, _ in string.Formatter().parse(getattr(kind, "fmt", "")) if name}
    return kind(**dict.fromkeys(wanted, "x"))


def raised() -> list[type[BaseException]]:
    known = [kind for module in (boto, boto3.exceptions, s3transfer.exceptions) for kind in vars(module).values()]
    found = [
        kind
        for kind in known
        if inspect.isclass(kind) and issubclass(kind, Exception) and not issubclass(kind, (Warning, boto.ClientError))
    ]
    return [*dict.fromkeys(found), ResponseParserError]


@pytest.mark.parametrize("kind", raised(), ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_each_exception_of_the_sdk(kind: type[BaseException]) -> None:
    with pytest.raises(KINDS), asking("doing it"):
        raise made(kind)
    with pytest.raises((*KINDS, ours.SubmitUnknownError)), creating("tp-1"):
        raise made(kind)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (boto.EndpointConnectionError(endpoint_url="x"), ours.UnavailableError),
        (boto.ReadTimeoutError(endpoint_url="x"), ours.UnavailableError),
        (boto.SSLError(endpoint_url="x", error="y"), ours.UnavailableError),
        (boto.NoCredentialsError(), ours.CredentialsError),
        (boto.ProfileNotFound(profile="x"), ours.CredentialsError),
        (boto.TokenRetrievalError(provider="sso", error_msg="x"), ours.CredentialsError),
        (boto.UnauthorizedSSOTokenError(), ours.CredentialsError),
        (boto.NoRegionError(), ours.RejectedError),
        (boto.ParamValidationError(report="x"), ours.RejectedError),
    ],
)
def test_the_likely_ones(error: BaseException, kind: type[Exception]) -> None:
    assert type(translated(error)) is kind
    with pytest.raises(kind), asking("doing it"):
        raise error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (client_error("InternalServerException", 500), ours.SubmitUnknownError),
        (client_error("ServiceUnavailableException", 503), ours.SubmitUnknownError),
        (client_error("ThrottlingException", 429), ours.RateLimitedError),
        (client_error("ValidationException", 400), ours.RejectedError),
        (boto.ReadTimeoutError(endpoint_url="x"), ours.SubmitUnknownError),
        (boto.ConnectionClosedError(endpoint_url="x"), ours.SubmitUnknownError),
        (ResponseParserError("x"), ours.SubmitUnknownError),
        (boto.EndpointConnectionError(endpoint_url="x"), ours.UnavailableError),
        (boto.ConnectTimeoutError(endpoint_url="x"), ours.UnavailableError),
        (boto.NoCredentialsError(), ours.CredentialsError),
    ],
)
def test_a_create_is_unknown_only_where_it_may_have_happened(error: BaseException, kind: type[Exception]) -> None:
    with pytest.raises(ours.BackendError) as caught, creating("tp-1"):
        raise error
    assert type(caught.value) is kind
    assert caught.value.__cause__ is None


def test_retry_after_and_words() -> None:
    found = translated(client_error("ThrottlingException", 429, **{"retry-after": "3"}))
    assert isinstance(found, ours.RateLimitedError)
    assert found.retry_after == 3
    dated = translated(client_error("ThrottlingException", 429, **{"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}))
    assert isinstance(dated, ours.RateLimitedError)
    assert dated.retry_after is None
    role = translated(client_error("ValidationException", 400, "Could not assume provided IAM role."))
    assert isinstance(role, ours.AccessDeniedError)


def _enumeration(shape: str) -> list[str]:
    return list(Session().get_service_model("bedrock").shape_for(shape).enum)


def test_each_published_state_has_a_home() -> None:
    states = _enumeration("ModelCustomizationJobStatus")
    assert set(states) == set(bedrock_read.STATES)
    assert {bedrock_read.status({"status": word})[0] for word in states}.isdisjoint({JobStatus.UNKNOWN})
    assert bedrock_read.status({"status": "Rebalancing"}) == (JobStatus.UNKNOWN, "Rebalancing")
    for stage in bedrock_read.STAGES:
        for word in _enumeration("JobStatusDetails"):
            found = bedrock_read.status({"status": "InProgress", "statusDetails": {stage: {"status": word}}})[0]
            assert found is (JobStatus.QUEUED if word == "NotStarted" else bedrock_read.STAGES[stage])
    for shape in ("CustomModelDeploymentStatus", "ProvisionedModelStatus"):
        assert set(_enumeration(shape)) <= set(bedrock_deploy.STATES)
    assert set(bedrock_deploy.STATES.values()) <= set(
        get_args(inspect.get_annotations(Deployment, eval_str=True)["status"])
    )
