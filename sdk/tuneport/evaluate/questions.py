"""The test set: held-out rows as questions with their expected answers, frozen by a fingerprint.

The last assistant turn of a row is what is expected, and all before it is what is asked. A row without one is left out and
counted; a row that a contender was trained on refuses the whole comparison.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from tuneport.dataset import Dataset
from tuneport.dataset.issues import errors
from tuneport.dataset.read import iter_lines
from tuneport.errors import DatasetError, SpecError
from tuneport.evaluate.comparison import TestSet
from tuneport.job import FineTuneJob

_SHOWN = 8  # row numbers in a message


@dataclass(frozen=True)
class Question:
    """One test row. `key` names what is asked, content and tools; `occurrence` tells equal questions apart."""

    row: int
    hash: str
    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]]
    expected: str | None
    expected_tool_calls: list[dict[str, Any]]
    key: str
    occurrence: int
    data: dict[str, Any]


def read_test(source: Any) -> tuple[list[Question], TestSet]:
    """The questions of a test set, anything that a dataset can be read from, and what it is.

    Raises DatasetError where no row has an answer to compare with.
    """
    dataset = Dataset.of(source)
    if dataset.kind != "chat":
        raise DatasetError(
            f"{dataset.source} holds {dataset.kind} rows: a test set is of chat rows, each with the answer that is expected.",
            source=dataset.source,
        )
    left_out = Counter(issue.code for issue in errors(dataset.issues))
    return _questions(dataset.rows, dataset.source, dataset.fingerprint, left_out)


def common_test(jobs: Sequence[FineTuneJob]) -> tuple[list[Question], TestSet, list[str]]:
    """The test rows that all of these jobs held out, where no test set is named; and what to say about it.

    Raises SpecError where a job has none, or where no row is in all of them.
    """
    if not jobs:
        raise SpecError(
            "no test set: name one (test='test.jsonl', --test test.jsonl), of rows that were never trained on."
        )
    held: list[dict[str, dict[str, Any]]] = []
    for job in jobs:
        path = job.directory / "test.jsonl"
        if not path.exists():
            raise SpecError(
                f"{job.id} held no test rows out: name a test set (--test test.jsonl), or run the job with test=0.1."
            )
        held.append({str(row["hash"]): row for row in iter_lines(path)})
    shared = [value for value in held[0] if all(value in other for other in held[1:])]
    names = ", ".join(job.id for job in jobs)
    if not shared:
        raise SpecError(
            f"the jobs {names} held out different test rows, and have none in common: name one test set for all of them "
            "with --test, of rows that none was trained on."
        )
    said = list[str]()
    if most := max(map(len, held)) - len(shared):
        said.append(
            f"The jobs held out different test rows: compared on the {len(shared)} that all of them have; up to {most} of one "
            "job's were left out."
        )
    rows = [held[0][value] for value in shared]
    digest = hashlib.sha256("\n".join(shared).encode()).hexdigest()
    source = f"the test rows of {names}" if len(jobs) > 1 else f"the test rows of {jobs[0].id}"
    questions, test = _questions(rows, source, digest, Counter())
    return questions, test, said


def refuse_overlap(job: FineTuneJob, questions: Sequence[Question]) -> None:
    """Raise SpecError, naming the rows, where the job was trained on some of the questions."""
    from tuneport.store import Store

    seen = set(Store.open().overlapping(job.id, [question.hash for question in questions], split="train"))
    rows = [question.row for question in questions if question.hash in seen]
    if rows:
        shown = ", ".join(map(str, rows[:_SHOWN])) + (f" and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else "")
        raise SpecError(
            f"{len(rows)} of the {len(questions)} test rows were trained on by {job.id}: row{'s' * (len(rows) > 1)} {shown}. "
            "A model does well on what it has seen: take them out of the test set, or run the job with test=0.1, which keeps "
            "rows aside."
        )


def _questions(
    rows: Sequence[Mapping[str, Any]], source: str, fingerprint: str, left_out: Counter[str]
) -> tuple[list[Question], TestSet]:
    questions: list[Question] = []
    times: Counter[str] = Counter()
    for row in rows:
        messages = cast("list[dict[str, Any]]", row["messages"])
        last = messages[-1] if messages else {}
        calls = cast("list[dict[str, Any]]", last.get("tool_calls") or [])
        expected = text_of(last.get("content"))
        if last.get("role") != "assistant" or not (expected or calls) or len(messages) == 1:
            left_out["its last turn is no answer, or it asks nothing"] += 1
            continue
        asked, tools = messages[:-1], cast("list[dict[str, Any]]", row.get("tools") or [])
        key = digest({"messages": asked, "tools": tools})
        questions.append(
            Question(
                row=int(row["row"]),
                hash=str(row["hash"]),
                messages=asked,
                tools=tools,
                expected=expected or None,
                expected_tool_calls=calls,
                key=key,
                occurrence=times[key],
                data=dict(row),
            )
        )
        times[key] += 1
    if not questions:
        reasons = "; ".join(f"{count} × {reason}" for reason, count in left_out.most_common()) or "it is empty"
        raise DatasetError(
            f"{source} has no row to test on ({reasons}): each row ends with the expected answer, as an assistant turn.",
            source=source,
        )
    total = len(questions) + sum(left_out.values())
    return questions, TestSet(
        source=source, fingerprint=fingerprint, rows=total, used=len(questions), left_out=dict(left_out)
    )


def text_of(content: Any) -> str:
    """The text of a message's content: a string, or the text parts of a list."""
    if isinstance(content, str):
        return content
    parts = cast("list[Any]", content) if isinstance(content, list) else []
    return "".join(
        str(part.get("text", "")) for part in cast("list[dict[str, Any]]", parts) if part.get("type") == "text"
    )


def digest(value: Any) -> str:
    """sha256 of a JSON value, key order left out."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
