"""The shape of nearly every row of a real file: `messages` of nothing but roles and text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tuneport.dataset.checks.turns import INVISIBLE


def plain_turns(row: Mapping[str, Any], last: str = "assistant") -> int:
    """How many turns a plain conversation has: a system turn or none, then the user and the assistant by turns, each of a role
    and a text that is not blank, up to a turn of `last`. 0: it is not plain. About 0.15 µs a turn.
    """
    turns: Any = row.get("messages")
    every: Any = turns  # no cast() here: each is a call, and these are made for every turn
    if type(turns) is not list:
        return 0
    role: Any = ""
    try:
        for turn in every:
            given: Any = turn
            if type(turn) is not dict or len(given) != 2:
                return 0
            content = given["content"]
            if type(content) is not str or content.isspace():
                return 0
            if not content or not (content.isascii() or content.strip(INVISIBLE)):
                return 0
            before, role = role, given["role"]
            if role == "user":
                if before == "user":
                    return 0
            elif role == "assistant":
                if before != "user":
                    return 0
            elif before or role not in ("system", "developer"):
                return 0
    except KeyError:
        return 0
    return len(every) if role == last else 0
