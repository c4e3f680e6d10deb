"""What something costs: wall and CPU seconds and memory, shown as ratios to another cost."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import psutil


class Cost(NamedTuple):
    """Wall seconds; CPU seconds of a program and its children; the peak of their memory in MiB (None: not taken)."""

    wall: float
    cpu: float
    peak: float | None = None


def timed(action: Callable[[], Any]) -> Cost:
    start, cpu = time.perf_counter(), time.process_time()
    action()
    return Cost(time.perf_counter() - start, time.process_time() - cpu)


def program(code: str, *words: str) -> Cost:
    """A program of its own; memory sampled four times a second, since asking for it stops the program for a moment."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    process = psutil.Popen([sys.executable, "-c", code, *words], stdout=subprocess.DEVNULL)
    most = 0.0
    code_of_end: int | None = None
    while code_of_end is None:
        try:
            code_of_end = process.wait(0.25)
        except psutil.TimeoutExpired:
            most = max(most, _of_family(process))
    wall = time.perf_counter() - start
    if code_of_end:
        raise RuntimeError(f"the program ended with {code_of_end}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(wall, cpu, most)


def _of_family(process: psutil.Process) -> float:
    try:
        return sum(_memory(member) for member in (process, *process.children(recursive=True))) / 2**20
    except psutil.Error:  # one of them has ended meanwhile
        return 0.0


def _memory(process: psutil.Process) -> int:
    full = process.memory_full_info()  # PSS counts a page that several share once
    return int(getattr(full, "pss", 0) or getattr(full, "uss", full.rss))


def line(name: str, cost: Cost, floor: Cost, size: float, found: str = "") -> None:
    shown = "" if cost.peak is None else f"{cost.peak:>10,.0f}"
    ratios = f"{cost.wall / floor.wall:>9.1f}{cost.cpu / floor.cpu:>9.1f}"
    print(f"{name:<36}{cost.wall:>8.1f}{ratios}{size / cost.wall:>8.1f}{shown}{found}", flush=True)
