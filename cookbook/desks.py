"""The narrow task of recipes 04 and 05: which desk takes a message. Small and noisy, as hand-labelled rows are.

The desk follows from one word of the message. Three labels in ten of the rows to learn from are drawn at random, which no model
can learn but by heart; the test rows are all right.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from tuneport.evaluate.comparison import Comparison
from tuneport.scoring.intervals import Interval

GENERAL = Path(__file__).parent / "general" / "train.jsonl"
GENERAL_TEST = Path(__file__).parent / "general" / "test.jsonl"

DESKS = {
    "north": ["late", "lost", "missing"],
    "east": ["broken", "cracked", "old"],
    "south": ["wrong", "double", "unpaid"],
    "west": ["blocked"],
}
THINGS = "invoice parcel password refund keyboard contract chair lamp printer account delivery receipt".split()
SENTENCES = [
    "My {thing} is {state}.",
    "I ask about the {thing}, it is {state}.",
    "The {thing} you sent is {state}.",
    "Why is the {thing} {state}?",
    "Please look at my {thing}: {state}.",
]


def desk_rows(count: int, *, seed: str, noise: float = 0.3) -> list[dict[str, Any]]:
    """`count` different rows. `noise`: the share whose label is drawn at random."""
    rng = random.Random(seed)
    desk_of = {state: desk for desk, states in DESKS.items() for state in states}
    rows: dict[str, dict[str, Any]] = {}
    while len(rows) < count:
        state = rng.choice(list(desk_of))
        text = rng.choice(SENTENCES).format(thing=rng.choice(THINGS), state=state)
        desk = desk_of[state] if rng.random() >= noise else rng.choice(list(DESKS))
        rows.setdefault(
            text,
            {
                "messages": [
                    {"role": "system", "content": "Which desk?"},
                    {"role": "user", "content": text},
                    {"role": "assistant", "content": desk},
                ]
            },
        )
    return list(rows.values())


def splits(seed: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
    """64 rows to train on, 32 to watch, 40 to test on. No message is in two of them."""
    rows = desk_rows(96, seed=f"learn:{seed}")
    seen = {row["messages"][1]["content"] for row in rows}
    fresh = desk_rows(200, seed=f"test:{seed}", noise=0.0)
    return rows[:64], rows[64:], [row for row in fresh if row["messages"][1]["content"] not in seen][:40]


def difference(found: Comparison, metric: str, base: str, other: str) -> Interval | None:
    """`other` minus `base`, whichever way round the comparison holds it."""
    keys = found[base].key, found[other].key
    for gap in found.differences:
        if gap.metric == metric and gap.interval is not None:
            if (gap.base, gap.other) == keys:
                return gap.interval
            if (gap.other, gap.base) == keys:
                low, high = -gap.interval.high, -gap.interval.low
                return gap.interval.model_copy(update={"estimate": -gap.interval.estimate, "low": low, "high": high})
    return None
