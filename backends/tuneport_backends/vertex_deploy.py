"""Making a tuned open model answer: its weights on an endpoint with machines of its own, billed by the hour, asked or not.

Model Garden's `deploy` of custom weights, as google-cloud-aiplatform's v1beta1 and vertexai.model_garden.CustomModel have it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tuneport import catalog
from tuneport.backend import Deployment
from tuneport.errors import BackendError, RejectedError, SpecError
from tuneport.estimates.money import HOURS_A_MONTH
from tuneport_backends.payload import Payload, mapping, objects, text
from tuneport_backends.vertex_errors import TITLE
from tuneport_backends.vertex_wire import Wire

_MACHINE = ("machine_type", "accelerator_type", "accelerator_count")
_OPTIONS = (*_MACHINE, "replicas")
_NOTE = "deployment.json"  # in the job's directory: the operation that deploys
_OURS = re.compile(r"projects/[^/]+/locations/[^/]+/endpoints/[a-z][a-z0-9-]*")  # the service's own ids are numbers


def endpoint_of(wire: Wire, tag: str) -> str:
    """The endpoint's name, which is ours to choose: the tag makes the deployment of a job one, and found again."""
    return f"{wire.place.parent}/endpoints/{tag}"


def is_ours(model: str) -> bool:
    """Whether it is an endpoint that was made here, and so of an open model on machines of its own."""
    return _OURS.fullmatch(model) is not None


def offer(name: str, base: str, options: Mapping[str, Any]) -> Deployment:
    machine, replicas = _asked(options)
    entry = catalog.find(f"vertex:{base}")
    price = entry.price if entry is not None else catalog.Price()
    hourly = None if price.hosting_per_hour is None else price.hosting_per_hour.value * replicas
    detail = f"{replicas} machine{'s' if replicas > 1 else ''} of the service's own choice, with GPUs"
    if machine:
        detail = (
            f"{replicas} × {machine['machineType']} with {machine['acceleratorCount']} {machine['acceleratorType']}"
        )
    detail += ", billed by the hour, asked or not, until it is taken down"
    detail += "" if hourly is not None else "; the price is not in the catalog, and is high: see Vertex AI's price page"
    return Deployment(
        name=name,
        kind="endpoint",
        status="offered",
        model=name,
        per_hour=hourly,
        per_month=None if hourly is None else hourly * HOURS_A_MONTH,
        currency=price.currency,
        detail=detail,
    )


def deploy(wire: Wire, job: Payload, tag: str, base: str, directory: Path, options: Mapping[str, Any]) -> Deployment:
    """What stands already is given back, so that a call whose reply was lost is safe to repeat. Sent once, never retried."""
    machine, replicas = _asked(options)
    name = endpoint_of(wire, tag)
    for standing in deployments(wire, tag, base, directory):
        if standing.status in {"active", "creating"}:
            return standing
    folder = weights(wire, job)
    if wire.endpoint(name) is not None:
        wire.delete(name)  # empty: of a deployment that failed
    resources: dict[str, Any] = {"minReplicaCount": replicas, "maxReplicaCount": replicas}
    if machine:
        resources["machineSpec"] = machine
    body: dict[str, Any] = {
        "customModel": {"gcsUri": folder},
        "modelConfig": {"modelDisplayName": tag, "modelUserId": tag},
        # On the service's shared address, as every other request here: a dedicated one has a name of its own.
        "endpointConfig": {"endpointDisplayName": tag, "endpointUserId": tag, "dedicatedEndpointDisabled": True},
        "deployConfig": {"dedicatedResources": resources},
    }
    _note(directory, {"operation": None})
    try:
        operation = wire.deploy(body)
    except RejectedError:
        (directory / _NOTE).unlink()  # nothing was begun
        raise
    _note(directory, {"operation": text(operation, "name")})
    return replace(offer(name, base, options), status="creating")


