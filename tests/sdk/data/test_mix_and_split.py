"""Splits that keep groups together and stay when rows are added; general data mixed in, and what the plan says of both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tuneport import Dataset, Mix, plan
from tuneport.dataset.mix import mix
from tuneport.dataset.split import split


def row(question: str, answer: str = "Yes.", **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}], **more}


def grouped(count: int) -> Dataset:
    return Dataset([row(f"Question {n}?", customer={"id": n % 20}) for n in range(count)], group_by="customer.id")


def test_no_group_stands_in_two_splits() -> None:
    parts = split(grouped(200).rows, validation=0.2, test=0.2, seed=7)
    groups = {name: {r["group"] for r in rows} for name, rows in parts.items()}
    assert all(groups.values())
    assert not groups["train"] & groups["test"]
    assert not groups["train"] & groups["validation"]
    assert not groups["validation"] & groups["test"]


def test_a_group_stays_where_it_is_when_rows_are_added_and_moves_with_the_seed() -> None:
    def where(count: int, seed: int) -> dict[str, str]:
        parts = split(grouped(count).rows, validation=None, test=0.3, seed=seed)
        return {r["group"]: name for name, rows in parts.items() for r in rows}

    assert where(100, 7) == where(400, 7)
    assert where(100, 7) != where(100, 8)


def rows_of(*questions: str) -> list[dict[str, Any]]:
    return Dataset([row(q) for q in questions]).rows


def test_a_fraction_of_general_rows_is_mixed_in_and_marked() -> None:
    train, general = rows_of(*(f"T{n}?" for n in range(90))), rows_of(*(f"G{n}?" for n in range(50)))
    mixed, said = mix(train, general, source="general.jsonl", fraction=0.1, seed=1)
    added = [r for r in mixed if r.get("source") == "general.jsonl"]
    assert (len(mixed), len(added)) == (100, 10)
    assert said == []
    assert mix(train, general, source="general.jsonl", fraction=0.1, seed=1) == (mixed, said)
    other, _ = mix(train, general, source="general.jsonl", fraction=0.1, seed=2)
    assert other != mixed


def test_a_general_row_that_is_held_out_is_never_mixed_in() -> None:
    train, general = rows_of(*(f"T{n}?" for n in range(30))), rows_of("G1?", "g1? ", "G2?", "T3?")
    mixed, said = mix(train, general, source="g", fraction=0.5, seed=1, held_out=rows_of("G2?"))
    assert [r["messages"][0]["content"] for r in mixed[30:]] == ["G1?"]
    assert {issue.code for issue in said} == {"mix.repeated", "mix.few-rows"}


def write(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


def test_the_plan_counts_mixed_rows_and_keeps_groups(tmp_path: Path) -> None:
    data = write(tmp_path / "d.jsonl", [row(f"Is {n} here?", f"No, {n} is not.", customer=n % 9) for n in range(120)])
    general = write(tmp_path / "g.jsonl", [row(f"General {n}?", f"Of course, {n}.") for n in range(80)])
    made = plan("local:starter", data, mix=Mix(str(general), fraction=0.2), test=0.2, group_by="customer")
    assert made.ok, made.issues
    assert made.mixed == round((made.splits["train"] - made.mixed) * 0.25)
    assert made.splits["train"] + made.splits["test"] == 120 + made.mixed


def test_a_fraction_that_is_none_is_refused() -> None:
    from tuneport.errors import SpecError

    with pytest.raises(SpecError, match="fraction"):
        Mix("g.jsonl", fraction=1.0)
