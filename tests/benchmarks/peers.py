"""What people would use instead of tuneport: for one thing alone, and for the whole file, with what each finds.

Together's checker is its SDK's `check_file`, which in version 3 looks for JSON objects and leaves the rest to the server. The
checks of OpenAI's cookbook (its page on preparing chat data for fine-tuning) are a procedure to copy, written here anew: errors
of format row by row, then tokens by tiktoken. Near duplicates are found as datasketch's documentation shows it, by MinHash of
128 permutations and an LSH at 0.8.
"""

from __future__ import annotations

import json
import os
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import orjson
from tests.benchmarks.cost import Cost, line, timed

from tuneport.dataset import validation
from tuneport.dataset.checks.base import Context

_HEAD = 16 << 20  # bytes of the file that whole checkers are held against
_EVERY = 100  # rows, of which one gets a defect
_BASE = ("file:FileCheck", "structure:StructureCheck", "tools:ToolsCheck")
_REPEATED = frozenset({"quality.duplicate", "quality.near-duplicate"})
_DUPLICATES = ("duplicates:DuplicatesCheck",)
_ROLES = frozenset({"system", "user", "assistant", "function", "tool", "developer"})
_KEYS = frozenset({"role", "content", "name", "function_call", "tool_calls", "tool_call_id", "weight"})
_LIMIT = 65_536  # tokens of one row


def alone(part: Path, floor: Cost, size: float) -> None:
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
        line(name, Cost(cost.wall / share, cost.cpu / share), floor, size)

    peer("  ftfy.fix_encoding", lambda: _each(import_module("ftfy").fix_encoding, texts))
    peer("  datasketch MinHash, 64, words", lambda: _datasketch(texts))
    peer("  detect-secrets, all plugins", lambda: _detect_secrets(texts))
    peer("  tokenizers, one core", lambda: _tokenizers(texts))


def _each(function: Callable[[str], Any], texts: list[str]) -> Callable[[], Any]:
    return lambda: [function(text) for text in texts]


def _datasketch(texts: list[str]) -> Callable[[], Any]:
    return _each(_minhash(64), texts)


def _minhash(permutations: int) -> Callable[[str], Any]:
    kind: Any = import_module("datasketch").MinHash

    def made(text: str) -> Any:
        words = text.split()
        signature = kind(num_perm=permutations)
        signature.update_batch([" ".join(words[i : i + 3]).encode() for i in range(len(words) - 2)] or [b""])
        return signature

    return made


def _detect_secrets(texts: list[str]) -> Callable[[], Any]:
    scan_line: Any = import_module("detect_secrets.core.scan").scan_line
    default_settings: Any = import_module("detect_secrets.settings").default_settings

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


# Side by side over whole rows


class Unavailable(Exception):
    """A peer is installed and cannot run."""


def beside(path: Path) -> None:
    """Each over the first 16 MB: time on the rows as they are, and what it finds where one row in a hundred has a defect."""
    with tempfile.TemporaryDirectory() as folder:
        clean, spoiled, repeated = (Path(folder) / f"{name}.jsonl" for name in ("clean", "spoiled", "repeated"))
        rows = _head(path)
        clean.write_bytes(b"\n".join(map(orjson.dumps, rows)) + b"\n")
        planted = _spoil(rows, spoiled)
        near = _repeat(rows, repeated)
        size = clean.stat().st_size / 2**20
        floor = timed(lambda: [orjson.loads(row) for row in clean.read_bytes().splitlines()])
        print(
            f"side by side over {size:.0f} MB, one process; last, what it finds where {planted} rows have a defect, "
            f"or {near} stand nearly twice"
        )

        def peer(name: str, make: Callable[[], Callable[[Path], str]], wrong: Path) -> None:
            try:
                action = make()
            except ImportError as error:
                print(f"  {name:<34}not installed: pip install {(error.name or name).partition('.')[0]}")
                return
            except Unavailable as error:
                print(f"  {name:<34}not run: {error}")
                return
            cost = timed(lambda: action(clean))
            line(f"  {name}", cost, floor, size, f"  {action(wrong)}")

        peer("tuneport: file, structure, tools", lambda: _ours(_BASE), spoiled)
        peer("together's checker", _together, spoiled)
        peer("OpenAI cookbook's format checks", lambda: _cookbook(None), spoiled)
        peer("… with its token counts", _cookbook_counting, spoiled)
        peer("tuneport: duplicates", lambda: _ours(_DUPLICATES), repeated)
        peer("datasketch MinHash LSH", _lsh, repeated)


def _head(path: Path) -> list[dict[str, Any]]:
    with path.open("rb") as file:
        return [orjson.loads(row) for row in (file.read(_HEAD) + file.readline()).splitlines()]


