"""A comparison as data: one schema for the page, the Markdown, the JSON and the blind review.

Contenders answered the same held-out rows with the same decoding. Each has a key (`A`, `B`, …) that everything else refers to;
differences are paired by row and are always `other` minus `base`.
"""

from __future__ import annotations

import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tuneport.errors import DatasetError
from tuneport.result import Cost, CurvePoint, HyperparameterNote, LedgerTotals
from tuneport.scoring.intervals import Interval

COMPARISON_VERSION = 1


class _Record(BaseModel):
    # Read back from files that an earlier or later version wrote: an unknown key is never a reason to fail.
    model_config = ConfigDict(extra="ignore", frozen=True)


class Answer(_Record):
    """What one contender said to one row. A row that failed has an `error` and no `content`; it counts as wrong."""

    content: str | None = None
    tool_calls: list[dict[str, Any]] = Field(default_factory=list[dict[str, Any]], description="in OpenAI's shape")
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    seconds: float | None = Field(default=None, description="from the question to the whole answer, retries left out")
    error: str | None = None

    @property
    def failed(self) -> bool:
        return self.error is not None


class ComparedRow(_Record):
    """One test row: what was asked, what was expected, and by contender what was answered and how it scored.

    `scores[metric][key]` is None where the metric does not apply to the row.
    """

    row: int = Field(description="the 1-based row of the test file")
    hash: str
    messages: list[dict[str, Any]] = Field(description="before the answer")
    tools: list[dict[str, Any]] = Field(default_factory=list[dict[str, Any]])
    expected: str | None = None
    expected_tool_calls: list[dict[str, Any]] = Field(default_factory=list[dict[str, Any]])
    answers: dict[str, Answer]
    scores: dict[str, dict[str, float | None]] = Field(default_factory=dict[str, dict[str, "float | None"]])


class Latency(_Record):
    """Seconds for a whole answer, over the rows that were answered in this or an earlier run of the same contender."""

    p50: float
    p90: float
    p99: float
    mean: float
    answers: int
    concurrency: int = Field(description="how many questions were under way together: it shapes the percentiles")


class Contender(_Record):
    """One that answered: who it is, how it fared as a whole, and what it costs."""

    key: str = Field(description="A, B, …: what rows, values and differences refer to")
    name: str = Field(description="what people read; unique in the comparison")
    kind: Literal["job", "model", "base", "few-shot", "system-prompt", "recorded"]
    model: str | None = Field(default=None, description='"<backend>:<model>" that answered; None for recorded answers')
    backend: str | None = None
    base_model: str | None = None
    job_id: str | None = None
    method: dict[str, Any] = Field(default_factory=dict[str, Any])
    prompt: str | None = Field(default=None, description="the system prompt put first, or the examples shown, in words")
    shots: int = 0
    overlap: Literal["none", "unknown"] = Field(
        default="unknown", description="of the test rows with what it was trained on; a known overlap refuses"
    )
    rows: int = Field(description="answered")
    failed: int = 0
    errors: dict[str, int] = Field(default_factory=dict[str, int], description="what failed, and on how many rows")
    reused: int = Field(default=0, description="answers that an earlier run had paid for")
    cut: int = Field(default=0, description="answers that ended at the token limit")
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    latency: Latency | None = None
    asked: Cost = Field(
        default_factory=Cost, description="what the answers of this comparison cost, the reused included"
    )
    per_thousand_calls: Cost = Field(default_factory=Cost, description="calls as long as this test's")
    training: Cost = Field(default_factory=Cost)
    keeping_per_month: Cost = Field(default_factory=Cost)
    training_seconds: float | None = None
    devices: list[str] = Field(default_factory=list[str])
    hyperparameters: list[HyperparameterNote] = Field(default_factory=list[HyperparameterNote])
    curve: list[CurvePoint] = Field(default_factory=list[CurvePoint])
    ledger: dict[str, LedgerTotals] = Field(default_factory=dict[str, LedgerTotals])
    warnings: list[str] = Field(default_factory=list[str])


class MetricInfo(_Record):
    name: str
    says: str = Field(description="what it measures, in one line")
    kind: Literal["binary", "continuous"]
    higher_is_better: bool | None = Field(description="None: neither, as of a length")
    unit: str = ""
    share: bool = Field(default=True, description="between 0 and 1, told as a percentage")
    note: str = Field(default="", description="why it does not fit the rows, or only some of them")


class Value(_Record):
    """One metric of one contender over all rows. `interval` is for this contender alone: never compare two of them by eye."""

    metric: str
    contender: str
    value: float | None
    interval: Interval | None = None
    rows: int
    missing: int = Field(
        default=0, description="rows to which the metric does not apply, or that failed without a worst"
    )


class Difference(_Record):
    """`other` minus `base` on one metric, paired by row."""

    metric: str
    base: str
    other: str
    interval: Interval | None
    p_value: float | None = None
    p_adjusted: float | None = Field(default=None, description="Holm, over the comparisons of this metric")
    test: str = ""
    outcome: Literal["better", "worse", "undecided", "same", "neither"]
    words: str = Field(description="the verdict in words")
    smallest: float | None = Field(
        default=None, description="the smallest difference this test set shows 8 times in 10"
    )
    rows_needed: int | None = Field(default=None, description="rows that would tell a difference of the size seen")
    gained: list[int] = Field(
        default_factory=list[int], description="rows that only `other` has right (yes/no metrics)"
    )
    lost: list[int] = Field(default_factory=list[int], description="rows that only `base` has right")


