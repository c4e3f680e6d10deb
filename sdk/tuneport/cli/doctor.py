"""`doctor`: what this machine can do."""

from __future__ import annotations

import platform

import click
from rich.markup import escape

from tuneport import __version__, registry
from tuneport.backend import Diagnoses, Diagnosis
from tuneport.cli.output import console, json_option, print_json, table
from tuneport.errors import TuneportError


@click.command(epilog="Example: tuneport doctor --json")
@json_option
def doctor(as_json: bool) -> int:
    """What this machine can do: backends, devices, memory, versions, and what is missing. Status 1 if something is."""
    found: list[tuple[str, Diagnosis]] = [("tuneport", line) for line in _core()]
    for name in registry.available():
        try:
            backend = registry.get(name)
        except TuneportError as error:
            found.append((name, Diagnosis("backend", False, "not usable", str(error))))
            continue
        if isinstance(backend, Diagnoses):
            found.extend((name, line) for line in backend.diagnose())
    if as_json:
        print_json([{"part": part, "name": d.name, "ok": d.ok, "detail": d.detail, "fix": d.fix} for part, d in found])
    else:
        shown = table("part", "", "what", "detail")
        marks = {True: "[green]ok[/]", False: "[red]no[/]", None: "  "}
        for part, line in found:
            detail = escape(line.detail + (f"  → {line.fix}" if line.fix else ""))
            shown.add_row(part, marks[line.ok], escape(line.name), detail)
        console.print(shown)
    return 1 if any(line.ok is False for _, line in found) else 0


def _core() -> list[Diagnosis]:
    from tuneport.home import home
    from tuneport.store import Store

    lines = [Diagnosis("version", None, f"{__version__} on Python {platform.python_version()}, {platform.system()}")]
    try:
        lines.append(Diagnosis("home", True, str(home())))
        store = Store.open()
        lines.append(Diagnosis("database", True, repr(store)))
        store.close()
    except TuneportError as error:
        lines.append(Diagnosis("database", False, str(error)))
    return lines
