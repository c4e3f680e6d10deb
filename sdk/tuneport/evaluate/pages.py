"""What the three pages share: templates that escape everything, and files that appear whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined


def environment(filters: dict[str, Any] | None = None, *, finalize: Callable[[Any], Any] | None = None) -> Environment:
    """The templates' environment. A name that a template misspells is an error, not an empty place."""
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=finalize,
    )
    made.filters.update(filters or {})
    return made
