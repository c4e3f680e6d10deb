# ruff: noqa: E501 - a table reads better in one line a row
"""Training rows among the held-out ones, and splits that measure nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.corpus import dialects as d
from tests.corpus.clean import STARTER, base
from tests.corpus.plant import Planted, plants
from tests.corpus.words import Row


def _held() -> list[Row]:
    return base("support", seed="held out")


def _leak(
    name: str,
    code: str,
    change: Callable[[Row], Row],
    *,
    split: str = "test",
    row: int = 30,
    trained: int = 12,
    also: tuple[str, ...] = (),
) -> None:
    """Row `trained` of the training file, changed, as row `row` of the held-out file."""

    @plants(name, code, also=also)
    def _plant(folder: Path) -> Planted:
        rows, held = base("support"), _held()
        held[row - 1] = change(base("support")[trained - 1])
        data = d.save(folder, d.jsonl(rows))
        return Planted(data, row, other=trained, options={split: d.save(folder, d.jsonl(held), f"{split}.jsonl")})


def _said(index: int, change: Callable[[str], str]) -> Callable[[Row], Row]:
    def edited(row: Row) -> Row:
        turn = row["messages"][index]
        turn["content"] = change(turn["content"])
        return row

    return edited


_leak("leak-into-test", "split.leak", lambda row: row)
_leak("leak-into-validation", "split.leak", lambda row: row, split="validation", row=101, trained=77)
_leak("leak-by-case", "split.leak", _said(1, str.upper), row=44)
_leak("leak-by-spaces", "split.leak", _said(1, lambda old: "  " + old.replace(" ", "  ") + "\n"), row=45)
_leak("leak-of-question", "split.near-leak", _said(2, lambda old: "We looked into it this morning and the driver has it with him."), row=46,
      also=("split.leak", "quality.contradiction"))  # fmt: skip
_leak("near-leak", "split.near-leak", _said(1, lambda old: old + " Thank you!"), row=47)
_leak(
    "near-leak-by-name",
    "split.near-leak",
    _said(2, lambda old: old.replace(".", ", dear customer.", 1)),
    row=48,
    also=("split.leak",),
)


@plants("group-in-two-splits", "split.group-leak", group_key="customer")
def _group(folder: Path) -> Planted:
    rows = [row | {"customer": f"c{number // 3:03}"} for number, row in enumerate(base("support"))]
    held = [row | {"customer": f"h{number // 3:03}"} for number, row in enumerate(_held())]
    held[50]["customer"] = "c017"
    test = d.save(folder, d.jsonl(held), "test.jsonl")
    return Planted(d.save(folder, d.jsonl(rows)), 51, says=("c017",), options={"test": test})


@plants("nothing-left-to-train", "split.no-training", also=["file.few-rows"], plan=STARTER, validation=0.4, test=0.4)
def _nothing(folder: Path) -> Planted:
    """Two rows, and both are held out."""
    return Planted(d.save(folder, d.jsonl(base("classification")[:2])))


@plants("eight-test-rows", "split.small-test")
def _small(folder: Path) -> Planted:
    test = d.save(folder, d.jsonl(_held()[:8]), "test.jsonl")
    return Planted(d.save(folder, d.jsonl(base("support"))), says=(r"\b8\b",), options={"test": test})
