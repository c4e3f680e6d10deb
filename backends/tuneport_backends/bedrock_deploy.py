"""Making a tuned model answer: an on-demand deployment, or provisioned throughput, which costs by the hour, asked or not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from tuneport import catalog
from tuneport.backend import Deployment
from tuneport.errors import BackendError, RejectedError, RemoteNotFoundError, SpecError
from tuneport.estimates.money import HOURS_A_MONTH
from tuneport_backends.bedrock_aws import AWS
from tuneport_backends.payload import Payload, text

ON_DEMAND, PROVISIONED = "on-demand", "provisioned"
_COMMITMENTS: Mapping[str, str] = {"one-month": "OneMonth", "six-months": "SixMonths"}
_OPTIONS = ("kind", "units", "commitment")
Status = Literal["offered", "creating", "active", "failed", "deleting"]
STATES: Mapping[str, Status] = {
    "Creating": "creating",
    "Active": "active",
    "InService": "active",
    "Updating": "active",  # it answers meanwhile
    "Failed": "failed",
}


def offer(model: str, tag: str, base: str, options: Mapping[str, Any]) -> Deployment:
    kind, units, commitment = _asked(options)
    entry = catalog.find(f"bedrock:{base}")
    price = entry.price if entry is not None else catalog.Price()
    hourly = price.hosting_per_hour.value if price.hosting_per_hour is not None else None
    stored = price.storage_per_month.value if price.storage_per_month is not None else None
    if kind == ON_DEMAND:
        detail = "billed by the tokens of each call; keeping the model may cost by the month: see AWS's price page"
        return Deployment(
            name=tag, kind=kind, status="offered", per_month=stored, currency=price.currency, detail=detail
        )
    detail = f"{units} model unit{'s' if units > 1 else ''}, billed by the hour, asked or not, until it is taken down"
    detail += f"; committed for {commitment.replace('-', ' ')}: it cannot be ended before" if commitment else ""
    detail += "" if hourly is not None else "; the price is not in the catalog, and is high: see AWS's price page"
    return Deployment(
        name=tag,
        kind=kind,
        status="offered",
        model=model,
        per_hour=None if hourly is None else hourly * units,
        per_month=None if hourly is None else hourly * units * HOURS_A_MONTH + (stored or 0.0),
        currency=price.currency,
        detail=detail,
    )


def deploy(aws: AWS, model: str, tag: str, base: str, options: Mapping[str, Any]) -> Deployment:
    """What stands already is given back, so that a call whose reply was lost is safe to repeat. Sent once, never retried."""
    kind, units, commitment = _asked(options)
    for standing in deployments(aws, model, base):
        if standing.kind == kind and standing.status != "failed":
            return standing
    tags = [{"key": "tuneport-tag", "value": tag}]
    try:
        if kind == ON_DEMAND:
            name: dict[str, Any] = {"modelDeploymentName": tag, "modelArn": model}
            answer = aws.call("create_custom_model_deployment", f"deploying {model}", attempts=1, tags=tags, **name)
            arn = text(answer, "customModelDeploymentArn")
        else:
            asked: dict[str, Any] = {"provisionedModelName": tag, "modelId": model, "modelUnits": units}
            if commitment:
                asked["commitmentDuration"] = _COMMITMENTS[commitment]
            answer = aws.call(
                "create_provisioned_model_throughput", f"provisioning {model}", attempts=1, tags=tags, **asked
            )
            arn = text(answer, "provisionedModelArn")
    except RejectedError as error:
        if kind == ON_DEMAND and "on-demand" in error.message.lower():
            raise RejectedError(
                f"{error.message} This model is deployed with kind=provisioned, which costs by the hour.",
                request_id=error.request_id,
            ) from None
        raise
    made = offer(model, tag, base, options)
    return Deployment(
        name=tag,
        kind=kind,
        status="creating",
        model=arn or "",
        per_hour=made.per_hour,
        per_month=made.per_month,
        currency=made.currency,
        detail=made.detail,
    )


def deployments(aws: AWS, model: str, base: str) -> list[Deployment]:
    sources = (
        ("list_custom_model_deployments", "modelDeploymentSummaries", ON_DEMAND, "customModelDeployment"),
        ("list_provisioned_model_throughputs", "provisionedModelSummaries", PROVISIONED, "provisionedModel"),
    )
    return [
        _read(item, kind, prefix, base)
        for operation, key, kind, prefix in sources
        for item in aws.listed(operation, key, f"listing {kind} deployments", modelArnEquals=model)
        if item.get("modelArn", model) == model
    ]


def undeploy(aws: AWS, model: str, base: str) -> list[str]:
    """All of them are tried; the first that cannot be taken down is then told."""
    removed: list[str] = []
    failed: BackendError | None = None
    for standing in deployments(aws, model, base):
        name = standing.model or standing.name
        try:
            if standing.kind == ON_DEMAND:
                aws.call(
                    "delete_custom_model_deployment",
                    f"taking down {standing.name}",
                    customModelDeploymentIdentifier=name,
                )
            else:
                aws.call("delete_provisioned_model_throughput", f"taking down {standing.name}", provisionedModelId=name)
        except RemoteNotFoundError:
            continue  # gone already
        except BackendError as error:
            failed = failed or error
            continue
        removed.append(standing.name)
    if failed is not None:
        raise failed
    return removed


def _asked(options: Mapping[str, Any]) -> tuple[str, int, str | None]:
    if unknown := [name for name in options if name not in _OPTIONS]:
        raise SpecError(f"unknown option {unknown[0]!r} of a deployment: known: {', '.join(_OPTIONS)}.")
    kind, commitment = options.get("kind") or ON_DEMAND, options.get("commitment")
    if kind not in {ON_DEMAND, PROVISIONED}:
        raise SpecError(f"kind is {kind!r}: {ON_DEMAND} or {PROVISIONED}.")
    if kind == ON_DEMAND and (commitment or "units" in options):
        raise SpecError(f"units and commitment are of kind={PROVISIONED}; the kind is {ON_DEMAND}.")
    if commitment and commitment not in _COMMITMENTS:
        raise SpecError(f"commitment is {commitment!r}: {', '.join(_COMMITMENTS)}, or leave it away.")
    try:
        units = int(options.get("units", 1))
    except (TypeError, ValueError):
        units = 0
    if units < 1:
        raise SpecError(f"units is {options.get('units')!r}: a whole number from 1 up.")
    return str(kind), units, str(commitment) if commitment else None


def _read(item: Payload, kind: str, key: str, base: str) -> Deployment:
    word = text(item, "status") or ""
    units = item.get("modelUnits")
    options = {
        "kind": kind,
        **({"units": units} if kind == PROVISIONED and isinstance(units, int) and units > 0 else {}),
    }
    name = text(item, f"{key}Name") or text(item, f"{key}Arn") or "?"
    costs = offer("", name, base, options)
    status = STATES.get(word, "creating")
    detail = text(item, "failureMessage") or (word if word not in STATES else costs.detail)
    return Deployment(
        name=name,
        kind=kind,
        status=status,
        model=text(item, f"{key}Arn") or "",
        per_hour=costs.per_hour,
        per_month=costs.per_month,
        currency=costs.currency,
        detail=detail,
    )
