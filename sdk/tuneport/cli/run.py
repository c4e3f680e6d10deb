"""`plan` and `run`: from a dataset and a model to a job, followed to its end."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import click
import yaml
from rich.markup import escape

from tuneport import preflight
from tuneport.cli.output import (
    Follower,
    console,
    job_data,
    json_option,
    print_json,
    print_result,
    quiet_option,
    table,
)
from tuneport.errors import SpecError
from tuneport.estimates import Money
from tuneport.job import FineTuneJob
from tuneport.methods import METHODS
from tuneport.objectives import OBJECTIVES
from tuneport.preflight import Plan
from tuneport.spec import FineTuneSpec

F = TypeVar("F", bound=Callable[..., Any])
_SHOWN = 40  # issues on the screen

_OPTIONS: list[tuple[str, str, Any, str]] = [  # flag, path in the spec, type, help
    ("--objective", "objective.kind", click.Choice(list(OBJECTIVES)), "What to learn from.  [default: sft]"),
    ("--method", "method.kind", click.Choice(list(METHODS)), "Which parameters learn.  [default: lora locally]"),
    ("--epochs", "hyperparameters.epochs", float, "Passes over the training rows."),
    ("--learning-rate", "hyperparameters.learning_rate", str, "Peak learning rate, as in 2e-4."),
    ("--batch-size", "hyperparameters.batch_size", int, "Rows in one optimiser step."),
    ("--rank", "method.rank", int, "Rank of a LoRA update."),
    ("--alpha", "method.alpha", float, "Scale of a LoRA update.  [default: twice the rank]"),
    ("--seed", "seed", int, "Seed of the split, the order and the weights.  [default: 42]"),
    ("--validation", "validation", str, "A fraction of the rows, or a file."),
    ("--test", "test", str, "A fraction of the rows, or a file: never trained on."),
    ("--mix", "mix", str, "General data to mix in: FILE or FILE:FRACTION."),
    ("--split-by", "group_by", str, "A key of the rows, as in metadata.customer: no group stands in two splits."),
    (
        "--privacy",
        "privacy",
        click.Choice(["block", "redact", "allow"]),
        "Personal data and secrets.  [default: block]",
    ),
    ("--webhook", "webhook", str, "A URL, or env:NAME of the variable that holds it: told when the job has ended."),
    ("--budget", "budget_usd", float, "Refuse above this many US dollars."),
    ("--name", "name", str, "A name for the job, unique."),
]


def spec_options(command: F) -> F:
    """The options that `run` and `plan` share."""
    for flag, path, kind, text in reversed(_OPTIONS):
        command = click.option(flag, path.replace(".", "__"), type=kind, default=None, help=text)(command)
    command = click.option("--set", "sets", multiple=True, metavar="PATH=VALUE", help="Any other field of the job.")(
        command
    )
    command = click.option(
        "--option", "options", multiple=True, metavar="KEY=VALUE", help="The backend's own options."
    )(command)
    for flag in ("--bucket", "--role", "--project", "--location", "--base-url"):
        text = "Short for --option " + flag[2:].replace("-", "_") + "=…"
        command = click.option(flag, "options__" + flag[2:].replace("-", "_"), default=None, help=text)(command)
    command = click.option("--model", default=None, help="<backend>:<model>, as in local:starter.")(command)
    return click.argument("data", metavar="DATA")(command)


def gather(
    data: str, model: str | None, sets: tuple[str, ...], options: tuple[str, ...], given: Mapping[str, Any]
) -> dict[str, Any]:
    """The spec's fields from a job.yaml or from the command line; the command line wins."""
    fields: dict[str, Any] = {}
    if data.endswith((".yaml", ".yml")):
        fields = _job_file(Path(data))
    else:
        fields["dataset"] = data
    if model is not None:
        fields["model"] = model
    for key, value in given.items():
        if value is not None:
            _put(fields, key.split("__"), _held_out(value) if key in {"validation", "test"} else value)
    if isinstance(fields.get("mix"), str):
        source, _, fraction = fields["mix"].rpartition(":")
        fields["mix"] = {"source": source, "fraction": fraction} if source else {"source": fraction}
    for text in sets:
        path, value = pair(text, "--set")
        _put(fields, path.split("."), _value(value))
    for text in options:
        key, value = pair(text, "--option")
        _put(fields, ["options", key], _value(value))
    if "method" in fields and "kind" not in fields["method"]:
        fields["method"]["kind"] = "lora"
    for name in ("model", "dataset"):
        if not fields.get(name):
            raise SpecError(
                f"no {name} is given: " + ("--model local:starter, say." if name == "model" else "name it.")
            )
    return fields