def _spoil(rows: Sequence[dict[str, Any]], path: Path) -> int:
    """One defect in every hundredth row, all of them valid JSON: both peers stop at a line that is not."""
    rng = random.Random(11)
    written: list[bytes] = []
    planted = 0
    for number, row in enumerate(rows):
        if number % _EVERY:
            written.append(orjson.dumps(row))
            continue
        planted += 1
        turns = [dict(turn) for turn in row["messages"]]
        spoiled: dict[str, Any] = {**row, "messages": turns}
        match rng.randrange(7):
            case 0:
                turns[-1]["role"] = "bot"
            case 1:
                del turns[-1]["content"]
            case 2:
                turns[-1]["content"] = ["text"]
            case 3:
                spoiled["messages"] = [turn for turn in turns if turn["role"] not in {"assistant", "tool"}]
            case 4:
                turns[-1]["content"] = "   "
            case 5:
                spoiled["messages"] = []
            case _:
                written.append(orjson.dumps(row)[:-1] + b',"messages":' + orjson.dumps(turns) + b"}")
                continue
        written.append(orjson.dumps(spoiled))
    path.write_bytes(b"\n".join(written) + b"\n")
    return planted


def _repeat(rows: Sequence[dict[str, Any]], path: Path) -> int:
    """After every hundredth row that is long enough, the same once more with one word added at the end."""
    written: list[bytes] = []
    planted = 0
    for number, row in enumerate(rows):
        written.append(orjson.dumps(row))
        if number % _EVERY == 0 and len(written[-1]) > 800:
            *before, last = row["messages"]
            written.append(
                orjson.dumps({**row, "messages": [*before, {**last, "content": f"{last['content']} Truly."}]})
            )
            planted += 1
    path.write_bytes(b"\n".join(written) + b"\n")
    return planted


def _ours(checks: tuple[str, ...]) -> Callable[[Path], str]:
    def run(path: Path) -> str:
        report = validation.run(path, Context(), workers=1, checks=checks)
        wrong = {i.row for i in report.issues if i.severity == "error" or i.code in _REPEATED}
        return f"{len(wrong)} rows"

    return run


def _together() -> Callable[[Path], str]:
    check_file: Any = import_module("together.lib.utils.files").check_file

    def run(path: Path) -> str:
        report = check_file(path)
        return "none" if report["is_check_passed"] else f"1, and stops: {str(report['message'])[:60]}"

    return run


def _cookbook(encode: Callable[[str], list[int]] | None) -> Callable[[Path], str]:
    def run(path: Path) -> str:
        with path.open(encoding="utf-8") as file:
            rows = [json.loads(row) for row in file]
        errors: Counter[str] = Counter()
        wrong = sum(bool(_wrong(row, errors)) for row in rows)
        if encode is not None and not errors:
            lengths = [_tokens(row["messages"], encode) for row in rows]
            errors["too long"] += sum(length > _LIMIT for length in lengths)
        return f"{wrong} rows ({', '.join(f'{name} {count}' for name, count in errors.items() if count) or 'none'})"

    return run


def _wrong(row: Any, errors: Counter[str]) -> int:
    """Counts the errors of one row's format."""
    before = errors.total()
    if not isinstance(row, dict):
        errors["not an object"] += 1
        return 1
    turns = cast("list[dict[str, Any]]", cast("Mapping[str, Any]", row).get("messages"))
    if not turns:
        errors["no messages"] += 1
        return 1
    for turn in turns:
        if "role" not in turn or "content" not in turn:
            errors["key missing"] += 1
        if not _KEYS.issuperset(turn):
            errors["unknown key"] += 1
        if turn.get("role") not in _ROLES:
            errors["unknown role"] += 1
        content = turn.get("content")
        called = turn.get("function_call") or turn.get("tool_calls")
        if (not content and not called) or (content and not isinstance(content, str)):
            errors["no text"] += 1
    if all(turn.get("role") != "assistant" for turn in turns):
        errors["no answer"] += 1
    return errors.total() - before


def _tokens(turns: Sequence[dict[str, Any]], encode: Callable[[str], list[int]]) -> int:
    """Three for each turn and three for the answer's beginning, beside the texts' own; a name costs one more."""
    texts = [value for turn in turns for value in turn.values() if isinstance(value, str)]
    return 3 + 3 * len(turns) + sum("name" in turn for turn in turns) + sum(len(encode(text)) for text in texts)


def _cookbook_counting() -> Callable[[Path], str]:
    import tiktoken

    try:
        encoding = tiktoken.get_encoding("cl100k_base")
    except OSError as error:  # its vocabulary is fetched once
        reason = type(error).__name__
        raise Unavailable(f"tiktoken could not fetch its vocabulary ({reason})") from error
    return _cookbook(encoding.encode_ordinary)


def _lsh() -> Callable[[Path], str]:
    kind: Any = import_module("datasketch").MinHashLSH
    made = _minhash(128)

    def run(path: Path) -> str:
        index = kind(threshold=0.8, num_perm=128)
        near = 0
        with path.open("rb") as file:
            for number, row in enumerate(file):
                signature = made(" ".join(str(turn.get("content")) for turn in orjson.loads(row)["messages"]))
                near += bool(index.query(signature))
                index.insert(str(number), signature)
        return f"{near} rows"

    return run
