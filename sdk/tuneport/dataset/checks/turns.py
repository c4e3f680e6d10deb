"""Turn by turn through a list of turns, and every problem of each: roles and their order, content, weight, keys."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol, cast

from tuneport.dataset.checks.words import member, told
from tuneport.dataset.codes import Severity
from tuneport.dataset.rows import Row

ROLES = ("system", "developer", "user", "assistant", "tool", "function")
# Characters that show nothing: all that str.isspace() knows, and those of no width.
INVISIBLE: Final = (
    "".join(c for c in map(chr, range(0x3001)) if c.isspace()) + "\u00ad\u180e\u200b\u200c\u200d\u2060\ufeff"
)

_COMMON = frozenset({"role", "content", "name"})
_CALLING = frozenset({"tool_calls", "function_call"})  # on any role: `checks.tools` says on which they belong
TURN_KEYS: dict[str, frozenset[str]] = {
    "system": _COMMON | _CALLING,
    "developer": _COMMON | _CALLING,
    "user": _COMMON | _CALLING,
    # reasoning, and a result's status, come with Bedrock's and Vertex's rows
    "assistant": _COMMON | _CALLING | {"weight", "refusal", "audio", "reasoning_content", "reasoning_signature"},
    "tool": _COMMON | _CALLING | {"tool_call_id", "status"},
    "function": _COMMON | _CALLING,
}
_STRINGS = ("name", "refusal", "reasoning_content")
# What other tools call the roles.
MEANT = {
    "human": "user", "customer": "user", "gpt": "assistant", "bot": "assistant", "model": "assistant", "ai": "assistant",
    "chatbot": "assistant", "observation": "tool", "function_response": "tool",
}  # fmt: skip
# What each kind of content part must hold, beside its type.
PARTS: dict[str, tuple[str, type]] = {
    "text": ("text", str),
    "image_url": ("image_url", dict),
    "input_audio": ("input_audio", dict),
    "file": ("file", dict),
    "refusal": ("refusal", str),
}
_NEXT = {"": "user", "user": "assistant", "assistant": "user", "tool": "assistant", "function": "assistant"}


class Sink(Protocol):
    """Where findings go: `base.Findings`, or what stands before them."""

    where: Callable[[Row, str], str] | None

    def add(
        self,
        code: str,
        message: str,
        row: Row | int | None = None,
        path: str | None = None,
        *,
        fix: str | None = None,
        severity: Severity | None = None,
    ) -> None: ...


class Turns:
    """One walk. `before` is the role that came last ("" at the start, None where it cannot be told)."""

    def __init__(self, row: Row, path: str, findings: Sink, before: str | None = "") -> None:
        self.before = before
        self.assistants = 0
        self.trainable = 0
        self.broken = False  # a turn without a known role was met
        self.last: str | None = None
        self.last_path = path
        self._seen: Counter[str] = Counter()
        self._row, self._path, self._findings = row, path, findings

    def roles(self) -> str:
        """What was met, in words: "2 user turns"."""
        words = [f"{count} {role} turn{'s' if count > 1 else ''}" for role, count in self._seen.items()]
        return " and ".join(words) or "no turns"

    def all(self, turns: list[Any]) -> None:
        for index, turn in enumerate(turns):
            path = f"{self._path}[{index}]"
            self.last_path = path
            if not isinstance(turn, Mapping):
                self._add(
                    "structure.turn", f"the turn is {told(turn)}; a turn is an object with role and content.", path
                )
                self._lost()
                continue
            self._turn(cast("Mapping[str, Any]", turn), path, index)

    def _add(self, code: str, message: str, path: str, **more: Any) -> None:
        self._findings.add(code, message, self._row, path, **more)

    def _lost(self) -> None:
        self.broken, self.last, self.before = True, None, None

    def _turn(self, turn: Mapping[str, Any], path: str, index: int) -> None:
        role = turn.get("role")
        if not isinstance(role, str) or role not in TURN_KEYS:
            self._role(role, path)
            self._lost()
            return
        self._seen[role] += 1
        known = TURN_KEYS[role]
        for key, value in turn.items():
            if key not in known and value is not None:
                self._key(key, role, path)
        for key in _STRINGS:
            value = turn.get(key)
            if value is not None and not isinstance(value, str) and key in known:
                self._add(
                    "structure.type",
                    f"{key} is {told(value)}; it must be a string.",
                    f"{path}.{key}",
                    fix="write a string.",
                )
        self._order(role, path, index, calls=bool(turn.get("tool_calls") or turn.get("function_call")))
        if role == "assistant":
            self.assistants += 1
            self._weight(turn.get("weight"), path)
        self._content(turn, role, path)
        self.last = role

    def _role(self, role: Any, path: str) -> None:
        word = role.strip().lower() if isinstance(role, str) else ""
        meant = word if word in TURN_KEYS else MEANT.get(word)
        self._add(
            "structure.role",
            f"role is {told(role)}; a role is system, developer, user, assistant or tool.",
            f"{path}.role",
            fix=f"write {meant!r}." if meant else None,
        )

    def _key(self, key: Any, role: str, path: str) -> None:
        owners = [owner for owner, keys in TURN_KEYS.items() if key in keys]
        where = f"belongs to the turns of {' and '.join(owners)}, not to the {role}'s" if owners else "is not known"
        self._add("structure.unknown-key", f"the key {str(key)[:60]!r} {where}, and is ignored.", member(path, key))

    def _order(self, role: str, path: str, index: int, *, calls: bool) -> None:
        before = self.before
        if role in {"system", "developer"}:
            if index or self._path not in {"messages", "input.messages"}:
                self._add(
                    "structure.system-first",
                    f"a {role} turn stands at place {index + 1}; it belongs at the beginning, once.",
                    path,
                )
            else:
                self.before = ""
            return
        # What follows a call, and whether a result has one, is for `checks.tools` to say.
        if role in {"user", "assistant"} and before not in {None, "calls"} and role != _NEXT[before or ""]:
            came = (
                f"follows the {before}'s"
                if before
                else "is the first after the system turn"
                if index
                else "comes first"
            )
            self._add(
                "structure.role-order",
                f"the {role}'s turn {came}; the {_NEXT[before or '']}'s was expected: they take turns, and the user begins.",
                path,
            )
        self.before = "calls" if calls and role == "assistant" else role

    def _weight(self, weight: Any, path: str) -> None:
        if weight is None or (type(weight) in {int, float} and weight in {0, 1}):
            self.trainable += weight != 0
            return
        self.trainable += 1
        self._add("structure.weight", f"weight is {told(weight)}; it is 0 (not trained on) or 1.", f"{path}.weight")

    def _content(self, turn: Mapping[str, Any], role: str, path: str) -> None:
        content = turn.get("content")
        if isinstance(content, str):
            if not content.strip(INVISIBLE):
                self._blank(turn, role, told(content), path)
        elif isinstance(content, list):
            self._parts(cast("list[Any]", content), turn, role, path)
        elif content is not None:
            self._add(
                "structure.content",
                f"content is {told(content)}; it must be a string or a list of parts.",
                f"{path}.content",
            )
        elif not (
            role == "assistant" and any(turn.get(key) for key in ("tool_calls", "function_call", "refusal", "audio"))
        ):
            said = "null" if "content" in turn else "missing"
            self._add(
                "structure.content",
                f"content is {said}; only an assistant's turn with tool calls may lack it.",
                f"{path}.content",
            )

    def _blank(self, turn: Mapping[str, Any], role: str, shown: str, path: str) -> None:
        if role in {"tool", "function"}:  # a function that returns nothing is ordinary
            return
        if role != "assistant":
            self._add("structure.blank-turn", f"the {role}'s turn is blank: {shown}.", f"{path}.content")
        elif not any(turn.get(key) for key in ("tool_calls", "function_call", "refusal", "audio")):
            if turn.get("weight") == 0:
                self._add("structure.blank-turn", f"the answer (weight 0) is blank: {shown}.", f"{path}.content")
            else:
                self._add("structure.empty-turn", f"the answer is blank: {shown}.", f"{path}.content")

    def _parts(self, parts: list[Any], turn: Mapping[str, Any], role: str, path: str) -> None:
        blank = True
        for index, part in enumerate(parts):
            place = f"{path}.content[{index}]"
            kind = cast("Mapping[str, Any]", part).get("type") if isinstance(part, Mapping) else None
            wanted = PARTS.get(kind) if isinstance(kind, str) else None
            if wanted is None:
                blank = False
                what = f"type {told(kind)}" if isinstance(part, Mapping) else f"is {told(part)}"
                self._add(
                    "structure.part",
                    f"the part {'has ' if isinstance(part, Mapping) else ''}{what}; known: {', '.join(PARTS)}.",
                    place,
                )
                continue
            key, kept = wanted
            value = cast("Mapping[str, Any]", part).get(key)
            if isinstance(value, str) and kept is str:
                blank = blank and not value.strip(INVISIBLE)
                continue
            blank = False
            if kept is str or not isinstance(value, Mapping):
                must = "a string" if kept is str else "an object"
                self._add("structure.part", f"{key} of the part is {told(value)}; it must be {must}.", f"{place}.{key}")
            elif kind == "image_url" and not isinstance(cast("Mapping[str, Any]", value).get("url"), str):
                url = cast("Mapping[str, Any]", value).get("url")
                self._add(
                    "structure.part", f"url of the image is {told(url)}; it must be a string.", f"{place}.image_url.url"
                )
        if blank:
            self._blank(turn, role, f"{len(parts)} parts without text" if parts else "an empty list", path)
