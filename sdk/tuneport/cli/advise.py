"""`advise`: should this be a fine-tune at all."""

from __future__ import annotations

import click
from rich.progress import Progress

from tuneport.advice import advise as make_advice
from tuneport.cli.output import console, json_option, print_json, table


@click.command(epilog="Example: tuneport advise tickets.jsonl --model local:starter")
@click.argument("data", metavar="DATA")
@click.option(
    "--model", default=None, help="Measure this model, untuned, on held-out rows: zero-shot and with examples."
)
@click.option("--rows", type=click.IntRange(min=5), default=40, show_default=True, help="Held-out rows to ask about.")
@click.option("--seed", type=click.IntRange(min=0), default=42, show_default=True)
@json_option
def advise(data: str, model: str | None, rows: int, seed: int, as_json: bool) -> int:
    """Fine-tune, prompt, few-shot or retrieval: with the reasons, and their numbers."""
    with Progress(console=console, transient=True, disable=as_json or not console.is_terminal) as bar:
        task = bar.add_task(f"asking {model}", total=None, visible=model is not None)
        advice = make_advice(
            data, model, rows=rows, seed=seed, progress=lambda done, of: bar.update(task, completed=done, total=of)
        )
    if as_json:
        print_json(advice)
        return 0
    close = f", or {' or '.join(advice.close)}: within a point" if advice.close else ""
    console.print(f"[bold]{advice.recommendation}[/]{close}", soft_wrap=True)
    points = ", ".join(f"{way} {value:+g}" for way, value in advice.points.items())
    console.print(f"points: {points}", style="dim", soft_wrap=True)
    shown = table("signal", "points", "why")
    for signal in advice.signals:
        given = ", ".join(f"{way} {value:+g}" for way, value in signal.points.items()) or "none"
        shown.add_row(signal.name, given, signal.why)
    console.print(shown)
    for baseline in advice.baselines:
        share = baseline.share
        console.print(
            f"{baseline.name}: {baseline.right} of {baseline.rows} right ({baseline.metric}; "
            f"95% interval {share.low:.0%} to {share.high:.0%})"
        )
    console.print(f"next: {advice.next}", markup=False, soft_wrap=True)
    return 0
