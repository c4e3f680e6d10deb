"""The pretraining mixture: extraction into random formats, copying and rearranging, labels, dates, small sums."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator

import formats
import messages
import values
import wording

Turns = list[dict[str, str]]


def _turns(*contents: str, system: str = "") -> Turns:
    """Messages in turn: user, assistant, user, … after an optional system message."""
    head = [{"role": "system", "content": system}] if system else []
    return head + [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(contents)]


def extraction(rng: random.Random) -> Turns:
    """A record from a message, in a format that is named, drawn as a pattern, or only shown by an example."""
    layout = messages.Layout(rng)
    name, render = formats.draw(rng)

    def pair() -> tuple[str, str, list[formats.Field]]:
        text, fields = layout.message()
        return text, render([(f.key, f.value) for f in fields]), fields

    text, answer, fields = pair()
    how = rng.random()
    if how < 0.3:  # shown by examples alone
        shots = [part for _ in range(rng.choice([1, 1, 2, 3])) for part in pair()[:2]]
        system = rng.choice(["", "", "Do as before.", "Fill in our record.", "Extract the data."])
        return _turns(*shots, text, answer, system=system)
    wanted = ", ".join(f.key for f in fields)
    note = layout.needs_telling()
    if how < 0.65 or any(f.kind == "date" and f.hint not in ("", "YYYY-MM-DD") for f in fields):
        shape = formats.show(render, fields, rng)
        order = rng.choice(["Answer like this:\n{}", "Format: {}", "Use this form: {}", "Fill in {}"]).format(shape)
        if not all(f.key in shape for f in fields):
            order += f"\nFields: {wanted}"
    else:
        order = rng.choice(["Give {} as {}.", "Extract {}. Format: {}.", "Write {} as {}.", "I need {} as {}."]).format(
            wanted, name
        )
    order += f"\n{note}." if note else ""
    place = rng.random()
    if place < 0.4:
        return _turns(text, answer, system=order)
    body = f"{order}\n{text}" if place < 0.7 else f"{text}\n\n{order}"
    if rng.random() < 0.25:  # the same order once more, given once
        more, more_answer, _ = pair()
        return _turns(text, answer, more, more_answer, system=order)
    return _turns(body, answer)


def one_field(rng: random.Random) -> Turns:
    layout = messages.Layout(rng)
    text, fields = layout.message()
    picked = rng.choice(fields)
    ask = rng.choice(["What is the {}?", "Which {}?", "Find the {}.", "Give me the {}.", "{}?"]).format(picked.phrase)
    if note := layout.needs_telling():
        ask += f" ({note})" if picked.kind in ("urgency", "topic") else ""
    if picked.hint:
        ask += f" ({picked.hint})"
    return _turns(f"{text}\n{ask}" if rng.random() < 0.5 else f"{ask}\n{text}", picked.value)


def label(rng: random.Random) -> Turns:
    """A closed label from the words of a message: yes or no, or one of the labels that the order names."""
    table = rng.choice([wording.URGENCY, wording.TOPIC])
    cue = rng.choice([c for c in table if table[c]])
    parts = [rng.choice(table[cue]), *rng.sample(wording.FILLERS, rng.randint(0, 2)), f"I have a {values.item(rng)}."]
    rng.shuffle(parts)
    text = " ".join(parts)
    if rng.random() < 0.4:
        asked = cue if rng.random() < 0.5 else rng.choice(list(table))
        return _turns(f"Is this about {asked}? yes or no\n{text}", "yes" if asked == cue else "no")
    names = dict(zip(table, rng.sample(wording.LABELS, len(table)) if rng.random() < 0.5 else table, strict=True))
    order = "Label the message: " + ", ".join(n if n == c else f"{n} if {c}" for c, n in names.items()) + "."
    return _turns(text, names[cue], system=order) if rng.random() < 0.5 else _turns(f"{order}\n{text}", names[cue])


def dates(rng: random.Random) -> Turns:
    """A date from one way of writing to another."""
    day = values.date(rng)
    style = rng.choice(list(values.STYLE_NAMES))
    written = values.write_date(day, rng.choice(values.DATE_STYLES))
    answer = values.write_date(day, style)
    name = values.STYLE_NAMES[style]
    order = rng.choice(["Write the date as {}", "Date to {}", "Use {}", "As {}"]).format(name)
    if rng.random() < 0.2:
        return _turns(f"Which month is {written}?", values.MONTHS[day.month - 1])
    if rng.random() < 0.2:
        other = values.date(rng)
        first = values.write_date(other, rng.choice(values.DATE_STYLES)), values.write_date(other, style)
        return _turns(*first, written, answer)
    return _turns(f"{order}: {written}", answer)


def anything(rng: random.Random) -> str:
    """A value of any kind."""
    return rng.choice(list(messages.MAKERS.values()))(rng)


def rearrange(rng: random.Random) -> Turns:
    """Copying, and copying in another order or dress."""
    count = rng.randint(2, 6)
    words = [
        rng.choice([values.word, values.word, values.first_name, values.quantity, values.foreign])(rng).split()[0]
        for _ in range(count)
    ]
    plain = " ".join(words)
    join = rng.choice([", ", "; ", "-", " | ", "/", " + ", ":"])
    one = anything(rng)
    name = values.person(rng)
    first, last = name.split()
    other = values.word(rng)
    tasks: list[tuple[str, str]] = [
        (f"Repeat: {one}", one),
        (f"Say: {plain}", plain),
        (f"Copy this.\n{one}\n{plain}", f"{one}\n{plain}"),
        (f"Upper case: {plain}", plain.upper()),
        (f"Lower case: {plain.upper()}", plain.upper().lower()),
        (f"Capitals: {plain.lower()}", " ".join(w.capitalize() for w in plain.lower().split())),
        (f"Reverse the words: {plain}", " ".join(reversed(words))),
        (f"First word: {plain}", words[0]),
        (f"Last word: {plain}", words[-1]),
        (f"Word {min(2, count)} of: {plain}", words[min(2, count) - 1]),
        (f"How many words? {plain}", str(count)),
        (f"Join with {join.strip()}: {plain}", join.join(words)),
        (f"Split at {join.strip()}: {join.join(words)}", "\n".join(words)),
        (f"Sort: {' '.join(w.lower() for w in words)}", " ".join(sorted(w.lower() for w in words))),
        (f"Quote each word: {plain}", " ".join(f'"{w}"' for w in words)),
        (f"Number the words: {plain}", "\n".join(f"{i}. {w}" for i, w in enumerate(words, 1))),
        (f"Last name first: {name}", f"{last}, {first}"),
        (f"Initials: {name}", f"{first[0]}. {last[0]}."),
        (f"First name: {name}", first),
        (f"Replace {words[0]} by {other}: {plain}", plain.replace(words[0], other)),
        (f"Twice: {one}", f"{one} {one}"),
        (f"Spell: {words[0]}", " ".join(words[0])),
        (f"What comes after {words[-2]}? {plain}", words[-1]),
    ]
    return _turns(*rng.choice(tasks))


def numbers(rng: random.Random) -> Turns:
    a, b = rng.randint(0, 50), rng.randint(0, 50)
    several = [str(rng.randint(0, 99)) for _ in range(rng.randint(3, 5))]
    day = rng.randrange(7)
    tasks = [
        (f"{a} + {b} =", str(a + b)),
        (f"{max(a, b)} - {min(a, b)} =", str(max(a, b) - min(a, b))),
        (f"{a % 10} x {b % 10} =", str((a % 10) * (b % 10))),
        (f"Which is larger, {a} or {b + 51}?", str(b + 51)),
        (f"Which is smaller, {a} or {b + 51}?", str(a)),
        (f"Largest: {', '.join(several)}", max(several, key=int)),
        (f"Smallest: {', '.join(several)}", min(several, key=int)),
        (f"Sort: {', '.join(several)}", ", ".join(sorted(several, key=int))),
        (f"Is {a} even?", "yes" if a % 2 == 0 else "no"),
        (f"What comes after {a}?", str(a + 1)),
        (f"What day follows {values.WEEKDAYS[day]}?", values.WEEKDAYS[(day + 1) % 7]),
        (f"Count from {a} to {a + 4}", " ".join(str(a + i) for i in range(5))),
    ]
    return _turns(*rng.choice(tasks))


def conversation(rng: random.Random) -> Turns:
    """Two or three short tasks one after another."""
    makers: list[Callable[[random.Random], Turns]] = [rearrange, numbers, dates]
    turns = [turn for _ in range(rng.randint(2, 3)) for turn in rng.choice(makers)(rng)]
    return ([{"role": "system", "content": "You are a helpful assistant."}] if rng.random() < 0.5 else []) + turns


def _said(kind: str, rng: random.Random) -> str:
    """A value of this kind as a message would have it."""
    if kind == "date":
        return values.write_date(values.date(rng), rng.choice(values.DATE_STYLES))
    return messages.MAKERS[kind](rng)


def sorting(rng: random.Random) -> Turns:
    """What a message is about, and how much it presses, under names that stay the same."""
    cues = {"Topic": rng.choice(list(wording.TOPIC)), "Urgency": rng.choice(list(wording.URGENCY))}
    parts = [rng.choice(pool) for pool in (wording.TOPIC[cues["Topic"]], wording.URGENCY[cues["Urgency"]]) if pool]
    kinds = rng.sample(list(wording.SENTENCES), 2)
    parts += [rng.choice(wording.SENTENCES[kind]).format(_said(kind, rng)) for kind in kinds]
    rng.shuffle(parts)
    asked = rng.choice([["Topic"], ["Urgency"], ["Topic", "Urgency"], ["Urgency", "Topic"]])
    return _turns(f"{' and '.join(asked)}?\n{' '.join(parts)}", ", ".join(cues[name] for name in asked))


Mixture = list[tuple[Callable[[random.Random], Turns], float]]
# One a stage: the second leans to what the first had learnt least.
MIXTURES: list[Mixture] = [
    [
        (extraction, 0.50),
        (one_field, 0.08),
        (label, 0.05),
        (dates, 0.07),
        (rearrange, 0.20),
        (numbers, 0.05),
        (conversation, 0.05),
    ],
    [
        (extraction, 0.50),
        (one_field, 0.08),
        (label, 0.05),
        (sorting, 0.10),
        (dates, 0.10),
        (rearrange, 0.08),
        (numbers, 0.05),
        (conversation, 0.04),
    ],
]


def pretraining_rows(seed: int, stage: int = 1) -> Iterator[Turns]:
    """Rows without end; each depends on the stage, on `seed` and on its own number alone."""
    makers, weights = zip(*MIXTURES[stage - 1], strict=True)
    for index in itertools.count():
        rng = random.Random(f"{seed}:{index}")
        while True:
            row: Turns = rng.choices(makers, weights)[0](rng)
            if not any(formats.uses_house_key(turn["content"]) for turn in row):
                break
        yield row
