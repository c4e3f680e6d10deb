"""Canonical rows written in each dialect and file format, by hand and apart from the code under test."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.corpus.words import Row

_HUMAN = {"system": "system", "user": "human", "assistant": "gpt"}


def _turns(row: Row) -> tuple[str, list[dict[str, Any]]]:
    """The system turn's text, and the other turns."""
    messages = row["messages"]
    system = messages[0]["content"] if messages[0]["role"] == "system" else ""
    return system, [turn for turn in messages if turn["role"] != "system"]


def _qa(row: Row) -> tuple[str, str, str]:
    system, turns = _turns(row)
    return system, turns[0]["content"], turns[1]["content"]


def trl(row: Row) -> Row:
    _, asked, told = _qa(row)
    return {"prompt": asked, "completion": told}


def trl_turns(row: Row) -> Row:
    return {"prompt": row["messages"][:-1], "completion": row["messages"][-1:]}


def trl_preference(row: Row) -> Row:
    return {
        "prompt": row["input"]["messages"],
        "chosen": row["preferred_output"],
        "rejected": row["non_preferred_output"],
    }


def trl_preference_implicit(row: Row) -> Row:
    """The prompt stands in both conversations."""
    prompt = row["input"]["messages"]
    return {"chosen": [*prompt, *row["preferred_output"]], "rejected": [*prompt, *row["non_preferred_output"]]}


def alpaca(row: Row) -> Row:
    system, asked, told = _qa(row)
    return (
        {"instruction": system, "input": asked, "output": told}
        if system
        else {"instruction": asked, "input": "", "output": told}
    )


def sharegpt(row: Row) -> Row:
    return {"conversations": [{"from": _HUMAN[turn["role"]], "value": turn["content"]} for turn in row["messages"]]}


def bedrock_converse(row: Row) -> Row:
    system, turns = _turns(row)
    head: Row = {"schemaVersion": "bedrock-conversation-2024"}
    if system:
        head["system"] = [{"text": system}]
    return head | {"messages": [{"role": turn["role"], "content": [{"text": turn["content"]}]} for turn in turns]}


def bedrock_claude(row: Row) -> Row:
    system, turns = _turns(row)
    return ({"system": system} if system else {}) | {"messages": turns}


def bedrock_text(row: Row) -> Row:
    return {"input": row["text"]}


def vertex(row: Row) -> Row:
    system, turns = _turns(row)
    head: Row = {"systemInstruction": {"role": "system", "parts": [{"text": system}]}} if system else {}
    roles = {"user": "user", "assistant": "model"}
    return head | {"contents": [{"role": roles[turn["role"]], "parts": [{"text": turn["content"]}]} for turn in turns]}


def vertex_preference(row: Row) -> Row:
    return vertex(row["input"]) | {
        "completions": [
            {"score": score, "completion": {"role": "model", "parts": [{"text": row[key][0]["content"]}]}}
            for key, score in (("preferred_output", 1), ("non_preferred_output", 0))
        ]
    }


def vertex_reinforcement(row: Row) -> Row:
    return vertex(row) | {"references": {"answer": row["reference_answer"]}}


def line(row: Any) -> str:
    return json.dumps(row, ensure_ascii=False)


def jsonl(rows: Sequence[Any], *, end: str = "\n") -> bytes:
    return "".join(line(row) + end for row in rows).encode()


def as_json(rows: Sequence[Row]) -> bytes:
    return json.dumps(list(rows), ensure_ascii=False, indent=1).encode()


def as_csv(rows: Sequence[Row]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def as_gzip(rows: Sequence[Row]) -> bytes:
    return gzip.compress(jsonl(rows), mtime=0)


def as_zstd(rows: Sequence[Row]) -> bytes:
    from importlib import import_module

    from tuneport.dataset.formats import ZSTD

    packed: bytes = import_module(ZSTD).compress(jsonl(rows))
    return packed


def arrow(part: str = "") -> Any:
    return import_module(f"pyarrow{part}")


def _table(rows: Sequence[Row]) -> Any:
    return arrow().Table.from_pylist(list(rows))


def as_parquet(rows: Sequence[Row]) -> bytes:
    out = io.BytesIO()
    arrow(".parquet").write_table(_table(rows), out)
    return out.getvalue()


def as_arrow(rows: Sequence[Row]) -> bytes:
    table, out = _table(rows), io.BytesIO()
    with arrow(".ipc").new_file(out, table.schema) as writer:
        writer.write_table(table)
    return out.getvalue()


FORMATS: dict[str, Callable[[Sequence[Row]], bytes]] = {
    "data.jsonl": jsonl,
    "data.json": as_json,
    "data.csv": as_csv,
    "data.jsonl.gz": as_gzip,
    "data.jsonl.zst": as_zstd,
    "data.parquet": as_parquet,
    "data.arrow": as_arrow,
}


def save(folder: Path, data: bytes, name: str = "data.jsonl") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path
