"""Repeated rows, contradicting answers and leaks between splits: which are named, and what stays silent."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneport.dataset.checks import near
from tuneport.dataset.checks.base import Context, Findings
from tuneport.dataset.checks.duplicates import DuplicatesCheck
from tuneport.dataset.checks.keys import folded, keys
from tuneport.dataset.issues import Issue
from tuneport.dataset.rows import Batch, Kind, Row, Split
from tuneport.dataset.split import normalised, prompt_hash, row_hash

PARTS = "ba co den fi gra hol in ka lor mi ne os per qua ri sta tu ver".split()
WORDS = ["".join(random.Random(i).choices(PARTS, k=2 + i % 3)) for i in range(4000)]


def prose(seed: object, words: int = 60) -> str:
    rng = random.Random(str(seed))
    return " ".join(rng.choices(WORDS, k=words)).capitalize() + "."


def chat(question: str, answer: str, system: str | None = None, **rest: Any) -> dict[str, Any]:
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": ([{"role": "system", "content": system}] if system else []) + turns, **rest}


def unweighted(question: str, answer: str) -> dict[str, Any]:
    row = chat(question, answer)
    row["messages"][1]["weight"] = 0
    return row


def unlike(count: int, name: object = "row") -> list[dict[str, Any]]:
    return [chat(prose(f"{name} q{i}", 40), prose(f"{name} a{i}", 60)) for i in range(count)]


def run(
    rows: Sequence[dict[str, Any]],
    held_out: dict[Split, Sequence[dict[str, Any]]] | None = None,
    *,
    kind: Kind = "chat",
    size: int = 1000,
    spill: Path | None = None,
) -> tuple[list[Issue], dict[str, Any]]:
    check = DuplicatesCheck(Context(spill=spill))
    findings = Findings()
    parts: list[tuple[Split, Sequence[dict[str, Any]]]] = [("train", rows), *(held_out or {}).items()]
    for split, part in parts:
        made = [Row(i, row, dialect="openai", kind=kind, canonical=row) for i, row in enumerate(part, 1)]
        for start in range(0, len(made), size):
            batch = Batch(f"{split}.jsonl", split, made[start : start + size])
            check.reduce(check.scan(batch, findings))
    stats = check.finish(findings)
    return findings.issues, stats


def named(issues: Sequence[Issue], code: str) -> list[int | None]:
    return [issue.row for issue in issues if issue.code == code]


# Equality


@given(st.text(max_size=80))
def test_folding_is_the_normalisation_of_splits(text: str) -> None:
    assert folded(text) == normalised(text).encode("utf-8", "surrogatepass")


@pytest.mark.parametrize(
    "text",
    [
        "Ａｂｃ　ｄ",
        "é\u0301",
        "a\u0301\u00a0b",
        "STRASSE ß",
        "\ufb01x",
        "\x1c a\x85b\u2028c",
        "你好，世界！",
        "K\u212a",
        "I\u0307",
        "Ⅻ ½",
    ],
)
def test_folding_of_characters_that_change(text: str) -> None:
    assert folded(text).decode() == normalised(text)
    assert folded(text * 40).decode() == normalised(text * 40)


turns: Any = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["system", "user", "assistant", "User", "tool"])},
        optional={
            "content": st.sampled_from(["a", "A", " a ", "a b", "a  b", "", "\x00", "a\x00b", "b"])
            | st.none()
            | st.just([{"type": "text", "text": "a"}]),
            "tool_calls": st.sampled_from([[], [{"id": "1"}], None]),
        },
    ),
    min_size=1,
    max_size=4,
)


@given(turns, turns)
def test_keys_are_equal_where_the_hashes_of_rows_and_prompts_are(one: list[Any], other: list[Any]) -> None:
    rows = [{"messages": one}, {"messages": other}]
    a, b = (keys(Row(1, row, canonical=row)) for row in rows)
    assert a is not None
    assert b is not None
    assert ((a.prompt, a.answer) == (b.prompt, b.answer)) == (row_hash(rows[0]) == row_hash(rows[1]))
    assert (a.prompt == b.prompt) == (prompt_hash(rows[0]) == prompt_hash(rows[1]))


def test_a_repeated_row_is_named_with_the_row_that_it_repeats() -> None:
    rows = unlike(30)
    rows[20] = chat(*(turn["content"].upper().replace(" ", "  ") for turn in rows[4]["messages"]))
    rows[25] = rows[4]
    issues, stats = run(rows)
    assert named(issues, "quality.duplicate") == [21, 26]
    assert "repeats row 5" in issues[0].message
    assert issues[0].source == "train.jsonl"
    assert (stats["duplicates"], stats["near_duplicates"]) == (2, 0)
    assert {issue.code for issue in issues} == {"quality.duplicate"}


def test_short_rows_that_differ_in_punctuation_are_nearly_the_same() -> None:
    rows = [chat(f"{word}?", word.upper()) for word in "river lantern bridge market".split()]
    issues, _ = run([*rows, chat("river", "RIVER!")])
    assert named(issues, "quality.near-duplicate") == [5]
    assert "row 1 " in issues[0].message


def test_equal_texts_in_other_roles_or_with_other_calls_are_not_the_same_row() -> None:
    call = [{"id": "1", "type": "function", "function": {"name": "a", "arguments": "{}"}}]
    rows = [
        {"messages": [{"role": "user", "content": "hello there"}, {"role": "assistant", "content": "hello"}]},
        {"messages": [{"role": "user", "content": "hello there"}, {"role": "tool", "content": "hello"}]},
        {
            "messages": [
                {"role": "user", "content": "hello there"},
                {"role": "assistant", "content": None, "tool_calls": call},
            ]
        },
    ]
    _, stats = run(rows)
    assert stats["duplicates"] == 0


@pytest.mark.parametrize("kind", ["text", "preference", "reinforcement"])
def test_every_kind_of_row_is_compared(kind: Kind) -> None:
    def make(i: int) -> dict[str, Any]:
        user = [{"role": "user", "content": prose(f"q{i}")}]
        if kind == "text":
            return {"text": prose(i)}
        if kind == "reinforcement":
            return {"messages": user, "reference": prose(i, 5)}
        answers = [[{"role": "assistant", "content": prose(f"{name}{i}")}] for name in "ab"]
        return {"input": {"messages": user}, "preferred_output": answers[0], "non_preferred_output": answers[1]}

    rows = [make(i) for i in range(12)]
    issues, _ = run([*rows, make(3)], kind=kind)
    assert named(issues, "quality.duplicate") == [13]
    assert len(issues) == 1


def test_beyond_a_thousand_repetitions_all_are_counted() -> None:
    issues, stats = run([chat("How are you today?", "Very well.")] * 3000, size=500)
    assert stats["duplicates"] == 2999
    assert named(issues, "quality.duplicate") == list(range(2, 1002))


# Contradictions


def test_another_answer_to_the_same_prompt_is_named_once_for_each_answer() -> None:
    rows = unlike(10)
    question = rows[2]["messages"][0]["content"]
    rows += [chat(question.upper(), "Something else."), chat(question, "Something else."), chat(question, "A third.")]
    issues, stats = run(rows)
    assert named(issues, "quality.contradiction") == [11, 13]
    assert "row 3" in issues[1].message
    assert named(issues, "quality.duplicate") == [12]
    assert stats["contradictions"] == 2


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (chat("Is it open?", "Yes."), chat("Is it open?", "No.", system="You run the other shop.")),
        (chat("Is it open?", "Yes.", tools=[{"name": "a"}]), chat("Is it open?", "No.", tools=[{"name": "b"}])),
        (
            {"messages": [{"role": "user", "content": "Hi"}, *chat("Is it open?", "Yes.")["messages"]]},
            {"messages": [{"role": "user", "content": "Hey"}, *chat("Is it open?", "No.")["messages"]]},
        ),
        (chat("Is it open?", "Yes."), unweighted("Is it open?", "No.")),
        ({"messages": [{"role": "assistant", "content": "A"}]}, {"messages": [{"role": "assistant", "content": "B"}]}),
        (chat("", "A", system="Write a poem."), chat("", "B", system="Write a poem.")),
    ],
)  # fmt: skip
def test_what_is_not_the_same_question_does_not_contradict(one: dict[str, Any], other: dict[str, Any]) -> None:
    issues, _ = run([one, other])
    assert named(issues, "quality.contradiction") == []


def test_preferences_contradict_only_in_the_other_order() -> None:
    def pair(better: str, worse: str) -> dict[str, Any]:
        answers = [[{"role": "assistant", "content": text}] for text in (better, worse)]
        asked = [{"role": "user", "content": "Name a fruit."}]
        return {"input": {"messages": asked}, "preferred_output": answers[0], "non_preferred_output": answers[1]}

    issues, _ = run(
        [pair("An apple.", "A stone."), pair("A pear.", "A stone."), pair("A stone.", "An apple.")], kind="preference"
    )
    assert named(issues, "quality.contradiction") == [3]


# Near duplicates


def changed(text: str, words: int, seed: object = 0) -> str:
    rng = random.Random(str(seed))
    parts = text.split(" ")
    for place in rng.sample(range(len(parts)), words):
        parts[place] = rng.choice(WORDS)
    return " ".join(parts)


def similarity(one: dict[str, Any], other: dict[str, Any]) -> float:
    """Jaccard over runs of 8 bytes, by sets: what the signatures estimate."""
    sets: list[set[bytes]] = []
    for row in (one, other):
        text = b"\x00".join([folded(turn["content"]) for turn in row["messages"]])
        sets.append({text[i : i + near.WIDTH] for i in range(len(text) - near.WIDTH + 1)})
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


@pytest.mark.parametrize("spilled", [False, True])
def test_near_duplicates_are_found_as_their_exact_similarity_says(tmp_path: Path, spilled: bool) -> None:
    rows = [chat(prose(f"q{i}", 40), prose(i, 160)) for i in range(1500)]
    copies = [
        chat(rows[i]["messages"][0]["content"], changed(rows[i]["messages"][1]["content"], 2 * (i % 31), i))
        for i in range(600)
    ]
    exact = [similarity(rows[i], copies[i]) for i in range(600)]
    if spilled:  # 1,500 rows fit in memory; 6,000 do not
        rows += unlike(4000, "more")
    issues, stats = run(rows + copies, spill=tmp_path)
    found = set(named(issues, "quality.near-duplicate"))
    base = len(rows) + 1
    sure = [base + i for i in range(600) if exact[i] > near.THRESHOLD + 3 * near.ERROR and copies[i] != rows[i]]
    never = [base + i for i in range(600) if exact[i] < near.THRESHOLD - 3 * near.ERROR]
    assert len(sure) > 50
    assert len(never) > 50
    assert len([row for row in sure if row in found]) >= 0.95 * len(sure)
    assert not found.intersection(never)
    assert all(row is not None and row >= base for row in found), "unlike rows are left alone"
    assert stats["near_duplicates"] == len(found)


def test_a_near_duplicate_names_the_earlier_row() -> None:
    rows = unlike(40)
    question, answer = (turn["content"] for turn in rows[16]["messages"])
    rows.append(chat(question, changed(answer, 2)))
    question, answer = (turn["content"] for turn in rows[20]["messages"])
    rows.append(chat(changed(question, 2), answer))
    issues, _ = run(rows)
    near_issues = [issue for issue in issues if issue.code == "quality.near-duplicate"]
    assert [issue.row for issue in near_issues] == [41, 42]
    assert "row 17 " in near_issues[0].message
    assert near_issues[0].severity == "warning"


def test_rows_under_one_long_instruction_are_not_near_one_another() -> None:
    instruction = prose("instruction", 200)
    for count in (30, 200, 1010):  # the last leaves a batch of ten, too few to learn the instruction from
        rows = [chat(f"{instruction}\n\n{prose(i, 25)}", WORDS[i % 3]) for i in range(count)]
        issues, stats = run(rows)
        assert issues == [], count
        assert stats["compared"] + stats["mostly_template"] == count


def test_under_one_instruction_a_repeated_document_is_found() -> None:
    instruction = prose("instruction", 200)
    rows = [chat(f"{instruction}\n\n{prose(i, 40)}", WORDS[i % 3]) for i in range(200)]
    rows.append(chat(f"{instruction}\n\n{changed(prose(50, 40), 1)}", WORDS[50 % 3]))
    issues, _ = run(rows)
    assert named(issues, "quality.near-duplicate") == [201]


def test_a_system_turn_that_all_rows_share_does_not_make_them_alike() -> None:
    issues, _ = run([chat(prose(f"q{i}", 12), prose(i, 12), system=prose("s", 400)) for i in range(30)])
    assert issues == []


def test_many_copies_of_one_example_are_told_in_one_sentence() -> None:
    text = prose("original", 150)
    rows = unlike(3000)
    for i in range(0, 3000, 50):  # too few in each batch to be taken for a template
        rows[i] = chat("Tell me a story.", changed(text, 1, i))
    issues, stats = run(rows)
    told = [issue for issue in issues if issue.code == "quality.near-duplicate"]
    assert stats["near_duplicates"] == 59
    assert len(told) == 1
    assert told[0].row == 1
    assert "59 later rows" in told[0].message


def test_a_long_row_is_compared_by_its_beginning_and_it_is_said() -> None:
    rows = [*unlike(5), chat("Go on.", prose("long", 60_000)), chat("Go on.", prose("long", 60_000) + " And more.")]
    issues, stats = run(rows)
    assert named(issues, "quality.near-duplicate") == [7]
    assert stats["cut"] == 2


def test_the_result_does_not_depend_on_the_batches() -> None:
    rows = unlike(400)
    rows += [
        chat(turns[0]["content"], changed(turns[1]["content"], 3)) for turns in (row["messages"] for row in rows[::9])
    ]
    results = [[str(issue) for issue in run(rows, size=size)[0]] for size in (50, 170, 1000)]
    assert results[0] == results[1] == results[2]
    assert len(results[0]) == len(rows) - 400 + len([1 for line in results[0] if "otherwise" in line])


# Leaks


@pytest.mark.parametrize(("split", "severity"), [("test", "error"), ("validation", "warning")])
def test_held_out_rows_that_are_trained_on(split: Split, severity: str) -> None:
    rows, held = unlike(60), unlike(10, "held out")
    held[3] = chat(*(turn["content"].upper() for turn in rows[8]["messages"]))
    question, answer = (turn["content"] for turn in rows[11]["messages"])
    held[5] = chat(changed(question, 1), answer)
    held[7] = chat(rows[30]["messages"][0]["content"], prose("quite another answer"))
    issues, stats = run(rows, {split: held})
    leaks = [issue for issue in issues if issue.code == "split.leak"]
    assert [(issue.row, issue.severity, issue.source) for issue in leaks] == [(4, severity, f"{split}.jsonl")]
    assert f"this {split} row repeats training row 9 of train.jsonl" in leaks[0].message
    nearly = {issue.row: issue.message for issue in issues if issue.code == "split.near-leak"}
    assert set(nearly) == {6, 8}
    assert "training row 12 of" in nearly[6]
    assert "asks what training row 31 of train.jsonl asks" in nearly[8]
    assert (stats["leaks"], stats["near_leaks"], stats["duplicates"], stats["contradictions"]) == (1, 2, 0, 0)


def test_a_leak_is_found_whichever_split_is_read_first() -> None:
    rows, held = unlike(20), unlike(5, "held out")
    held[2] = rows[6]
    check, findings = DuplicatesCheck(Context()), Findings()
    splits: list[tuple[Split, list[dict[str, Any]]]] = [("test", held), ("train", rows)]
    for split, part in splits:
        made = [Row(i, row, kind="chat", canonical=row) for i, row in enumerate(part, 1)]
        check.reduce(check.scan(Batch(split, split, made), findings))
    check.finish(findings)
    assert [(issue.code, issue.row, issue.source) for issue in findings.issues] == [("split.leak", 3, "test")]


# Whatever comes


values: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "tool_calls", "text", "weight"]) | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["messages", "tools", "text", "input", "preferred_output", "non_preferred_output", "x"]),
            values,
            max_size=4,
        ),
        max_size=6,
    ),
    st.sampled_from(["chat", "text", "preference", "reinforcement"]),
)
def test_no_row_stops_the_check(rows: list[dict[str, Any]], kind: Kind) -> None:
    _, stats = run(rows, {"test": rows}, kind=kind)
    assert all(isinstance(value, (int, float)) for value in stats.values())


@pytest.mark.parametrize("text", ["a" * 1_000_000, " " * 1_000_000, "é" * 300_000, "\ud800", "\x00" * 5000, ""])
def test_strange_texts_are_compared_too(text: str) -> None:
    issues, _ = run([chat(text, "Fine."), chat("Other.", "Fine."), chat(text, "Fine.")])
    assert named(issues, "quality.duplicate") == [3]


def test_no_rows_are_no_problem() -> None:
    assert run([])[1]["duplicates"] == 0
    assert np.all(near.signatures(near.Texts([]), np.empty(0, np.uint32))[0] == 0)
