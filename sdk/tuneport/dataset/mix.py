"""General data mixed into the training rows, against forgetting: seeded, without rows that are held out, marked by source."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from tuneport.dataset.issues import Issue

Rows = Sequence[Mapping[str, Any]]


def mix(
    train: Rows, general: Rows, *, source: str, fraction: float, seed: int, held_out: Rows = ()
) -> tuple[list[Mapping[str, Any]], list[Issue]]:
    """`train` with rows of `general`, so that `fraction` of the result is general, and what there is to say about it.

    Rows are canonical, with `row` and `hash`. A general row that is held out, or is a training row already, is left out.
    Which rows are taken follows from the seed and each row's own hash: adding rows to `general` changes few of them. Mixed
    rows carry `source`, and stand after the others; the trainer draws its own order.
    """
    taken = {row["hash"] for row in (*train, *held_out)}
    free: dict[str, Mapping[str, Any]] = {}
    repeated = 0
    for row in general:
        if row["hash"] in taken or row["hash"] in free:
            repeated += 1
        else:
            free[row["hash"]] = row
    wanted = round(len(train) * fraction / (1 - fraction))
    drawn = sorted(free.values(), key=lambda row: _place(row["hash"], seed))[:wanted]
    issues: list[Issue] = []
    if repeated:
        issues.append(
            Issue(
                code="mix.repeated",
                severity="info",
                message=f"{repeated} rows of {source} are training or held-out rows, or repeats: they are not mixed in.",
                source=source,
            )
        )
    if len(drawn) < wanted:
        share = len(drawn) / max(1, len(train) + len(drawn))
        issues.append(
            Issue(
                code="mix.few-rows",
                severity="warning",
                message=f"a fraction of {fraction:g} needs {wanted} general rows, and {source} has {len(drawn)}: "
                f"they make {share:.1%}.",
                source=source,
                fix="give more general rows, or a smaller fraction.",
            )
        )
    return [*train, *({**row, "source": source} for row in drawn)], issues


def _place(value: str, seed: int) -> bytes:
    return hashlib.blake2b(f"{seed}:{value}".encode(), digest_size=8).digest()
