"""What a batch tells of what only the whole can judge: how often each value stands among the answers, with some of the rows."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tuneport.dataset.checks.base import KEPT
from tuneport.dataset.rows import Row

VALUES = 1000  # different values that are told apart; the rest are counted together
EXAMPLES = 100  # rows that are kept for one value
BINS_PER_DOUBLING = 8  # lengths are counted in steps of 9%
SAMPLE = 500  # answers in the sample for diversity
LEAST = 4096  # hashes by which different ones are counted
SHOWN = 50  # characters of the text
EXAMPLES_OF_ALL = 400  # and for all values of one batch
PLACES = 5000  # and for all values of all batches


class Place(NamedTuple):
    """Where something stands, for a message at the end."""

    source: str
    row: int
    path: str
    shown: str = ""
    detail: str = ""


class Seen(NamedTuple):
    """The same while its batch is looked at: the path is translated only for those that leave the batch."""

    row: Row
    path: str
    text: str = ""
    detail: str = ""

    def place(self, source: str, where: Callable[[Row, str], str] | None, *, tail: bool = False) -> Place:
        path = where(self.row, self.path) if where is not None else self.path
        return Place(source, self.row.number, path, self.text[-SHOWN:] if tail else self.text[:SHOWN], self.detail)


@dataclass
class Tally:
    """Counts by value, and the first rows of each. `others`: rows of values beyond the first thousand."""

    counts: Counter[Hashable] = field(default_factory=Counter[Hashable])
    rows: dict[Hashable, list[Place]] = field(default_factory=dict[Hashable, list[Place]])
    others: int = 0

    @classmethod
    def of(
        cls,
        values: Iterable[tuple[Hashable, Seen]],
        source: str,
        where: Callable[[Row, str], str] | None,
        *,
        tail: bool = False,
    ) -> Tally:
        """`tail`: the end of the text is what shows."""
        made = cls()
        by_value: dict[Hashable, list[Seen]] = {}
        for value, seen in values:
            held = by_value.get(value)
            if held is None:
                if len(by_value) >= VALUES:
                    made.others += 1
                    continue
                held = by_value[value] = []
            made.counts[value] += 1
            if len(held) < EXAMPLES:
                held.append(seen)
        room = EXAMPLES_OF_ALL
        for value in sorted(by_value, key=lambda value: made.counts[value]):  # rare values first: they will be named
            if room <= 0:
                break
            kept = by_value[value][:room]
            room -= len(kept)
            made.rows[value] = [seen.place(source, where, tail=tail) for seen in kept]
        return made

    def merge(self, other: Tally) -> None:
        self.others += other.others
        room = PLACES - sum(map(len, self.rows.values()))
        for value, count in other.counts.items():
            if value not in self.counts and len(self.counts) >= VALUES:
                self.others += count
                continue
            self.counts[value] += count
            new = other.rows.get(value, [])[:room]
            held = self.rows.setdefault(value, [])
            if new and len(held) < KEPT:
                held.extend(new)
                room -= len(new)

    @property
    def total(self) -> int:
        return sum(self.counts.values()) + self.others


@dataclass
class Distinct:
    """How many different 32-bit hashes were seen: exact up to 4,096, then estimated from the least of them (error 1.6%)."""

    least: NDArray[np.uint32] = field(default_factory=lambda: np.empty(0, np.uint32))
    total: int = 0

    def add(self, hashes: NDArray[np.uint32]) -> None:
        self.total += len(hashes)
        self.least = np.union1d(self.least, hashes)[:LEAST]

    def merge(self, other: Distinct) -> None:
        self.total += other.total
        self.least = np.union1d(self.least, other.least)[:LEAST]

    @property
    def exact(self) -> bool:
        return len(self.least) < LEAST

    def count(self) -> int:
        if self.exact:
            return len(self.least)
        return min(self.total, round((LEAST - 1) / ((int(self.least[-1]) + 1) / 2**32)))


@dataclass
class Summary:
    """Of a batch, or of several. Bounded: some hundred KB whatever was seen."""

    counts: Counter[str] = field(default_factory=Counter[str])
    forms: Tally = field(default_factory=Tally)
    keys: Tally = field(default_factory=Tally)
    prefixes: Tally = field(default_factory=Tally)
    labels: Tally = field(default_factory=Tally)
    endings: Tally = field(default_factory=Tally)
    held: dict[str, list[Place]] = field(default_factory=dict[str, list[Place]])
    lengths: Counter[int] = field(default_factory=Counter[int])
    shortest: list[tuple[int, Place]] = field(default_factory=list[tuple[int, Place]])
    longest: list[tuple[int, Place]] = field(default_factory=list[tuple[int, Place]])
    prompts: Distinct = field(default_factory=Distinct)
    answers: Distinct = field(default_factory=Distinct)
    sample: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])

    def merge(self, other: Summary) -> None:
        self.counts.update(other.counts)
        for name in ("forms", "keys", "prefixes", "labels", "endings", "prompts", "answers"):
            getattr(self, name).merge(getattr(other, name))
        for kind, places in other.held.items():
            held = self.held.setdefault(kind, [])
            held.extend(places[: max(0, KEPT - len(held))])
        self.lengths.update(other.lengths)
        self.shortest = heapq.nsmallest(KEPT, self.shortest + other.shortest, key=lambda item: item[0])
        self.longest = heapq.nlargest(KEPT, self.longest + other.longest, key=lambda item: item[0])
        self.sample = heapq.nsmallest(SAMPLE, self.sample + other.sample)
