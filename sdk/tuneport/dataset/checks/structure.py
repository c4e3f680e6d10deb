"""The shape of a canonical row: its keys, its turns and their roles, and whether there is anything to learn from.

Nearly every row of a real file is a plain conversation, which reading has seen (`shape`); only what is otherwise is walked
key by key. Tools and their calls are `checks.tools`'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

from tuneport.dataset.checks.answers import prompts_differ, same_answers
from tuneport.dataset.checks.base import Context, Findings, Skipped
from tuneport.dataset.checks.grader import Reference, references
from tuneport.dataset.checks.turns import INVISIBLE, Sink, Turns
from tuneport.dataset.checks.words import member, told
from tuneport.dataset.codes import Severity
from tuneport.dataset.rows import Batch, Row
from tuneport.dataset.shape import plain_turns

CHAT_KEYS = frozenset({"messages", "tools", "parallel_tool_calls"})
PREFERENCE_KEYS = frozenset({"input", "preferred_output", "non_preferred_output"})
_SCORED = PREFERENCE_KEYS | {"scores", "completions"}  # what a Vertex row may keep beside its answers
ANSWERS = ("preferred_output", "non_preferred_output")

# What a target's own rules say better (`checks.rules`): one defect, one finding.
_ORDER = frozenset({"structure.role-order", "structure.system-first", "structure.unfinished"})
_LEFT: dict[str, frozenset[str]] = {
    "openai": frozenset({"structure.unknown-key", "structure.unfinished"}),
    "openai-preference": frozenset({"structure.unknown-key"}),
    "openai-reinforcement": frozenset({"structure.unknown-key"}),
    "nova": _ORDER,
    "claude-3": _ORDER | {"structure.unknown-key"},
    "llama-3.1": _ORDER,
    "gemini": frozenset({"structure.system-first", "structure.unfinished", "structure.blank-turn"}),
    "bedrock-rft": frozenset({"structure.no-reference"}),
}

Given = Mapping[str, Any]


class Without:
    """Findings that leave some codes out."""

    def __init__(self, findings: Findings, codes: frozenset[str]) -> None:
        self._findings, self._codes = findings, codes
        self.where = findings.where

    def add(
        self,
        code: str,
        message: str,
        row: Row | int | None = None,
        path: str | None = None,
        *,
        fix: str | None = None,
        severity: Severity | None = None,
    ) -> None:
        if code not in self._codes:
            self._findings.add(code, message, row, path, fix=fix, severity=severity)


class StructureCheck(Skipped):
    """All `structure.*` codes but those of tools and their calls. Rows without a canonical form are passed over."""

    name: ClassVar[str] = "structure"
    codes: ClassVar[Sequence[str]] = (
        "structure.no-messages", "structure.turn", "structure.role", "structure.system-first", "structure.role-order",
        "structure.unfinished", "structure.empty-turn", "structure.blank-turn", "structure.no-assistant",
        "structure.nothing-trainable", "structure.weight", "structure.unknown-key", "structure.content", "structure.part",
        "structure.type", "structure.preference", "structure.same-answers", "structure.prompts-differ",
        "structure.no-reference", "structure.last-not-user", "structure.no-text",
    )  # fmt: skip
    requires: ClassVar[Sequence[str]] = ()

    def __init__(self, context: Context) -> None:
        self._graded = context.grader is not None
        self._references: Sequence[Reference] = references(context.grader) if context.grader else ()
        # Rows of prompts without a field for a grader look like chat rows that lack their answer.
        self._prompts = context.objective in {"reinforcement", "rlhf"}
        rules = context.target.rules if context.target else ()
        self._left = frozenset(code for rule in rules for code in _LEFT.get(rule, ()))

    def scan(self, batch: Batch, findings: Findings) -> None:
        sink: Sink = Without(findings, self._left) if self._left else findings
        for row in batch.rows:
            given = row.canonical
            if given is None or (row.plain and not self._prompts):
                continue
            kind = row.kind
            if kind == "chat" and not self._prompts:
                if not (plain_turns(given) and (len(given) == 1 or given.keys() <= CHAT_KEYS)):
                    _chat(row, given, sink)
            elif kind == "preference":
                _preference(row, given, sink)
            elif kind in {"reinforcement", "chat"}:
                self._reinforcement(row, given, sink)
            else:
                _text(row, given, sink)

    def _reinforcement(self, row: Row, given: Given, findings: Sink) -> None:
        if not plain_turns(given, "user"):
            turns = _turns(row, given.get("messages"), "messages", findings)
            if turns is not None and turns.last not in {"user", None}:
                findings.add(
                    "structure.last-not-user",
                    f"the last turn is the {turns.last}'s; a reinforcement row ends on the user's, for the model to answer.",
                    row,
                    turns.last_path,
                )
        for reference in self._references:
            problem = reference.missing(given)
            if problem:
                findings.add(
                    "structure.no-reference",
                    problem,
                    row,
                    reference.key,
                    fix=f"give the row a value for {reference.path!r}.",
                )
        if not self._graded and row.kind == "reinforcement" and given.keys() <= CHAT_KEYS:
            findings.add(
                "structure.no-reference",
                "the row holds only messages; a grader mostly compares the answer with a field such as reference_answer.",
                row,
                severity="warning",
                fix="add the field that the grader reads, unless it judges by the answer alone.",
            )


def _unknown(row: Row, given: Given, known: frozenset[str], path: str, findings: Sink) -> None:
    for key, value in given.items():
        if key not in known and value is not None:
            older = " It is OpenAI's older name: write tools." if key in {"functions", "function_call"} else ""
            findings.add(
                "structure.unknown-key",
                f"the key {str(key)[:60]!r} is not known and is ignored.{older}",
                row,
                member(path, key),
            )


def _turns(row: Row, turns: Any, path: str, findings: Sink, before: str | None = "") -> Turns | None:
    """Walk a list of turns; None, with a finding, where there is none."""
    if not isinstance(turns, list) or not turns:
        findings.add(
            "structure.no-messages",
            f"{path} is {told(turns)}; it must be a list of at least one turn.",
            row,
            path,
            fix='write a list of {"role": …, "content": …}.',
        )
        return None
    walk = Turns(row, path, findings, before)
    walk.all(cast("list[Any]", turns))
    return walk


def _chat(row: Row, given: Given, findings: Sink) -> None:
    _unknown(row, given, CHAT_KEYS, "", findings)
    turns = _turns(row, given.get("messages"), "messages", findings)
    if turns is None:
        return
    if not turns.assistants:
        if not turns.broken:  # an unknown role may be the assistant's: one defect, one finding
            findings.add(
                "structure.no-assistant",
                f"{turns.roles()}, and no assistant turn: there is no answer to learn from.",
                row,
                "messages",
                fix='add a turn with "role": "assistant".',
            )
        return
    if not turns.trainable:
        findings.add(
            "structure.nothing-trainable",
            f"each of the {turns.assistants} assistant turns has weight 0: nothing of the row would be trained.",
            row,
            "messages",
        )
    if turns.last not in {"assistant", None}:
        findings.add(
            "structure.unfinished",
            f"the last turn is the {turns.last}'s; what follows the last answer is not trained on.",
            row,
            turns.last_path,
        )


def _preference(row: Row, given: Given, findings: Sink) -> None:
    prompt = given.get("input")
    _unknown(row, given, _SCORED, "", findings)
    if (differ := prompts_differ(*(given.get(key) for key in ANSWERS))) is not None:
        findings.add("structure.prompts-differ", differ, row, ANSWERS[1])
        return
    before: str | None = None
    if isinstance(prompt, Mapping):
        asked = cast("Given", prompt)
        if plain_turns(asked, "user") and asked.keys() <= CHAT_KEYS:
            before = "user"
        else:
            _unknown(row, asked, CHAT_KEYS, "input", findings)
            turns = _turns(row, asked.get("messages"), "input.messages", findings)
            before = turns.before if turns is not None else None
    else:
        findings.add(
            "structure.preference",
            f"input is {told(prompt)}; it must be an object with messages, the prompt of both answers.",
            row,
            "input",
            fix='write {"input": {"messages": […]}, "preferred_output": […], "non_preferred_output": […]}.',
        )
    completions = given.get("completions")
    if completions is not None and not any(key in given for key in ANSWERS):
        findings.add(
            "structure.preference", f"{_scores(completions)}; of two completions one is preferred.", row, "completions"
        )
        return
    whole = [_answer(row, given.get(key), key, before, findings) for key in ANSWERS]
    if all(whole):
        found = same_answers(given[ANSWERS[0]], given[ANSWERS[1]])
        if found is not None:
            message, severity = found
            findings.add("structure.same-answers", message, row, ANSWERS[1], severity=severity)


def _written(row: Row, path: str, findings: Sink) -> str:
    """A canonical path in the row's own words."""
    return path if findings.where is None else findings.where(row, path)


