"""Scoring a model on rows that it has not been trained on: loss, token accuracy, and whether it writes the answer."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from tuneport.result import MetricComparison, TestScores
from tuneport_local.config import TUNED_SCORES, RunConfig, write_atomic
from tuneport_local.data import ChatTokenizer, Example, collate
from tuneport_local.generate import complete, context_of, stop_ids

_LOGITS = 2**28  # the most logits computed at once: 1 GiB in fp32


@dataclass(frozen=True)
class RowLoss:
    """`loss` is the sum over the row's trained tokens, in nats; `correct` counts those that the model ranks first."""

    row: int
    loss: float
    tokens: int
    correct: int


class RowScore(BaseModel):
    """One line of base_scores.jsonl and tuned_scores.jsonl. `exact_match` is None where no text was expected.

    It and `answer` are None, too, where the question leaves no room in the model's context for an answer: see `unanswered`.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    row: int
    loss: float
    token_accuracy: float
    tokens: int
    exact_match: bool | None = None
    answer: str | None = None
    expected: str | None = None
    finish_reason: str | None = None


def losses(
    model: Any, examples: Sequence[Example], pad_token_id: int, batch_size: int, *, bf16: bool = False
) -> list[RowLoss]:
    """Each row's loss under `model`, in the order given. Leaves the model in evaluation mode.

    Only the logits from the first trained position on are computed, where the model can do that.
    """
    import torch

    model.eval()
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    can_keep = "logits_to_keep" in inspect.signature(base.forward).parameters
    device = model.get_input_embeddings().weight.device
    vocabulary = int(model.config.get_text_config().vocab_size)
    found: dict[int, RowLoss] = {}
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        for indices in _batches([len(e.input_ids) for e in examples], batch_size, vocabulary):
            batch = {k: v.to(device) for k, v in collate([examples[i] for i in indices], pad_token_id).items()}
            labels = batch.pop("labels")  # (B, T)
            first = int((labels != -100).any(0).int().argmax())
            keep = labels.shape[1] - max(first - 1, 0)
            options = {"logits_to_keep": keep} if can_keep else {}
            logits = model(**batch, use_cache=False, **options).logits[:, -keep:-1].float()  # (B, keep - 1, V)
            targets = labels[:, -keep:][:, 1:]  # (B, keep - 1)
            trained = targets != -100
            nll = torch.nn.functional.cross_entropy(logits.transpose(1, 2), targets, reduction="none").sum(1)
            correct = ((logits.argmax(-1) == targets) & trained).sum(1)
            for place, i in enumerate(indices):
                count = int(trained[place].sum())
                found[i] = RowLoss(examples[i].row, float(nll[place]), count, int(correct[place]))
    return [found[i] for i in range(len(examples))]


def mean_loss(rows: Sequence[RowLoss]) -> tuple[float, float]:
    """Loss and accuracy per trained token, over all rows together."""
    tokens = sum(row.tokens for row in rows)
    return sum(row.loss for row in rows) / tokens, sum(row.correct for row in rows) / tokens


def _batches(lengths: Sequence[int], most_rows: int, vocabulary: int) -> Iterator[list[int]]:
    """Indices of rows of like length, longest first, as many together as memory allows."""
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    while order:
        size = max(1, min(most_rows, _LOGITS // max(1, lengths[order[0]] * vocabulary)))
        yield order[:size]
        order = order[size:]


def score(
    model: Any,
    chat: ChatTokenizer,
    examples: Sequence[Example],
    rows: Sequence[dict[str, Any]],
    config: RunConfig,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> list[RowScore]:
    """Score each example and let the model answer it: the last assistant turn, greedily, from the messages before it.

    `rows` are the canonical rows; an example finds its own by its number. `progress` is told rows answered and rows in all.
    """
    from tuneport.scoring.metrics import exact_match

    bf16 = config.precision == "bf16"
    by_number = {row["row"]: row for row in rows}
    found = losses(model, examples, chat.pad_token_id, config.test_batch_size, bf16=bf16)
    asked = [_question(by_number[example.row]) for example in examples]
    prompts = {
        i: chat.prompt_ids(question[0], by_number[examples[i].row].get("tools") or None)
        for i, question in enumerate(asked)
        if question is not None
    }
    answers: dict[int, Any] = {}
    context = context_of(model)
    order = sorted(prompts, key=lambda i: -len(prompts[i]))
    if context is not None:
        order = [i for i in order if len(prompts[i]) < context]
    for group in _groups(order, [len(prompts[i]) for i in order], context, config):
        done = complete(model, chat, [prompts[i] for i in group], max_tokens=config.test_max_new_tokens)
        answers.update(zip(group, done, strict=True))
        if progress:
            progress(len(answers), len(order))
    scores: list[RowScore] = []
    for i, loss in enumerate(found):
        question, answer = asked[i], answers.get(i)
        expected = question[1] if question else None
        scores.append(
            RowScore(
                row=loss.row,
                loss=loss.loss / max(loss.tokens, 1),
                token_accuracy=loss.correct / max(loss.tokens, 1),
                tokens=loss.tokens,
                exact_match=None if answer is None or expected is None else exact_match(answer.text, expected),
                answer=None if answer is None else answer.text,
                expected=expected,
                finish_reason=None if answer is None else answer.finish_reason,
            )
        )
    return scores


def _groups(
    order: Sequence[int], lengths: Sequence[int], context: int | None, config: RunConfig
) -> Iterator[Sequence[int]]:
    """`order`, longest first, in batches. A question that nearly fills the context is asked alone: the room that is left
    counts from a batch's longest, and its neighbours' answers would be cut short by it."""
    crowded = 0 if context is None else sum(length + config.test_max_new_tokens > context for length in lengths)
    yield from ([i] for i in order[:crowded])
    for start in range(crowded, len(order), config.test_batch_size):
        yield order[start : start + config.test_batch_size]


def unanswered(scores: Sequence[RowScore]) -> int:
    """How many rows expect a text that the model could not be asked for, because the question fills its context."""
    return sum(row.expected is not None and row.answer is None for row in scores)


def _question(row: dict[str, Any]) -> tuple[list[dict[str, Any]], str] | None:
    """The messages before the last assistant turn, and that turn's text; None where it has no text, as a mere tool call."""
    messages: list[dict[str, Any]] = row["messages"]
    last = max((i for i, message in enumerate(messages) if message["role"] == "assistant"), default=0)
    content = messages[last].get("content")
    if last == 0 or not isinstance(content, str) or not content or messages[last].get("tool_calls"):
        return None
    return messages[:last], content


