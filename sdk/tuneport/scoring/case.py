"""What is scored, and what a metric is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Case:
    """One answer beside what was expected. `row` is the test row as it was read; `nats` is summed -ln p of `expected`."""

    answer: str
    expected: str | None
    calls: Sequence[Mapping[str, Any]] = ()
    expected_calls: Sequence[Mapping[str, Any]] = ()
    row: Mapping[str, Any] = field(default_factory=dict[str, Any])
    tokens: int | None = None
    nats: float | None = None
    nats_tokens: int = 0


Score = Callable[[Case], "float | None"]
Whole = Callable[[Sequence[Case]], "float | None"]


@dataclass(frozen=True)
class Metric:
    """`share`: a value between 0 and 1, told as a percentage. `fits`: why it does not fit these rows, or "" ."""

    name: str
    says: str
    kind: Literal["binary", "continuous"]
    score: Score
    higher_is_better: bool | None = True
    share: bool = True
    unit: str = ""
    worst: float | None = 0.0
    whole: Whole | None = None
    fits: Callable[[Sequence[Case]], str] = lambda _: ""
