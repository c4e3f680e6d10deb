"""Short messages with values in them, and the values as fields: the reading half of the pretraining tasks."""

from __future__ import annotations

import random

import values
from formats import HOUSE_KEYS, Field, key_style
from wording import FILLERS, LABELS, OPENINGS, PAIRS, PHRASES, SENTENCES, TOPIC, URGENCY

MAKERS = {
    "person": values.person,
    "city": values.city,
    "company": values.company,
    "street": values.street,
    "item": values.item,
    "code": values.code,
    "quantity": values.quantity,
    "amount": values.amount,
    "time": values.clock,
    "email": values.email,
    "phone": values.phone,
    "foreign": values.foreign,
}
# How often a kind of value is asked for; the order counts only for the seed.
WEIGHTED = (
    ["person"] * 4 + ["item"] * 4 + ["code"] * 3 + ["quantity"] * 3 + ["date"] * 4
    + "city city company street amount amount time email phone foreign urgency urgency topic topic".split()
)  # fmt: skip
AS_WRITTEN = "as written"


class Layout:
    """What is fixed through one conversation: which fields, their keys and order, the date style, the labels."""

    def __init__(self, rng: random.Random, most: int = 6) -> None:
        self.rng = rng
        kinds = list(dict.fromkeys(rng.choice(WEIGHTED) for _ in range(rng.randint(1, most + 2))))[:most]
        style = key_style(rng)
        self.kinds = kinds
        self.phrases = {k: rng.choice(PHRASES[k]) for k in kinds}
        self.keys = {k: style(self.phrases[k] if rng.random() < 0.7 else values.word(rng)) for k in kinds}
        for kind, key in self.keys.items():
            if key.lower() in HOUSE_KEYS:
                self.keys[kind] = key + "_x"
        self.date_style = rng.choice([*values.STYLE_NAMES, "{Y}-{m:02d}-{d:02d}", "{Y}-{m:02d}-{d:02d}", AS_WRITTEN])
        self.labels = {
            "urgency": dict(zip(URGENCY, rng.sample(LABELS, 3) if rng.random() < 0.7 else URGENCY, strict=True)),
            "topic": dict(zip(TOPIC, rng.sample(LABELS, len(TOPIC)) if rng.random() < 0.7 else TOPIC, strict=True)),
        }

    def needs_telling(self) -> str:
        """What an instruction must add for the answer to be determined."""
        notes = [
            f"{self.keys[k]} is the {self.phrases[k]}"
            for k in self.kinds
            if self.keys[k].lower().replace("_", " ") != self.phrases[k]
        ]
        for kind in ("urgency", "topic"):
            if kind in self.kinds:
                shown = [f"{label} if {cue}" for cue, label in self.labels[kind].items() if label != cue]
                notes.extend([f"{self.keys[kind]} is " + ", ".join(shown)] if shown else [])
        return "; ".join(notes)

    def message(self) -> tuple[str, list[Field]]:
        """A fresh message and its fields, in the layout's order."""
        rng = self.rng
        written: dict[str, str] = {}
        answer: dict[str, str] = {}
        sentences: list[str] = []
        for kind in self.kinds:
            if kind == "date":
                day = values.date(rng)
                written[kind] = values.write_date(day, rng.choice(values.DATE_STYLES[:4] * 2 + values.DATE_STYLES))
                answer[kind] = (
                    values.write_date(day, self.date_style) if self.date_style != AS_WRITTEN else written[kind]
                )
            elif kind in ("urgency", "topic"):
                cue = rng.choice(list(URGENCY if kind == "urgency" else TOPIC))
                pool = (URGENCY if kind == "urgency" else TOPIC)[cue]
                sentences.extend([rng.choice(pool)] if pool else [])
                answer[kind] = self.labels[kind][cue]
            else:
                written[kind] = answer[kind] = MAKERS[kind](rng)
        left = set(written)
        for one, two, template in rng.sample(PAIRS, len(PAIRS)):
            if one in left and two in left and rng.random() < 0.7:
                sentences.append(template.format(written[one], written[two]))
                left -= {one, two}
        sentences += [rng.choice(SENTENCES[kind]).format(written[kind]) for kind in self.kinds if kind in left]
        for _ in range(rng.choice([0, 0, 1, 1, 2])):
            sentences.append(rng.choice(FILLERS))
        if rng.random() < 0.3:  # a value that nobody asks for
            extra = rng.choice([k for k in MAKERS if k not in self.kinds] or ["time"])
            sentences.append(rng.choice(SENTENCES[extra]).format(MAKERS[extra](rng)))
        rng.shuffle(sentences)
        text = rng.choice(OPENINGS) + " ".join(sentences)
        hints = {"date": values.STYLE_NAMES.get(self.date_style, AS_WRITTEN)}
        return text, [Field(k, self.phrases[k], self.keys[k], answer[k], hints.get(k, "")) for k in self.kinds]
