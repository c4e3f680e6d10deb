"""Near duplicates among many short rows: time, CPU and memory, and whether those planted are found.

`TUNEPORT_BENCH_ROWS` sets how many (1,000,000 by default). Each is a question and an answer of some 40 words, made up; every
thousandth stands a second time with a word more.
"""

from __future__ import annotations

import json
import os
import random
import tempfile
from pathlib import Path

import orjson
from tests.benchmarks.cost import program
from tests.benchmarks.data import sentences

_EVERY = 1000
_PROGRAM = """
import json, sys
from tuneport.dataset import validation
from tuneport.dataset.checks.base import Context
report = validation.run(sys.argv[1], Context(), workers=int(sys.argv[3]), checks=("duplicates:DuplicatesCheck",))
with open(sys.argv[2], "w") as file:
    json.dump(report.counts, file)
"""


def write_short_rows(path: Path, rows: int, seed: int = 5) -> int:
    """Returns how many near duplicates are among them. They stand far from their originals."""
    rng = random.Random(seed)
    pool = sentences(200_000, seed)
    again: list[bytes] = []
    with path.open("wb", buffering=1 << 20) as file:
        for number in range(rows - rows // _EVERY):
            question, answer = " ".join(rng.choices(pool, k=2)), " ".join(rng.choices(pool, k=2))
            file.write(_row(question, answer))
            if number % _EVERY == 0 and len(again) < rows // _EVERY:
                again.append(_row(question, f"{answer} Truly."))
        file.writelines(again)
    return len(again)


def _row(question: str, answer: str) -> bytes:
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return orjson.dumps({"messages": turns}) + b"\n"


def bench_near() -> None:
    """Near-duplicate search over a million short rows, in two processes."""
    rows = int(os.environ.get("TUNEPORT_BENCH_ROWS", "1000000"))
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder) / "short.jsonl", Path(folder) / "counts.json"
        planted = write_short_rows(path, rows)
        cost = program(_PROGRAM, str(path), str(out), "2")
        counts = json.loads(out.read_text())
        size = path.stat().st_size / 2**20
    print(
        f"{rows:,} rows, {size:,.0f} MB: {cost.wall / 60:.1f} minutes, {cost.cpu / 60:.1f} of CPU, {cost.peak:,.0f} MiB"
    )
    print(
        f"found {counts.get('quality.near-duplicate', 0):,} near duplicates, of which {planted:,} were planted; {counts}"
    )
