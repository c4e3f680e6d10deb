# ruff: noqa: E501 - a table reads better in one line a row
"""Sets of conversations: support, multilingual, several turns, images. Each maker gives canonical rows for a seed and a count."""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.corpus.words import Row, Words, chat, distinct, lines

Pools = dict[str, list[str]]
SYSTEM = "You answer customers of Halden & Moss, a shop for household goods. Be warm, concrete and brief."
KINDS = ("delivery", "refund", "fault", "account", "subscription", "app", "assembly", "booking")
LANGUAGES = ("de", "es", "ja", "ar", "hi", "emoji")


def load(name: str) -> Pools:
    """`[pool]` and its alternatives, one a line."""
    pools: Pools = {}
    here = ""
    for line in lines(Path(__file__).with_name(name).read_text(encoding="utf-8")):
        if match := re.fullmatch(r"\[([a-z.]+)\]", line):
            here = match[1]
            pools[here] = []
        else:
            pools[here].append(line)
    return pools


ENGLISH = load("english.txt")
ARTICLES = load("articles.txt")
WORLD = load("languages.txt")


def facts(w: Words) -> dict[str, Any]:
    """Values for one message; what the question names, the answer names too."""
    hour = w.number(7, 10)
    return {
        "product": w.pick(ENGLISH["product"]),
        "city": w.pick(ENGLISH["city"]),
        "first": w.pick(ENGLISH["first"]),
        "last": w.pick(ENGLISH["last"]),
        "weekday": w.pick(ENGLISH["weekday"]),
        "order": w.code("AA-99999"),
        "letter": w.code("A"),
        "hour": hour,
        "later": hour + w.number(1, 3),
        "digit": w.number(2, 9),
        "day": w.number(3, 28),
        "days": w.number(3, 21),
        "amount": f"€{w.number(4, 380)}.{w.number(10, 99)}",
        "price": f"€{w.number(400, 990)}.{w.number(10, 99)}",
        "pet": w.pick(["Biscuit", "Juno", "Waffle", "Pepper", "Otto"]),
    }


def question(w: Words, kind: str, known: Mapping[str, Any]) -> str:
    parts = [w.pick(ENGLISH["opening"]), w.pick(ENGLISH[f"{kind}.asks"]), *w.some(ENGLISH["aside"], w.number(1, 3))]
    parts.append(w.pick(ENGLISH["ask"]))
    if w.number(0, 3) == 0:
        parts.append(w.pick(["{first}", "Best, {first}", "Thanks! {first} {last}", "Regards, {first} from {city}"]))
    return w.say(" ".join(parts), **known)


def answer(w: Words, kind: str, known: Mapping[str, Any]) -> str:
    body = w.some(ENGLISH[f"{kind}.answers"], w.number(1, 2))
    return w.say(" ".join([w.pick(ENGLISH["thanks"]), *body, w.pick(ENGLISH["closing"])]), **known)


def support(seed: int | str, count: int, *, check: bool = True) -> list[Row]:
    """System, question, answer. Without `check`, rows are not compared with one another (for very many)."""
    w = Words(f"support {seed}", ENGLISH)

    def make(number: int) -> Row:
        kind = w.pick(KINDS)
        known = facts(w)
        return chat(("system", SYSTEM), ("user", question(w, kind, known)), ("assistant", answer(w, kind, known)))

    return distinct(make, count) if check else [make(n) for n in range(count)]


def several_turns(seed: int | str, count: int) -> list[Row]:
    """System, then two to four questions and answers."""
    w = Words(f"turns {seed}", ENGLISH)
    tones = ("warm", "brisk", "playful", "formal", "patient", "plain")

    def make(number: int) -> Row:
        known = facts(w)
        system = f"You are the {w.pick(tones)} assistant of a shop in {known['city']}. Today is {w.pick(ENGLISH['weekday'])}."
        turns = [("system", system)]
        for kind in w.some(KINDS, w.number(2, 4)):
            turns += [
                ("user", question(w, kind, known)),
                ("assistant", answer(w, kind, facts(w) | {"first": known["first"]})),
            ]
        return chat(*turns)

    return distinct(make, count)


def languages(seed: int | str, count: int) -> list[Row]:
    """German, Spanish, Japanese, Arabic, Hindi, and English with emoji, in turn; each row in one language throughout."""
    w = Words(f"languages {seed}", ENGLISH)

    def make(number: int) -> Row:
        tongue = LANGUAGES[number % len(LANGUAGES)]
        own = {key.partition(".")[2]: pool for key, pool in WORLD.items() if key.startswith(f"{tongue}.")}
        asks, answers = own.pop("asks"), own.pop("answers")
        turns: list[tuple[str, str]] = []
        for topic in w.some(range(len(asks)), 2):
            known = facts(w) | {key: w.pick(pool) for key, pool in own.items()} | {"zahl": w.number(3, 78)}
            put = w.say if tongue == "emoji" else w.draw
            turns += [("user", put(asks[topic], **known)), ("assistant", put(answers[topic], **known))]
        return chat(*turns)

    return distinct(make, count)


