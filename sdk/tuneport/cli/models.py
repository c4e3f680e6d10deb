"""`models`: what each backend can do, and what it has declared that it cannot."""

from __future__ import annotations

import click

from tuneport import registry
from tuneport.cli.output import console, json_option, print_json, table
from tuneport.support import rows


@click.command(epilog="Example: tuneport models --backend local")
@click.option("--backend", default=None, help="Only this one.")
@json_option
def models(backend: str | None, as_json: bool) -> int:
    """What can be tuned where: objectives, methods and features, with the reason for each that is missing."""
    names = [backend] if backend else sorted(registry.available())
    found = [row for name in names for row in rows(name)]
    if as_json:
        print_json([row.model_dump() for row in found])
        return 0
    shown = table("backend", "what", "", "supported", "reason", "until")
    for row in found:
        mark = "[green]yes[/]" if row.supported else "[yellow]no[/]"
        shown.add_row(row.backend, row.what, row.kind, mark, row.reason, row.until)
    console.print(shown)
    return 0