def write(path: Path, scores: Sequence[RowScore]) -> None:
    write_atomic(path, "".join(s.model_dump_json() + "\n" for s in scores).encode())


def read(path: Path) -> list[RowScore]:
    return [RowScore.model_validate(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def compare(base: Sequence[RowScore], tuned: Sequence[RowScore], decoding: dict[str, Any]) -> TestScores:
    """Base and tuned side by side, paired by row. Loss is the mean of the rows' mean losses, so that each row counts once."""
    from tuneport.scoring.intervals import paired_difference

    pairs = [(b, t) for b, t in zip(base, tuned, strict=True) if b.row == t.row]
    metrics: list[MetricComparison] = []
    for name, kind, higher in (
        ("exact_match", "binary", True),
        ("loss", "continuous", False),
        ("token_accuracy", "continuous", True),
    ):
        both = [(getattr(b, name), getattr(t, name)) for b, t in pairs]
        left, right = [float(b) for b, _ in both if b is not None], [float(t) for b, t in both if b is not None]
        if not left:
            continue
        metrics.append(
            MetricComparison(
                name=name,
                base=sum(left) / len(left),
                tuned=sum(right) / len(right),
                difference=paired_difference(left, right, kind="binary" if kind == "binary" else "continuous"),
                higher_is_better=higher,
                rows=len(left),
            )
        )
    return TestScores(rows=len(pairs), metrics=metrics, rows_path=TUNED_SCORES, decoding=decoding)


def decoding(model: Any, chat: ChatTokenizer, config: RunConfig) -> dict[str, Any]:
    """How the answers were written, for whoever wants to write them again."""
    return {
        "temperature": 0.0,
        "max_new_tokens": config.test_max_new_tokens,
        "batch_size": config.test_batch_size,
        "stop_token_ids": stop_ids(model, chat),
    }
