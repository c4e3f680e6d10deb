"""What is wrong with a dataset or a plan, as data: a stable code, where it is, the rule, and the fix."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel, ConfigDict


class Issue(BaseModel):
    """`row` is 1-based (in JSONL: the line). `path` is where in the row, as in `messages[2].content`."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    code: str
    severity: Literal["error", "warning", "info"] = "error"
    message: str
    source: str | None = None
    row: int | None = None
    path: str | None = None
    fix: str | None = None

    def __str__(self) -> str:
        place = [self.source] if self.source else []
        if self.row is not None:
            place.append(f"row {self.row}")
        if self.path:
            place.append(self.path)
        where = ", ".join(place)
        text = f"{where}: {self.message}" if where else self.message
        return f"{text} Fix: {self.fix}" if self.fix else text


def errors(issues: Iterable[Issue]) -> list[Issue]:
    """Those that stop a job."""
    return [issue for issue in issues if issue.severity == "error"]


def summarise(issues: list[Issue], limit: int = 20) -> str:
    """One issue a line; beyond `limit`, how many more."""
    lines = [str(issue) for issue in issues[:limit]]
    if len(issues) > limit:
        lines.append(f"… and {len(issues) - limit} more")
    return "\n".join(lines)
