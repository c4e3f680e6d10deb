"""Near duplicates: MinHash signatures of whole batches in numpy, and the search for rows whose signatures agree.

Every run of 8 bytes of a folded text is hashed to 32 bits. The upper 7 bits choose one of 128 bins, the least hash of each
bin is kept, and 8 bits of it are the signature: one-permutation hashing (Li, Owen and Zhang 2012) with b bits (Li and
König 2010). A bin that nothing fell into borrows from another, the same for all rows (Shrivastava 2017). The share
of equal bins estimates the Jaccard similarity of the two sets of runs, with a standard error of 0.035 at 0.8.

What a tenth of a batch's rows share is a template, not a repetition, and is left out before: else every row under one
long instruction would be near every other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuneport.dataset.spill import Column, Spill, starts

BINS = 128
BANDS = 16  # of 8 bins: pairs of similarity 0.8 share one with probability 0.95, of 0.9 with 0.9999, of 0.5 with 0.06
THRESHOLD = 0.8
ERROR = 0.035  # the standard error of the estimate at the threshold: sqrt(0.8 * 0.2 / 128)
WIDTH = 8  # bytes in a run: a changed letter touches 8 runs
LEAST = 80  # bytes: below, one changed letter already brings two texts under the threshold
LONGEST = 1 << 18  # bytes of one row that are looked at
LEARN = 64  # rows of a batch from which its templates can be learnt
NONE = 0xFFFFFFFF

_FILLED = 36  # bins: fewer are too little text of its own (42 runs) to compare
_SAMPLE = 128  # rows of a batch that templates are learnt from, and bytes of each
_SAMPLE_BYTES = 3072
_TABLE = 18  # bits of the hash by which templates are counted
_CHUNK = 1 << 16  # bytes at a time: what the work needs stays in the processor's cache
_A, _B, _C = np.uint32(2654435761), np.uint32(2246822519), np.uint32(3266489917)
_EMPTY = np.uint32(NONE)

Ints = NDArray[np.int64]
Words = NDArray[np.uint32]
Flags = NDArray[np.bool_]


class Texts:
    """Folded texts one after another. Picklable, and cheap to hand to numpy."""

    def __init__(self, texts: list[bytes]) -> None:
        self.data = b"".join([text[:LONGEST] for text in texts])
        self.lengths = np.fromiter((min(len(text), LONGEST) for text in texts), np.int64, len(texts))

    def chunks(self) -> Iterator[tuple[int, NDArray[np.uint8], Ints]]:
        """(first row, bytes, lengths) of rows that fit a chunk together; a longer row comes alone."""
        every = np.frombuffer(self.data, np.uint8)
        ends = np.cumsum(self.lengths)
        row, begin = 0, 0
        while row < len(ends):
            stop = max(row + 1, int(np.searchsorted(ends, begin + _CHUNK, side="right")))
            yield row, every[begin : int(ends[stop - 1])], self.lengths[row:stop]
            begin, row = int(ends[stop - 1]), stop


def _hashes(data: NDArray[np.uint8], lengths: Ints) -> Words:
    """One hash for each place where a run begins; those that would reach into the next row are `NONE`."""
    count = len(data) - WIDTH + 1
    if count <= 0:
        return np.empty(0, np.uint32)
    fours = np.ndarray((len(data) - 3,), "<u4", np.ascontiguousarray(data), strides=(1,)).copy()
    made = fours[4:] * _B
    fours *= _A
    made += fours[:-4]
    made ^= made >> np.uint32(15)
    made *= _C
    ends = np.cumsum(lengths)
    over = (ends[:, None] - np.arange(1, WIDTH)).ravel()
    made[over[(over >= 0) & (over < count)]] = _EMPTY
    return made


def templates(texts: Texts) -> Words:
    """What many of these rows have in common, as places of the table: what a tenth of them share, and 13 at least."""
    rows = len(texts.lengths)
    if rows < 5:
        return np.empty(0, np.uint32)
    picked = np.unique(np.linspace(0, rows - 1, min(rows, _SAMPLE)).astype(np.int64))
    begins = np.cumsum(texts.lengths) - texts.lengths
    lengths = np.minimum(texts.lengths[picked], _SAMPLE_BYTES)
    pieces = [
        texts.data[begin : begin + length]
        for begin, length in zip(begins[picked].tolist(), lengths.tolist(), strict=True)
    ]
    hashes = _hashes(np.frombuffer(b"".join(pieces), np.uint8), lengths)
    counts = np.bincount(hashes >> np.uint32(32 - _TABLE), minlength=1 << _TABLE)
    counts[-1] = 0  # where `NONE` falls
    least = max(13, len(picked) // 10) if rows >= LEARN else max(5, (rows + 1) // 2)
    return np.flatnonzero(counts >= least).astype(np.uint32)


def signatures(texts: Texts, common: Words) -> tuple[NDArray[np.uint8], Flags]:
    """(rows, BINS) bytes, and which of the rows have text enough of their own to be compared."""
    rows = len(texts.lengths)
    least = np.full(rows * BINS, _EMPTY, np.uint32)
    shared = np.zeros(1 << _TABLE, np.bool_)
    shared[common] = True
    for first, data, lengths in texts.chunks():
        hashes = _hashes(data, lengths)
        if len(common):
            hashes[shared.take(hashes >> np.uint32(32 - _TABLE))] = _EMPTY
        place = np.repeat(np.arange(first, first + len(lengths), dtype=np.int64) * BINS, lengths)[: len(hashes)]
        place += hashes >> np.uint32(25)
        np.minimum.at(least, place, hashes)
    bins = least.reshape(-1, BINS)
    filled = bins != _EMPTY
    numbers = filled.sum(axis=1)
    enough = (numbers >= _FILLED) & (texts.lengths >= LEAST)
    _borrow(bins, filled, numbers)
    return (bins >> np.uint32(8)).astype(np.uint8), enough


_LENDERS = [  # 32 orders of the bins, the same on every machine
    np.argsort(
        (np.arange(1, BINS + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15 ^ step * 0xC2B2AE35)) >> np.uint64(20)
    )
    for step in range(2, 66, 2)
]


def _borrow(bins: NDArray[np.uint32], filled: Flags, numbers: NDArray[Any]) -> None:
    lacking = np.flatnonzero((numbers < BINS) & (numbers >= _FILLED))
    row, place = np.nonzero(~filled[lacking])
    row = lacking[row]
    for lenders in _LENDERS:
        if not len(row):
            return
        lender = lenders[place]
        found = filled[row, lender]
        bins[row[found], place[found]] = bins[row[found], lender[found]]
        row, place = row[~found], place[~found]


_SALT = np.array([(0x9E3779B97F4A7C15 * (band + 1)) & (2**64 - 1) for band in range(BANDS)], np.uint64)


def band_keys(made: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """(rows, BANDS): rows that agree in all bins of a band share its key."""
    keys = made.view("<u8") ^ _SALT
    keys *= np.uint64(0xFF51AFD7ED558CCD)
    keys ^= keys >> np.uint64(32)
    keys *= np.uint64(0xC4CEB9FE1A85EC53)
    return keys


class Search:
    """Gathers signatures in the rows' order and finds, for each row, an earlier one that is nearly the same."""

    def __init__(self, directory: Any) -> None:
        self._signatures = Column(directory, np.uint8, BINS)
        self._rows: list[Words] = []
        self._bands = Spill(directory, ("place",))
        self._count = 0

    def add(self, rows: Words, made: NDArray[np.uint8]) -> None:
        """`rows` are the rows' places in the whole."""
        if not len(rows):
            return
        self._signatures.add(made)
        self._rows.append(rows)
        keys = band_keys(made)
        places = np.arange(self._count, self._count + len(rows), dtype=np.uint64)
        self._bands.add(self._bands.records(keys.ravel(), np.repeat(places, BANDS)))
        self._count += len(rows)

    def pairs(self, splits: NDArray[np.uint8], passed: Flags) -> tuple[Words, Words]:
        """For each row, an earlier one of its own split that is near it, and one of another split; else `NONE`.

        Splits come in the order of their numbers: a row of split 1 or 2 is held against rows of split 0 first. `passed` rows
        are left out: they are whole repetitions.
        """
        same = np.full(len(splits), NONE, np.uint32)
        other = np.full(len(splits), NONE, np.uint32)
        if not self._rows:
            return same, other
        places = np.concatenate(self._rows).astype(np.int64)
        for records in self._bands.parts():
            keys, near = records["key"], records["place"].astype(np.int64)
            kept = _shared(keys)
            kept &= ~passed[places[near]]
            keys, near = keys[kept], near[kept]
            rows = places[near]
            order = np.lexsort((near, splits[rows], keys))
            keys, near, rows = keys[order], near[order], rows[order]
            begins = starts(keys)
            if len(begins) == len(keys):
                continue
            first = np.repeat(begins, np.diff(np.r_[begins, len(keys)]))
            later = np.arange(len(keys))
            for earlier in (first, later - 1):
                use = later > first
                self._settle(near, rows, later[use], earlier[use], splits, same, other)
        self._bands.close()
        self._signatures.close()
        return same, other

    def _settle(
        self,
        near: Ints,
        rows: Ints,
        later: Ints,
        earlier: Ints,
        splits: NDArray[np.uint8],
        same: Words,
        other: Words,
    ) -> None:
        for start in range(0, len(later), 1 << 14):
            a, b = later[start : start + (1 << 14)], earlier[start : start + (1 << 14)]
            alike = splits[rows[a]] == splits[rows[b]]
            known = np.where(alike, same[rows[a]], other[rows[a]]) != NONE
            a, b, alike = a[~known], b[~known], alike[~known]
            if not len(a):
                continue
            agree = (self._signatures.take(near[a]) == self._signatures.take(near[b])).mean(axis=1) >= THRESHOLD
            a, b, alike = rows[a[agree]], rows[b[agree]], alike[agree]
            same[a[alike]] = b[alike]
            other[a[~alike]] = b[~alike]


def _shared(keys: NDArray[Any]) -> Flags:
    equal = keys[1:] == keys[:-1]
    return np.r_[False, equal] | np.r_[equal, False] if len(keys) > 1 else np.zeros(len(keys), np.bool_)
