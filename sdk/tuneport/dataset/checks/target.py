"""What the target takes: its model family's rules, what its dialect can say, and a local model's own chat template.

A plain conversation can be said in every chat dialect and keeps every rule but Nova's and Llama 3.1's, so most rows cost one
look. A row that has an error already is not compiled: what would be lost of it says nothing more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, ClassVar, cast

from tuneport.dataset.checks.base import Context, Findings, Problem, Target
from tuneport.dataset.checks.rules import AS_WRITTEN, HARD_ON_PLAIN, RULES, Rule, is_vertex
from tuneport.dataset.rows import Batch, Kind, Row
from tuneport.dataset.shape import plain_turns
from tuneport.errors import TuneportError

Rendering = Callable[[Mapping[str, Any]], Sequence[Problem]]

_KINDS: dict[str, tuple[Kind, ...]] = {
    "sft": ("chat",),
    "cpt": ("text",),
    "dpo": ("preference",),
    "orpo": ("preference",),
    # Prompts without a field for a grader look like chat rows that lack their answer; `checks.structure` looks at their end.
    "rlhf": ("preference", "reinforcement", "chat"),
    "reinforcement": ("reinforcement", "chat"),
}
_HOLDS: dict[str, str] = {
    "chat": "conversations with answers",
    "preference": "a prompt with a preferred and a rejected answer",
    "reinforcement": "prompts with what a grader reads",
    "text": "plain text",
}
# Dialects that say every plain conversation; the others have one question and one answer, or no system turn.
_SAY_PLAIN = frozenset({"openai", "bedrock-converse", "bedrock-claude", "vertex", "sharegpt"})
_NOTE = "target.template-note"


@dataclass
class Found:
    """Of one batch. `others`: rows of a kind that the objective does not take, and the first of them."""

    source: str
    rows: int = 0
    others: Counter[str] = field(default_factory=Counter[str])
    first: int | None = None
    notes: Counter[str] = field(default_factory=Counter[str])
    rendered: int = 0
    broken: str | None = None  # why the rendering cannot be had


class TargetCheck:
    """All `target.*` codes. Without a target, only the objective is held against the rows."""

    name: ClassVar[str] = "target"
    codes: ClassVar[Sequence[str]] = (
        "target.objective", "target.cannot-say", "target.alternation", "target.forbidden-string", "target.role", "target.image",
        "target.too-many-images", "target.ends", "target.unknown-key", "target.tools", "target.name", "target.blank",
        "target.template", "target.template-note", "structure.no-reference",
    )  # fmt: skip
    requires: ClassVar[Sequence[str]] = ()

    def __init__(self, context: Context) -> None:
        self._target = context.target
        self._objective = context.objective
        self._kinds = _KINDS.get(context.objective, ("chat",))
        names = tuple(context.target.rules) if context.target else ()
        if unknown := [name for name in names if name not in RULES]:
            raise ValueError(f"the target names rule sets that are not known: {unknown}. Known: {', '.join(RULES)}.")
        self._rules: list[Rule] = [RULES[name] for name in names]
        self._hard = [RULES[name] for name in names if name in HARD_ON_PLAIN]
        self._as_written = tuple(dict.fromkeys(AS_WRITTEN[name] for name in names if name in AS_WRITTEN))
        self._rendering: Rendering | None = None
        self._broken: str | None = None
        self._loaded = False
        self._found: dict[str, Found] = {}

    def scan(self, batch: Batch, findings: Findings) -> Found:
        found = Found(batch.source)
        rendering = self._load()
        found.broken = self._broken
        for row in batch.rows:
            given = row.canonical
            if given is None:
                continue
            found.rows += 1
            if row.kind not in self._kinds:
                found.others[row.kind] += 1
                found.first = row.number if found.first is None else found.first
                continue  # its rules are not for it
            if self._target is None:
                continue
            self._row(row, given, self._target, findings)
            if rendering is not None and row.number not in findings.bad_rows:
                found.rendered += 1
                for problem in rendering(given):
                    if problem.code == _NOTE:
                        found.notes[problem.message] += 1
                    else:
                        findings.add(problem.code, problem.message, row, problem.path, fix=problem.fix)
        return found

    def _row(self, row: Row, given: Mapping[str, Any], target: Target, findings: Findings) -> None:
        plain = row.plain or (row.kind == "chat" and len(given) == 1 and plain_turns(given) > 0)
        named: list[str] = []
        if self._as_written and is_vertex(row):
            for look in self._as_written:
                for problem in look(row):
                    findings.add(problem.code, problem.message, row, problem.path, fix=problem.fix)
        for rule in self._hard if plain else self._rules:
            for problem in rule(row, given, target.limits):
                named.append(problem.path)
                findings.add(problem.code, problem.message, row, problem.path, fix=problem.fix)
        if plain and target.dialect in _SAY_PLAIN and given["messages"][0].get("role") != "developer":
            return
        if row.number not in findings.bad_rows:
            self._losses(row, given, target, named, findings)

    def _losses(self, row: Row, given: Mapping[str, Any], target: Target, named: list[str], findings: Findings) -> None:
        """What the target's dialect leaves out. Without a turn's weight another row would be trained: no mere warning."""
        from tuneport.dataset.dialects import DIALECTS

        dialect = DIALECTS[target.dialect]
        if dialect.kind != row.kind and not (dialect.kind == "reinforcement" and row.kind == "chat"):
            return
        for loss in dialect.write(given)[1]:
            if not any(
                loss.path.startswith(path) or path.startswith(loss.path) for path in named if path != "messages"
            ):
                grave = loss.fatal or loss.path.endswith(".weight")
                message = f"{loss.what}: {loss.why}."
                findings.add("target.cannot-say", message, row, loss.path, severity="error" if grave else "warning")

    def _load(self) -> Rendering | None:
        """The target's rendering, made once in each process; why it cannot be had is an issue of the whole."""
        if not self._loaded and self._target is not None and self._target.rendering is not None:
            module, _, name = self._target.rendering.partition(":")
            try:
                make = cast("Callable[[str], Rendering]", getattr(import_module(module), name))
                self._rendering = make(self._target.model)
            except (ImportError, AttributeError, TuneportError) as error:
                self._broken = str(error)
        self._loaded = True
        return self._rendering

    def reduce(self, found: Found) -> None:
        whole = self._found.setdefault(found.source, Found(found.source))
        whole.rows += found.rows
        whole.others.update(found.others)
        whole.first = found.first if whole.first is None else whole.first
        whole.notes.update(found.notes)
        whole.rendered += found.rendered
        whole.broken = whole.broken or found.broken

    def finish(self, findings: Findings) -> dict[str, Any]:
        rendered = 0
        broken: str | None = None
        for source, found in self._found.items():
            rendered += found.rendered
            broken = broken or found.broken
            others = found.others.total()
            if 2 * others > found.rows:  # fewer are strays, which are told as rows of a mixed file
                kinds = " and ".join(f"{count} with {_HOLDS[kind]}" for kind, count in found.others.most_common())
                findings.add(
                    "target.objective",
                    f"the objective {self._objective} learns from {_HOLDS[self._kinds[0]]}; of {found.rows} rows, {kinds}.",
                    found.first,
                    fix=f"convert the rows, or choose the objective {_named(found.others)}.",
                    source=source,
                )
            for note, count in found.notes.items():
                findings.add(_NOTE, f"{note} ({count} {'row' if count == 1 else 'rows'}).", source=source)
        if broken is not None:
            findings.add(
                "target.template",
                f"the model's chat template cannot be had: {broken}",
                fix="name a model that is here.",
            )
        if self._target is None:
            return {}
        stats: dict[str, Any] = {
            "model": self._target.model,
            "dialect": self._target.dialect,
            "rules": list(self._target.rules),
        }
        return {**stats, "rendered": rendered} if self._target.rendering is not None else stats


def _named(others: Counter[str]) -> str:
    kind = others.most_common(1)[0][0]
    return " or ".join(name for name, kinds in _KINDS.items() if kinds[0] == kind)
