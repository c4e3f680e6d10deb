"""The clients of AWS, kept for the next call, and every call of theirs that the backend makes, as plain JSON.

boto3 is imported only when AWS is asked, so that planning needs neither the package nor its start-up. A reply is taken as it
came on the wire: botocore's parser would drop keys that its model lacks, and stumble over values of another type.
"""

from __future__ import annotations

import json
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from tuneport.errors import (
    AccessDeniedError,
    NotInstalledError,
    RejectedError,
    RemoteNotFoundError,
    SubmitUnknownError,
    UnavailableError,
)
from tuneport_backends.bedrock_errors import EXTRA, KEYS, asking, creating
from tuneport_backends.payload import Payload, mapping, objects, text

WHERE = ("region", "profile", "endpoint_url")  # of the options: where the job lives
ATTEMPTS = 4  # with botocore's backoff and jitter; a create gets one
_CONNECT, _READ = 10, 120  # seconds
_RAW = "tuneport-raw"
_TOKEN = "AWS_BEARER_TOKEN_BEDROCK"  # noqa: S105  (a variable's name)
_KEPT_CLIENTS = 16
_clients: OrderedDict[tuple[Any, ...], Any] = OrderedDict()
_lock = threading.Lock()
_PLACES = ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3")
_SOURCES = (
    *("AWS_ACCESS_KEY_ID", "AWS_PROFILE", _TOKEN, "AWS_ROLE_ARN"),
    *("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
)


def where(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: options[name] for name in WHERE if options.get(name)}


def region_of(options: Mapping[str, Any]) -> str | None:
    """By the option, the environment, or the profile in AWS's own configuration file; None where none of them says."""
    said = options.get("region") or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if said or find_spec("botocore") is None:
        return str(said) if said else None
    from botocore.exceptions import BotoCoreError
    from botocore.session import Session

    try:
        return cast("str | None", Session(profile=options.get("profile")).get_config_variable("region"))
    except BotoCoreError:  # no such profile, a file that cannot be read: said when a client is made
        return None


def missing() -> str | None:
    """What keeps AWS from being asked, in a sentence with the fix; None where nothing is seen to be missing."""
    if find_spec("boto3") is None:
        return f"Amazon Bedrock needs the boto3 package, which is not installed: {EXTRA}"
    if credentials() or _files():
        return None
    return (
        f"no credentials for AWS were seen: set {KEYS[0]} and {KEYS[1]}, or AWS_PROFILE (boto3 comes with {EXTRA}). An "
        "instance's own role is asked when it is used."
    )


def credentials() -> list[str]:
    """The names of the variables that lead to credentials now."""
    return [name for name in _SOURCES if os.environ.get(name)]


def _files() -> bool:
    named = [os.environ.get("AWS_SHARED_CREDENTIALS_FILE"), os.environ.get("AWS_CONFIG_FILE")]
    usual = [Path.home() / ".aws" / "credentials", Path.home() / ".aws" / "config"]
    return any(Path(name).is_file() for name in named if name) or any(path.is_file() for path in usual)


def _client(service: str, options: Mapping[str, Any], attempts: int = ATTEMPTS) -> Any:
    """NotInstalledError without boto3; no request is made. Typed as Any: the calls of one service are all in `AWS`."""
    environment = tuple(os.environ.get(name) for name in (*KEYS, *_PLACES))
    key = (os.getpid(), service, attempts, *sorted(where(options).items()), environment)
    with _lock:
        if key in _clients:
            _clients.move_to_end(key)
            return _clients[key]
        client = _connected(service, options, attempts, key[0], environment)
        _clients[key] = client
        while len(_clients) > _KEPT_CLIENTS:
            _clients.popitem(last=False)
        return client


@lru_cache(maxsize=4)
def _session(kind: Any, profile: str | None, region: str | None, *_of: object) -> Any:
    """Kept, as it holds the parsed service models, which cost the most of making a client. `_of`: process and environment."""
    return kind(profile_name=profile, region_name=region)


def _connected(service: str, options: Mapping[str, Any], attempts: int, *of: object) -> Any:
    try:
        from boto3 import Session
        from botocore.config import Config
    except ImportError:
        raise NotInstalledError(
            f"Amazon Bedrock needs the boto3 package, which is not installed: {EXTRA}", extra="bedrock"
        ) from None
    with asking("making a client"):
        session = _session(Session, options.get("profile"), region_of(options), *of)
        address = (
            options.get("endpoint_url") or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        )
        config = Config(
            retries={"mode": "standard", "total_max_attempts": attempts},
            connect_timeout=_CONNECT,
            read_timeout=_READ,
            s3={"addressing_style": "path"} if address else {},  # a stand-in has no name for each bucket
            # botocore takes a variable that is set and empty for a token.
            signature_version="v4" if service.startswith("bedrock") and os.environ.get(_TOKEN) == "" else None,
            user_agent_extra="tuneport",
        )
        client = session.client(service, endpoint_url=options.get("endpoint_url"), config=config)
        if service.startswith("bedrock"):
            client.meta.events.register(f"before-parse.{client.meta.service_model.service_id.hyphenize()}", _as_it_came)
    return client


def _as_it_came(response_dict: Any, customized_response_dict: Any, **_: Any) -> None:
    if response_dict["status_code"] >= 300:
        return
    try:
        read: Any = json.loads(response_dict["body"] or b"{}")
    except ValueError:
        read = None
    customized_response_dict[_RAW] = read
    response_dict["body"] = b"{}"


class AWS:
    """Where `options` point. Every method raises ours, and only ours."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.options = where(options)

    @property
    def region(self) -> str:
        found = region_of(self.options)
        if found is None:
            raise RejectedError("Amazon Bedrock has no region: set AWS_DEFAULT_REGION, or the option region.")
        return found

    # Jobs and models

    def create(self, body: Mapping[str, Any], tag: str) -> str:
        """The job's ARN. The one request that spends, sent once; its client request token makes it idempotent besides."""
        client = _client("bedrock", self.options, attempts=1)
        with creating(tag):
            answer = client.create_model_customization_job(**body)
        found = answer.get(_RAW)
        arn = cast("Payload", found).get("jobArn") if isinstance(found, dict) else None
        if not isinstance(arn, str) or not arn:
            raise SubmitUnknownError(
                "Amazon Bedrock answered the request that creates the job without the job's ARN: it may exist, and is looked "
                f"for by its tag, {tag}.",
                request_id=_request_id(answer),
            )
        return arn

    def call(self, operation: str, what: str, *, attempts: int = ATTEMPTS, **asked: Any) -> Payload:
        """Any other operation of Bedrock, by boto3's name for it."""
        client = _client("bedrock-runtime" if operation == "converse" else "bedrock", self.options, attempts)
        with asking(what):
            answer = getattr(client, operation)(**asked)
        found = answer.get(_RAW)
        if not isinstance(found, dict):
            raise UnavailableError(
                f"Amazon Bedrock, {what}: the answer is not a JSON object. Is the endpoint right?",
                request_id=_request_id(answer),
            )
        return cast("Payload", found)

    def listed(self, operation: str, key: str, what: str, *, pages: int = 50, **asked: Any) -> Iterator[Payload]:
        """The items of a listing, page by page."""
        token: str | None = None
        for _ in range(pages):
            more: dict[str, Any] = {} if token is None else {"nextToken": token}
            page = self.call(operation, what, **asked, **more)
            items: Any = page.get(key)
            yield from objects(items)
            following = text(page, "nextToken")
            if following is None or following == token:
                return
            token = following

    # S3

    def bucket_region(self, bucket: str) -> str | None:
        """None where these credentials may not see it: the upload will tell. RemoteNotFoundError where there is none."""
        client = _client("s3", self.options)
        try:
            with asking(f"looking at the bucket {bucket}"):
                answer = client.head_bucket(Bucket=bucket)
        except (AccessDeniedError, RejectedError):  # the reply to a HEAD has no words: ask what has
            try:
                with asking(f"looking at the bucket {bucket}"):
                    client.list_objects_v2(Bucket=bucket, MaxKeys=1)
            except AccessDeniedError:
                pass
            return None
        except RemoteNotFoundError as error:
            raise RemoteNotFoundError(
                f"there is no bucket {bucket!r} that these credentials see: make it in {self.region}, or give another in the "
                "option bucket.",
                request_id=error.request_id,
            ) from None
        headers = mapping(mapping(answer.get("ResponseMetadata")).get("HTTPHeaders"))
        return text(answer, "BucketRegion") or text(headers, "x-amz-bucket-region")

    def head(self, bucket: str, key: str) -> Payload | None:
        """Size and own metadata of an object; None where there is none, or where it may not be looked at."""
        client = _client("s3", self.options)
        try:
            with asking(f"looking at s3://{bucket}/{key}"):
                answer = client.head_object(Bucket=bucket, Key=key)
        except (RemoteNotFoundError, AccessDeniedError):
            return None
        return {"size": answer.get("ContentLength"), "metadata": answer.get("Metadata") or {}}

    def upload(
        self, path: Path, bucket: str, key: str, metadata: Mapping[str, str], kind: str = "application/jsonl"
    ) -> None:
        """Streamed, by parts where it is large. One that fails or is interrupted leaves no parts behind."""
        from boto3.s3.transfer import TransferConfig

        client = _client("s3", self.options)
        transfer = TransferConfig(multipart_threshold=_PART_BYTES, multipart_chunksize=_PART_BYTES, max_concurrency=4)
        extra = {"Metadata": dict(metadata), "ContentType": kind}
        with asking(f"uploading s3://{bucket}/{key}"):
            client.upload_file(str(path), bucket, key, ExtraArgs=extra, Config=transfer)

    def abandon_parts(self, bucket: str, key: str) -> None:
        """Throw away the parts of an upload that a killed process has left: they cost, and nothing lists them as objects."""
        client = _client("s3", self.options)
        with asking(f"looking for parts of s3://{bucket}/{key}"):
            found: Any = client.list_multipart_uploads(Bucket=bucket, Prefix=key)
            for upload in objects(found.get("Uploads")):
                if upload.get("Key") == key:
                    client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload["UploadId"])

    def read(self, bucket: str, key: str) -> bytes:
        client = _client("s3", self.options)
        with asking(f"reading s3://{bucket}/{key}"):
            return cast("bytes", client.get_object(Bucket=bucket, Key=key)["Body"].read())

    def keys(self, bucket: str, prefix: str) -> list[str]:
        client = _client("s3", self.options)
        found: list[str] = []
        token: str | None = None
        while True:
            given = {"ContinuationToken": token} if token else {}
            with asking(f"listing s3://{bucket}/{prefix}"):
                page: Any = client.list_objects_v2(Bucket=bucket, Prefix=prefix, **given)
            found += [str(item["Key"]) for item in objects(page.get("Contents"))]
            token = page.get("NextContinuationToken")
            if not page.get("IsTruncated") or not token:
                return found

    def delete(self, bucket: str, keys: list[str]) -> None:
        client = _client("s3", self.options)
        for begin in range(0, len(keys), 1000):
            wanted = [{"Key": key} for key in keys[begin : begin + 1000]]
            with asking(f"deleting from s3://{bucket}"):
                answer: Any = client.delete_objects(Bucket=bucket, Delete={"Objects": wanted, "Quiet": True})
            if failed := objects(answer.get("Errors")):
                raise RejectedError(
                    f"s3://{bucket}/{failed[0].get('Key')} cannot be deleted: {failed[0].get('Message')}"
                )

    def identity(self) -> str:
        """The ARN of who asks."""
        with asking("asking who this is"):
            return str(_client("sts", self.options).get_caller_identity()["Arn"])


_PART_BYTES = 16 * 2**20


def _request_id(answer: Any) -> str | None:
    return text(mapping(answer.get("ResponseMetadata")), "RequestId")
