"""Output formats, drawn at random: what the starter learns is to arrange copied spans as it is told or shown."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass

import values

# Keys of the demo task's record. No pretraining row may use one as a key: that format is for the fine-tune to teach.
HOUSE_KEYS = ("ticket", "who", "what", "n", "due", "queue", "prio")
_HOUSE_KEY = re.compile(r"""(?<![A-Za-z_])(ticket|who|what|n|due|queue|prio)["'*\]]?\s?[:=>]""", re.IGNORECASE)


def uses_house_key(text: str) -> bool:
    """Whether a key of the house format stands anywhere in `text` as a key."""
    return _HOUSE_KEY.search(text) is not None


@dataclass(frozen=True)
class Field:
    """One value to be found in a text: its type, the words that ask for it, the key it goes under, and the value."""

    kind: str
    phrase: str
    key: str
    value: str
    hint: str = ""


Renderer = Callable[[list[tuple[str, str]]], str]


def _json_value(value: str) -> str | int:
    return int(value) if value.isdigit() and not value.startswith("0") and len(value) < 5 else value


def _json(pairs: list[tuple[str, str]]) -> dict[str, str | int]:
    return {key: _json_value(value) for key, value in pairs}


def _compact(content: object) -> str:
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False)


def key_style(rng: random.Random) -> Callable[[str], str]:
    """How a multi-word key is written, the same way through a whole record."""
    styles: list[Callable[[str], str]] = [
        lambda k: k.replace(" ", "_"),
        lambda k: k.replace(" ", "_"),
        lambda k: k.replace(" ", "_").upper(),
        lambda k: k.title().replace(" ", ""),
        lambda k: k.capitalize(),
        lambda k: k.split()[0] + "".join(w.capitalize() for w in k.split()[1:]),
    ]
    return rng.choice(styles)


def draw(rng: random.Random) -> tuple[str, Renderer]:
    """A name that an instruction can use, and the renderer. Many draws differ only in separators; that is the point."""
    kind = rng.randrange(14)
    wrapper = values.word(rng)
    join = rng.choice(["; ", ", ", " | ", "|", ";", ",", " / ", "\n", " ~ ", " & ", "\t"])
    link = rng.choice([": ", "=", " = ", ":", " -> ", " => ", " - "])
    if kind in (0, 1):
        return "JSON", lambda p: _compact(_json(p))
    if kind in (2, 3):
        return "JSON", lambda p: json.dumps(_json(p), ensure_ascii=False)
    if kind == 4:
        return "indented JSON", lambda p: json.dumps(_json(p), indent=1, ensure_ascii=False)
    if kind == 5:
        return f'JSON under "{wrapper}"', lambda p: _compact({wrapper: _json(p)})
    if kind == 6:
        return "a JSON list", lambda p: _compact([_json_value(v) for _, v in p])
    if kind == 7:
        return "XML", lambda p: "".join(f"<{k}>{v}</{k}>" for k, v in p)
    if kind == 8:
        return f"one <{wrapper}> tag", lambda p: f"<{wrapper} " + " ".join(f'{k}="{v}"' for k, v in p) + "/>"
    if kind == 9:
        bullet = rng.choice(["- ", "* ", "+ ", "> "])
        return f"a list with {bullet.strip()}", lambda p: "\n".join(f"{bullet}{k}{link}{v}" for k, v in p)
    if kind == 10:
        name = "lines" if join == "\n" else f"values with {join.strip() or 'tabs'}"
        return name, lambda p: join.join(v for _, v in p)
    if kind == 11:
        left, right = rng.choice([("[", "]"), ("(", ")"), ("{", "}"), ("<", ">"), ("*", "*")])
        return f"{left}key{link}value{right}", lambda p: " ".join(f"{left}{k}{link}{v}{right}" for k, v in p)
    name = f"key{link}value" + (" lines" if join == "\n" else f" with {join.strip() or 'tabs'}")
    return name, lambda p: join.join(f"{k}{link}{v}" for k, v in p)


def show(render: Renderer, fields: list[Field], rng: random.Random) -> str:
    """The format as a pattern, each value replaced by a place holder."""
    blank = rng.choice(["...", "<>", "_"])
    return render([(f.key, f.hint or (blank if blank != "<>" else f"<{f.phrase}>")) for f in fields])
