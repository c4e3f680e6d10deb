"""Bringing weights of one's own to Bedrock: a Hugging Face folder becomes a model that Converse asks (CreateModelImportJob)."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from tuneport.backend import Import
from tuneport.errors import BackendError, ModelError, RejectedError
from tuneport_backends import bedrock_files as files
from tuneport_backends import bedrock_request as request
from tuneport_backends.bedrock_aws import AWS
from tuneport_backends.bedrock_request import Place
from tuneport_backends.payload import text

_COST = "Bedrock keeps an imported model for a price by the month, and bills each copy that answers by the minute"
_STATES: Mapping[str, Literal["importing", "ready", "failed"]] = {"Completed": "ready", "Failed": "failed"}


def begin(source: str, name: str, options: Mapping[str, Any]) -> Import:
    """`source`: a local folder, which is uploaded under the bucket first, or an s3:// folder. `name` makes it idempotent."""
    at, aws = request.place(options), AWS(options)
    if not source.startswith("s3://"):
        source = _uploaded(aws, at, Path(source), name)
    try:
        answer = aws.call(
            "create_model_import_job",
            f"importing {source}",
            attempts=1,
            jobName=name,
            importedModelName=name,
            roleArn=at.role,
            modelDataSource={"s3DataSource": {"s3Uri": source}},
            clientRequestToken=name,
        )
    except RejectedError:
        with contextlib.suppress(BackendError):
            return look(name, options)  # the name is in use: it is this import's own, begun before
        raise
    arn = text(answer, "jobArn")
    if arn is None:
        raise BackendError(f"Amazon Bedrock began to import {source} and did not say as what: look for {name!r}.")
    return Import(name=arn, status="importing", detail=_COST)


def look(name: str, options: Mapping[str, Any]) -> Import:
    """By the import's ARN or its name. RemoteNotFoundError where there is none."""
    answer = AWS(options).call("get_model_import_job", f"looking at {name}", jobIdentifier=name)
    status = _STATES.get(text(answer, "status") or "", "importing")
    model = text(answer, "importedModelArn") or ""
    if status == "ready" and not model:
        status = "importing"  # it is not named yet
    reason = (text(answer, "failureMessage") or "no reason is given") if status == "failed" else None
    return Import(name=text(answer, "jobArn") or name, status=status, model=model, reason=reason, detail=_COST)


def _uploaded(aws: AWS, at: Place, folder: Path, name: str) -> str:
    """The folder's address, after uploading each of its files that is not there yet."""
    held = sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []
    if not any(path.name == "config.json" for path in held) or not any(path.suffix == ".safetensors" for path in held):
        raise ModelError(
            f"{folder} is no folder with config.json and .safetensors files, which an import to Amazon Bedrock takes: a whole "
            "model in Hugging Face's format, and not an adapter."
        )
    files.demand_bucket(aws, at)
    for path in held:
        files.sent(aws, at.bucket, at.key(name, "weights", path.name), path)
    return at.uri(name, "weights")