def _job_file(path: Path) -> dict[str, Any]:
    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError(f"{path}: {error.strerror or error}.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SpecError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(loaded, dict):
        raise SpecError(f"{path} holds {type(loaded).__name__}: a job file is a mapping of the fields of a job.")
    return cast("dict[str, Any]", loaded)


def _held_out(value: Any) -> Any:
    try:
        return float(value)
    except (TypeError, ValueError):
        return value


def pair(text: str, flag: str) -> tuple[str, str]:
    """`key=value`, split."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise SpecError(f"{flag} {text!r}: write it as path=value, as in {flag} hyperparameters.warmup_ratio=0.1")
    return key, value


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _put(fields: dict[str, Any], path: list[str], value: Any) -> None:
    for part in path[:-1]:
        inner = fields.setdefault(part, {})
        if not isinstance(inner, dict):
            raise SpecError(f"{'.'.join(path)}: {part} is {inner!r} already, not a group of fields.")
        fields = cast("dict[str, Any]", inner)
    fields[path[-1]] = value


def _spec(fields: dict[str, Any]) -> FineTuneSpec:
    return FineTuneSpec.parse({**fields, "dataset": str(fields["dataset"])})


@click.command(epilog="Example: tuneport run tickets.jsonl --model local:starter --method lora --test 0.1")
@spec_options
@click.option("--detach", is_flag=True, help="Start the job and return at once.")
@click.option("--timeout", type=float, default=None, help="Seconds to wait; the job goes on after (exit status 3).")
@click.option("--report", type=click.Path(dir_okay=False), default=None, help="Write the HTML report here.")
@quiet_option
@json_option
def run(
    data: str,
    model: str | None,
    sets: tuple[str, ...],
    options: tuple[str, ...],
    detach: bool,
    timeout: float | None,
    report: str | None,
    quiet: bool,
    as_json: bool,
    **given: Any,
) -> int:
    """Tune a model on DATA (or on what a job.yaml says), and follow the job to its end. Ctrl-C detaches."""
    fields = gather(data, model, sets, options, given)
    spec = _spec(fields)
    job = FineTuneJob.submit(spec, fields["dataset"], fields.get("validation"), fields.get("test"))
    if detach:
        if as_json:
            print_json(job_data(job))
        else:
            console.print(f"{job.id} is {job.status.value}. Follow it: tuneport events {job.id} --follow")
        return 0
    return follow(job, quiet=quiet or as_json, as_json=as_json, timeout=timeout, report=report)


def follow(
    job: FineTuneJob, *, quiet: bool, as_json: bool, timeout: float | None = None, report: str | None = None
) -> int:
    """Show a job until it ends, then its result. Ctrl-C detaches with status 130."""
    if not quiet:
        console.print(f"{job.id}  {job.model}")
    try:
        with Follower(quiet=quiet) as follower:
            result = job.wait(timeout=timeout, on_event=follower)
    except KeyboardInterrupt:
        click.echo(f"\nDetached; {job.id} goes on. Follow it: tuneport events {job.id} --follow", err=True)
        return 130
    if report is not None:
        write_job_report(job, Path(report))
    if as_json:
        print_json(result)
    else:
        print_result(result, brief=quiet)
        if report is not None:
            console.print(f"report: {report}", markup=False, soft_wrap=True)
        if not quiet:
            console.print(f"Try it: tuneport chat {job.id} --message '…'", style="dim", soft_wrap=True)
    return 0


def write_job_report(job: FineTuneJob, path: Path) -> Path:
    """The HTML report of a job that succeeded."""
    from tuneport.evaluate.report import write_report
    from tuneport.evaluate.rows import read_scores

    base, tuned = (
        read_scores(job.directory / name, rows=job.directory / "test.jsonl")
        for name in ("base_scores.jsonl", "tuned_scores.jsonl")
    )
    return write_report(job.result(), path, base_rows=base, tuned_rows=tuned)


@click.command(epilog="Example: tuneport plan tickets.jsonl --model local:starter --epochs 3")
@spec_options
@json_option
def plan(
    data: str,
    model: str | None,
    sets: tuple[str, ...],
    options: tuple[str, ...],
    as_json: bool,
    **given: Any,
) -> int:
    """Show what `run` would do, and every problem. Spends and writes nothing."""
    fields = gather(data, model, sets, options, given)
    made = preflight.prepare(_spec(fields), fields["dataset"], fields.get("validation"), fields.get("test")).plan
    if as_json:
        print_json(made)
    else:
        print_plan(made)
    return 0 if made.ok else 1


def print_plan(made: Plan) -> None:
    splits = ", ".join(f"{count} {name}" for name, count in made.splits.items())
    console.print(f"{made.model} on {made.dataset} ({made.dialect} rows: {splits or 'none'})", markup=False)
    if made.ledger is not None:
        gone, tokens = made.ledger, made.tokens
        counted = (
            f"; {tokens['total']:,} tokens ({tokens['counted']}), {tokens['trainable']:,} trained" if tokens else ""
        )
        console.print(
            f"rows: {gone.rows:,}: {gone.used:,} used, {gone.truncated:,} truncated, {gone.dropped:,} dropped{counted}",
            soft_wrap=True,
        )
    if made.mixed:
        console.print(f"mixed in: {made.mixed:,} general rows")
    if made.steps is not None:
        console.print(f"{made.steps} optimiser steps")
    for name, words in (("memory", made.memory), ("time", made.time)):
        if words:
            console.print(f"{name}: {words}", markup=False, soft_wrap=True)
    if made.money is not None:
        _print_money(made.money)
    if made.hyperparameters:
        shown = table("hyperparameter", "requested", "effective", "why")
        for note in made.hyperparameters:
            requested = "" if note.requested is None else str(note.requested)
            effective = "–" if note.effective is None else str(note.effective)
            shown.add_row(note.name, escape(requested), escape(effective), escape(note.reason))
        console.print(shown)
    for issue in made.issues[:_SHOWN]:
        colour = {"error": "red", "warning": "yellow"}.get(issue.severity, "dim")
        console.print(f"[{colour}]{issue.severity}[/]", end=" ")
        console.print(str(issue), markup=False, soft_wrap=True)
    told = {str(issue) for issue in made.issues}
    for line in made.warnings:
        if line not in told:
            console.print("[yellow]warning[/]", end=" ")
            console.print(line, markup=False, soft_wrap=True)
    if len(made.issues) > _SHOWN:
        console.print(f"… and {len(made.issues) - _SHOWN} more: tuneport validate {made.dataset} --all", soft_wrap=True)


def _print_money(bill: Money) -> None:
    cost = bill.training
    if cost.estimated is None:
        console.print("money: training costs are unknown", markup=False)
    else:
        span = (
            f" ({bill.training_low:.2f} to {bill.training_high:.2f})"
            if bill.training_low is not None
            and bill.training_high is not None
            and bill.training_low < bill.training_high
            else ""
        )
        source = f"; {cost.price_source}, {cost.price_date}" if cost.price_source else ""
        console.print(
            f"money: {cost.estimated:.2f} {cost.currency} to train{span}{source}", markup=False, soft_wrap=True
        )
    keeping, asking = bill.keeping_per_month, bill.asking_per_thousand
    if keeping.estimated is not None:
        console.print(
            f"  {keeping.estimated:,.2f} {keeping.currency} a month to keep the tuned model deployed", markup=False
        )
    if asking.estimated is not None:
        console.print(f"  {asking.estimated:,.2f} {asking.currency} for 1,000 calls", markup=False)
    for note in bill.notes:
        console.print(f"  {note}", markup=False, soft_wrap=True)
