"""From one dialect to another, row by row: what the target cannot say is named, never dropped in silence.

Each row is recognised on its own, so a file of mixed dialects becomes one of a single dialect. A row that cannot be said at
all is refused with its reason and the others are written; a row that can be said but for a part (a weight, a name)
is written and the loss is named. A row that is in the target's dialect already is handed on byte by byte.
"""

from __future__ import annotations

import gc
import os
import re
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Literal, get_args

import orjson
from pydantic import BaseModel, ConfigDict, Field

from tuneport.dataset import dialects
from tuneport.dataset.checks.base import Findings
from tuneport.dataset.convert_io import Output, in_children
from tuneport.dataset.dialects.base import line_of
from tuneport.dataset.rows import Row
from tuneport.dataset.sources import Block, open_source, parse
from tuneport.errors import DatasetError, SpecError

KEPT = 1000  # losses and refusals that are kept whole; beyond, they are counted
OnLoss = Literal["keep-row", "refuse-row"]
Progress = Callable[[int, int | None, int], None]  # bytes done, bytes in all (None: not known), rows done
# Bytes. What becomes of a block should stay in a core's own cache, and below the size that malloc maps anew each time; to a
# child go larger ones, which cost fewer questions.
_BLOCK, _BLOCK_OF_CHILD = 1 << 17, 1 << 19
_SMALL = 8 << 20  # bytes; below, starting children costs more than they save
_LOOKED_AT = 200  # first rows that tell which kind of rows the file holds
_INDEX = re.compile(r"\[\d+\]")


class RowLoss(BaseModel):
    """One thing that one row says and the target cannot. `path` is that of the row as it was written."""

    model_config = ConfigDict(frozen=True)

    source: str
    row: int
    path: str
    what: str
    why: str

    def __str__(self) -> str:
        return f"{self.source}, row {self.row}, {self.path}: {self.what}: {self.why}"


class Refusal(BaseModel):
    """A row that was not written, and why. `row` is None where the file itself is to blame."""

    model_config = ConfigDict(frozen=True)

    source: str
    row: int | None
    path: str | None = None
    reason: str

    def __str__(self) -> str:
        place = [self.source, f"row {self.row}" if self.row is not None else "", self.path or ""]
        return f"{', '.join(filter(None, place))}: {self.reason}"


class ConversionReport(BaseModel):
    """What became of each row. Every loss and refusal is counted; the first 1,000 of each are kept whole."""

    model_config = ConfigDict(frozen=True)

    schema_version: int = 1
    source: str
    out: str | None = Field(description="None: no row could be written, and no file was made")
    to: str
    detected: dict[str, int] = Field(description="rows by the dialect they were written in; 'unknown' among them")
    rows: int
    written: int
    refused: int = Field(description="rows that were not written, and files that could not be read to their end")
    rows_with_losses: int
    loss_counts: dict[str, int] = Field(description="by canonical path without indexes, as in messages[].weight")
    refusals: list[Refusal]
    losses: list[RowLoss]

    @property
    def ok(self) -> bool:
        """Every row was written (perhaps not all that it said: see `losses`)."""
        return not self.refused


