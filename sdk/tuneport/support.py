"""Every declared yes and no of every backend as one table: what `tuneport models` prints and docs/support.md keeps."""

from __future__ import annotations

import sys

from pydantic import BaseModel

from tuneport import registry
from tuneport.dataset import codes


class SupportRow(BaseModel):
    backend: str
    what: str
    kind: str
    supported: bool
    reason: str = ""
    until: str = ""


def rows(backend: str) -> list[SupportRow]:
    """One row for each objective, method and feature of one backend."""
    capabilities = registry.get(backend).capabilities()
    tables = [
        ("objective", capabilities.objectives),
        ("method", capabilities.methods),
        ("feature", capabilities.features),
    ]
    return [
        SupportRow(backend=backend, what=what, kind=kind, supported=support is None)
        if support is None
        else SupportRow(
            backend=backend, what=what, kind=kind, supported=False, reason=support.reason, until=support.until
        )
        for what, table in tables
        for kind, support in table.items()
    ]


def markdown() -> str:
    """The table as a page, for the docs."""
    lines = [
        "# What each backend can do",
        "",
        "Made by `python -m tuneport.support`; a test keeps it equal to what the backends declare. What a backend cannot do,",
        "it refuses before anything is spent, with the reason that stands here.",
        "",
        "| backend | | kind | supported | reason | what would end it |",
        "|---|---|---|---|---|---|",
    ]
    for name in sorted(registry.available()):
        lines += [
            f"| {row.backend} | {row.what} | {row.kind} | {'yes' if row.supported else 'no'} | {row.reason} | {row.until} |"
            for row in rows(name)
        ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(codes.markdown() if sys.argv[1:] == ["checks"] else markdown(), end="")  # noqa: T201