def png(w: Words) -> str:
    """A small picture of one colour, as a data URL."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    size = 8
    pixels = (b"\0" + bytes([w.number(0, 255), w.number(0, 255), w.number(0, 255)]) * size) * size
    head = size.to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")
    return "data:image/png;base64," + base64.b64encode(data).decode()


def images(seed: int | str, count: int, *, inline: bool = False) -> list[Row]:
    """A question with one or two pictures (by address, or `inline`), and an answer about the thing."""
    w = Words(f"images {seed}", ENGLISH)

    def make(number: int) -> Row:
        kind = w.pick(["fault", "assembly", "delivery"])
        known = facts(w)
        parts: list[Any] = [{"type": "text", "text": question(w, kind, known)}]
        for _ in range(w.number(1, 2)):
            url = (
                png(w)
                if inline
                else f"https://images.halden-moss.test/{w.code('a99a99').lower()}/{w.code('999999')}.jpg"
            )
            parts.append({"type": "image_url", "image_url": {"url": url}})
        row = chat(("system", SYSTEM), ("user", ""), ("assistant", answer(w, kind, known)))
        row["messages"][1]["content"] = parts
        return row

    return distinct(make, count)


def story(w: Words, topic: str, sentences: int, known: Mapping[str, Any]) -> str:
    """Connected sentences about one topic; numbers and most names are drawn anew in each."""
    chosen: list[str] = []
    while len(chosen) < sentences:
        pool = ARTICLES[f"{topic}.text"]
        chosen += w.some(pool, min(len(pool), sentences - len(chosen)))
    out: list[str] = []
    for sentence in chosen:
        fresh = facts(w) | {
            "place": known["place"] if w.number(0, 1) else w.pick(ENGLISH["city"]),
            "river": w.pick(["Aller", "Wye", "Soča", "Tamar", "Isar", "Minho", "Neath", "Oder", "Douro", "Tweed"]),
            "person": w.draw("{first} {last}"),
            "year": w.number(1790, 2019),
            "count": w.number(13, 96),
            "few": w.number(3, 12),
            "code": w.code("A99"),
        }
        out.append(w.say(sentence, **fresh))
    return " ".join(out)


TOPICS = ("town", "lab", "company", "reserve", "voyage")


def scene(w: Words, topic: str) -> dict[str, Any]:
    return {
        "place": w.pick(ENGLISH["city"]),
        "river": w.pick(["Aller", "Wye", "Soča", "Tamar", "Isar", "Minho", "Neath", "Oder"]),
        "person": w.draw("{first} {last}"),
        "year": w.number(1880, 2030),
        "topic": w.pick(ARTICLES[f"{topic}.topic"]),
    }


def texts(seed: int | str, count: int, sentences: tuple[int, int] = (6, 14)) -> list[Row]:
    """Plain text."""
    w = Words(f"texts {seed}", ENGLISH)

    def make(number: int) -> Row:
        topic = w.pick(TOPICS)
        return {"text": story(w, topic, w.number(*sentences), scene(w, topic))}

    return distinct(make, count)


def summaries(seed: int | str, count: int) -> list[Row]:
    """An article and what it says in one or two sentences."""
    w = Words(f"summaries {seed}", ENGLISH)
    asks = lines("""
        Summarise the following (text|piece|article) in (one or two sentences|at most 40 words).
        What is this text about? Keep it (short|to the essentials).
        Give me the gist:
        Please condense this for our newsletter.
        TL;DR please.
    """)

    def make(number: int) -> Row:
        topic = w.pick(TOPICS)
        known = scene(w, topic)
        text = story(w, topic, w.number(5, 9), known)
        short = " ".join(w.some(ARTICLES[f"{topic}.sum"], w.number(1, 2)))
        return chat(("user", f"{w.draw(w.pick(asks))}\n\n{text}"), ("assistant", w.say(short, **known)))

    return distinct(make, count)


def long_documents(seed: int | str, count: int) -> list[Row]:
    """Several sections of some hundred words, and a question whose answer stands in one sentence."""
    w = Words(f"long {seed}", ENGLISH)

    def make(number: int) -> Row:
        sections: list[str] = []
        for part, topic in enumerate(w.some(TOPICS, w.number(3, 5)), 1):
            known = scene(w, topic)
            name = w.say("(Notes|Letter|Report|Minutes|Account) from {place}", place=known["place"])
            sections.append(f"{part}. {name}\n\n{story(w, topic, w.number(9, 14), known)}")
        key, value, person = w.code("AA-999"), w.code("9999"), w.draw("{first} {last}")
        told = w.say(
            "(Folder|Shelf|Cabinet) {key} holds the (ledgers|plans|letters) that {person} deposited in box {value}.",
            key=key,
            value=value,
            person=person,
        )
        place = w.number(0, len(sections) - 1)
        sections[place] += " " + told
        ask = w.say(
            "(In which box are the things of {key}|Where did {person} put what belongs to {key}|Which number has the box for {key})?",
            key=key,
            person=person,
        )
        reply = w.say(
            "(Section {part} says that it is|According to section {part} it's|You'll find it in) box {value}, deposited by {person}.",
            part=place + 1,
            value=value,
            person=person,
        )
        return chat(("user", "\n\n".join([*sections, ask])), ("assistant", reply))

    return distinct(make, count)
