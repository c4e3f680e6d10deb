"""The dataset room's speed and memory, as ratios to `orjson.loads` over the same lines in the same run.

The file is made here: chat rows of lengths as people have them (about 1.4 KB in the mean, with a long tail), one row in twenty
with tools, one in two hundred with an e-mail address or an accent. `TUNEPORT_BENCH_MB` sets its size (1024 by default); checks
that are measured alone run over its first 64 MB.
"""

from __future__ import annotations

import json
import os
import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import Any

import orjson
from tests.benchmarks.cost import Cost, line, program, timed
from tests.benchmarks.peers import alone, beside

from tuneport.dataset import scan

_PART = 64 << 20
_TOOL = {
    "type": "function",
    "function": {
        "name": "find_order",
        "description": "Finds an order.",
        "parameters": {
            "type": "object",
            "properties": {"order": {"type": "string"}, "lines": {"type": "integer", "minimum": 1}},
            "required": ["order"],
        },
    },
}


def sentences(count: int, seed: int) -> list[str]:
    """Sentences of words whose frequencies fall as in a language (Zipf's law), over 20,000 made-up words."""
    rng = random.Random(seed)
    parts = [
        "ba",
        "co",
        "den",
        "fi",
        "gra",
        "hol",
        "in",
        "ka",
        "lor",
        "mi",
        "ne",
        "os",
        "per",
        "qua",
        "ri",
        "sta",
        "tu",
        "ver",
    ]
    words = ["".join(rng.choices(parts, k=rng.choice((1, 2, 2, 3, 3, 4)))) for _ in range(20_000)]
    cumulative = list(accumulate(1 / (rank + 3) for rank in range(len(words))))
    made: list[str] = []
    for _ in range(count):
        chosen = rng.choices(words, cum_weights=cumulative, k=rng.randint(5, 22))
        made.append(" ".join(chosen).capitalize() + rng.choice((".", ".", ".", "?", "!")))
    return made


def write_rows(path: Path, size: int, seed: int = 7) -> int:
    """Chat rows up to `size` bytes; returns how many."""
    rng = random.Random(seed)
    pool = sentences(60_000, seed)

    def text(mean: float) -> str:
        said = rng.choices(pool, k=max(1, min(60, int(rng.lognormvariate(0, 0.9) * mean))))
        if len(said) < 3:
            return " ".join(said)
        # As answers are written: paragraphs, lists, quoted words, typographic signs.
        cut = len(said) // 2
        style = rng.random()
        if style < 0.4:
            return " ".join(said[:cut]) + "\n\n" + " ".join(said[cut:])
        if style < 0.6:
            return said[0] + "\n\n" + "\n".join(f"- {item}" for item in said[1:])
        if style < 0.75:
            return f'"{said[0]}" ' + " ".join(said[1:])
        if style < 0.9:
            return " ".join(said[:cut]) + " \u2014 it\u2019s " + " ".join(said[cut:])
        return " ".join(said)

    written = rows = 0
    with path.open("wb", buffering=1 << 20) as file:
        while written < size:
            turns: list[dict[str, Any]] = [{"role": "system", "content": text(2)}] if rng.random() < 0.4 else []
            row: dict[str, Any] = {"messages": turns}
            for _ in range(rng.choice((1, 1, 2, 2, 3))):
                turns.append({"role": "user", "content": text(2)})
                if rng.random() < 0.025:
                    row["tools"] = [_TOOL]
                    name = f"call_{rng.getrandbits(40):010x}"
                    arguments = json.dumps({"order": f"AB-{rng.randint(1000, 9999)}", "lines": rng.randint(1, 9)})
                    call = {"id": name, "type": "function", "function": {"name": "find_order", "arguments": arguments}}
                    turns.append({"role": "assistant", "content": None, "tool_calls": [call]})
                    turns.append({"role": "tool", "tool_call_id": name, "content": '{"status": "sent"}'})
                turns.append({"role": "assistant", "content": text(3)})
            if rng.random() < 0.005:
                turns[-1]["content"] += rng.choice((" Schreiben Sie an müller@firma.de.", " It cost 12 €, voilà."))
            line = orjson.dumps(row)
            file.write(line + b"\n")
            written += len(line) + 1
            rows += 1
    return rows


@contextmanager
def chat_file() -> Iterator[Path]:
    """The file, made once for a run; `TUNEPORT_BENCH_FILE` keeps it for the next."""
    size = int(os.environ.get("TUNEPORT_BENCH_MB", "1024")) << 20
    if kept := os.environ.get("TUNEPORT_BENCH_FILE"):
        path = Path(kept)
        if not path.exists() or path.stat().st_size < size:
            write_rows(path, size)
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "chat.jsonl"
        write_rows(path, size)
        yield path


def loads(path: Path) -> None:
    with path.open("rb", buffering=1 << 20) as file:
        for line in file:
            orjson.loads(line)


_VALIDATE = """
import sys
from tuneport import preflight  # as whoever calls tuneport.validate has
from tuneport.dataset import scan, validation
from tuneport.dataset.checks.base import Context
names = sys.argv[2].split(",") if sys.argv[2] else scan.CHECKS
validation.run(sys.argv[1], Context(), workers=int(sys.argv[3]), checks=tuple(names))
"""
_CONVERT = """
import sys
from tuneport.dataset.convert import convert
convert(sys.argv[1], sys.argv[3], sys.argv[2])
"""


def bench_data() -> None:
    """Checks and convert over a large chat file, against orjson.loads over the same lines on one core."""
    with chat_file() as path, tempfile.TemporaryDirectory() as folder:
        size = path.stat().st_size / 2**20
        loads(path)  # into the page cache
        floor = timed(lambda: loads(path))
        print(f"{size:,.0f} MB; orjson.loads on one core: {floor.wall:.1f} s, {size / floor.cpu:,.0f} MB/s of CPU time")
        print(f"{'':<36}{'seconds':>8}{'× wall':>9}{'× CPU':>9}{'MB/s':>8}{'peak MiB':>10}")
        base = "file:FileCheck,structure:StructureCheck,tools:ToolsCheck"
        line("file, structure, tools; 2 processes", program(_VALIDATE, str(path), base, "2"), floor, size)
        for dialect in ("vertex", "bedrock-converse"):
            out = str(Path(folder) / "out.jsonl")
            line(f"convert to {dialect}", program(_CONVERT, str(path), out, dialect), floor, size)
        line("every check; 2 processes", program(_VALIDATE, str(path), "", "2"), floor, size)

        part = Path(folder) / "part.jsonl"
        with path.open("rb") as source, part.open("wb") as file:
            file.write(source.read(_PART))
            file.write(source.readline())
        small = part.stat().st_size / 2**20
        floor = timed(lambda: loads(part))
        start = program(_VALIDATE, str(part), "file:FileCheck", "1")
        print(
            f"each alone in one process over {small:.0f} MB, above reading and parsing ({start.cpu:.1f} s of CPU time)"
        )
        for name in scan.CHECKS[1:]:
            cost = program(_VALIDATE, str(part), name, "1")
            above = Cost(max(0.01, cost.wall - start.wall), max(0.01, cost.cpu - start.cpu), cost.peak)
            line("  " + name.partition(":")[0], above, floor, small)
        alone(part, floor, small)
        beside(part)
