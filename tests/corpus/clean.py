# ruff: noqa: E501 - a table reads better in one line a row
"""Datasets with nothing wrong: every dialect, every file format, every ordinary kind of task. A finding here is a false alarm."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, cast

from tests.corpus import dialects as d
from tests.corpus import lookalikes, talk, tasks
from tests.corpus.words import Row, Words

from tuneport import DPO, ContinuedPretraining, Reinforcement

OPENAI = "openai:gpt-4.1-mini-2025-04-14"
OPENAI_IMAGES = "openai:gpt-4.1-2025-04-14"
NOVA = "bedrock:amazon.nova-lite-v1:0:300k"
CLAUDE = "bedrock:anthropic.claude-3-haiku-20240307-v1:0:200k"
LLAMA = "bedrock:meta.llama3-1-8b-instruct-v1:0:128k"
GEMINI = "vertex:gemini-3.5-flash"
GEMINI_25 = "vertex:gemini-2.5-pro"  # whose limits Google states
STARTER = "local:starter"

ROWS = 120
SEED = 7

MAKERS: dict[str, Callable[[int | str, int], list[Row]]] = {
    "support": talk.support,
    "several-turns": talk.several_turns,
    "languages": talk.languages,
    "images": talk.images,
    "texts": talk.texts,
    "summaries": talk.summaries,
    "long-documents": talk.long_documents,
    "extraction": tasks.extraction,
    "classification": tasks.classification,
    "code": tasks.code,
    "translation": tasks.translation,
    "tools": tasks.tools,
    "preferences": tasks.preferences,
    "reinforcement": tasks.reinforcement,
}


@cache
def _kept(name: str, seed: int | str, count: int) -> list[Row]:
    return MAKERS[name](seed, count)


def base(name: str, *, seed: int | str = SEED, count: int = ROWS) -> list[Row]:
    """A copy of a clean set, to be written or spoilt."""
    return [copied(row) for row in _kept(name, seed, count)]


def copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: copied(item) for key, item in cast("Row", value).items()}
    return [copied(item) for item in cast("list[Any]", value)] if isinstance(value, list) else value


@dataclass(frozen=True)
class Clean:
    """`make` writes the set into a folder and gives what `validate` is to read; `runs` are the arguments it is called with."""

    name: str
    make: Callable[[Path], Any]
    runs: tuple[Mapping[str, Any], ...] = field(default=({},))


CLEAN: dict[str, Clean] = {}


def _add(name: str, make: Callable[[Path], Any], *runs: Mapping[str, Any]) -> None:
    CLEAN[name] = Clean(name, make, runs or ({},))


def _for(*targets: str | None, **rest: Any) -> tuple[dict[str, Any], ...]:
    return tuple({"target": target, **rest} if target else dict(rest) for target in targets)


def _file(rows: Callable[[], list[Any]], name: str = "data.jsonl") -> Callable[[Path], Path]:
    return lambda folder: d.save(folder, d.FORMATS[name](rows()), name)


def _plain(name: str) -> list[Row]:
    """Without system turns, where a dialect has no place for them."""
    return [row | {"messages": [t for t in row["messages"] if t["role"] != "system"]} for row in base(name)]


# Kinds of task, as OpenAI's chat rows
_add("task-support", _file(lambda: base("support")), *_for(None, OPENAI, NOVA, CLAUDE, GEMINI))
_add("task-several-turns", _file(lambda: base("several-turns")), *_for(None, OPENAI, NOVA, GEMINI))
_add("task-languages", _file(lambda: base("languages")), *_for(None, OPENAI))
_add("task-extraction", _file(lambda: base("extraction")), *_for(None, OPENAI, STARTER))
_add("task-classification", _file(lambda: base("classification")), *_for(None, OPENAI, STARTER))
_add("task-code", _file(lambda: base("code")), *_for(None, OPENAI))
_add("task-translation", _file(lambda: base("translation")), *_for(None, OPENAI))
_add("task-summaries", _file(lambda: base("summaries")), *_for(None, OPENAI))
_add("task-long-documents", _file(lambda: base("long-documents")), *_for(None, OPENAI))
_add("task-tools", _file(lambda: base("tools")), *_for(None, OPENAI))
_add("task-images", _file(lambda: base("images")), *_for(None, OPENAI_IMAGES))
_add("task-images-inline", _file(lambda: talk.images(SEED, ROWS, inline=True)), *_for(None, OPENAI_IMAGES, NOVA))
_add("lookalikes", _file(lambda: [*base("support")[:90], *lookalikes.rows()]), *_for(None, OPENAI))

# Dialects
_SFT_PAIR: dict[str, Callable[[], list[Row]]] = {
    "trl": lambda: [d.trl(row) for row in _plain("support")],
    "trl-turns": lambda: [d.trl_turns(row) for row in base("several-turns")],
    "alpaca": lambda: [d.alpaca(row) for row in base("support")],
    "alpaca-no-input": lambda: [d.alpaca(row) for row in _plain("support")],
    "sharegpt": lambda: [d.sharegpt(row) for row in base("several-turns")],
}
for _name, _rows in _SFT_PAIR.items():
    _add(f"dialect-{_name}", _file(_rows), *_for(None, OPENAI))
_add(
    "dialect-bedrock-converse", _file(lambda: [d.bedrock_converse(r) for r in base("several-turns")]), *_for(None, NOVA)
)
_add("dialect-bedrock-claude", _file(lambda: [d.bedrock_claude(r) for r in base("support")]), *_for(None, CLAUDE))
_add("dialect-bedrock-completion", _file(lambda: [d.trl(r) for r in _plain("support")]), *_for(None, LLAMA))
_add(
    "dialect-bedrock-text",
    _file(lambda: [d.bedrock_text(r) for r in base("texts")]),
    {"objective": ContinuedPretraining()},
)
_add("dialect-text", _file(lambda: base("texts")), {"objective": ContinuedPretraining()})
_add("dialect-vertex", _file(lambda: [d.vertex(r) for r in base("several-turns")]), *_for(None, GEMINI))
_DPO = DPO()
_add("dialect-openai-preference", _file(lambda: base("preferences")), *_for(None, OPENAI, objective=_DPO))
_add("dialect-trl-preference", _file(lambda: [d.trl_preference(r) for r in base("preferences")]), {"objective": _DPO})
_add(
    "dialect-trl-preference-implicit",
    _file(lambda: [d.trl_preference_implicit(r) for r in base("preferences")]),
    {"objective": _DPO},
)
_add(
    "dialect-vertex-preference",
    _file(lambda: [d.vertex_preference(r) for r in base("preferences")]),
    *_for(None, GEMINI, objective=_DPO),
)
_GRADED = Reinforcement(grader=tasks.GRADER)
_add(
    "dialect-openai-reinforcement",
    _file(lambda: base("reinforcement")),
    {"objective": _GRADED},
    {"objective": Reinforcement(), "grader": tasks.GRADER},
)
_add(
    "dialect-vertex-reinforcement",
    _file(lambda: [d.vertex_reinforcement(r) for r in base("reinforcement")]),
    *_for(None, GEMINI, objective=Reinforcement()),
)

# File formats and sources
for _format in d.FORMATS:
    if _format == "data.csv":
        _add("format-csv", _file(lambda: [d.trl(row) for row in _plain("support")], "data.csv"))
    elif _format != "data.jsonl":
        _add(f"format-{_format.removeprefix('data.')}", _file(lambda: base("support"), _format))
_add("format-crlf", lambda folder: d.save(folder, d.jsonl(base("support"), end="\r\n")))
_add("format-no-last-newline", lambda folder: d.save(folder, d.jsonl(base("support")).rstrip(b"\n")))
_add("format-ascii-escapes", lambda folder: d.save(folder, _escaped(base("languages"))))


def _escaped(rows: list[Row]) -> bytes:
    import json

    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def _separators(folder: Path) -> Path:
    """U+2028, U+0085 and form feed inside strings: lines end at the line feed only."""
    rows = base("support")
    for number, mark in ((3, "\u2028"), (50, "\x85"), (80, "\x0c")):
        turn = rows[number]["messages"][1]
        turn["content"] = turn["content"].replace(". ", f".{mark}", 1)
    return d.save(folder, d.jsonl(rows))


def _parts(folder: Path) -> str:
    rows = base("support")
    for part in range(3):
        d.save(folder, d.jsonl(rows[part::3]), f"part-{part}.jsonl")
    return str(folder / "part-*.jsonl")


_add("format-line-separators-in-text", _separators)
_add("source-glob", _parts)
_add("source-list", lambda folder: base("support"))
_add("source-generator", lambda folder: (row for row in base("support")))


def _pandas(folder: Path) -> Any:
    import pandas as pd

    return pd.DataFrame([d.trl(row) for row in _plain("support")])


def _datasets(folder: Path) -> Any:
    from importlib import import_module

    datasets: Any = import_module("datasets")
    return datasets.Dataset.from_list(base("support"))


_add("source-pandas", _pandas)
_add("source-datasets", _datasets)


# What the canonical row may also hold
def _weights() -> list[Row]:
    rows = base("several-turns")
    for row in rows[::2]:
        answers = [turn for turn in row["messages"] if turn["role"] == "assistant"]
        for turn in answers:
            turn["weight"] = 0
        answers[-1]["weight"] = 1
    return rows


def _rich() -> list[Row]:
    rows = base("tools")
    for number, row in enumerate(rows):
        row["parallel_tool_calls"] = number % 2 == 1  # every fourth row calls twice at once, the second of each four
        row["messages"][0]["role"] = "developer" if number % 3 == 0 else "system"
        row["messages"][1]["name"] = Words(number, talk.ENGLISH).draw("{first}")
    return rows


def _parts_of_text() -> list[Row]:
    rows = base("support")
    for row in rows[::2]:
        row["messages"][1]["content"] = [{"type": "text", "text": row["messages"][1]["content"]}]
    return rows


_add("keys-weights", _file(_weights), *_for(None, OPENAI))
_add("keys-tools-developer-name", _file(_rich), *_for(None, OPENAI))
_add("keys-text-parts", _file(_parts_of_text), *_for(None, OPENAI, GEMINI))


# Splits
def _held_out(seed: str) -> Callable[[Path], Path]:
    return lambda folder: d.save(folder, d.jsonl(base("support", seed=seed)), f"{seed}.jsonl")


def _other_group(folder: Path) -> Path:
    rows = [row | {"customer": f"h{number % 40:03}"} for number, row in enumerate(base("extraction", seed="held"))]
    return d.save(folder, d.jsonl(rows), "held.jsonl")


@dataclass(frozen=True)
class Later:
    """An argument that is a file: written into the folder when the set is made."""

    make: Callable[[Path], Any]


_add(
    "splits-files",
    _file(lambda: base("support")),
    {"validation": Later(_held_out("held")), "test": Later(_held_out("test"))},
)
_PLAN = {"validation": 0.2, "test": 0.25, "plan": STARTER}
_add("splits-fractions", _file(lambda: base("extraction", count=400)), _PLAN)


def _grouped() -> list[Row]:
    return [row | {"customer": f"c{number % 40:03}"} for number, row in enumerate(base("extraction", count=400))]


_add("splits-by-group-files", _file(_grouped), {"group_key": "customer", "test": Later(_other_group)})
_add("splits-by-group", _file(_grouped), _PLAN | {"group_by": "customer"})


def options(run: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The arguments of one run, with the files that they name written."""
    return {key: value.make(folder) if isinstance(value, Later) else value for key, value in run.items()}
