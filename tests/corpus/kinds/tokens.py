"""Rows that are longer than what is trained on, and rows that cost as much as many."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.corpus import dialects as d
from tests.corpus import talk
from tests.corpus.clean import GEMINI_25, OPENAI, STARTER, base
from tests.corpus.plant import Planted, plants
from tests.corpus.words import Words

_OUTLIER = ("tokens.outlier", "quality.long-answer")


def _long(sentences: int) -> str:
    w = Words(f"long {sentences}", talk.ENGLISH)
    return talk.story(w, "voyage", sentences, talk.scene(w, "voyage"))


def _longer(
    name: str,
    code: str,
    of: str,
    row: int,
    turn: int,
    sentences: int,
    *says: str,
    also: tuple[str, ...] = _OUTLIER,
    **options: Any,
) -> None:
    @plants(name, code, also=also, **options)
    def _plant(folder: Path) -> Planted:
        rows = base(of)
        rows[row - 1]["messages"][turn]["content"] = _long(sentences)
        return Planted(d.save(folder, d.jsonl(rows)), row, says=says)


_CUT = (*_OUTLIER, "tokens.too-long")
_longer("answer-cut", "tokens.answer-cut", "support", 63, 2, 120, r"1.?000", also=_CUT, max_length=1000)
_longer(
    "answer-behind-limit",
    "tokens.answer-cut",
    "support",
    64,
    1,
    120,
    r"1.?000",
    also=_CUT,
    max_length=1000,
    target=OPENAI,
)
_longer("answer-cut-starter", "tokens.answer-cut", "classification", 65, 1, 120, also=_CUT, target=STARTER)
_longer("row-of-a-novel-gemini", "tokens.answer-cut", "support", 66, 1, 9000, "131.?072", also=_CUT, target=GEMINI_25)
_longer("outlier", "tokens.outlier", "support", 67, 1, 900, "%|per cent|share", also=())


@plants("too-long-but-answer-whole", "tokens.too-long", also=_OUTLIER, max_length=1000)
def _question_beyond(folder: Path) -> Planted:
    """What is cut is a last answer that is not trained on."""
    rows = base("support")
    rows[61]["messages"] += [
        {"role": "user", "content": "And what does the log say?"},
        {"role": "assistant", "content": _long(120), "weight": 0},
    ]
    return Planted(d.save(folder, d.jsonl(rows)), 62, says=("1.?000",))
