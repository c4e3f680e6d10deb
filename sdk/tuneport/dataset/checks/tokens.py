"""How long the rows are in tokens, what is cut, and which rows make the bill.

Every row is estimated (counting.weigh, some milliseconds a megabyte). With a tokenizer at hand, these are counted exactly:
about the first `EXACT_BYTES` of each source, every row that may be over the limit, and a seeded sample of one in `SAMPLE`
of the rest. The sample corrects the estimates of that rest, by script, as a ratio estimator: the total has its 95 % interval.
"""

from __future__ import annotations

import json
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, cast

import numpy as np
import orjson
from numpy.typing import NDArray

from tuneport.dataset.checks.base import Context, Findings
from tuneport.dataset.checks.lengths import TOP, Counted, Flags, Floats, Heavy, Lengths
from tuneport.dataset.counting import PER_ROW, PER_TURN, EstimateCounter, counter_for, weigh
from tuneport.dataset.rows import Batch, Row, Text

EXACT_BYTES = 32 << 20
SAMPLE = 32
NEAR = 3.0  # an estimate is never trusted to be this many times too low
TIMES_MEDIAN = 20  # a row this many times the median is named,
LEAST = 256  # where it has this many tokens
HEAVY_SHARE = 0.30  # the heaviest 1 % of at least 100 rows are named where they hold this share of the tokens
_NAMED = 10
_KEPT = 1000  # system prompts and tools whose count is remembered, as they are the same in many rows
_REPEATED = frozenset({"system", "developer", "tools"})


@dataclass
class Found:
    """What the parent needs of one batch."""

    split: str
    lengths: Lengths
    heavy: list[Heavy]
    totals: Counter[str]


class _Rows(NamedTuple):
    """A batch as columns. `owner` is the row of each text."""

    rows: list[Row]
    texts: list[list[Text]]
    owner: NDArray[np.int64]
    estimates: Floats  # of each text
    trained: Flags  # of each text
    bytes: Floats  # of each row
    characters: Floats
    overhead: Floats  # tokens of the chat format

    def total(self, counts: Floats) -> Floats:
        return np.ceil(_by_row(self.owner, counts, len(self.rows)) + self.overhead)


