"""From canonical rows to token ids and labels, with a ledger line for every row.

Only what the assistant says is trained on, each answer with its end of turn, so that the model learns to stop. A turn with
`weight: 0` is read and not trained. A row that does not fit is cut at its end; it is dropped where no trainable token would be
left, and where it cannot be rendered. Nothing is dropped without its ledger line.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field

from tuneport.result import LedgerTotals
from tuneport_local.mask import Turn, locate
from tuneport_local.templates import Messages, Tools, Unusable, for_template
from tuneport_local.tokenizers import ChatTokenizer, load_chat_tokenizer, save_template

if TYPE_CHECKING:
    import torch

__all__ = [
    "ChatTokenizer",
    "Example",
    "LedgerEntry",
    "Prepared",
    "collate",
    "load_chat_tokenizer",
    "prepare",
    "save_template",
]

IGNORED = -100
"""The label of a token that is not trained: torch's cross-entropy leaves it out."""


@dataclass(frozen=True)
class Example:
    """One row as the model reads it. `labels` stand at their own tokens; the model shifts them."""

    row: int
    input_ids: list[int]  # (T,)
    labels: list[int]  # (T,), the token's id where it is trained, else -100


class LedgerEntry(BaseModel):
    """Where one input row went. Tokens are those that are trained with: 0 for a dropped row."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    row: int = Field(description="the 1-based input row")
    split: str
    source: str | None = Field(default=None, description="the general data that a mixed row came from")
    status: Literal["used", "truncated", "dropped"]
    reason: str | None = Field(default=None, description="its kind, a colon, and the particulars")
    tokens: int = 0
    trainable_tokens: int = 0
    hash: str | None = None


@dataclass
class Prepared:
    """What a split became. `warnings` are of these rows, each once; the tokenizer's own are in `ChatTokenizer.warnings`."""

    examples: list[Example] = field(default_factory=list["Example"])
    ledger: list[LedgerEntry] = field(default_factory=list["LedgerEntry"])
    warnings: list[str] = field(default_factory=list[str])

    def totals(self) -> LedgerTotals:
        """The ledger summed up; reasons by their kind."""
        statuses = Counter(entry.status for entry in self.ledger)
        return LedgerTotals(
            rows=len(self.ledger),
            used=statuses["used"],
            truncated=statuses["truncated"],
            dropped=statuses["dropped"],
            tokens=sum(entry.tokens for entry in self.ledger),
            trainable_tokens=sum(entry.trainable_tokens for entry in self.ledger),
            reasons=dict(Counter(entry.reason.partition(":")[0] for entry in self.ledger if entry.reason)),
        )


def prepare(
    rows: Iterable[Mapping[str, Any]], chat: ChatTokenizer, *, split: str, max_length: int, truncation: str
) -> Prepared:
    """Tokenise and mask `rows` (canonical, see `config.py`); `max_length` in tokens.

    A row that is longer is cut at its end. Cut in the middle of what is trained, it is "truncated"; where only untrained tokens
    fall behind the limit it stays "used". Where no trainable token would be left, `truncation` decides: "drop" drops the row,
    "left" keeps the answer and cuts the row's beginning instead.
    """
    result = Prepared()
    warned: dict[str, int] = {}
    for row in rows:
        entry: dict[str, Any] = {
            "row": row["row"],
            "split": split,
            "hash": row.get("hash"),
            "source": row.get("source"),
        }
        try:
            ids, labels = encode(row, chat, warned)
            ids, labels, reason = _fit(ids, labels, max_length, truncation)
        except Unusable as error:
            result.ledger.append(LedgerEntry(**entry, status="dropped", reason=str(error)))
            continue
        result.examples.append(Example(row["row"], ids, labels))
        result.ledger.append(
            LedgerEntry(
                **entry,
                status="truncated" if reason else "used",
                reason=reason,
                tokens=len(ids),
                trainable_tokens=_trainable(labels),
            )
        )
    result.warnings = [
        f"{text} ({count} {'row' if count == 1 else 'rows'} of {split})" for text, count in warned.items()
    ]
    return result


def _trainable(labels: Sequence[int]) -> int:
    return sum(label != IGNORED for label in labels)


def _fit(ids: list[int], labels: list[int], limit: int, truncation: str) -> tuple[list[int], list[int], str | None]:
    """Cut to `limit` tokens; the reason is None where nothing that is trained was lost."""
    if len(ids) <= limit:
        return ids, labels, None
    kept, before = _trainable(labels[:limit]), _trainable(labels)
    if kept == before:
        return ids[:limit], labels[:limit], None
    if not kept:
        if truncation == "left" and (rest := _trainable(labels[-limit:])):
            words = f", {before - rest} of {before} trainable ones lost" if rest < before else ""
            return ids[-limit:], labels[-limit:], f"beginning cut: from {len(ids)} tokens to {limit}{words}"
        raise Unusable(f"answer cut off: the row has {len(ids)} tokens, the answer lies behind the limit of {limit}")
    lost = before - kept
    return (
        ids[:limit],
        labels[:limit],
        f"cut: from {len(ids)} tokens to {limit}, {lost} of {before} trainable ones lost",
    )


