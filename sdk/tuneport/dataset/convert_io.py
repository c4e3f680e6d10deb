"""Where converted rows go, and the child processes that convert blocks of a large file."""

from __future__ import annotations

import contextlib
import gzip
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, Self, cast

from tuneport.dataset.formats import ZSTD, need
from tuneport.dataset.sources import Block
from tuneport.dataset.worker import read_message, write_message
from tuneport.errors import DatasetError, SpecError

_NOT_WRITTEN = frozenset({".json", ".csv", ".tsv", ".parquet", ".arrow", ".feather", ".bz2", ".xz", ".zip"})


class Output:
    """JSONL under a temporary name, renamed when it is whole; by its ending as gzip or zstd; "-" is the standard output."""

    def __init__(self, out: str | Path, files: Iterable[str]) -> None:
        self._stack = ExitStack()
        self._path: Path | None = None
        self._abandoned = False
        if str(out) == "-":
            self._file: IO[bytes] = sys.stdout.buffer
            return
        self._path = _checked(out, files)
        self._temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}.tmp")

    def __enter__(self) -> Self:
        if self._path is None:
            return self
        try:
            raw = self._stack.enter_context(self._temporary.open("wb"))
        except OSError as error:
            raise SpecError(f"{self._path} cannot be written: {error.strerror or error}") from None
        self._file = self._stack.enter_context(_packed(raw, self._path.suffix))
        return self

    @property
    def plain(self) -> Path | None:
        """The file to write to at any place; None where it is packed or no file."""
        if self._path is None or self._path.suffix in {".gz", ".zst"}:
            return None
        return self._temporary

    def write(self, data: bytes) -> None:
        self._file.write(data)

    def abandon(self) -> None:
        """Leave no file."""
        self._abandoned = True

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._path is None:
            self._file.flush()
            return
        try:
            self._stack.close()
            if kind is None and not self._abandoned:
                self._temporary.replace(self._path)
        finally:
            self._temporary.unlink(missing_ok=True)


def _packed(raw: IO[bytes], suffix: str) -> Any:
    if suffix == ".gz":
        return gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0)  # the same rows give the same bytes
    if suffix == ".zst":
        return need(ZSTD, why="writing .zst").ZstdFile(raw, mode="wb")
    return raw


def _checked(out: str | Path, files: Iterable[str]) -> Path:
    """The output's path, or SpecError where nothing should be written there."""
    if "://" in str(out):
        raise SpecError(f"{out}: only local files are written. Convert to a file, and copy it.")
    path = Path(out).expanduser()
    if path.suffix.lower() in _NOT_WRITTEN:
        raise SpecError(f"{out}: rows are written as JSONL. Name it .jsonl, .jsonl.gz or .jsonl.zst.")
    if path.is_dir():
        raise SpecError(f"{out} is a directory: name a file in it.")
    if not path.absolute().parent.is_dir():
        raise SpecError(f"{out}: there is no folder {path.parent}. Make it first.")
    for given in map(Path, files):
        if path.exists() and given.exists() and path.samefile(given):
            raise SpecError(f"{out} is the input: it would be lost. Name another file.")
    return path


# Children are started as programs of their own and not by multiprocessing, which imports the caller's main module again.

# Without these, glibc hands a block's memory back after each and the kernel clears it anew: a third of a child's time.
_KEEP_MEMORY = {"MALLOC_TRIM_THRESHOLD_": str(256 << 20), "MALLOC_MMAP_THRESHOLD_": str(32 << 20)}
_PROGRAM = "from tuneport.dataset.convert_io import serve; serve()"


