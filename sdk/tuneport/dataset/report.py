"""What validation says: every issue, what was counted, where the rows go, and one score with its parts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from tuneport.dataset.issues import Issue
from tuneport.errors import DatasetError
from tuneport.result import LedgerTotals

if TYPE_CHECKING:
    from tuneport.dataset.core import Dataset

REPORT_VERSION = 1


class Part(BaseModel):
    """One part of the score: `value` from 0 to 1, its `weight`, and why it is so."""

    model_config = ConfigDict(frozen=True)

    name: str
    value: float
    weight: float
    why: str


class Score(BaseModel):
    """0 to 100: the weighted mean of the parts, so that two datasets can be compared part by part."""

    model_config = ConfigDict(frozen=True)

    value: int
    parts: list[Part]


class ValidationReport(BaseModel):
    """`issues` holds the first of each code whole (1,000 at most); `counts` counts all of them.

    `ledger` says where the rows would go: used, truncated (longer than the limit, the answer kept) or dropped (an error).
    """

    model_config = ConfigDict(frozen=True)

    schema_version: int = REPORT_VERSION
    source: str
    target: str | None = None
    objective: str
    dialect: str
    detected: str = Field(description="what the file was taken for, in a sentence")
    rows: int
    splits: dict[str, int] = Field(default_factory=dict)
    issues: list[Issue] = Field(default_factory=list[Issue])
    counts: dict[str, int] = Field(default_factory=dict)
    stats: dict[str, dict[str, Any]] = Field(default_factory=dict)
    ledger: LedgerTotals
    score: Score
    privacy: str = "block"
    not_checked: list[str] = Field(default_factory=list, description="checks that were not made, and why")
    _fixer: Callable[[], Dataset] | None = PrivateAttr(default=None)

    @property
    def ok(self) -> bool:
        """No issue is an error."""
        return not any(issue.severity == "error" for issue in self.issues)

    def fixed(self) -> Dataset:
        """The repaired rows as a `Dataset`: what a program can mend is mended, what it cannot is left out and said.

        Its `.changes` lists each change by row.
        """
        if self._fixer is None:
            raise DatasetError("a report that was read from JSON does not hold its data: validate the data again")
        return self._fixer()

    def with_fixer(self, fixer: Callable[[], Dataset]) -> ValidationReport:
        """The report with what `fixed` calls; it does not go into JSON."""
        self._fixer = fixer
        return self


_ANSWERS = (
    "refusal", "boilerplate", "copied-prompt", "control-token", "mojibake", "repetition", "placeholder", "cut-off",
    "inconsistent-format", "language-mix", "short-answer",
)  # fmt: skip
_SPREAD = ("low-diversity", "label-imbalance")
_PERSONAL = ("secret", "card", "identity-number", "bank-account")


def score(counts: Mapping[str, int], ledger: LedgerTotals) -> Score:
    """The score of a dataset. Each part is a share of the rows, but for the size, which grows with the logarithm of the rows
    from 10 (0) to 1,000 (1): 50 to 100 rows are the least that help, 500 to 1,000 are good.
    """
    rows = max(1, ledger.rows)

    def share(family: str, names: tuple[str, ...]) -> tuple[float, int]:
        count = sum(counts.get(f"{family}.{name}", 0) for name in names)
        return max(0.0, 1 - count / rows), count

    usable = (ledger.used + ledger.truncated) / rows
    size = min(1.0, max(0.0, math.log10(max(1, ledger.used)) - 1) / 2)
    unique, repeats = share("quality", ("duplicate", "near-duplicate", "contradiction"))
    answers, bad_answers = share("quality", _ANSWERS)
    personal, found = share("privacy", _PERSONAL)
    whole, cut = share("tokens", ("too-long",))
    narrow = sum(counts.get(f"quality.{name}", 0) for name in _SPREAD)
    leaks = sum(counts.get(f"split.{name}", 0) for name in ("leak", "near-leak", "group-leak"))
    parts = [
        Part(
            name="usable rows",
            value=usable,
            weight=0.30,
            why=f"{ledger.dropped} of {ledger.rows} rows would be dropped",
        ),
        Part(name="size", value=size, weight=0.15, why=f"{ledger.used} usable rows; 500 to 1,000 are good"),
        Part(
            name="no repeats",
            value=unique,
            weight=0.15,
            why=f"{repeats} duplicates, near duplicates and contradictions",
        ),
        Part(name="answers", value=answers, weight=0.15, why=f"{bad_answers} answers look wrong in form"),
        Part(
            name="privacy", value=0.0 if found else personal, weight=0.10, why=f"{found} secrets and identity numbers"
        ),
        Part(name="length", value=whole, weight=0.05, why=f"{cut} rows are longer than the limit"),
        Part(name="variety", value=0.0 if narrow else 1.0, weight=0.05, why=f"{narrow} findings of little variety"),
        Part(name="clean splits", value=0.0 if leaks else 1.0, weight=0.05, why=f"{leaks} held-out rows leak"),
    ]
    parts = [part.model_copy(update={"value": round(part.value, 3)}) for part in parts]
    return Score(value=round(100 * sum(part.value * part.weight for part in parts)), parts=parts)