class Forgetting(_Record):
    """One general task, base against tuned."""

    task: str
    source: str = Field(description="the probe shipped with tuneport, or lm-evaluation-harness with its version")
    metric: str
    base_contender: str
    contender: str
    base: float | None
    tuned: float | None
    difference: Interval | None = None
    higher_is_better: bool = True
    rows: int
    fell: bool = Field(default=False, description="worse by an interval that leaves out zero")
    note: str = Field(default="", description="why it could not be measured, or how: what the figures alone do not say")


class Crossing(_Record):
    """Where two contenders cost the same a month: below `calls` the first is cheaper, above it the second."""

    cheaper_below: str
    cheaper_above: str
    calls: float
    until: float | None = Field(
        default=None, description="calls a month up to which that is known: what one device answers"
    )


class Money(_Record):
    """What each costs at the user's monthly volume. A cost that is not known is None, never a guess."""

    calls_per_month: int | None = None
    gpu_per_hour: float | None = None
    months: int = Field(default=12, description="over which training is spread")
    monthly: dict[str, float | None] = Field(default_factory=dict[str, "float | None"])
    crossings: list[Crossing] = Field(default_factory=list[Crossing])
    notes: list[str] = Field(default_factory=list[str])


class Judgement(_Record):
    """Judged side by side, by people or by a model: how often each of a pair was preferred."""

    judge: str = Field(description='"people", or the "<backend>:<model>" that judged')
    raters: int = 1
    base: str
    other: str
    rows: int
    other_wins: int
    base_wins: int
    ties: int
    both_bad: int = 0
    unclear: int = Field(default=0, description="answers of a judge that named no winner, or two orders two winners")
    win_rate: Interval | None = Field(
        default=None, description="of `other`; a tie counts half, both bad and unclear not"
    )
    agreement: float | None = Field(default=None, description="Krippendorff's alpha among raters")
    agreement_with_people: float | None = Field(
        default=None, description="a model's: the share of the rows that people judged, too, on which it says the same"
    )
    outcomes: dict[int, Literal["other", "base", "tie", "both-bad", "unclear"]] = Field(
        default_factory=dict[int, Literal["other", "base", "tie", "both-bad", "unclear"]],
        description="by row; of several raters, what most of them say",
    )
    words: str = ""


class TestSet(_Record):
    __test__ = False  # not a test class, whatever pytest makes of its name

    source: str
    fingerprint: str = Field(description="sha256 over the canonical rows in order")
    rows: int = Field(description="in the file")
    used: int
    left_out: dict[str, int] = Field(default_factory=dict[str, int], description="reason, and how many rows")


class Comparison(_Record):
    """The whole of it. `to_html`, `to_markdown` and `to_json` say the same; `load` reads the JSON back."""

    schema_version: int = COMPARISON_VERSION
    id: str
    created: datetime
    test: TestSet
    decoding: dict[str, Any] = Field(description="temperature, max_tokens and seed, the same for all")
    seed: int = 0
    metrics: list[MetricInfo]
    contenders: list[Contender]
    values: list[Value]
    differences: list[Difference]
    rows: list[ComparedRow]
    confusion: dict[str, dict[str, dict[str, int]]] = Field(
        default_factory=dict[str, dict[str, dict[str, int]]], description="by contender, expected label, answered label"
    )
    forgetting: list[Forgetting] = Field(default_factory=list[Forgetting])
    judgements: list[Judgement] = Field(default_factory=list[Judgement])
    money: Money = Field(default_factory=Money)
    verdict: list[str] = Field(description="in words, the most important first")
    warnings: list[str] = Field(default_factory=list[str])
    provenance: dict[str, Any] = Field(default_factory=dict[str, Any], description="versions, platform, command")

    def __getitem__(self, key: str) -> Contender:
        """The contender of that key or name."""
        for contender in self.contenders:
            if key in {contender.key, contender.name}:
                return contender
        known = ", ".join(f"{c.key} ({c.name})" for c in self.contenders)
        raise KeyError(f"no contender {key!r}: there are {known}")

    def value(self, contender: str, metric: str) -> float | None:
        """One metric of one contender, by key or name."""
        key = self[contender].key
        return next((v.value for v in self.values if v.contender == key and v.metric == metric), None)

    def to_json(self, path: str | Path | None = None) -> str:
        """The JSON, also written to `path` where one is given."""
        text = json.dumps(
            self.model_dump(mode="json"), indent=1
        )  # escapes half a surrogate pair, which pydantic refuses
        if path is not None:
            write_whole(Path(path), text + "\n")
        return text

    def to_markdown(self, path: str | Path | None = None) -> str:
        """The report as Markdown, also written to `path` where one is given."""
        from tuneport.evaluate.comparison_markdown import markdown

        text = markdown(self)
        if path is not None:
            write_whole(Path(path), text)
        return text

    def to_html(self, path: str | Path) -> Path:
        """The report as one file without network or script; returns `path`."""
        from tuneport.evaluate.comparison_page import page

        return write_whole(Path(path), page(self))

    @classmethod
    def load(cls, path: str | Path) -> Comparison:
        """Read what `to_json` wrote. DatasetError where the file is not a comparison."""
        file = Path(path)
        try:
            return cls.model_validate(json.loads(file.read_bytes()))
        except FileNotFoundError:
            raise DatasetError(
                f"{file} does not exist: `tuneport compare … --report report.html` writes report.json beside the page.",
                source=str(file),
            ) from None
        except (OSError, ValueError) as error:
            first = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
            raise DatasetError(
                f"{file} is not a comparison ({first}): give the .json that `tuneport compare … --report` wrote.",
                source=str(file),
            ) from None


def write_whole(path: Path, text: str) -> Path:
    """The file appears whole or not at all. A lone surrogate, which UTF-8 cannot hold, becomes a question mark."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")  # two processes may write the same report
    draft.write_bytes(text.encode("utf-8", "replace"))
    draft.replace(path)
    return path