class TokensCheck:
    """Tokens of whole rows: texts, tools, `PER_TURN` for each turn and `PER_ROW` for each row.

    Images are not counted, as their tokens depend on a size that is not read; the statistics say how many there are.
    """

    name: ClassVar[str] = "tokens"
    codes: ClassVar[Sequence[str]] = ("tokens.too-long", "tokens.answer-cut", "tokens.outlier")
    requires: ClassVar[Sequence[str]] = ()  # without the tokenizer's package the counts are estimates, and say so

    def __init__(self, context: Context) -> None:
        target = context.target
        self.limit = context.max_length or (target.limits.max_tokens if target else None)
        self.local = target is not None and not target.cloud
        self.counter = counter_for(target)
        self.scale = self.counter.scale if isinstance(self.counter, EstimateCounter) else 1.0
        self.seed = context.seed
        self._known: dict[str, int] = {}
        self._splits: dict[str, Lengths] = {}
        self._heavy: list[Heavy] = []
        self._totals: Counter[str] = Counter()

    def scan(self, batch: Batch, findings: Findings) -> Found | None:
        rows = [row for row in batch.rows if row.canonical is not None]
        if not rows:
            return None
        columns = _columns(rows, self.scale)
        guess = columns.total(columns.estimates)
        exact, sample = self._choose(batch.source, columns, guess)
        counts = columns.estimates
        if exact.any():
            counts = counts.copy()
            chosen = np.flatnonzero(exact[columns.owner])
            flat = [text for row in np.flatnonzero(exact) for text in columns.texts[row]]
            counts[chosen] = self._count(flat)
        total = columns.total(counts)
        # The end of a trained turn is trained too: the model must learn to stop.
        ends = _by_row(columns.owner, columns.trained.astype(np.float64), len(rows))
        taught = _by_row(columns.owner, np.where(columns.trained, counts, 0), len(rows)) + ends
        totals = self._limits(columns, counts, exact, total, findings)
        totals["bytes"] = int(columns.bytes.sum())
        totals["images"] = sum(map(_images, rows))
        lengths = Lengths()
        ratio = columns.bytes / np.maximum(columns.characters, 1)
        lengths.add(Counted(total, guess, columns.overhead, taught, ends, exact, sample, ratio))
        heavy = [
            Heavy(float(total[i]), batch.source, rows[i].number, bool(exact[i]))
            for i in cast("list[int]", np.argsort(total)[-TOP:].tolist())
        ]
        return Found(batch.split, lengths, heavy, totals)

    def reduce(self, found: Any) -> None:
        if found is None:
            return
        found = cast("Found", found)
        self._splits.setdefault(found.split, Lengths()).merge(found.lengths)
        self._heavy = sorted([*self._heavy, *found.heavy], key=lambda row: -row.tokens)[:TOP]
        self._totals.update(found.totals)

    def finish(self, findings: Findings) -> dict[str, Any]:
        every = Lengths()
        for lengths in self._splits.values():
            every.merge(lengths)
        if not every.rows:
            return {}
        spread = every.spread()
        self._outliers(every.rows, spread.median, spread.total, spread.heaviest, findings)
        counted = "estimated" if not self.counter.exact else "exact" if every.all_exact else "sampled"
        made: dict[str, Any] = {
            "counted": counted,
            "tokenizer": self.counter.name,
            "rows": every.rows,
            "total": round(spread.total),
            "trainable": round(spread.trained),
            "percentiles": spread.percentiles,
            "mean": round(spread.total / every.rows, 1),
            "histogram": spread.histogram,
            "heaviest_percent_share": round(spread.heaviest, 4),
            "bytes_per_token": round(self._totals["bytes"] / max(spread.total, 1), 3),
            "per_turn": PER_TURN,
            "per_row": PER_ROW,
            "images_not_counted": self._totals["images"],
            "limit": self.limit,
            "over_limit": self._totals["over"],
            "answers_cut": self._totals["cut"],
            "rows_dropped": self._totals["dropped"],
            "splits": {},
        }
        for split, lengths in self._splits.items():
            part = lengths.spread()
            made["splits"][split] = {
                "rows": lengths.rows,
                "total": round(part.total),
                "trainable": round(part.trained),
            }
        if counted == "estimated":
            made["error"] = self.counter.error
            made["why"] = self.counter.why
        if counted == "sampled":
            made["sampled"] = every.sampled
            made["counted_exactly"] = every.counted
            made["interval"] = [round(spread.total - spread.margin), round(spread.total + spread.margin)]
        return made

    def _choose(self, source: str, columns: _Rows, guess: Floats) -> tuple[Flags, Flags]:
        """Which rows are counted exactly, and which of these are the random sample of the rest."""
        none = np.zeros(len(columns.rows), np.bool_)
        if not self.counter.exact:
            return none, none
        numbers = np.fromiter((row.number for row in columns.rows), np.uint64, len(columns.rows))
        sure = numbers * columns.bytes.mean() <= EXACT_BYTES  # about where in its source the row begins
        if self.limit is not None:
            most = columns.bytes + columns.overhead + np.bincount(columns.owner, minlength=len(columns.rows))
            within = (most <= self.limit) if self.counter.never_more_than_bytes else none
            sure |= ~within & (guess * NEAR > self.limit)
        drawn = _mixed(numbers, zlib.crc32(f"{self.seed} {source}".encode("utf-8", "replace"))) % np.uint64(SAMPLE) == 0
        sample = drawn & ~sure
        return sure | sample, sample

    def _count(self, texts: list[Text]) -> list[int]:
        known = self._known
        counts = [known.get(text.text, -1) if text.role in _REPEATED else -1 for text in texts]
        missing = [i for i, count in enumerate(counts) if count < 0]
        for i, count in zip(missing, self.counter.count([texts[i].text for i in missing]), strict=True):
            counts[i] = count
            if texts[i].role in _REPEATED and len(known) < _KEPT:
                known[texts[i].text] = count
        return counts

    def _limits(self, columns: _Rows, counts: Floats, exact: Flags, total: Floats, findings: Findings) -> Counter[str]:
        found: Counter[str] = Counter()
        if self.limit is None:
            return found
        over = np.flatnonzero(total > self.limit)
        starts = np.searchsorted(columns.owner, over)
        for i, start in zip(over.tolist(), starts.tolist(), strict=True):
            row, texts = columns.rows[i], columns.texts[i]
            length, cut = _cut(row.kind, texts, counts[start : start + len(texts)].tolist(), self.limit)
            if length <= self.limit:
                continue
            found["over"] += 1
            about = "" if exact[i] else "about "
            findings.add("tokens.too-long", f"{about}{length:,} tokens; the limit is {self.limit:,}.", row)
            if cut is None or (not exact[i] and length <= self.limit * (1 + self.counter.error)):
                continue
            found["cut"] += 1
            text, begin, end = cut
            where = f"inside the answer (tokens {begin:,} to {end:,})" if begin < self.limit else "before the answer"
            lost = "trained as it is cut" if begin < self.limit else "dropped"
            if self.local and lost == "dropped":
                found["dropped"] += 1
                findings.bad_rows.add(row.number)  # no error: the engine drops it by itself, and says so
            then = f" The row is {lost}, and the ledger says so." if self.local else ""
            findings.add(
                "tokens.answer-cut",
                f"the cut at {about}{self.limit:,} tokens falls {where}: the row has {length:,}.{then}",
                row,
                text.path,
                severity="warning" if self.local else None,
            )
        return found

    def _outliers(self, rows: int, median: float, total: float, heaviest: float, findings: Findings) -> None:
        top_percent = max(1, rows // 100) if rows >= 100 and heaviest > HEAVY_SHARE else 0
        for rank, row in enumerate(self._heavy[:_NAMED]):
            far = row.tokens > TIMES_MEDIAN * median and row.tokens >= LEAST
            if not far and rank >= top_percent:
                continue
            about = "" if row.exact else "about "
            message = (
                f"{about}{row.tokens:,.0f} tokens, {row.tokens / max(median, 1):,.0f} times the median of {median:,.0f}"
            )
            message += f": {row.tokens / max(total, 1):.1%} of all tokens."
            if top_percent:
                message += f" The heaviest 1 % of the rows hold {heaviest:.0%}."
            findings.add("tokens.outlier", message, row.row, source=row.source)


def _columns(rows: list[Row], scale: float) -> _Rows:
    texts = [_texts(row) for row in rows]
    flat = [text for row in texts for text in row]
    encoded = [text.text.encode("utf-8", "surrogatepass") for text in flat]
    sizes = np.fromiter(map(len, encoded), np.int64, len(flat))
    owner = np.repeat(np.arange(len(rows)), np.fromiter(map(len, texts), np.int64, len(rows)))
    return _Rows(
        rows,
        texts,
        owner,
        weigh(b"".join(encoded), sizes) * scale,
        np.fromiter((text.trained for text in flat), np.bool_, len(flat)),
        _by_row(owner, sizes, len(rows)),
        _by_row(owner, np.fromiter((len(text.text) for text in flat), np.int64, len(flat)), len(rows)),
        np.fromiter(map(_overhead, rows), np.float64, len(rows)),
    )


def _by_row(owner: NDArray[np.int64], values: NDArray[Any], rows: int) -> Floats:
    return np.bincount(owner, values, rows).astype(np.float64)


def _texts(row: Row) -> list[Text]:
    """The row's texts, and before them its tools, which a template writes into the system turn."""
    canonical = cast("Mapping[str, Any]", row.canonical)
    holder: Any = canonical.get("input") if row.kind == "preference" else canonical
    tools = cast("Mapping[str, Any]", holder).get("tools") if isinstance(holder, Mapping) else None
    if not tools:
        return row.texts
    try:
        written = orjson.dumps(tools).decode()
    except (TypeError, ValueError):  # a lone surrogate, or an integer of more than 64 bits
        written = json.dumps(tools, default=str)
    return [Text("tools", "tools", written, False), *row.texts]


def _turn_lists(row: Row) -> list[list[Any]]:
    canonical = cast("Mapping[str, Any]", row.canonical)
    holder: Any = canonical.get("input") if row.kind == "preference" else canonical
    lists: list[Any] = [cast("Mapping[str, Any]", holder).get("messages")] if isinstance(holder, Mapping) else []
    if row.kind == "preference":
        lists += [canonical.get("preferred_output"), canonical.get("non_preferred_output")]
    return [cast("list[Any]", turns) for turns in lists if isinstance(turns, list)]


def _overhead(row: Row) -> int:
    return 1 if row.kind == "text" else PER_ROW + PER_TURN * sum(map(len, _turn_lists(row)))


def _images(row: Row) -> int:
    found = 0
    for turns in _turn_lists(row):
        for turn in turns:
            content = cast("Mapping[str, Any]", turn).get("content") if isinstance(turn, Mapping) else None
            if isinstance(content, list):
                parts = cast("list[Any]", content)
                found += sum(isinstance(part, dict) and "image_url" in part for part in parts)
    return found


def _cut(kind: str, texts: list[Text], counts: list[float], limit: int) -> tuple[int, tuple[Text, int, int] | None]:
    """The length of the longest sequence of the row, and the last answer that a cut at `limit` reaches, with its ends.

    A preference row is two sequences, its prompt with each of the answers.
    """
    longest = 0
    reached: tuple[Text, int, int] | None = None
    for answer in ("preferred_output", "non_preferred_output") if kind == "preference" else ("",):
        length = 1 if kind == "text" else PER_ROW
        turn = ""
        last: tuple[Text, int, int] | None = None
        for text, count in zip(texts, counts, strict=True):
            if answer and not text.path.startswith((answer, "input", "tools")):
                continue
            opened = text.path.partition("]")[0]
            if kind != "text" and text.role != "tools" and opened != turn:
                length += PER_TURN
                turn = opened
            begin, length = length, length + round(count)
            if text.trained and text.role == "assistant":
                last = (text, begin, length)
        longest = max(longest, length)
        if last is not None and last[2] > limit:
            reached = last
    return longest, reached


def _mixed(numbers: NDArray[np.uint64], seed: int) -> NDArray[np.uint64]:
    """SplitMix64: evenly spread 64-bit values from row numbers."""
    with np.errstate(over="ignore"):
        z = (numbers + np.uint64(seed)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