def convert(
    source: Any,
    to: str,
    out: str | Path,
    *,
    on_loss: OnLoss = "keep-row",
    workers: int | None = None,
    progress: Progress | None = None,
) -> ConversionReport:
    """Write the rows of `source` (whatever `open_source` reads) to `out` as JSONL in the dialect `to`.

    `out` may end in .gz or .zst; "-" is the standard output. `on_loss="refuse-row"` writes only rows that lose nothing.
    Raises SpecError where the request is wrong: an unknown dialect, a kind that `to` does not have, `out` is the input.
    """
    if on_loss not in get_args(OnLoss):
        raise SpecError(f"on_loss is {on_loss!r}: it must be one of {', '.join(get_args(OnLoss))}")
    dialects.get(to)
    opened = open_source(source, block_bytes=_BLOCK)
    output = Output(out, opened.files)
    total = opened.total_bytes
    if workers is None:
        workers = 1 if total is not None and total < _SMALL else os.cpu_count() or 1
    if workers > 1:
        opened = open_source(source, block_bytes=_BLOCK_OF_CHILD)
    blocks = iter(opened)
    head = next(blocks, None)
    to = _target(to, head)
    every = chain([] if head is None else [head], blocks)
    whole = Piece()

    def room() -> int:
        return KEPT - min(len(whole.losses), len(whole.refusals))

    pieces: Generator[Piece]
    if workers > 1:
        pieces = in_children(every, (to, on_loss), workers, room, output.plain)
    else:
        pieces = (change(block, to, on_loss, room()) for block in every)
    try:
        with output, closing(pieces):
            for piece in pieces:
                output.write(piece.data)
                whole.add(piece)
                if progress is not None:
                    progress(whole.length, total, whole.rows)
            if not whole.written:
                output.abandon()
    except BrokenPipeError:  # the reader of the standard output has left
        raise
    except OSError as error:
        raise DatasetError(f"{out} cannot be written: {error.strerror or error}.") from None
    return ConversionReport(
        source=opened.name,
        out=str(out) if whole.written else None,
        to=to,
        detected=dict(whole.detected.most_common()),
        rows=whole.rows,
        written=whole.written,
        refused=whole.refused,
        rows_with_losses=whole.lossy,
        loss_counts=dict(whole.counts.most_common()),
        refusals=[Refusal(source=name, row=row, path=path, reason=why) for name, row, path, why in whole.refusals],
        losses=[RowLoss(source=name, row=row, path=path, what=w, why=y) for name, row, path, w, y in whole.losses],
    )


def _target(to: str, head: Block | None) -> str:
    """The target's name, or SpecError where most of the first rows are of another kind: nothing would be written."""
    rows = parse(head, Findings())[:_LOOKED_AT] if head is not None else []
    found = Counter(name for row in rows if (name := dialects.detect(row.data)))
    if not found:
        return to
    dialect = found.most_common(1)[0][0]
    kind = dialects.DIALECTS[dialect].kind
    target = dialects.get(to, kind)
    if target.kind != kind:
        fitting = ", ".join(name for name, known in dialects.DIALECTS.items() if known.kind == kind)
        raise SpecError(
            f"these are {dialect} rows ({kind}), and {to!r} is a dialect for {target.kind} rows. "
            f"Convert them to one of: {fitting}"
        )
    return target.name


@dataclass
class Piece:
    """What became of a block, or of all: plain data, since it crosses processes."""

    data: bytes = b""
    size: int = 0  # of the data, which may have been written already
    length: int = 0  # bytes read
    rows: int = 0
    written: int = 0
    refused: int = 0
    lossy: int = 0
    detected: Counter[str] = field(default_factory=Counter[str])
    counts: Counter[str] = field(default_factory=Counter[str])
    refusals: list[tuple[str, int | None, str | None, str]] = field(default_factory=list[Any])
    losses: list[tuple[str, int, str, str, str]] = field(default_factory=list[Any])

    def add(self, piece: Piece) -> None:
        """Take in all but the data."""
        self.length += piece.length
        self.rows += piece.rows
        self.written += piece.written
        self.refused += piece.refused
        self.lossy += piece.lossy
        self.detected.update(piece.detected)
        self.counts.update(piece.counts)
        self.refusals.extend(piece.refusals[: KEPT - len(self.refusals)])
        self.losses.extend(piece.losses[: KEPT - len(self.losses)])


def change(block: Block, to: str, on_loss: OnLoss, room: int = KEPT) -> Piece:
    """One block's rows in the dialect `to`. At most `room` losses and refusals are told in words; all are counted."""
    collecting = gc.isenabled()
    gc.disable()  # rows are trees: looking for cycles among them would cost as much as reading them
    try:
        return _Change(block.source, to, on_loss, room).run(block)
    finally:
        if collecting:
            gc.enable()


