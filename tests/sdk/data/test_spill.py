"""Spilled records come back whole, by key and in order, whether they stayed in memory or went to disk in several cuts."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneport.dataset import spill as module
from tuneport.dataset.spill import Column, Spill


def groups_of(spill: Spill, at_least: int = 2) -> dict[int, list[int]]:
    return {int(group["key"][0]): group["row"].tolist() for group in spill.groups(at_least)}


@given(st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 5), max_size=200), st.integers(1, 50))
def test_groups_are_all_records_of_a_key_in_the_order_added(keys: list[int], step: int) -> None:
    spill = Spill(None)
    expected: dict[int, list[int]] = defaultdict(list)
    for start in range(0, len(keys), step):
        block = keys[start : start + step]
        spill.add(spill.records(np.array(block, np.uint64), np.arange(start, start + len(block))))
    for row, key in enumerate(keys):
        expected[key].append(row)
    assert groups_of(spill, 1) == dict(expected)


@pytest.mark.parametrize("whole", [1 << 20, 500])
def test_what_goes_to_disk_comes_back_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: int) -> None:
    monkeypatch.setattr(module, "_HELD", 1000)
    monkeypatch.setattr(module, "_WHOLE", whole)  # 500: partitions are cut again
    rng = np.random.default_rng(5)
    keys = rng.integers(0, 2**64, 60_000, dtype=np.uint64)
    keys[rng.integers(0, 60_000, 20_000)] = keys[7]  # one key alone outgrows a partition
    spill = Spill(tmp_path)
    for start in range(0, len(keys), 777):
        block = keys[start : start + 777]
        spill.add(spill.records(block, np.arange(start, start + len(block))))
    assert not list(tmp_path.iterdir()), "the files have no names"
    expected: dict[int, list[int]] = defaultdict(list)
    for row, key in enumerate(keys.tolist()):
        expected[key].append(row)
    assert groups_of(spill) == {key: rows for key, rows in expected.items() if len(rows) > 1}


def test_an_empty_spill_has_no_groups() -> None:
    spill = Spill(None, ("row", "answer"))
    spill.add(spill.records(np.empty(0, np.uint64), [], []))
    assert list(spill.groups()) == []


@pytest.mark.parametrize("rows", [10, 300_000])
def test_a_column_gives_back_any_places(tmp_path: Path, rows: int) -> None:
    wide, narrow = Column(tmp_path, np.uint8, 32), Column(tmp_path, np.uint64)
    values = np.random.default_rng(1).integers(0, 255, (rows, 32)).astype(np.uint8)
    for start in range(0, rows, 1000):
        wide.add(values[start : start + 1000])
        narrow.add(np.arange(start, min(start + 1000, rows)))
    places = np.array([rows - 1, 0, rows // 2, 0])
    assert len(wide) == len(narrow) == rows
    assert (wide.take(places) == values[places]).all()
    assert narrow.take(places).tolist() == places.tolist()
    wide.close()
    narrow.close()


def test_a_column_without_values_gives_none() -> None:
    assert Column(None, np.uint64).take(np.empty(0, np.int64)).tolist() == []