def deployments(wire: Wire, tag: str, base: str, directory: Path) -> list[Deployment]:
    name = endpoint_of(wire, tag)
    endpoint, noted = wire.endpoint(name), _noted(directory)
    models = objects((endpoint or {}).get("deployedModels"))
    if models:
        return [_standing(name, base, models[0])]
    if noted is None:
        return []  # an endpoint without a model costs nothing
    operation = wire.operation(str(noted["operation"])) if noted.get("operation") else None
    made = offer(name, base, {})
    if operation is None:
        detail = "the reply that begins the deployment was lost: it is coming, or will never be there"
        return [] if endpoint is None else [replace(made, status="creating", detail=detail)]
    if not operation.get("done"):
        return [replace(made, status="creating")]
    if error := mapping(operation.get("error")):
        detail = text(error, "message") or "the provider gives no reason"
        return [replace(made, status="failed", detail=detail, per_hour=None, per_month=None)]
    return []


def undeploy(wire: Wire, tag: str, base: str, directory: Path) -> list[str]:
    """Takes the model off its endpoint, and the endpoint away. RejectedError while it is still being made."""
    standing = deployments(wire, tag, base, directory)
    if any(one.status == "creating" for one in standing):
        raise RejectedError(
            f"{standing[0].name} is still being deployed, which cannot be stopped half-way: take it down when it stands."
        )
    name = endpoint_of(wire, tag)
    endpoint = wire.endpoint(name)
    for deployed in objects((endpoint or {}).get("deployedModels")):
        if (identity := text(deployed, "id")) is not None:
            wire.undeploy(name, identity)
    (directory / _NOTE).unlink(missing_ok=True)
    return [one.name for one in standing]


def weights(wire: Wire, job: Payload) -> str:
    """Where the tuned weights lie, below the job's output: the folder that holds config.json, the final one of several."""
    output = text(job, "outputUri")
    if output is None:
        raise BackendError(f"{TITLE} does not say where the weights of {job.get('name')} are.")
    names = wire.addresses(f"{output.rstrip('/')}/")
    folders = sorted(uri.removesuffix("/config.json") for uri in names if uri.endswith("/config.json"))
    if not folders:
        raise RejectedError(
            f"there are no weights below {output} ({len(names)} objects, none of them a config.json): they were moved or "
            "removed, or the tuning has left an adapter alone."
        )
    return next((folder for folder in folders if folder.endswith("/final")), folders[-1])


def _standing(name: str, base: str, deployed: Payload) -> Deployment:
    held = mapping(deployed.get("dedicatedResources"))
    machine, replicas = mapping(held.get("machineSpec")), held.get("minReplicaCount")
    known: dict[str, Any] = {"replicas": replicas} if isinstance(replicas, int) and replicas > 0 else {}
    if all(machine.get(key) for key in ("machineType", "acceleratorType", "acceleratorCount")):
        known |= dict(
            zip(
                _MACHINE, (machine["machineType"], machine["acceleratorType"], machine["acceleratorCount"]), strict=True
            )
        )
    return replace(offer(name, base, known), status="active")


def _asked(options: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    """The machine, empty where the service chooses it, and how many."""
    if unknown := [name for name in options if name not in _OPTIONS]:
        raise SpecError(f"unknown option {unknown[0]!r} of a deployment: known: {', '.join(_OPTIONS)}.")
    given = [name for name in _MACHINE if options.get(name)]
    if given and len(given) < len(_MACHINE):
        raise SpecError(
            f"{given[0]} is given without {', '.join(name for name in _MACHINE if name not in given)}: say all three, as in "
            "machine_type=g2-standard-12 accelerator_type=NVIDIA_L4 accelerator_count=1, or none, and the service chooses."
        )
    replicas = _count(options, "replicas", 1)
    if not given:
        return {}, replicas
    machine = {"machineType": str(options["machine_type"]), "acceleratorType": str(options["accelerator_type"])}
    return {**machine, "acceleratorCount": _count(options, "accelerator_count", 1)}, replicas


def _count(options: Mapping[str, Any], name: str, usual: int) -> int:
    try:
        found = int(options.get(name, usual))
    except (TypeError, ValueError):
        found = 0
    if found < 1:
        raise SpecError(f"{name} is {options.get(name)!r}: a whole number from 1 up.")
    return found


def _note(directory: Path, said: Mapping[str, Any]) -> None:
    path = directory / _NOTE
    temporary = path.with_name(f".{path.name}")
    temporary.write_text(json.dumps(said), encoding="utf-8")
    temporary.replace(path)


def _noted(directory: Path) -> Mapping[str, Any] | None:
    path = directory / _NOTE
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
