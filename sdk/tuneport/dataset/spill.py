"""What must be remembered of every row and may not fit in memory: fixed-width records on disk, handed back by equal keys.

Records are cut into partitions by their key, so that only one partition is ever in memory; one that has grown too large
is cut again.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

_BITS = 6
_PARTITIONS = 1 << _BITS
_HELD = 1 << 16  # records in memory before they go to disk
_WHOLE = 1 << 20  # records of one partition that are sorted at once: 24 MB with two fields
_DEEPEST = 3  # 2 ** 24 partitions hold more records than a disk; one that is still too large is one key


class Spill:
    """Records of a 64-bit `key` and further 64-bit unsigned fields. Up to 65,536 of them stay in memory.

    `add` takes a structured array of `dtype`; `groups` gives those that share a key, in the order in which they were added.
    Keys must be evenly spread (hashes); the records of one key alone must fit in memory.

    One file holds all partitions: each block that is written is sorted by partition, and where they end in it is
    remembered. A file for each would be 64 open files, and some systems allow 256 in all.
    """

    def __init__(self, directory: Path | None, fields: Sequence[str] = ("row",), *, level: int = 0) -> None:
        self.dtype = np.dtype([("key", "<u8"), *((name, "<u8") for name in fields)])
        self._fields = tuple(fields)
        self._directory = directory
        self._level = level
        self._held: list[NDArray[Any]] = []
        self._count = 0
        self._file: IO[bytes] | None = None
        self._blocks: list[NDArray[Any]] = []  # where in the file, in records, each one's partitions begin and end

    def records(self, key: Any, *fields: Any) -> NDArray[Any]:
        """An array for `add` from columns (arrays or lists of equal length, or scalars)."""
        keys = np.asarray(key, dtype="<u8")
        made = np.empty(keys.shape, dtype=self.dtype)
        for name, column in zip(self.dtype.names or (), (keys, *fields), strict=True):
            made[name] = column
        return made

    def add(self, records: NDArray[Any]) -> None:
        if not len(records):
            return
        self._held.append(records)
        self._count += len(records)
        if self._count >= _HELD:
            self._write()

    def parts(self) -> Iterator[NDArray[Any]]:
        """All records, sorted by key and within a key in the order added, a part at a time; no key stands in two parts.

        May be called once; the file is gone after.
        """
        if self._file is None:
            held = np.concatenate(self._held) if self._held else np.empty(0, self.dtype)
            self.close()
            if len(held):
                yield held[np.argsort(held["key"], kind="stable")]
            return
        self._write()
        sizes = np.diff(np.array(self._blocks), axis=1).sum(axis=0)
        try:
            for part in range(_PARTITIONS):
                if not sizes[part]:
                    continue
                if sizes[part] > _WHOLE and self._level < _DEEPEST:
                    smaller = Spill(self._directory, self._fields, level=self._level + 1)
                    for records in self._pieces(part):
                        smaller.add(records)
                    yield from smaller.parts()
                else:
                    records = np.concatenate(list(self._pieces(part)))
                    yield records[np.argsort(records["key"], kind="stable")]
        finally:
            self.close()

    def groups(self, at_least: int = 2) -> Iterator[NDArray[Any]]:
        """Arrays of the records with one key, of `at_least` that many. May be called once, instead of `parts`."""
        for records in self.parts():
            bounds = starts(records["key"])
            ends = np.r_[bounds[1:], len(records)]
            wanted = ends - bounds >= at_least
            for start, end in zip(bounds[wanted].tolist(), ends[wanted].tolist(), strict=True):
                yield records[start:end]

    def close(self) -> None:
        """Let go of everything."""
        self._held.clear()
        self._count = 0
        self._blocks.clear()
        if self._file is not None:
            self._file.close()
            self._file = None

    def __del__(self) -> None:
        self.close()

    def _pieces(self, part: int) -> Iterator[NDArray[Any]]:
        assert self._file is not None
        handle, size = self._file.fileno(), self.dtype.itemsize
        for block in self._blocks:
            start, end = int(block[part]), int(block[part + 1])
            if end > start:
                yield np.frombuffer(os.pread(handle, (end - start) * size, start * size), dtype=self.dtype)

    def _write(self) -> None:
        if self._file is None:
            self._file = _temporary(self._directory)
        if not self._held:
            return
        records = np.concatenate(self._held)
        self._held.clear()
        self._count = 0
        shift = np.uint64(64 - _BITS * (self._level + 1))
        # Of 8 bits: a stable sort of such is a counting sort.
        part = ((records["key"] >> shift) & np.uint64(_PARTITIONS - 1)).astype(np.uint8)
        order = np.argsort(part, kind="stable")
        before = int(self._blocks[-1][-1]) if self._blocks else 0
        self._blocks.append(before + np.searchsorted(part[order], np.arange(_PARTITIONS + 1)).astype(np.int64))
        _write_whole(self._file, records[order])


class Column:
    """One fixed-width value for each row, in order, on disk once there are many; read back at any places."""

    def __init__(self, directory: Path | None, dtype: DTypeLike, width: int = 1) -> None:
        self.dtype = np.dtype(dtype)
        self.width = width
        self._directory = directory
        self._held: list[NDArray[Any]] = []
        self._held_bytes = 0
        self._file: IO[bytes] | None = None
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def add(self, values: NDArray[Any]) -> None:
        """`values` is (rows,) or (rows, width)."""
        block = np.ascontiguousarray(values, dtype=self.dtype).reshape(-1, self.width)
        self._length += len(block)
        self._held.append(block)
        self._held_bytes += block.nbytes
        if self._held_bytes >= 1 << 22:
            self._write()

    def take(self, places: NDArray[Any]) -> NDArray[Any]:
        """The values at `places`, as (len, width), or (len,) where width is 1.

        Read with pread, not through a memory map: the pages of a map would count as this process's memory.
        """
        if self._file is None:
            if len(self._held) > 1:
                self._held = [np.concatenate(self._held)]
            made = self._held[0][places] if self._held else np.empty((0, self.width), self.dtype)
        else:
            self._write()
            handle, size = self._file.fileno(), self.dtype.itemsize * self.width
            raw = b"".join([os.pread(handle, size, place * size) for place in places.tolist()])
            made = np.frombuffer(raw, self.dtype).reshape(-1, self.width)
        return made[:, 0] if self.width == 1 else made

    def close(self) -> None:
        self._held.clear()
        if self._file is not None:
            self._file.close()
            self._file = None

    def __del__(self) -> None:
        self.close()

    def _write(self) -> None:
        if self._file is None:
            self._file = _temporary(self._directory)
        for held in self._held:
            _write_whole(self._file, held)
        self._held.clear()
        self._held_bytes = 0


def starts(keys: NDArray[Any]) -> NDArray[Any]:
    """Where each run of equal values begins."""
    if not len(keys):
        return np.empty(0, np.int64)
    return np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]])


def _temporary(directory: Path | None) -> IO[bytes]:
    """Unnamed: gone when closed, whatever happens."""
    return tempfile.TemporaryFile(dir=directory, buffering=0)


def _write_whole(file: IO[bytes], values: NDArray[Any]) -> None:
    rest = memoryview(values.tobytes())
    while rest:  # an unbuffered file may take less than it is given
        rest = rest[file.write(rest) :]
