"""All checks over all rows: block by block in this process, in child processes, or as a Ray Data job, and gathered in order.

Children are started as programs of their own and not by multiprocessing, which imports the caller's main module again: a
script without a `__main__` guard may call us.
"""

from __future__ import annotations

import gc
import os
import pickle
import subprocess
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from tuneport.dataset import dialects
from tuneport.dataset.checks.base import Check, Context, Findings
from tuneport.dataset.dialects.base import CHAT_KEYS
from tuneport.dataset.rows import Batch, Row, Split
from tuneport.dataset.sources import Block, parse
from tuneport.dataset.worker import read_message, write_message
from tuneport.errors import DatasetError, NotInstalledError

# In this order: what is wrong with a row's shape is told before what is wrong with its words.
CHECKS = (
    "file:FileCheck",
    "structure:StructureCheck",
    "tools:ToolsCheck",
    "target:TargetCheck",
    "tokens:TokensCheck",
    "quality:QualityCheck",
    "duplicates:DuplicatesCheck",
    "groups:GroupsCheck",
    "privacy:PrivacyCheck",
)
_CHILD_ENVIRONMENT = {
    # One thread each: there are as many children as cores.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    # glibc gives a block's memory back to the kernel after each, and faults it in again for the next, page by page.
    "MALLOC_TRIM_THRESHOLD_": str(1 << 28),
    "MALLOC_MMAP_THRESHOLD_": str(1 << 28),
}

Progress = Callable[[int, int], None]  # bytes and rows that are done


@dataclass
class Scanned:
    """What one block has shown."""

    findings: Findings
    found: dict[str, Any]
    rows: int  # that could be read; `unread` could not
    unread: int
    bad: int  # rows with an error, the unread ones included
    long: int  # rows without one that are cut to the limit
    length: int


@dataclass
class Whole:
    """What the whole has shown. `skipped`: a check that was not made, and why."""

    findings: Findings = field(default_factory=Findings)
    stats: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    rows: Counter[str] = field(default_factory=Counter[str])  # by split, as the three that follow
    unread: Counter[str] = field(default_factory=Counter[str])
    bad: Counter[str] = field(default_factory=Counter[str])
    long: Counter[str] = field(default_factory=Counter[str])
    skipped: list[str] = field(default_factory=list[str])


def make(context: Context, names: Sequence[str] = CHECKS) -> tuple[list[Check], list[str]]:
    """The checks whose packages are here, and a sentence for each that is not."""
    checks: list[Check] = []
    skipped: list[str] = []
    for name in names:
        module, _, attribute = name.partition(":")
        kind: type[Check] = getattr(import_module(f"tuneport.dataset.checks.{module}"), attribute)
        missing = [package for package in kind.requires if find_spec(package) is None]
        if missing:
            skipped.append(f"{kind.name}: {', '.join(missing)} is not installed (pip install 'tuneport[data]')")
        else:
            checks.append(kind(context))
    return checks, skipped


def recognise(row: Row) -> Row:
    """Set the row's dialect, kind and canonical form."""
    if row.plain:  # reading has done so
        return row
    name = "openai" if _plainly_openai(row.data) else dialects.detect(row.data)
    if name == "openai" and row.raw and b"null" not in row.raw:
        row.dialect, row.canonical = name, row.data  # as it stands: only nulls are read otherwise
    elif name is not None:
        dialect = dialects.DIALECTS[name]
        row.dialect, row.kind, row.canonical = name, dialect.kind, dialect.read(row.data)
    return row


def _plainly_openai(data: Mapping[str, Any]) -> bool:
    """What `detect` says of most rows there are, told at a glance: messages alone, the first of them text."""
    if len(data) != 1 or "messages" not in data:
        return False
    turns: Any = data["messages"]
    every: Any = turns
    first: Any = every[0] if type(turns) is list and every else None
    turn: Any = first
    return type(first) is dict and type(turn.get("content")) is str


def where(row: Row, path: str) -> str:
    """A canonical path as the row is written."""
    if row.dialect is None or row.dialect.startswith("openai"):
        return path
    return dialects.DIALECTS[row.dialect].where(path, row.data)


def look(block: Block, split: Split, checks: Sequence[Check], group_key: str | None = None) -> Scanned:
    """Every check over one block. A chat row's `group_key` is the user's own label, and no unknown key of the row."""
    findings = Findings(source=block.source, where=where)
    batch = Batch(block.source, split, [recognise(row) for row in parse(block, findings)])
    if group_key is not None:
        label = group_key.partition(".")[0]
        for row in batch.rows:
            if row.kind == "chat" and row.canonical is not None and label in row.canonical and label not in CHAT_KEYS:
                row.canonical = {key: value for key, value in row.canonical.items() if key != label}
    found = {check.name: check.scan(batch, findings) for check in checks}
    bad, long = findings.bad_rows, findings.long_rows
    seen = Scanned(
        findings,
        found,
        rows=len(batch.rows),
        unread=len(bad.difference(row.number for row in batch.rows)) if bad else 0,
        bad=len(bad),
        long=len(long - bad),
        length=block.length or len(block.data or b""),
    )
    # What was of this block and of this process need not travel.
    findings.where, findings.bad_rows, findings.long_rows = None, set(), set()
    return seen


