"""CSV and TSV as rows: the csv module over bounded lines."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Any, cast

import orjson

from tuneport.dataset.checks.base import shown
from tuneport.dataset.formats import Blocks, Broken, File, Meter, UnreadableError, chunks, cut, refuse_disguised
from tuneport.dataset.lines import BOM, MAX_ROW, Note
from tuneport.dataset.tables import Builder

_UNREAD = "; the rest was not read."
# Columns that hold JSON; and those that hold JSON only if it is a list of turns, and text otherwise.
_JSON_COLUMNS = {
    *("messages", "conversations", "contents", "tools", "completions", "references", "metadata"),
    *("preferred_output", "non_preferred_output", "systemInstruction", "system_instruction"),
}
_TURN_COLUMNS = {"prompt", "completion", "chosen", "rejected", "input", "system"}


def csv_file(file: File, size: int) -> Blocks:
    """The first line names the columns; rows are numbered from the one after it. Cells are text; an empty one stays empty."""
    meter = Meter()
    builder = Builder(file.name, size, meter)
    source = _CsvLines(file, meter, size)
    header: list[str] | None = None
    csv.field_size_limit(max(csv.field_size_limit(), MAX_ROW))  # the module's own default refuses long texts
    broken: Broken | None = None
    try:
        first = next((line for line in source if line.strip()), None)
        if first is not None:
            separator = "\t" if file.kind == "tsv" else _separator(first)
            for cells in csv.reader(source.from_first(first), delimiter=separator):
                bad, source.bad, source.length = source.bad, None, 0
                if not cells:
                    continue
                if header is None:
                    header = _header(cells, bad, file, builder)
                elif bad is not None:
                    yield from builder.refuse(bad._replace(row=builder.number))
                elif len(cells) != len(header):
                    message = f"the row has {len(cells)} cells, the header names {len(header)} columns."
                    yield from builder.refuse(Note("file.columns", message, builder.number))
                else:
                    row, note = _csv_row(header, cells, builder.number)
                    yield from builder.refuse(note) if note else builder.add(row)
    except csv.Error as error:
        code = "file.row-too-large" if "limit" in str(error) else "file.damaged"
        broken = Broken(code, f"the rest was not read: {error}.", fix="Close the quotes around each cell.")
    except Broken as error:
        broken = error
    if broken is not None:
        builder.tell(broken.note(builder.number))
    yield from builder.end()
    return builder.number > 1 or broken is not None


class _CsvLines:
    """Decoded lines for the csv module. It joins those within quotes, so what they come to is bounded here."""

    def __init__(self, file: File, meter: Meter, size: int) -> None:
        self.bad: Note | None = None  # not UTF-8, in the record being read
        self.length = 0
        self._lines = self._read(file, meter, size)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.length += len(line)
        if self.length > MAX_ROW:
            message = f"a row of more than {MAX_ROW:,} bytes, mostly a quote that is not closed{_UNREAD}"
            raise Broken("file.row-too-large", message)
        return line

    def from_first(self, line: str) -> Iterator[str]:
        yield line
        yield from self

    def _read(self, file: File, meter: Meter, size: int) -> Iterator[str]:
        begins = True
        for piece in cut(chunks(file, meter, size)):
            if piece.notes:
                note = piece.notes[0]
                raise Broken(note.code, f"{note.message.removesuffix(_UNREAD).rstrip('.')}{_UNREAD}")
            data = piece.data
            if begins:
                refuse_disguised(file, data)
                data, begins = data.removeprefix(BOM), False  # Excel's mark, which is customary in CSV
            lines = data.split(b"\n")
            for line in lines if lines[-1] else lines[:-1]:
                try:
                    text = line.decode()
                except UnicodeDecodeError as error:
                    at = error.start
                    self.bad = Note(
                        "file.not-utf8", f"not UTF-8: byte 0x{line[at]:02x} at position {at + 1} of its line."
                    )
                    text = line.decode(errors="replace")
                yield text + "\n"


def _separator(header: str) -> str:
    """Semicolons where the header has them and no comma, as spreadsheets write in much of Europe."""
    return ";" if ";" in header and "," not in header else ","


def _header(cells: list[str], bad: Note | None, file: File, builder: Builder) -> list[str]:
    if bad is not None:
        raise UnreadableError(
            f"{file.name}, line 1: {bad.message} Save the file as UTF-8.", source=file.name, row=1, code=bad.code
        )
    names = [cell.strip() for cell in cells]
    for name in dict.fromkeys(name for name in names if names.count(name) > 1):
        builder.tell(Note("file.duplicate-keys", f"the header names the column {shown(name)} twice.", 1, name or None))
    return names


def _csv_row(header: list[str], cells: list[str], number: int) -> tuple[dict[str, Any], Note | None]:
    row: dict[str, Any] = {}
    for name, cell in zip(header, cells, strict=True):
        start = cell.lstrip()[:1]
        if name in _JSON_COLUMNS:
            if not start:
                continue
            if start in "[{":
                try:
                    row[name] = orjson.loads(cell)
                except orjson.JSONDecodeError as error:
                    fix = "Write the cell with json.dumps: this is Python's own notation." if "'" in cell[:3] else None
                    return row, Note(
                        "file.not-json", f"the cell is not JSON ({error.msg}): {shown(cell)}", number, name, fix
                    )
                continue
        elif name in _TURN_COLUMNS and start in {"[", "{"} and (turns := _turns(cell)) is not None:
            row[name] = turns
            continue
        row[name] = cell
    return row, None


def _turns(cell: str) -> Any:
    try:
        value = orjson.loads(cell)
    except orjson.JSONDecodeError:
        return None
    turns = cast("dict[str, Any]", value).get("messages") if isinstance(value, dict) else value
    if not isinstance(turns, list) or not turns:
        return None
    return (
        cast("Any", value)
        if all(isinstance(turn, dict) and "role" in turn for turn in cast("list[Any]", turns))
        else None
    )
