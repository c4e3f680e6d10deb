"""The suite's outcome as a table: backend × behaviour, with every declared no and its reason."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

KEPT = Path(__file__).parents[2] / "docs" / "contract.md"
BEHAVIOURS = {
    "create": "create: the intent is stored first, one job is made, it says its id",
    "refuse": "what cannot be done, and missing credentials, are refused before anything is sent",
    "follow": "its events in order, once each, from any point on; the states that it passes",
    "async": "the async twins",
    "cancel": "cancel in each state, and after the end",
    "fail": "a job that fails there fails here, with its reason",
    "pause": "pause, and go on",
    "process": "another process sees the same, at each step",
    "resume": "an intent that was never submitted is submitted once, whoever asks",
    "list": "list and filter; many jobs in few requests",
    "result": "one schema, the provider's payload kept, the same after a reload",
    "chat": "the tuned model answers as it was taught",
    "faults": "lost replies, limits, errors, unknown states, nulls",
    "kill": "kill -9 of the process, at any point: one job or none, never two",
    "secrets": "no credential in any file, event, message or output",
    "remove": "what it made is named, then removed",
}


class Seen:
    """What came of each behaviour of each backend."""

    def __init__(self) -> None:
        self.cells: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)

    def note(self, backend: str, behaviour: str, report: pytest.TestReport) -> None:
        if report.when != "call" and not (report.when == "setup" and not report.passed):
            return
        said = ""
        if report.skipped and isinstance(report.longrepr, tuple):
            said = str(report.longrepr[2]).removeprefix("Skipped: ")
        self.cells[backend, behaviour].append((report.outcome, said))

    def cell(self, backend: str, behaviour: str) -> tuple[str, list[str]]:
        """A word, and the declared reasons."""
        outcomes = self.cells.get((backend, behaviour), [])
        reasons = sorted({said.removeprefix("declared: ") for _, said in outcomes if said.startswith("declared: ")})
        kinds = {outcome for outcome, said in outcomes if not said.startswith("declared: ")}
        if "failed" in kinds:
            return "**fails**", reasons
        if "passed" in kinds:
            return "yes", reasons
        if reasons:
            return "no", reasons
        return ("–" if outcomes else "not run"), reasons

    def markdown(self, backends: Any) -> str:
        names = list(backends)
        notes: dict[str, int] = {}
        lines = ["| behaviour | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
        for behaviour, about in BEHAVIOURS.items():
            row: list[str] = []
            for name in names:
                word, reasons = self.cell(name, behaviour)
                marks = "".join(f" [{notes.setdefault(reason, len(notes) + 1)}]" for reason in reasons)
                row.append(word + marks)
            lines.append(f"| {about} | " + " | ".join(row) + " |")
        said = [f"{number}. {reason}" for reason, number in notes.items()]
        return "\n".join([*lines, "", *(["Declared, before anything is submitted:", "", *said] if said else [])]) + "\n"


SEEN = pytest.StashKey[Seen]()
HEAD = """# What each backend was seen to do

Made by `python -m tests.contract --write`: the contract suite, run over every registered backend, the hosted ones through the
providers' own SDKs against the simulators, the local one with the real engine; `acme` is a third party's package, installed
from [the guide](adding-a-backend.md). A number in brackets is a limit that the backend declares; – stands where there is
nothing to see: no provider between us and the local engine whose replies could be lost, no credentials.

"""


def kept() -> str:
    """The table as it is in the docs, to be held against a run."""
    found = re.search(r"^\| behaviour.*", KEPT.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return found[0] if found else ""