class _Child:
    def __init__(self, settings: tuple[Any, ...]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | _KEEP_MEMORY,
        )
        self._in, self._out = cast("IO[bytes]", self._process.stdin), cast("IO[bytes]", self._process.stdout)
        self._held: deque[Future[int]] = deque()
        write_message(self._in, settings)

    def hold(self, start: Future[int]) -> None:
        """The child keeps the rows of its last answer until it is told their place, which `start` will be."""
        self._held.append(start)

    def places(self) -> list[int]:
        """Those that are known by now, to be told with the next question: a child never waits for one."""
        known: list[int] = []
        while self._held and self._held[0].done():
            known.append(self._held.popleft().result())
        return known

    def ask(self, question: Any, block: Block) -> Any:
        try:
            write_message(self._in, question)
            answer = read_message(self._out)
        except (BrokenPipeError, EOFError):
            code = self._process.wait()
            ended = f"signal {-code}" if code < 0 else f"exit status {code}"
            raise DatasetError(
                f"{block.source}: a converting process ended with {ended} near row {block.first}. "
                "Convert again with one process: --workers 1.",
                source=block.source,
                row=block.first,
            ) from None
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def close(self) -> None:
        self._in.close()
        self._out.close()
        self._process.wait()


def serve() -> None:
    """What a child does, until its parent is gone or Ctrl-C, which reaches both."""
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        _serve()


def _serve() -> None:
    """Settings first; then blocks, and an answer to each. Where a file is given, what was made is held until its place there is
    told, with a later block or with none.
    """
    from tuneport.dataset.convert import change

    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not get between the answers
    to, on_loss, file = read_message(sys.stdin.buffer)
    out = None if file is None else os.open(file, os.O_WRONLY)
    held: deque[bytes] = deque()
    while True:
        try:
            block, room, places = read_message(sys.stdin.buffer)
        except EOFError:
            return
        try:
            answer: Any = None
            if out is not None:
                for start in places:
                    _put(out, held.popleft(), start)
            if block is not None:
                answer = change(block, to, on_loss, room)
                if out is not None:
                    held.append(answer.data)
                    answer.data = b""
        except Exception as error:  # noqa: BLE001  raised again where the answer is read
            answer = error
        write_message(answers, answer)


def _put(out: int, data: bytes, start: int) -> None:
    left = memoryview(data)
    while left:
        done = os.pwrite(out, left, start)
        left, start = left[done:], start + done


def _hand_on(start: Future[int], end: Future[int], size: int) -> None:
    if error := start.exception():
        end.set_exception(error)
    else:
        end.set_result(start.result() + size)


def in_children(
    blocks: Iterable[Block], settings: tuple[str, str], workers: int, room: Callable[[], int], file: Path | None
) -> Generator[Any]:
    """The blocks' pieces, in order. `room` says, when a block is handed out, how much is still to be told in words.

    With `file`, the children write their rows there themselves, each at its place: through pipes, a third of the time would
    be spent on copying. A piece's place is known when those before it are made; meanwhile its child goes on, and holds at most
    the pieces that are waited for here.
    """
    mine = threading.local()
    with ExitStack() as stack:
        children: list[_Child] = []
        for _ in range(workers):
            children.append(_Child((*settings, file)))
            stack.callback(children[-1].close)
        free = deque(children)

        def ask(block: Block, told: int, start: Future[int], end: Future[int]) -> Any:
            try:
                if not hasattr(mine, "child"):
                    mine.child = free.popleft()
                child: _Child = mine.child
                piece = child.ask((block, told, child.places()), block)
            except BaseException as error:
                end.set_exception(error)
                raise
            if file is not None:
                child.hold(start)
            start.add_done_callback(lambda known: _hand_on(known, end, piece.size))
            return piece

        with ThreadPoolExecutor(workers) as pool:
            waiting: deque[Future[Any]] = deque()
            start: Future[int] = Future()
            start.set_result(0)
            try:
                last: Block | None = None
                for block in blocks:
                    last = block
                    end: Future[int] = Future()
                    waiting.append(pool.submit(ask, block, room(), start, end))
                    start = end
                    if len(waiting) >= 2 * workers:  # so that blocks are read no faster than they are converted
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
                if file is not None and last is not None:
                    for child in children:
                        child.ask((None, 0, child.places()), last)
            finally:
                for future in waiting:
                    future.cancel()
