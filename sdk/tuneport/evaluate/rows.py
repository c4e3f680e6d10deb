"""One model's answers to the held-out rows, a line each, as the trainer leaves them in a job's directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tuneport.errors import DatasetError


class RowScore(BaseModel):
    """What one model answered to one test row. `loss` is in nats per trained token, `token_accuracy` a share.

    `expected`, `answer` and `exact_match` are None where the row expects no text, as a mere tool call.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    row: int = Field(description="the 1-based input row")
    messages: list[dict[str, Any]] = Field(default_factory=list[dict[str, Any]], description="before the answer")
    expected: str | None = None
    answer: str | None = None
    exact_match: bool | None = None
    loss: float | None = None
    token_accuracy: float | None = None


class _TestRow(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    row: int
    messages: list[dict[str, Any]]

    def prompt(self) -> list[dict[str, Any]]:
        """What comes before the last assistant turn, which is the one that was scored."""
        last = max((i for i, message in enumerate(self.messages) if message.get("role") == "assistant"), default=None)
        return self.messages[:last]


def read_scores(path: Path, *, rows: Path | None = None) -> list[RowScore]:
    """Every line of a scores file; none where there is no such file. Raises DatasetError for a line that is not a score.

    `rows` is the job's test.jsonl: where it is given, each score that brings no messages gets its row's prompt.
    """
    prompts = {test.row: test.prompt() for test in _lines(rows, _TestRow)} if rows else {}
    return [
        score if score.messages else score.model_copy(update={"messages": prompts.get(score.row, [])})
        for score in _lines(path, RowScore)
    ]


_M = TypeVar("_M", bound=BaseModel)


def _lines(path: Path, model: type[_M]) -> list[_M]:
    if not path.exists():
        return []
    found: list[_M] = []
    # Not splitlines(): an answer may hold U+2028, which is no line end in JSON.
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        if not line.strip():
            continue
        try:
            found.append(model.model_validate_json(line))
        except ValidationError as error:
            raise DatasetError(
                f"{path}, line {number} is not what an evaluation writes ({error.error_count()} problems, first: "
                f"{error.errors()[0]['msg']}): let it write the file again",
                source=str(path),
                row=number,
            ) from error
    return found