def _answer(row: Row, turns: Any, key: str, before: str | None, findings: Sink) -> bool:
    """Whether one of the two answers is whole enough to be compared."""
    if not isinstance(turns, list) or not turns:
        name = _written(row, key, findings)
        findings.add(
            "structure.preference",
            f"{name} is {told(turns)}; it must be a list with the assistant's turn.",
            row,
            key,
            fix=f'write "{name}": [{{"role": "assistant", "content": …}}].' if name.isidentifier() else None,
        )
        return False
    walk = Turns(row, key, findings, before)
    walk.all(cast("list[Any]", turns))
    if not walk.assistants and not walk.broken:
        findings.add("structure.preference", f"{key} holds {walk.roles()}, and no assistant turn.", row, key)
    return bool(walk.assistants) and not walk.broken


def _scores(completions: Any) -> str:
    if not isinstance(completions, list):
        return f"completions is {told(completions)}"
    given = [
        cast("Given", item).get("score") if isinstance(item, Mapping) else None
        for item in cast("list[Any]", completions)
    ]
    return (
        f"{len(given)} completions, with scores {', '.join(told(score) for score in given[:6])}"
        if given
        else "no completions"
    )


def _text(row: Row, given: Given, findings: Sink) -> None:
    if len(given) != 1:
        _unknown(row, given, frozenset({"text"}), "", findings)
    text = given.get("text")
    if isinstance(text, str):
        if text.strip(INVISIBLE):
            return
        code, what, fix = "structure.no-text", "it is blank", None
    elif text is None:
        code, what, fix = "structure.no-text", "there is nothing to learn from", None
    else:
        code, what, fix = "structure.type", "it must be a string", "write a string."
    findings.add(code, f"{_written(row, 'text', findings)} is {told(text)}; {what}.", row, "text", fix=fix)
