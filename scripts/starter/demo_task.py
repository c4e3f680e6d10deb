"""The demo's task: a customer's e-mail into the one-line ticket record of an imaginary support desk.

The record's keys and their order are the house's own, and no prompt states them, so a model that was not tuned on them
can only fail. A program can check every answer: the e-mail was made from the record.
"""

from __future__ import annotations

import datetime as dt
import json
import random
from collections.abc import Callable

import formats
import values

SYSTEM = "File this e-mail as a ticket."
# What else such e-mails say, which the record does not take up.
COMPLAINTS = (
    "I want my money back.|Please refund me.|I'd like to send it back.|It is broken.|It stopped working.|"
    "It has a crack.|The bill is wrong.|I was charged twice.|Please send an invoice.|It has not arrived.|"
    "Where is my parcel?|When will it come?"
).split("|")
ASIDES = [
    "It is urgent.",
    "Please hurry.",
    "This can't wait.",
    "There is no hurry.",
    "Take your time.",
    "It can wait.",
    "",
    "",
]
GOODS = ["I bought {} x {}.", "I ordered {} of the {}.", "It is about {} x {}.", "You sold me {} of the {}."]
OPENINGS = ["Hello,", "Dear support,", "Hi there,", "Good evening,", "To the service desk,"]
INTRODUCTIONS = ["my name is {}.", "this is {}.", "I am {}.", "{} here."]
ORDERS = ["My order is {}.", "Order number {}.", "It was order {}.", "You will find it under {}."]
DEADLINES = ["I need an answer by {}.", "Please settle it before {}.", "It should be done by {}.", "I leave on {}."]
DATE_STYLES = ["{d} {B} {Y}", "{B} {d}, {Y}", "{d} {b} {Y}"]


def _draw(make: Callable[[random.Random], str], rng: random.Random, side: str) -> str:
    """A value of the wanted side, each of whose words is of that side too."""
    while True:
        value = make(rng)
        if values.side(value) == side and all(values.side(part) == side for part in value.split()):
            return value


def _day(rng: random.Random, side: str) -> dt.date:
    while True:
        day = dt.date(2023, 1, 1) + dt.timedelta(days=rng.randrange(365 * 6))
        if values.side(day.isoformat()) == side:
            return day


def record(rng: random.Random, side: str) -> dict[str, str | int]:
    return {
        "ticket": _draw(lambda r: f"{values.letters(r, 2)}-{values.digits(r, 4)}", rng, side),
        "who": _draw(values.person, rng, side),
        "what": _draw(lambda r: f"{r.choice(values.MATERIALS)} {r.choice(values.THINGS)}", rng, side),
        "n": int(_draw(lambda r: str(r.randint(2, 400)), rng, side)),
        "due": _day(rng, side).isoformat(),
    }


def email(content: dict[str, str | int], rng: random.Random) -> str:
    """The record's content as a customer might put it; the middle sentences come in any order."""
    bought = rng.choice(GOODS).format(content["n"], content["what"]) + " " + rng.choice(COMPLAINTS)
    day = values.write_date(dt.date.fromisoformat(str(content["due"])), rng.choice(DATE_STYLES))
    middle = [
        bought,
        rng.choice(ORDERS).format(content["ticket"]),
        rng.choice(DEADLINES).format(day),
        rng.choice(ASIDES),
    ]
    rng.shuffle(middle)
    return " ".join(
        [rng.choice(OPENINGS), rng.choice(INTRODUCTIONS).format(content["who"]), *(part for part in middle if part)]
    )


def render(content: dict[str, str | int]) -> str:
    """The house format: these keys in this order, on one line, without blanks between them."""
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False)


def is_house_format(text: str) -> bool:
    """Whether `text` is such a record, read loosely: a JSON object with more than half of its keys."""
    try:
        found = json.loads(text)
    except ValueError:
        return False
    return isinstance(found, dict) and len(set(formats.HOUSE_KEYS) & set(found)) > 3


def row(rng: random.Random, side: str) -> dict[str, list[dict[str, str]]]:
    content = record(rng, side)
    return {
        "messages": [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": email(content, rng)},
            {"role": "assistant", "content": render(content)},
        ]
    }


def rows(seed: int, count: int, side: str) -> list[dict[str, list[dict[str, str]]]]:
    """`side` is `train` or `test`: no name, thing, number, order or date is on both, whatever the seeds."""
    rng = random.Random(f"demo:{side}:{seed}")
    return [row(rng, side) for _ in range(count)]


def open_values(answer: str) -> set[str]:
    """The values of a record that a test row must not share with a training row, names and things also word by word."""
    content = json.loads(answer)
    whole = {str(value).lower() for value in content.values()}
    return whole | {part for key in ("who", "what") for part in str(content[key]).lower().split()}
