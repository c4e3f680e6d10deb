"""Advice that follows what the data shows, with its numbers, and a baseline that is really asked."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from tuneport import advise
from tuneport.errors import DatasetError

rng = random.Random(5)
NAMES = [f"{a}{b}" for a in ("Ka", "Lo", "Mi", "Ter", "Sa", "Du") for b in ("nor", "lin", "vak", "bet", "rus", "mo")]


def row(question: str, answer: str, system: str | None = None) -> dict[str, Any]:
    before = [{"role": "system", "content": system}] if system else []
    return {"messages": [*before, {"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


def extraction(count: int, system: str | None = None) -> list[dict[str, Any]]:
    made = []
    for n in range(count):
        name, number = rng.choice(NAMES), rng.randint(1, 99)
        made.append(row(f"{name} wants {number} lamps, note {n}.", json.dumps({"name": name, "count": number}), system))
    return made


def facts(count: int) -> list[dict[str, Any]]:
    made = []
    for n in range(count):
        answer = f"{rng.choice(NAMES)}{n} founded {rng.choice(NAMES)}ville{n * 7} in {1800 + n % 220} and sold it for ${n}00."
        made.append(row(f"Tell me about town number {n}", answer))
    return made


def test_a_regular_form_with_enough_rows_is_a_fine_tune() -> None:
    advice = advise(extraction(300))
    assert advice.recommendation == "fine-tune"
    assert {s.name: s.value for s in advice.signals}["format"] == 1.0
    assert advice.next.startswith("tuneport plan")


def test_few_rows_are_examples() -> None:
    assert advise(extraction(20)).recommendation == "few-shot"


def test_facts_that_stand_nowhere_else_are_looked_up() -> None:
    advice = advise(facts(400))
    assert advice.recommendation == "retrieval"
    dated = next(s for s in advice.signals if s.name == "what changes")
    assert dated.value == pytest.approx(1.0)


def test_a_long_prompt_that_every_row_repeats_speaks_for_a_fine_tune_with_its_tokens() -> None:
    system = "You take orders and answer as JSON with a name and a count. " * 30
    without, with_it = advise(extraction(300)), advise(extraction(300, system))
    assert with_it.points["fine-tune"] > without.points["fine-tune"]
    signal = next(s for s in with_it.signals if s.name == "repeated prompt")
    assert signal.value == pytest.approx(len(system) / 4, rel=0.05)


@pytest.mark.slow
def test_a_model_is_asked_on_held_out_rows_zero_shot_and_with_examples() -> None:
    calls: list[tuple[int, int]] = []
    advice = advise(extraction(120), model="local:starter", rows=6, progress=lambda done, of: calls.append((done, of)))
    assert [(b.name, b.rows, b.metric) for b in advice.baselines] == [
        ("zero-shot", 6, "equal JSON"),
        ("few-shot", 6, "equal JSON"),
    ]
    assert calls[-1] == (12, 12)
    assert all(0 <= b.share.low <= b.share.estimate <= b.share.high <= 1 for b in advice.baselines)
    assert any(s.name == "baseline" for s in advice.signals)


def test_data_without_answers_is_one_clear_error() -> None:
    with pytest.raises(DatasetError, match="no row has a question and an answer"):
        advise([{"text": "Only text here, for continued pre-training."}] * 60)
