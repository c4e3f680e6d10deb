"""A model that judges, over a real socket: fair, taken with a place, and talking nonsense."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.evaluate.conftest import WriteRows, chat_row

from tuneport import Recorded, compare
from tuneport.result import Message
from tuneport_backends.simulators.openai import OpenAISimulator

Judge = Callable[[str], str]


@contextmanager
def judging(says: Judge) -> Iterator[OpenAISimulator]:
    def answer(model: str, messages: Sequence[Mapping[str, Any]]) -> Any:
        return says(str(messages[-1]["content"]))

    with OpenAISimulator(answer=answer) as simulator, simulator.pointed():
        yield simulator


@pytest.fixture
def contenders(tmp_path: Path) -> list[Recorded]:
    made = []
    for name, said in (("plain", "short"), ("better", "a long and careful answer")):
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps({"row": n, "answer": f"{said} {n}"}) + "\n" for n in range(1, 41)))
        made.append(Recorded(path))
    return made


@pytest.fixture
def test_rows(write_rows: WriteRows) -> Path:
    return write_rows([chat_row(f"Tell me about {n}.", f"It is {n}.") for n in range(40)])


def longer(text: str) -> str:
    first, second = (text.split(f"<{tag}>\n")[1].split(f"\n</{tag}>", maxsplit=1)[0] for tag in ("first", "second"))
    return "FIRST" if len(first) > len(second) else "SECOND"


def test_a_fair_judge_prefers_the_same_answer_in_both_orders(
    home: Path, contenders: list[Recorded], test_rows: Path
) -> None:
    with judging(longer):
        found = compare(contenders, test_rows, metrics=["length"], judge="openai:gpt-4.1-mini-2025-04-14")
    (said,) = found.judgements
    assert (said.judge, said.rows, said.other_wins, said.base_wins, said.unclear) == (
        "openai:gpt-4.1-mini-2025-04-14",
        40,
        40,
        0,
        0,
    )
    assert said.win_rate is not None
    assert said.win_rate.estimate == 1
    assert 0.85 < said.win_rate.low < 1


def test_a_judge_that_prefers_a_place_is_unclear_on_every_row(
    home: Path, contenders: list[Recorded], test_rows: Path
) -> None:
    with judging(lambda _: "FIRST"):
        found = compare(contenders, test_rows, metrics=["length"], judge="openai:gpt-4.1-mini-2025-04-14")
    (said,) = found.judgements
    assert (said.unclear, said.other_wins, said.base_wins, said.win_rate) == (40, 0, 0, None)
    assert "no winner" in said.words


@pytest.mark.parametrize("nonsense", ["", "I like turtles", "FIRST or SECOND, who knows", "first? no: tie"])
def test_nonsense_is_unclear_and_counted(
    home: Path, contenders: list[Recorded], test_rows: Path, nonsense: str
) -> None:
    with judging(lambda text: nonsense if "Tell me about 7." in text else longer(text)):
        found = compare(contenders, test_rows, metrics=["length"], judge="openai:gpt-4.1-mini-2025-04-14")
    (said,) = found.judgements
    assert (said.unclear, said.other_wins) == (1, 39)
    assert said.outcomes[8] == "unclear"


def test_equal_answers_are_a_tie_and_cost_no_call(home: Path, contenders: list[Recorded], test_rows: Path) -> None:
    with judging(longer) as simulator:
        found = compare(
            [contenders[0], contenders[0]], test_rows, metrics=["length"], judge="openai:gpt-4.1-mini-2025-04-14"
        )
        assert not [call for call in simulator.log if "chat" in str(call)]
    assert found.judgements[0].ties == 40


def test_the_judge_is_asked_once_for_each_order_and_its_word_is_kept(
    home: Path, contenders: list[Recorded], test_rows: Path
) -> None:
    with judging(longer) as simulator:
        for _ in range(2):
            compare(contenders, test_rows, metrics=["length"], judge="openai:gpt-4.1-mini-2025-04-14")
        assert sum("chat" in str(call) for call in simulator.log) == 80


def test_a_message_may_hold_calls_alone() -> None:
    assert Message(tool_calls=[{"id": "1"}]).content == ""
