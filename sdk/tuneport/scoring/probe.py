"""The general probe that comes with tuneport: what is asked of a base and a tuned model to see what tuning cost elsewhere.

The files and where they are from: `evaluate/probe`. Read here, below `evaluate`, as the engine measures on them, too.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

VERSION = 1  # raised with any change of an item: two measurements are comparable within one version
SOURCE = f"tuneport's general probe, version {VERSION}"


@dataclass(frozen=True)
class ProbeQuestion:
    """One of several choices, the right one at `answer`; or an instruction whose answer must fit the whole of `pattern`."""

    id: str
    task: str
    question: str
    passage: str = ""
    choices: tuple[str, ...] = ()
    answer: int = 0
    pattern: str = ""

    @property
    def asked(self) -> str:
        return f"{self.passage}\n\n{self.question}" if self.passage else self.question

    def obeyed(self, said: str) -> bool:
        """Whether `said` does what an instruction asks for, white space around it left out."""
        return re.fullmatch(self.pattern, said.strip()) is not None


@dataclass(frozen=True)
class ProbeText:
    """A text for bits per byte. `kind`: english, languages or code."""

    id: str
    kind: str
    text: str


@cache
def questions() -> tuple[ProbeQuestion, ...]:
    return tuple(
        ProbeQuestion(
            id=row["id"],
            task=row["task"],
            question=row["question"],
            passage=row.get("passage", ""),
            choices=tuple(row.get("choices", ())),
            answer=row.get("answer", 0),
            pattern=row.get("pattern", ""),
        )
        for row in _rows("questions.jsonl")
    )


@cache
def texts() -> tuple[ProbeText, ...]:
    return tuple(ProbeText(id=row["id"], kind=row["kind"], text=row["text"]) for row in _rows("texts.jsonl"))


def _rows(name: str) -> list[dict[str, Any]]:
    text = files("tuneport").joinpath("evaluate", "probe", name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]
