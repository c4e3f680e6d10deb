"""`models`: what can be tuned where, with limits, prices and end dates; and what each backend has declared that it can do."""

from __future__ import annotations

from datetime import date
from typing import Any

import click
from rich.markup import escape

from tuneport import catalog, registry, support
from tuneport.catalog import Amount, Entry, Price
from tuneport.cli.output import console, json_option, print_json, table
from tuneport.clock import VARIABLE, is_set, today
from tuneport.errors import SpecError
from tuneport.estimates.money import HOURS_A_MONTH
from tuneport.strict import suggest

_SHADES = {"error": "red", "warning": "yellow", "info": "dim"}
_UNKNOWN = "[dim]unknown[/]"


@click.command(epilog="Example: tuneport models --backend bedrock, or one in full: tuneport models openai:gpt-4.1-mini")
@click.argument("model", required=False)
@click.option("--backend", default=None, help="Only this one.")
@click.option("--support", "show_support", is_flag=True, help="What each backend can do, and why not where it cannot.")
@json_option
def models(model: str | None, backend: str | None, show_support: bool, as_json: bool) -> int:
    """What can be tuned where: objectives, methods, limits, prices and end dates. With MODEL, all that is known of it.

    Your own prices, models and dates go into catalog.yaml in tuneport's home, or the file that TUNEPORT_CATALOG names.
    """
    entries = catalog.entries()
    known = sorted({entry.backend for entry in entries} | set(registry.available()))
    if backend is not None and backend not in known:
        raise SpecError(f"no backend is named {backend!r}: {suggest(backend, known)}")
    if model is not None:
        return _one(model, as_json=as_json)
    shown = [entry for entry in entries if backend in {None, entry.backend}]
    installed = [name for name in sorted(registry.available()) if backend in {None, name}]
    if as_json:
        rows = [row.model_dump() for name in installed for row in support.rows(name)]
        print_json({**_head(), "models": [_data(entry) for entry in shown], "support": rows})
        return 0
    if show_support or not shown:
        _print_support(installed)
        return 0
    _print_table(shown)
    return 0


def _one(model: str, *, as_json: bool) -> int:
    entry = catalog.find(model)
    if entry is None:
        name = model.partition(":")[0]
        if name in registry.available() and not catalog.entries(name):
            raise SpecError(
                f"{model} is not in the catalog: a local model is looked at as it is. Try: tuneport plan DATA --model {model}"
            )
        names = [name for e in catalog.entries() for name in (e.ref, *(f"{e.backend}:{alias}" for alias in e.aliases))]
        raise SpecError(
            f"no model is named {model!r} in the catalog: {suggest(model, names)}" if ":" in model else _bare(model)
        )
    if as_json:
        print_json({**_head(), "models": [_data(entry)]})
    else:
        _print_one(entry)
    return 0


def _bare(model: str) -> str:
    return f"no model is named {model!r}, or several backends have it: write '<backend>:{model}'. All: tuneport models"


def _head() -> dict[str, Any]:
    path = catalog.user_file()
    return {"as_of": today().isoformat(), "user_catalog": str(path) if path else None}


def _data(entry: Entry) -> dict[str, Any]:
    notices = [notice._asdict() for notice in catalog.lifecycle(entry, today())]
    return {"ref": entry.ref, **entry.model_dump(mode="json"), "notices": notices}


def _print_support(names: list[str]) -> None:
    shown = table("backend", "what", "", "supported", "reason", "until")
    for name in names:
        for row in support.rows(name):
            mark = "[green]yes[/]" if row.supported else "[yellow]no[/]"
            shown.add_row(row.backend, row.what, row.kind, mark, escape(row.reason), escape(row.until))
    console.print(shown)


def _print_table(entries: list[Entry]) -> None:
    available = set(registry.available())
    for name in dict.fromkeys(entry.backend for entry in entries):
        rest = "" if name in available else ": no backend of this version yet: validate, convert and plan for it"
        shown = table(
            "model", "tunes", "rows", "training\n$ per 1M", "kept\n$ a month", "no jobs\nfrom", "no answers\nfrom"
        )
        console.print(f"[bold]{name}[/][dim]{rest}[/]")
        for entry in (entry for entry in entries if entry.backend == name):
            shown.add_row(
                escape(entry.id),
                ", ".join(entry.objectives).replace(", rein", ",\nrein"),
                _rows(entry),
                _training(entry.price),
                _kept(entry),
                _until(entry, "no-new-jobs", "stops-answering"),
                _until(entry, "stops-answering"),
            )
        console.print(shown)
        console.print()
    console.print(f"As of {today()}" + (f", set by {VARIABLE}" if is_set() else "") + ".", end=" ")
    console.print(f"[red]Red[/]: over; [yellow]yellow[/]: within {catalog.SOON_DAYS} days.")
    console.print(
        "≥: the earliest day; ?: not confirmed; *: earlier for some; kept: deployed for a month, asked or not."
    )
    console.print("Everything with its source: tuneport models MODEL. Declared yes and no: tuneport models --support.")
    path = catalog.user_file()
    if path is not None:
        console.print(f"With your own catalog over it: {escape(str(path))}", soft_wrap=True)


