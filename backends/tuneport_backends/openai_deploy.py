"""Making a tuned model of Azure's answer: a deployment, which costs by the hour, asked or not."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from tuneport import catalog
from tuneport.backend import Deployment
from tuneport.errors import BackendError, RejectedError, RemoteNotFoundError, SpecError
from tuneport.estimates.money import HOURS_A_MONTH
from tuneport_backends.openai_control import PLACE, Control, Place, place
from tuneport_backends.openai_service import AZURE
from tuneport_backends.payload import Payload, mapping, text

LONGEST = 64  # letters of a deployment's name
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}[A-Za-z0-9]")
_NOTE = "deployment.json"  # in the job's directory: the account that it was deployed in
# By Azure's names of the types that tuned models have.
STANDARD, DEVELOPER, PROVISIONED = "Standard", "DeveloperTier", "ProvisionedManaged"
KINDS = (STANDARD, "GlobalStandard", DEVELOPER, PROVISIONED)
_CAPACITY = 50  # thousands of tokens a minute, as in Azure's own example; no price depends on it
_OPTIONS = ("kind", "capacity", "name", *PLACE)
Status = Literal["creating", "active", "failed", "deleting"]
STATES: Mapping[str, Status] = {
    "Accepted": "creating",
    "Creating": "creating",
    "Moving": "creating",
    "Succeeded": "active",
    "Deleting": "deleting",
    "Failed": "failed",
    "Canceled": "failed",
    "Disabled": "failed",
}


def name_of(model: str) -> str:
    """The deployment's name, where none is given: the model's own, so that it answers by that. Cut where it is too long."""
    return model[:LONGEST].rstrip("._-")


def offer(model: str, base: str, options: Mapping[str, Any]) -> Deployment:
    kind, capacity, name = _asked(options, model)
    return _costed(name, kind, capacity, base, "offered")


def deploy(directory: Path, model: str, base: str, job: Mapping[str, Any], options: Mapping[str, Any]) -> Deployment:
    """What stands already is given back, so that a call whose reply was lost is safe to repeat. Sent once, never retried.

    `job`: the job's own options. RejectedError where the name is another model's deployment, which would be replaced.
    """
    kind, capacity, name = _asked(options, model)
    at = place(options, job)
    control = Control(at)
    for item in control.listed():
        standing = _read(item, base)
        if _model(item) == model and standing.kind == kind and standing.status not in {"failed", "deleting"}:
            _note(directory, at)
            return standing
        if standing.name == name and _model(item) != model:
            raise RejectedError(
                f"{name} is a deployment of {_model(item)} in {at.account} already, and would be replaced: give another name, "
                "as in name=triage."
            )
    _note(directory, at)  # before it costs: `standing` must know where to look
    body = {
        "sku": {"name": kind, "capacity": capacity},
        "properties": {"model": {"format": "OpenAI", "name": model, "version": "1"}},
    }
    return _read(control.create(name, body), base, name=name, kind=kind, capacity=capacity)


def deployments(directory: Path, model: str, base: str, job: Mapping[str, Any]) -> list[Deployment]:
    """Of this model, in the account that it was deployed in from here, or that the environment names."""
    noted = _noted(directory)
    return [_read(item, base) for item in Control(place(noted, job)).listed() if _model(item) == model]


def noted(directory: Path) -> bool:
    """Whether it was ever deployed from here."""
    return bool(_noted(directory))


def undeploy(directory: Path, model: str, base: str, job: Mapping[str, Any]) -> list[str]:
    """All of them are tried; the first that cannot be taken down is then told."""
    control = Control(place(_noted(directory), job))
    removed: list[str] = []
    failed: BackendError | None = None
    for standing in deployments(directory, model, base, job):
        try:
            control.delete(standing.name)
        except RemoteNotFoundError:
            continue  # gone already
        except BackendError as error:
            failed = failed or error
            continue
        removed.append(standing.name)
    if failed is not None:
        raise failed
    return removed


def undeployed(model: str, said: str = "") -> str:
    """What to do for a tuned model of Azure's, which answers only under a deployment's name."""
    name = name_of(model)
    return (
        f"{AZURE.title} has no deployment named {model!r}{f' ({said})' if said else ''}. A tuned model answers only when it is "
        "deployed, which costs by the hour, used or not: tuneport deploy ID, which first says what it costs; or, with Azure's "
        "own tool, az cognitiveservices account deployment create --resource-group GROUP --name ACCOUNT --deployment-name "
        f"{name} --model-name {model} --model-version 1 --model-format OpenAI --sku-name {STANDARD} --sku-capacity "
        f"{_CAPACITY}. Then ask azure:{name}. A deployment made a moment ago may take some minutes to answer."
    )


def _costed(name: str, kind: str, capacity: int, base: str, status: Any, said: str = "") -> Deployment:
    entry = catalog.find(f"{AZURE.name}:{base}")
    price = entry.price if entry is not None else catalog.Price()
    hourly: float | None = None
    if kind == DEVELOPER:
        hourly = 0.0
        detail = f"{capacity:,},000 tokens a minute, billed by the tokens alone; Azure takes it down after 24 hours"
    elif kind == PROVISIONED:
        detail = f"{capacity} units, billed by the hour, asked or not, until it is taken down; the price is not in the "
        detail += "catalog, and is high: see Azure's price page"
    else:
        amount = price.hosting_per_hour
        hourly = amount.value if amount is not None else None
        detail = f"{capacity:,},000 tokens a minute, billed by the tokens and by the hour, asked or not, until it is taken down"
        source = f" (the price: {amount.source})" if amount is not None else ""
        detail += source or "; the price is not in the catalog: see Azure's price page"
    return Deployment(
        name=name,
        kind=kind,
        status=status,
        model=name,
        per_hour=hourly,
        per_month=None if hourly is None else hourly * HOURS_A_MONTH,
        currency=price.currency,
        detail=said or detail,
    )


def _asked(options: Mapping[str, Any], model: str) -> tuple[str, int, str]:
    if unknown := [name for name in options if name not in _OPTIONS]:
        raise SpecError(f"unknown option {unknown[0]!r} of a deployment: known: {', '.join(_OPTIONS)}.")
    asked = str(options.get("kind") or STANDARD)
    kind = next((kind for kind in KINDS if kind.lower() == asked.replace("-", "").lower()), None)
    if kind is None:
        raise SpecError(f"kind is {asked!r}: one of {', '.join(KINDS)}.")
    given = options.get("capacity", None if kind == PROVISIONED else _CAPACITY)
    try:
        capacity = int(given)  # None is refused with the rest
    except (TypeError, ValueError):
        capacity = 0
    if capacity < 1:
        unit = "units" if kind == PROVISIONED else "thousands of tokens a minute"
        raise SpecError(f"capacity is {given!r}: {unit}, a whole number from 1 up.")
    name = str(options.get("name") or name_of(model))
    if not _NAME.fullmatch(name):
        raise SpecError(
            f"name is {name!r}: 2 to {LONGEST} letters, digits, '-', '_' and '.', of which the first and the last is none of "
            "the three."
        )
    return kind, capacity, name


def _model(item: Payload) -> str | None:
    return text(mapping(mapping(item.get("properties")).get("model")), "name")


def _read(item: Payload, base: str, *, name: str = "?", kind: str = "?", capacity: int = 1) -> Deployment:
    sku, word = mapping(item.get("sku")), text(mapping(item.get("properties")), "provisioningState") or ""
    held = sku.get("capacity")
    shown = text(sku, "name") or kind
    return _costed(
        text(item, "name") or name,
        next((known for known in KINDS if known.lower() == shown.lower()), shown),
        held if isinstance(held, int) and held > 0 else capacity,
        base,
        STATES.get(word, "creating"),
        "" if word in STATES else f"the provider calls it {word!r}",
    )


def _note(directory: Path, at: Place) -> None:
    path = directory / _NOTE
    temporary = path.with_name(f".{path.name}")
    temporary.write_text(json.dumps({name: getattr(at, name) for name in PLACE}), encoding="utf-8")
    temporary.replace(path)


def _noted(directory: Path) -> Mapping[str, Any]:
    path = directory / _NOTE
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