def scan(
    blocks: Iterable[tuple[Split, Block]],
    context: Context,
    *,
    workers: int = 1,
    ray: bool = False,
    progress: Progress | None = None,
    names: Sequence[str] = CHECKS,
) -> Whole:
    """Run the checks named over all blocks. `workers` above 1: that many children; `ray`: a Ray Data job."""
    checks, skipped = make(context, names)
    whole = Whole(skipped=skipped)
    if ray:
        results = _on_ray(blocks, context, names, workers)
    elif workers > 1:
        results = _in_children(blocks, context, names, workers)
    else:
        results = _here(blocks, context, checks)
    done = rows = 0
    for split, seen in results:
        whole.findings.merge(seen.findings)
        for counter in ("rows", "unread", "bad", "long"):
            getattr(whole, counter)[split] += getattr(seen, counter)
        for check in checks:
            check.reduce(seen.found[check.name])
        done, rows = done + seen.length, rows + seen.rows
        if progress is not None:
            progress(done, rows)
    for check in checks:
        whole.stats[check.name] = check.finish(whole.findings)
    return whole


def _here(
    blocks: Iterable[tuple[Split, Block]], context: Context, checks: Sequence[Check]
) -> Iterator[tuple[Split, Scanned]]:
    for split, block in blocks:
        # Rows hold no cycles, and looking for some in hundreds of thousands of fresh objects costs a fifth of the time.
        collecting = gc.isenabled()
        gc.disable()
        try:
            seen = look(block, split, checks, context.group_key)
        finally:
            if collecting:
                gc.enable()
        yield split, seen


class _Child:
    """A process that looks at blocks (`worker`)."""

    def __init__(self, context: Context, names: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from tuneport.dataset.worker import main; main()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | _CHILD_ENVIRONMENT,
        )
        self._send((context, tuple(names)))

    def _send(self, value: Any) -> None:
        if self._process.stdin is not None:
            write_message(self._process.stdin, value)

    def ask(self, block: Block, split: Split) -> Scanned:
        try:
            self._send((block, split))
            answer = read_message(self._process.stdout) if self._process.stdout is not None else None
        except (BrokenPipeError, EOFError):
            code = self._process.wait()
            ended = f"signal {-code}" if code < 0 else f"exit status {code}"
            raise DatasetError(
                f"{block.source}: a checking process ended with {ended} at rows {block.first} to "
                f"{block.first + block.lines - 1}. Check again with one process: --workers 1.",
                source=block.source,
                row=block.first,
            ) from None
        if isinstance(answer, BaseException):
            raise answer
        if not isinstance(answer, Scanned):
            raise TypeError(f"a checking process answered {type(answer).__name__}")
        return answer

    def close(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._process.wait()


def _in_children(
    blocks: Iterable[tuple[Split, Block]], context: Context, names: Sequence[str], workers: int
) -> Iterator[tuple[Split, Scanned]]:
    mine = threading.local()
    with ExitStack() as stack:
        children: list[_Child] = [_Child(context, names) for _ in range(workers)]
        for child in children:
            stack.callback(child.close)
        free = deque(children)

        def ask(split: Split, block: Block) -> Scanned:
            if not hasattr(mine, "child"):
                mine.child = free.popleft()
            answer: Scanned = mine.child.ask(block, split)
            return answer

        with ThreadPoolExecutor(workers) as pool:
            waiting: deque[tuple[Split, Future[Scanned]]] = deque()
            try:
                for split, block in blocks:
                    waiting.append((split, pool.submit(ask, split, block)))
                    if len(waiting) >= 2 * workers:  # so that blocks are read no faster than they are checked
                        first, future = waiting.popleft()
                        yield first, future.result()
                while waiting:
                    first, future = waiting.popleft()
                    yield first, future.result()
            finally:
                for _, future in waiting:
                    future.cancel()


class RayLook:
    """What a Ray Data worker does with a shard: the same `look`."""

    def __init__(self, context: bytes, names: Sequence[str]) -> None:
        given: Context = pickle.loads(context)
        self._group_key = given.group_key
        self._checks, _ = make(given, names)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        seen: list[bytes] = []
        for item in batch["block"]:
            split, block = pickle.loads(item)
            seen.append(pickle.dumps((split, look(block, split, self._checks, self._group_key))))
        return {"seen": seen}


def _on_ray(
    blocks: Iterable[tuple[Split, Block]], context: Context, names: Sequence[str], workers: int
) -> Iterator[tuple[Split, Scanned]]:
    try:
        ray: Any = import_module("ray")
        data: Any = import_module("ray.data")
    except ImportError:
        raise NotInstalledError("--ray needs Ray Data: pip install 'tuneport[ray]'", extra="ray") from None
    if not ray.is_initialized():
        ray.init(include_dashboard=False, log_to_driver=False)
    data.DataContext.get_current().execution_options.preserve_order = True
    items = [{"block": pickle.dumps(pair)} for pair in blocks]  # of plain files only places, not their bytes
    job = data.from_items(items, override_num_blocks=max(1, min(len(items), 4 * workers))).map_batches(
        RayLook,
        fn_constructor_args=(pickle.dumps(context), tuple(names)),
        batch_size=1,
        concurrency=max(1, workers),
    )
    for row in job.iter_rows():
        yield pickle.loads(row["seen"])
