"""Scoring rows whose questions nearly fill the model's context, or do not fit into it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tuneport_local import models, run, score
from tuneport_local.config import RunConfig, read_rows
from tuneport_local.data import Example, load_chat_tokenizer, prepare

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
MakeJob = Callable[..., Path]
TURN = {"role": "assistant", "content": "Paris"}


def asked(question: str, *before: dict[str, Any]) -> list[dict[str, Any]]:
    return [*before, {"role": "user", "content": question}, TURN]


def rewrite(job: Path, conversations: list[list[dict[str, Any]]]) -> None:
    rows = [{"row": n, "messages": messages, "hash": str(n)} for n, messages in enumerate(conversations, 1)]
    (job / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def test_a_question_that_does_not_fit_leaves_its_row_without_exact_match_and_is_said(make_job: MakeJob) -> None:
    job = make_job(test=2)
    # Its first answer lies within max_length, so the row has a loss; its last question is longer than the context.
    rewrite(job, [asked("Hello"), asked("Hello " * 600, *asked("Hello"))])
    report = run.train(job)
    assert report.ledger["test"].truncated == 1
    rows = {metric.name: metric.rows for metric in report.test.metrics}
    assert rows == {"exact_match": 1, "loss": 2, "token_accuracy": 2}
    for name in ("base_scores.jsonl", "tuned_scores.jsonl"):
        last = score.read(job / name)[1]
        assert (last.expected, last.answer, last.exact_match) == ("Paris", None, None)
    assert [w for w in report.warnings if w.startswith("test: 1 row ")]


@pytest.mark.parametrize("long", [506, 511])
def test_a_long_question_does_not_cut_its_neighbours_answers_short(long: int, make_job: MakeJob) -> None:
    job = make_job(test=4, test_max_new_tokens=12)
    config = RunConfig.load(job / "config.json")
    path = Path(config.model_path)
    model, chat = models.load_for_inference(path), load_chat_tokenizer(path)
    assert model.config.max_position_embeddings == 512

    def answers(rows: list[dict[str, Any]], examples: list[Example]) -> list[str | None]:
        return [row.answer for row in score.score(model, chat, examples, rows, config)]

    rows = read_rows(job, "test")
    examples = prepare(rows, chat, split="test", max_length=512, truncation="drop").examples
    alone = answers(rows, examples)
    filler = next(n for n in range(512) if len(chat.prompt_ids([{"role": "user", "content": "a " * n}])) == long)
    crowded = [*rows, {"row": 5, "messages": asked("a " * filler)}]
    together = answers(crowded, [*examples, Example(5, examples[0].input_ids, examples[0].labels)])
    assert together[:4] == alone
    assert together[4] is not None
