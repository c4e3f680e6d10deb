"""The dataset room's speed and memory, as ratios to `orjson.loads` over the same lines in the same run.

The file is made here: chat rows of lengths as people have them (about 1.4 KB in the mean, with a long tail), one row in twenty
with tools, one in two hundred with an e-mail address or an accent. `TUNEPORT_BENCH_MB` sets its size (1024 by default); checks
that are measured alone run over its first 64 MB.
"""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import psutil

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


class Cost(NamedTuple):
    """Wall seconds; CPU seconds of a program and its children; the peak of their memory in MiB (None: not taken)."""

    wall: float
    cpu: float
    peak: float | None = None


def timed(action: Callable[[], Any]) -> Cost:
    start, cpu = time.perf_counter(), time.process_time()
    action()
    return Cost(time.perf_counter() - start, time.process_time() - cpu)


def loads(path: Path) -> None:
    with path.open("rb", buffering=1 << 20) as file:
        for line in file:
            orjson.loads(line)


def program(code: str, *words: str) -> Cost:
    """A program of its own; memory sampled ten times a second."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    process = psutil.Popen([sys.executable, "-c", code, *words], stdout=subprocess.DEVNULL)
    most = 0.0
    while process.poll() is None:
        try:
            family = [process, *process.children(recursive=True)]
            most = max(most, sum(_memory(member) for member in family) / 2**20)
        except psutil.Error:
            pass
        time.sleep(0.1)
    if process.returncode:
        raise RuntimeError(f"the program ended with {process.returncode}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(time.perf_counter() - start, cpu, most)


def _memory(process: psutil.Process) -> int:
    full = process.memory_full_info()  # PSS counts a page that several share once
    return int(getattr(full, "pss", 0) or getattr(full, "uss", full.rss))


_VALIDATE = """
import sys
from dataclasses import replace
from tuneport import preflight
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


def _line(name: str, cost: Cost, floor: Cost, size: float) -> None:
    shown = "" if cost.peak is None else f"{cost.peak:>10,.0f}"
    ratios = f"{cost.wall / floor.wall:>9.1f}{cost.cpu / floor.cpu:>9.1f}"
    print(f"{name:<36}{cost.wall:>8.1f}{ratios}{size / cost.wall:>8.1f}{shown}", flush=True)


def bench_data() -> None:
    """Checks and convert over a large chat file, against orjson.loads over the same lines on one core."""
    with chat_file() as path, tempfile.TemporaryDirectory() as folder:
        size = path.stat().st_size / 2**20
        loads(path)  # into the page cache
        floor = timed(lambda: loads(path))
        print(f"{size:,.0f} MB; orjson.loads on one core: {floor.wall:.1f} s, {size / floor.cpu:,.0f} MB/s of CPU time")
        print(f"{'':<36}{'seconds':>8}{'× wall':>9}{'× CPU':>9}{'MB/s':>8}{'peak MiB':>10}")
        base = "file:FileCheck,structure:StructureCheck,tools:ToolsCheck"
        _line("file, structure, tools; 2 processes", program(_VALIDATE, str(path), base, "2"), floor, size)
        for dialect in ("vertex", "bedrock-converse"):
            out = str(Path(folder) / "out.jsonl")
            _line(f"convert to {dialect}", program(_CONVERT, str(path), out, dialect), floor, size)
        _line("every check; 2 processes", program(_VALIDATE, str(path), "", "2"), floor, size)

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
            _line("  " + name.partition(":")[0], above, floor, small)
        _peers(part, floor, small)


def _peers(part: Path, floor: Cost, size: float) -> None:
    """What people would use for one thing alone, on the same rows; a package that is absent is said."""
    texts = [
        str(turn["content"] or "")
        for row in part.read_bytes().splitlines()[:4000]
        for turn in orjson.loads(row)["messages"]
    ]
    share = sum(map(len, texts)) / 2**20 / size  # of the part that these texts are
    print(f"libraries alone, over {sum(map(len, texts)) / 2**20:.1f} MB of its texts, scaled to the whole")

    def peer(name: str, make: Callable[[], Callable[[], Any]]) -> None:
        try:
            action = make()
        except ImportError as error:
            print(f"{name:<34} not installed: {error.name}")
            return
        cost = timed(action)
        _line(name, Cost(cost.wall / share, cost.cpu / share), floor, size)

    peer("  ftfy.fix_encoding", lambda: _each(__import__("ftfy").fix_encoding, texts))
    peer("  datasketch MinHash, 64, words", lambda: _datasketch(texts))
    peer("  detect-secrets, all plugins", lambda: _detect_secrets(texts))
    peer("  tokenizers, one core", lambda: _tokenizers(texts))
    peer("  together's checker", lambda: _together(part))


def _each(function: Callable[[str], Any], texts: list[str]) -> Callable[[], Any]:
    return lambda: [function(text) for text in texts]


def _datasketch(texts: list[str]) -> Callable[[], Any]:
    from datasketch import MinHash

    def one(text: str) -> None:
        words = text.split()
        made = MinHash(num_perm=64)
        made.update_batch([" ".join(words[i : i + 3]).encode() for i in range(len(words) - 2)] or [b""])

    return _each(one, texts)


def _detect_secrets(texts: list[str]) -> Callable[[], Any]:
    from detect_secrets.core.scan import scan_line
    from detect_secrets.settings import default_settings

    def run() -> None:
        with default_settings():
            for text in texts:
                list(scan_line(text))

    return run


def _tokenizers(texts: list[str]) -> Callable[[], Any]:
    from tokenizers import Tokenizer

    from tuneport_local.layout import STARTER

    tokenizer = Tokenizer.from_file(str(STARTER / "tokenizer.json"))
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    return lambda: tokenizer.encode_batch_fast(texts)


def _together(part: Path) -> Callable[[], Any]:
    from together.lib.utils.files import check_file

    head = part.with_name("head.jsonl")
    head.write_bytes(b"\n".join(part.read_bytes().splitlines()[:4000]) + b"\n")
    return lambda: check_file(head)
