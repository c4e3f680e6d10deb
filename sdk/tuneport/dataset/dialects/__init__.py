"""The dialects that rows are written in: recognised by detection, written by name.

A new dialect is one module with its tuple `DIALECTS`, one line here, and its shape in `detect`.
"""

from __future__ import annotations

from tuneport.dataset.dialects import bedrock, openai, plain, trl, vertex
from tuneport.dataset.dialects.base import Dialect, Loss, value_at
from tuneport.dataset.dialects.detect import detect
from tuneport.dataset.rows import Kind
from tuneport.errors import SpecError
from tuneport.strict import suggest

__all__ = ["DIALECTS", "KIND_OF_OBJECTIVE", "Dialect", "Kind", "Loss", "detect", "get", "value_at"]

DIALECTS: dict[str, Dialect] = {
    dialect.name: dialect
    for family in (openai.DIALECTS, trl.DIALECTS, plain.DIALECTS, bedrock.DIALECTS, vertex.DIALECTS)
    for dialect in family
}
KIND_OF_OBJECTIVE: dict[str, Kind] = {
    "sft": "chat",
    "cpt": "text",
    "dpo": "preference",
    "orpo": "preference",
    "rlhf": "preference",
    "reinforcement": "reinforcement",
}


def get(name: str, kind: Kind | None = None) -> Dialect:
    """The dialect of this name. "trl" has two kinds of rows under one name: `kind` picks."""
    if name == "trl" and kind == "preference":
        name = "trl-preference"
    if name not in DIALECTS:
        raise SpecError(f"no dialect is named {name!r}: {suggest(name, DIALECTS)}")
    return DIALECTS[name]
