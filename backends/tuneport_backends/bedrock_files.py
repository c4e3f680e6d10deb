"""A job's objects in S3: each is uploaded once, whatever interrupts it, under a key that holds the job's tag.

An object that is there with the size and the SHA-256 of the file is used as it is. (Its ETag would not do: that of an upload
by parts, or of an encrypted object, is not a hash of the bytes.)
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from tuneport.errors import AccessDeniedError, RejectedError
from tuneport_backends import common
from tuneport_backends.bedrock_aws import AWS, where
from tuneport_backends.bedrock_request import Place, place

_SHA = "tuneport-sha256"
_RECORD = "bedrock.json"


def demand_bucket(aws: AWS, at: Place) -> None:
    """Before anything is uploaded: the bucket is there, and in the region of the job, as Bedrock demands."""
    region = aws.bucket_region(at.bucket)
    if region is not None and region != aws.region:
        raise RejectedError(
            f"the bucket {at.bucket} is in {region}, and the job is to run in {aws.region}: Bedrock takes one of its own "
            f"region. Make a bucket in {aws.region}, or set the option region, if the model is tuned in {region}."
        )


def uploaded(aws: AWS, at: Place, path: Path, tag: str) -> str:
    """The S3 URI of the file, after uploading it where it is not there yet."""
    key = at.key(tag, path.name)
    sha, size = _digest(path), path.stat().st_size
    there = aws.head(at.bucket, key)
    if there is not None and there["size"] == size and there["metadata"].get(_SHA) == sha:
        return at.uri(tag, path.name)
    begun = path.with_name(f".{path.name}.begun")
    if begun.exists():
        with contextlib.suppress(
            AccessDeniedError
        ):  # the bucket's lifecycle rule ends them then; the upload needs it not
            aws.abandon_parts(at.bucket, key)
    begun.touch()
    aws.upload(path, at.bucket, key, {_SHA: sha, "tuneport-tag": tag})
    begun.unlink()
    return at.uri(tag, path.name)


def sent(aws: AWS, bucket: str, key: str, path: Path) -> None:
    """A file of a folder that is the user's own: nothing is written beside it. Sent where it is not there yet."""
    sha, size = _digest(path), path.stat().st_size
    there = aws.head(bucket, key)
    if there is not None and there["size"] == size and there["metadata"].get(_SHA) == sha:
        return
    with contextlib.suppress(AccessDeniedError):
        aws.abandon_parts(bucket, key)  # of an upload that was cut short
    aws.upload(path, bucket, key, {_SHA: sha}, kind="application/octet-stream")


def remember(directory: Path, where: Mapping[str, Any]) -> None:
    """Where the job is about to be made: the environment of a later process may say otherwise."""
    path = directory / "upload" / _RECORD
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_name(f".{path.name}")
    temporary.write_text(json.dumps(dict(where)), encoding="utf-8")
    temporary.replace(path)


def remembered(directory: Path) -> dict[str, Any] | None:
    """None: no submit from here came as far as AWS."""
    path = directory / "upload" / _RECORD
    if not path.exists():
        return None
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        read = None
    if isinstance(read, dict):
        return cast("dict[str, Any]", read)
    options = common.spec_in(directory).options  # a damaged record: as the job and the environment say
    at = place(options)
    return {**where(options), "region": AWS(options).region, "bucket": at.bucket, "prefix": at.prefix}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
