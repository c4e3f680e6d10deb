"""What the three pages share: templates that escape everything, and in which a misspelt name is an error."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template


def template(
    name: str, filters: Mapping[str, Any] | None = None, *, finalize: Callable[[Any], Any] | None = None
) -> Template:
    """One of `templates/`, to be rendered."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=finalize,
    )
    environment.filters.update(filters or {})
    return environment.get_template(name)
