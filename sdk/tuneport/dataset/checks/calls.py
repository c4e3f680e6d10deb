"""Calls of tools and their results, turn by turn."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any, cast

import orjson

from tuneport.dataset.checks.base import Findings
from tuneport.dataset.checks.schemas import Schema
from tuneport.dataset.checks.words import named, told
from tuneport.dataset.rows import Row

_OBJECT = 'write a JSON object in a string, as in "{\\"city\\": \\"Oslo\\"}".'


class Calls:
    """One walk over a list of turns. `open` holds the calls that wait for a result, by id, with their paths."""

    def __init__(
        self,
        row: Row,
        path: str,
        findings: Findings,
        tools: Mapping[str, Schema],
        seen: Counter[str],
        *,
        whole: bool = True,
        roles_named: bool = False,
    ) -> None:
        """`whole`: all that is declared is in `tools`, so that a call to another is wrong. `roles_named`: a turn that has the
        role of a result and is none is named by the target's own rules.
        """
        self._row, self._path, self._findings, self._tools, self._seen = row, path, findings, tools, seen
        self._whole, self._roles_named = whole, roles_named
        self._open: dict[str, str] = {}
        self._answered = False  # a result came since the calls that are open
        self._named: str | None = None  # OpenAI's older single call, which has no id
        self._named_path = ""
        self._ids: set[str] = set()
        self._late: set[str] = set()  # said to be unanswered: a result that comes later is the same defect

    def branch(self, path: str) -> Calls:
        """A walk that goes on from here over other turns."""
        whole, roles_named = self._whole, self._roles_named
        calls = Calls(self._row, path, self._findings, self._tools, self._seen, whole=whole, roles_named=roles_named)
        calls._open, calls._ids, calls._late = dict(self._open), set(self._ids), set(self._late)
        calls._answered, calls._named, calls._named_path = self._answered, self._named, self._named_path
        return calls

    def _add(self, code: str, message: str, path: str, **more: Any) -> None:
        self._findings.add(code, message, self._row, path, **more)

    def all(self, turns: Any, *, parallel: Any = None) -> None:
        if not isinstance(turns, list):
            return
        for index, turn in enumerate(cast("list[Any]", turns)):
            if not isinstance(turn, Mapping):
                continue
            given = cast("Mapping[str, Any]", turn)
            role = given.get("role")
            path = f"{self._path}[{index}]"
            if role == "tool":
                self._result(given, path)
                continue
            if role == "function":
                self._named_result(given, path)
                continue
            if self._open or self._named:
                self._close(f"the {role if isinstance(role, str) else 'next'}'s turn at {path}")
            calls, call = given.get("tool_calls"), given.get("function_call")
            if calls is not None and self._may_call(role, "tool_calls", path):
                self._calls(calls, path, parallel=parallel)
            if call is not None and self._may_call(role, "function_call", path):
                self._function_call(call, f"{path}.function_call")

    def end(self) -> None:
        """The row is over. Calls that nothing answered yet are what the row teaches; half-answered ones are not."""
        if self._answered:
            self._close("the row's end")

    def turn_to(self, answers: list[Any]) -> None:
        """Answers follow: where none of them begins with a result, what is open stays unanswered, and is named once."""
        first: list[Any] = [cast("list[Any]", a)[0] for a in answers if isinstance(a, list) and a]
        if not any(
            isinstance(t, Mapping) and cast("Mapping[str, Any]", t).get("role") in ("tool", "function") for t in first
        ):
            self._close("the answers")

    def _close(self, what: str) -> None:
        for identifier, path in self._open.items():
            self._add("tools.unanswered", f"the call {told(identifier)} has no result before {what}.", path)
        if self._named is not None:
            self._add(
                "tools.unanswered", f"the call of {told(self._named)} has no result before {what}.", self._named_path
            )
        self._late.update(self._open)
        self._open, self._named, self._answered = {}, None, False

    def _may_call(self, role: Any, key: str, path: str) -> bool:
        if role == "assistant" or not isinstance(role, str):
            return True
        self._add(
            "structure.tool-calls", f"{key} on a {told(role)} turn; only the assistant calls tools.", f"{path}.{key}"
        )
        return False

    def _calls(self, calls: Any, path: str, *, parallel: Any) -> None:
        path = f"{path}.tool_calls"
        if not isinstance(calls, list):
            self._add("structure.tool-calls", f"tool_calls is {told(calls)}; it must be a list of calls.", path)
            return
        every = cast("list[Any]", calls)
        if parallel is False and len(every) > 1:
            self._add("tools.parallel", f"{len(every)} calls in one turn, though parallel_tool_calls is false.", path)
        self._answered = False
        for index, call in enumerate(every):
            place = f"{path}[{index}]"
            if not isinstance(call, Mapping):
                self._add(
                    "structure.tool-calls",
                    f"the call is {told(call)}; it must be an object with id and function.",
                    place,
                )
                continue
            given = cast("Mapping[str, Any]", call)
            kind = given.get("type", "function")
            if kind not in ("function", None):
                self._add("structure.tool-calls", f'type is {told(kind)}; it must be "function".', f"{place}.type")
            self._function(given.get("function"), f"{place}.function")
            self._identify(given.get("id"), place)

    def _identify(self, identifier: Any, place: str) -> None:
        if not isinstance(identifier, str) or not identifier:
            said = "missing" if identifier is None else told(identifier)
            self._add(
                "tools.call-id",
                f"the call's id is {said}; it is a string by which the result is matched.",
                f"{place}.id",
            )
            # Whatever answers it has nothing to name it by; one finding is enough.
            self._open[f"\0{place}"] = place
            return
        if identifier in self._ids:
            again = identifier in self._open
            self._add(
                "tools.call-id",
                f"the id {told(identifier)} was used before; each call of a row has its own.",
                f"{place}.id",
                severity=None if again else "warning",
            )
        self._ids.add(identifier)
        self._open[identifier] = place

    def _function(self, function: Any, path: str) -> str | None:
        """The call's name, where it has one."""
        self._seen["calls"] += 1
        given: Mapping[str, Any] = cast("Mapping[str, Any]", function) if isinstance(function, Mapping) else {}
        name = given.get("name")
        if not isinstance(name, str) or not name:
            what = f"name is {told(name)}" if given else f"function is {told(function)}"
            self._add("tools.function", f"{what}; a call has function.name and function.arguments.", path)
            return None
        schema = self._tools.get(name)
        if schema is None and self._whole:
            if self._tools:
                self._add(
                    "tools.undeclared",
                    f"{told(name)} is called and not declared; declared: {named(self._tools)}.",
                    f"{path}.name",
                )
            else:
                self._add(
                    "tools.undeclared",
                    f"{told(name)} is called, and the row declares no tools.",
                    f"{path}.name",
                    severity="warning",
                    fix="write the row's tools, as they will be given when the model is used.",
                )
        self._arguments(given.get("arguments"), name, schema, f"{path}.arguments")
        return name

    def _arguments(self, arguments: Any, name: str, schema: Schema | None, path: str) -> None:
        if not isinstance(arguments, str):
            if isinstance(arguments, Mapping):
                message = f"the arguments are {told(arguments)}, not a JSON object in a string."
                self._add("tools.arguments", message, path, fix=_OBJECT)
            else:
                said = "missing" if arguments is None else told(arguments)
                self._add(
                    "tools.function",
                    f"the arguments are {said}; they are a JSON object in a string.",
                    path,
                    fix=_OBJECT,
                )
            return
        try:
            value = orjson.loads(arguments)
        except ValueError:
            try:
                value = json.loads(arguments, parse_constant=_refuse)
            except RecursionError:
                self._add("tools.arguments", "the arguments are nested too deeply.", path)
                return
            except ValueError as error:
                reason = (
                    f"{error.msg} at character {error.pos + 1}"
                    if isinstance(error, json.JSONDecodeError)
                    else str(error)
                )
                self._add(
                    "tools.arguments",
                    f"the arguments do not parse as JSON ({reason}): {told(arguments)}.",
                    path,
                    fix=_OBJECT,
                )
                return
        if not isinstance(value, dict):
            self._add(
                "tools.arguments",
                f"the arguments are {told(value)} as JSON; they must be an object.",
                path,
                fix=_OBJECT,
            )
            return
        if schema is None:
            return
        errors = schema.errors(cast("Any", value))
        if errors is None:
            if schema.unchecked or schema.validator is not None:
                self._seen[f"unchecked:{schema.unchecked or 'too much work'}"] += 1
        elif errors:
            message = f"the arguments of {told(name)} break its schema: {'; '.join(errors)}."
            self._add("tools.arguments-schema", message, path)

    def _function_call(self, call: Any, path: str) -> None:
        self._named = self._function(call, path)
        self._named_path = path

    def _result(self, turn: Mapping[str, Any], path: str) -> None:
        self._seen["results"] += 1
        self._answered = True
        identifier = turn.get("tool_call_id")
        if not isinstance(identifier, str) or not identifier:
            said = "missing" if identifier is None else told(identifier)
            waiting = list(self._open)
            if waiting and waiting[0].startswith("\0"):  # neither has an id, and it was said at the call
                del self._open[waiting[0]]
                return
            if not self._roles_named:
                self._add(
                    "tools.call-id",
                    f"tool_call_id is {said}; it names the call that this is the result of.",
                    f"{path}.tool_call_id",
                )
            if waiting:  # take it for the first that waits: one defect, one finding
                del self._open[waiting[0]]
            return
        if self._open.pop(identifier, None) is not None or identifier in self._late:
            return
        unnamed = next((key for key in self._open if key.startswith("\0")), None)
        if unnamed is not None:
            del self._open[unnamed]
            return
        if identifier in self._ids:
            message = f"the call {told(identifier)} has its result already, or another turn came between."
        else:
            message = f"no call has the id {told(identifier)}; waiting: {named(self._open) or 'none'}."
        self._add("tools.result-without-call", message, f"{path}.tool_call_id")
        if len(self._open) == 1 and identifier not in self._ids:  # a mistyped id: the call is not also unanswered
            self._open.clear()

    def _named_result(self, turn: Mapping[str, Any], path: str) -> None:
        self._seen["results"] += 1
        name = turn.get("name")
        if self._named is not None and name == self._named:
            self._named = None
            return
        self._add(
            "tools.result-without-call",
            f"the result is of {told(name)}; {f'called was {told(self._named)}' if self._named else 'no function was called'}.",
            f"{path}.name",
        )
        self._named = None


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")
