"""`demo`: the whole main job on the embedded default, offline."""

from __future__ import annotations

from pathlib import Path

import click

from tuneport import registry
from tuneport.backend import Demonstrates
from tuneport.cli.output import Follower, console, json_option, print_json, print_result, quiet_option
from tuneport.cli.run import write_job_report
from tuneport.dataset import Dataset
from tuneport.dataset.issues import errors
from tuneport.errors import UnsupportedError
from tuneport.job import FineTuneJob


@click.command(epilog="Example: tuneport demo --report demo.html")
@click.option("--seed", type=click.IntRange(min=0), default=42, show_default=True)
@click.option(
    "--report",
    type=click.Path(dir_okay=False),
    default=None,
    help="Where the report goes.  [default: the job's folder]",
)
@quiet_option
@json_option
def demo(seed: int, report: str | None, quiet: bool, as_json: bool) -> int:
    """Check a dataset, tune the starter model with LoRA, compare it with its base, write the report. No network."""
    backend = registry.get("local")
    if not isinstance(backend, Demonstrates):
        raise UnsupportedError("the local backend brings no demo", feature="demo")
    shown = backend.demo()
    silent = quiet or as_json

    def say(text: str) -> None:
        if not silent:
            console.print(text, soft_wrap=True)

    data = Dataset(shown.dataset)
    say(f"[bold]1. The dataset[/]  {shown.about}")
    say(
        f"   {len(data)} rows, {len(errors(data.issues))} errors, and {len(Dataset(shown.test))} held-out rows of their own"
    )
    say(f"[bold]2. Tuning[/]  {shown.model} with {shown.method.kind}, on this machine")
    job = FineTuneJob.create(
        shown.model,
        data,
        method=shown.method,
        hyperparameters=shown.hyperparameters,
        validation=0.1,
        test=shown.test,
        seed=seed,
    )
    try:
        with Follower(quiet=silent) as follower:
            result = job.wait(on_event=follower)
    except KeyboardInterrupt:
        click.echo(f"\nDetached; {job.id} goes on. Follow it: tuneport events {job.id} --follow", err=True)
        return 130
    path = write_job_report(job, Path(report) if report else job.directory / "report.html")
    if as_json:
        print_json(result)
        return 0
    say("[bold]3. Is it better?[/]")
    print_result(result)
    say("[bold]4. The report[/]")
    console.print(f"   {path}", markup=False, soft_wrap=True)
    say("Your own data next: tuneport run mydata.jsonl --model local:starter --method lora --test 0.1")
    return 0