class _Change:
    def __init__(self, source: str, to: str, on_loss: OnLoss, room: int) -> None:
        self._source, self._target, self._on_loss, self._room = source, dialects.DIALECTS[to], on_loss, room
        self._takes_chats = self._target.kind == "chat" and to != "openai"
        self._piece = Piece()

    def run(self, block: Block) -> Piece:
        piece, findings = self._piece, Findings(source=block.source)
        rows = parse(block, findings, self._target.write_plain if self._takes_chats else None)
        broken = {issue.row: issue for issue in reversed(findings.issues) if issue.severity == "error"}
        if None in broken:
            self._refuse(None, None, broken[None].message)
        unread = sorted(findings.bad_rows.difference(row.number for row in rows))
        for number in unread:
            issue = broken.get(number)
            self._refuse(number, issue.path if issue else None, issue.message if issue else "it cannot be read.")
        piece.length = block.length or len(block.data or b"")
        piece.rows = len(rows) + len(unread)
        piece.detected["unknown"] += len(unread)
        lines: list[bytes] = []
        detect, bad, detected = dialects.detect, findings.bad_rows, piece.detected
        for row in rows:
            if row.said is not None:
                detected["openai"] += 1
                lines.append(row.said)
                continue
            name = row.dialect or detect(row.data)
            detected[name or "unknown"] += 1
            if row.number in bad:
                issue = broken.get(row.number)
                why = issue.message if issue else "the line has an error."
                self._refuse(row.number, issue.path if issue else None, f"{why} Mend it first: tuneport validate --fix")
            elif (line := self._row(row, name)) is not None:
                lines.append(line)
        piece.written = len(lines)
        piece.detected += Counter()  # without what was not met
        piece.data = b"\n".join([*lines, b""])
        piece.size = len(piece.data)
        return piece

    def _row(self, row: Row, name: str | None) -> bytes | None:
        if name == "openai" and self._takes_chats:  # canonical but for empty cells, which no writer minds
            said, losses = self._target.write(row.data)
            if losses:
                return self._line(row, said) if self._accept(row, dialects.DIALECTS[name], losses) else None
            try:
                return orjson.dumps(said)
            except TypeError:
                return self._line(row, said)
        if name is None:
            self._refuse(row.number, None, f"the keys {sorted(map(str, row.data))} belong to no known dialect.")
            return None
        if name == self._target.name:
            return row.raw or self._line(row, row.data)
        written_in = dialects.DIALECTS[name]
        if written_in.kind != self._target.kind:
            self._refuse(row.number, None, f"a {name} row ({written_in.kind}) cannot be said in {self._target.name}.")
            return None
        said, losses = self._target.write(written_in.read(row.data))
        if losses and not self._accept(row, written_in, losses):
            return None
        return self._line(row, said)

    def _accept(self, row: Row, written_in: dialects.Dialect, losses: list[dialects.Loss]) -> bool:
        piece = self._piece
        stops = [loss for loss in losses if loss.fatal] or (losses if self._on_loss == "refuse-row" else [])
        if stops:
            path = written_in.where(stops[0].path, row.data) if len(piece.refusals) < self._room else None
            self._refuse(row.number, path, f"{stops[0].what}: {stops[0].why}.")
            return False
        piece.lossy += 1
        for loss in losses:
            piece.counts[_INDEX.sub("[]", loss.path)] += 1
            if len(piece.losses) < self._room:
                path = written_in.where(loss.path, row.data)
                piece.losses.append((self._source, row.number, path, loss.what, loss.why))
        return True

    def _line(self, row: Row, said: Any) -> bytes | None:
        try:
            return line_of(said)
        except ValueError as error:
            self._refuse(row.number, None, f"it cannot be written as JSON: {error}.")
            return None

    def _refuse(self, row: int | None, path: str | None, reason: str) -> None:
        self._piece.refused += 1
        if len(self._piece.refusals) < self._room:
            self._piece.refusals.append((self._source, row, path, reason))