def encode(row: Mapping[str, Any], chat: ChatTokenizer, warned: dict[str, int]) -> tuple[list[int], list[int]]:
    """Token ids and labels of one row, both (T,), whole. Counts its warnings in `warned`.

    Raises `Unusable`, whose message is the ledger's reason.
    """
    try:
        given = cast("list[Mapping[str, Any]]", row["messages"])
        messages = for_template(given, chat.template.shape)
        trained = [i for i, turn in enumerate(given) if turn["role"] == "assistant" and turn.get("weight", 1) != 0]
    except (LookupError, TypeError, AttributeError) as error:
        raise Unusable(f"not a chat row: {error!r}") from error
    if not trained:
        raise Unusable("nothing trainable: no assistant turn, or each has weight 0")
    tools: Tools = row.get("tools") or None
    text = chat.render(messages, tools)

    def render(some: Messages, prompt: bool) -> str:
        return chat.render(some, tools, prompt=prompt)

    turns = [locate(render, messages, index, text) for index in trained]
    tokens = _tokens(chat, text)
    spans = [_to_stop(chat, tokens, turn) for turn in turns]
    for warning in _warnings(chat, messages, tools, text, stops=all(stop for _, _, stop in spans)):
        warned[warning] = warned.get(warning, 0) + 1
    labels = [
        number if any(start < last and first < end for start, end, _ in spans) else IGNORED
        for number, first, last in tokens
    ]
    ids = [number for number, _, _ in tokens]
    _, end, stops = spans[-1]
    if not stops and trained[-1] == len(messages) - 1:
        # The template ends the answer with nothing a model could stop at: end the text as every text ends.
        length = sum(first < end for _, first, _ in tokens)
        eos = chat.stop_token_ids[0] if chat.tokenizer.eos_token_id is None else chat.tokenizer.eos_token_id
        ids, labels = [*ids[:length], eos], [*labels[:length], eos]
    if not _trainable(labels):
        raise Unusable("nothing trainable: the chat template shows none of what the assistant says")
    return ids, labels


def _tokens(chat: ChatTokenizer, text: str) -> list[tuple[int, int, int]]:
    """(id, first, last) of each token of `text`: it stands for the characters [first, last)."""
    encoded = chat.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    added = chat.added
    tokens: list[tuple[int, int, int]] = []
    for number, (first, last) in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True):
        if number in added:
            # Some swallow the white space around them (Phi's <|assistant|>), which may be the answer's: keep to the token.
            place = text.find(added[number], first, last)
            first, last = (place, place + len(added[number])) if place >= 0 else (first, last)  # noqa: PLW2901
        elif first == last:
            first = max(0, first - 1)  # noqa: PLW2901  # white space whose offsets were trimmed away, to its end
        tokens.append((number, first, last))
    return tokens


def _to_stop(chat: ChatTokenizer, tokens: Sequence[tuple[int, int, int]], turn: Turn) -> tuple[int, int, bool]:
    """The characters [start, end) to train for a turn: the answer and its first stop token; and whether there is one."""
    end, special = turn.end, chat.special_ids
    closed = False
    for number, first, last in tokens:
        if number in special:
            closed = closed or (turn.start <= first and last == end)
            if first < end < last:
                end = first  # two closing tokens that end alike (<|eot_id|>, <|eom_id|>): the comparison stopped within
            # A token that is declared to end a generation may also be the next turn's first (GLM's <|user|>).
            if end <= first and (last <= turn.closing or (first == end and number in chat.stop_token_ids)):
                return turn.start, last, True
        if first > turn.closing:
            break
    # Or the turn ends in one itself (Gemma 4's call, with <|tool_response>).
    return turn.start, end, closed


def _warnings(chat: ChatTokenizer, messages: Messages, tools: Tools, text: str, *, stops: bool) -> Iterable[str]:
    notes = chat.template.notes
    if "system" in notes and messages[0]["role"] == "system":
        yield notes["system"]
    if "tools" in notes and (tools or any(turn["role"] == "tool" or "tool_calls" in turn for turn in messages)):
        yield notes["tools"]
    if not stops:
        yield (
            "The chat template ends an assistant turn with no token that a model could stop at: where the answer is the last "
            "turn, the end-of-text token is added and trained"
        )
    for turn in messages:
        said = cast("str", turn["content"] or "").strip()
        if turn["role"] in {"system", "user"} and said not in text:
            yield f"The chat template leaves out or changes a {turn['role']} turn"
        elif "tool_calls" in turn and said not in text:
            yield "The chat template leaves out the text of an assistant turn that calls a tool"


def collate(examples: Sequence[Example], pad_token_id: int) -> dict[str, torch.Tensor]:
    """Stack on the right-padded longest: `input_ids`, `attention_mask`, `labels`, each (B, T) int64.

    Padding is told by length, never by id: the pad token may be the end of turn, which has to keep its label.
    """
    import torch

    longest = max(len(example.input_ids) for example in examples)

    def stacked(rows: Iterable[Sequence[int]], fill: int) -> torch.Tensor:
        return torch.tensor([[*row, *[fill] * (longest - len(row))] for row in rows], dtype=torch.int64)

    return {
        "input_ids": stacked((example.input_ids for example in examples), pad_token_id),
        "attention_mask": stacked(([1] * len(example.input_ids) for example in examples), 0),
        "labels": stacked((example.labels for example in examples), IGNORED),
    }