def _rows(entry: Entry) -> str:
    limits = entry.limits
    low, high = limits.min_rows, limits.max_rows
    doubt = "?" if any(a is not None and a.source.sure == "unconfirmed" for a in (low, high)) else ""
    if low is None and high is None:
        return ""
    return f"{_short(low)}–{_short(high) or '…'}{doubt}"


def _short(amount: Amount | None) -> str:
    if amount is None:
        return ""
    value = int(amount.value)
    return f"{value // 1_000_000}M" if value >= 1_000_000 else f"{value // 1000}k" if value >= 10_000 else str(value)


def _training(price: Price) -> str:
    if price.training is not None:
        return _money(price.training, price)
    if price.training_per_hour is not None:
        return _money(price.training_per_hour, price) + "/h"
    return _UNKNOWN


def _kept(entry: Entry) -> str:
    hosting, storage = entry.price.hosting_per_hour, entry.price.storage_per_month
    if hosting is None:
        return _UNKNOWN if entry.deploys or storage is None else _money(storage, entry.price)
    monthly = hosting.value * HOURS_A_MONTH + (storage.value if storage else 0)
    return f"{monthly:,.0f}{'?' if hosting.source.sure == 'unconfirmed' else ''}"


def _money(amount: Amount, price: Price) -> str:
    unit = "" if price.currency == "USD" else f" {price.currency}"
    return f"{amount.value:,.2f}{unit}{'?' if amount.source.sure == 'unconfirmed' else ''}"


def _until(entry: Entry, *whats: str) -> str:
    """The first day without: of jobs also that on which the model goes."""
    ends = [end for end in entry.lifecycle.values() if end.what in whats]
    for_all = [end for end in ends if end.affects is None]
    if not for_all:
        return "*" if ends else ""
    end = min(for_all, key=lambda end: end.date)
    star = "*" if any(other.affects and other.date < end.date for other in ends) else ""
    doubt = "?" if end.source.sure == "unconfirmed" else ""
    return f"[{_shade(end.date)}]{'' if end.firm else '≥'}{end.date}{doubt}[/]{star}"


def _shade(day: date) -> str:
    left = (day - today()).days
    return "red" if left <= 0 else "yellow" if left <= catalog.SOON_DAYS else "default"


def _print_one(entry: Entry) -> None:
    console.print(
        f"[bold]{escape(entry.ref)}[/]  {escape(entry.name)}" + (f": {escape(entry.note)}" if entry.note else "")
    )
    facts = table("what", "value", "source")
    facts.show_header = False
    for name, objective in entry.objectives.items():
        rules = f", checked as {', '.join(objective.rules)}" if objective.rules else ""
        facts.add_row(
            f"tunes {name}", f"rows in {objective.dialect}{rules}" + _note(objective.note), str(objective.source)
        )
        for limit, amount in entry.amounts_for(name).items():
            facts.add_row("", f"{limit.replace('_', ' ')}: {amount.value:,.0f}", str(amount.source))
        for knob_name, knob in entry.knobs_for(name).items():
            default = "" if knob.default is None else f" (default {knob.default})"
            ours = knob_name.rpartition(".")[2]
            facts.add_row("", f"{ours}: {knob.range}{default}, sent as {knob.name}", str(knob.source))
    for name, knob in entry.options.items():
        facts.add_row("option", f"{name}: {knob.range}", str(knob.source))
    facts.add_row("method", ", ".join(entry.methods) or "the provider does not say", str(entry.source))
    if entry.regions:
        facts.add_row("regions", ", ".join(entry.regions), str(entry.source))
    for name in (
        "training",
        "training_per_hour",
        "training_cap",
        "input",
        "output",
        "hosting_per_hour",
        "storage_per_month",
    ):
        amount = getattr(entry.price, name)
        value = _UNKNOWN if amount is None else f"{amount.value:,.2f} {entry.price.currency}{_UNITS.get(name, '')}"
        if amount is not None or name in {"training", "input", "output", "hosting_per_hour"}:
            facts.add_row(f"price, {name.replace('_', ' ')}", value, str(amount.source) if amount else "")
    console.print(facts)
    for notice in catalog.lifecycle(entry, today()):
        console.print(f"[{_SHADES[notice.severity]}]{notice.severity}[/]", end=" ")
        console.print(f"{notice.message} Instead: {notice.fix}", markup=False, soft_wrap=True)


_UNITS = {"training": " per 1M tokens", "input": " per 1M tokens", "output": " per 1M tokens"}


def _note(text: str | None) -> str:
    return f" ({text})" if text else ""
