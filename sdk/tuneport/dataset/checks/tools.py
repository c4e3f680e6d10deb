"""Tools: what is declared, what is called and with what, and whether each result has its call.

A row without tools costs a look at the length of its turns. Declarations repeat from row to row, so they are examined once for
each way in which they are written, and what was found is said again for each row.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, cast

import orjson

from tuneport.dataset.checks.base import Context, Findings
from tuneport.dataset.checks.calls import Calls
from tuneport.dataset.checks.rules import AS_WRITTEN, is_vertex
from tuneport.dataset.checks.schemas import Schema, available, compile_schema
from tuneport.dataset.checks.words import told
from tuneport.dataset.rows import Batch, Row

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_REMEMBERED = 256  # declarations
_REMEMBERED_BYTES = 1 << 23
_TOOL_ROLES = ("tool", "function")


class Problem(NamedTuple):
    """Found in a declaration; `path` is within the list of tools."""

    code: str
    message: str
    path: str
    fix: str | None = None


@dataclass(frozen=True)
class Declared:
    """The tools of a row by name, and what is wrong with them. `whole`: each of them could be read."""

    tools: Mapping[str, Schema] = field(default_factory=dict[str, Schema])
    problems: Sequence[Problem] = ()
    whole: bool = True


_NONE = Declared()


def has_tools(row: Mapping[str, Any]) -> bool:
    """Whether the row declares, calls or answers a tool, or is so unlike a row that a closer look is due."""
    if len(row) > 1 and ("tools" in row or "parallel_tool_calls" in row):
        return True
    turns: Any = row.get("messages")
    every: Any = turns
    return type(turns) is list and _turns_have(every)


def _turns_have(turns: list[Any]) -> bool:
    for turn in turns:
        given: Any = turn  # no cast(): it is a call, for every turn
        if type(turn) is not dict:
            continue
        if len(given) != 2 or "content" not in given or given.get("role") in _TOOL_ROLES:
            return True
    return False


class ToolsCheck:
    """All `tools.*` codes, and `structure.tools` and `structure.tool-calls`. Schemas need jsonschema-rs; the rest does not."""

    name: ClassVar[str] = "tools"
    codes: ClassVar[Sequence[str]] = (
        "structure.tools", "structure.tool-calls", "tools.function", "tools.arguments", "tools.arguments-schema",
        "tools.undeclared", "tools.schema", "tools.name", "tools.duplicate", "tools.call-id", "tools.unanswered",
        "tools.result-without-call", "tools.parallel", "structure.type",
    )  # fmt: skip
    requires: ClassVar[Sequence[str]] = ()

    def __init__(self, context: Context) -> None:
        rules = context.target.rules if context.target else ()
        self._names_roles = any(rule in AS_WRITTEN for rule in rules)
        self._known: dict[bytes, Declared] = {}
        self._bytes = 0
        self._seen: Counter[str] = Counter()

    def scan(self, batch: Batch, findings: Findings) -> Counter[str] | None:
        seen: Counter[str] = Counter()
        for row in batch.rows:
            given = row.canonical
            if row.plain or given is None or row.kind == "text":
                continue
            if row.kind == "preference":
                self._preference(row, given, findings, seen)
            elif has_tools(given):
                declared = self._declared(row, given, "", findings, seen)
                roles_named = self._names_roles and is_vertex(row)
                calls = Calls(
                    row, "messages", findings, declared.tools, seen, whole=declared.whole, roles_named=roles_named
                )
                calls.all(given.get("messages"), parallel=given.get("parallel_tool_calls"))
                calls.end()
        return seen or None

    def reduce(self, found: Counter[str] | None) -> None:
        if found is not None:
            self._seen.update(found)

    def finish(self, findings: Findings) -> dict[str, Any]:
        del findings
        stats: dict[str, Any] = {key: self._seen[key] for key in ("rows", "calls", "results")}
        unchecked = {
            key.partition(":")[2]: count for key, count in sorted(self._seen.items()) if key.startswith("unchecked:")
        }
        if unchecked:
            stats["calls_not_held_against_a_schema"] = unchecked
        if self._seen["rows"] and not available():
            stats["schemas"] = "not checked: jsonschema-rs is not installed (pip install 'tuneport[data]')"
        return stats

    def _preference(self, row: Row, given: Mapping[str, Any], findings: Findings, seen: Counter[str]) -> None:
        asked: Any = given.get("input")
        asked = cast("Mapping[str, Any]", asked) if isinstance(asked, Mapping) else {}
        answers = [(key, given.get(key)) for key in ("preferred_output", "non_preferred_output")]
        if not has_tools(asked) and not any(type(a) is list and _turns_have(cast("list[Any]", a)) for _, a in answers):
            return
        declared = self._declared(row, asked, "input.", findings, seen)
        roles_named = self._names_roles and is_vertex(row)
        prompt = Calls(
            row, "input.messages", findings, declared.tools, seen, whole=declared.whole, roles_named=roles_named
        )
        prompt.all(asked.get("messages"), parallel=asked.get("parallel_tool_calls"))
        prompt.turn_to([answer for _, answer in answers])
        for key, answer in answers:
            calls = prompt.branch(key)
            calls.all(answer, parallel=asked.get("parallel_tool_calls"))
            calls.end()

    def _declared(
        self, row: Row, given: Mapping[str, Any], path: str, findings: Findings, seen: Counter[str]
    ) -> Declared:
        parallel = given.get("parallel_tool_calls")
        if parallel is not None and not isinstance(parallel, bool):
            where = f"{path}parallel_tool_calls"
            findings.add("structure.type", f"parallel_tool_calls is {told(parallel)}; it is true or false.", row, where)
        tools = given.get("tools")
        if tools is None:
            return _NONE
        declared = self._examined(tools)
        for code, message, place, fix in declared.problems:
            findings.add(code, message, row, f"{path}tools{place}", fix=fix)
        seen["rows"] += 1
        return declared

    def _examined(self, tools: Any) -> Declared:
        try:
            key = orjson.dumps(tools)
        except TypeError:  # a lone surrogate, a number beyond 64 bits, nesting: not worth remembering
            return _examine(tools)
        found = self._known.get(key)
        if found is None:
            found = _examine(tools)
            if len(self._known) >= _REMEMBERED or self._bytes + len(key) > _REMEMBERED_BYTES:
                self._known.clear()
                self._bytes = 0
            self._known[key] = found
            self._bytes += len(key)
        return found


def _examine(tools: Any) -> Declared:
    if not isinstance(tools, list):
        problem = Problem("structure.tools", f"tools is {told(tools)}; it must be a list of tools.", "")
        return Declared(problems=[problem], whole=False)
    found: dict[str, Schema] = {}
    problems: list[Problem] = []
    for index, tool in enumerate(cast("list[Any]", tools)):
        path = f"[{index}]"
        function = cast("Mapping[str, Any]", tool).get("function") if isinstance(tool, Mapping) else None
        if not isinstance(function, Mapping):
            problems.append(_not_a_tool(tool, path))
            continue
        kind = cast("Mapping[str, Any]", tool).get("type", "function")
        if kind != "function":
            problems.append(Problem("structure.tools", f'type is {told(kind)}; it must be "function".', f"{path}.type"))
        _function(cast("Mapping[str, Any]", function), f"{path}.function", found, problems)
    return Declared(found, problems, whole=all(problem.code != "structure.tools" for problem in problems))


def _not_a_tool(tool: Any, path: str) -> Problem:
    if isinstance(tool, Mapping) and isinstance(cast("Mapping[str, Any]", tool).get("name"), str):
        name = cast("Mapping[str, Any]", tool)["name"]
        return Problem(
            "structure.tools",
            f"the tool {told(name)} has its name beside type; name, description and parameters belong under function.",
            path,
            'write {"type": "function", "function": {"name": …, "parameters": …}}.',
        )
    return Problem(
        "structure.tools", f'the tool is {told(tool)}; it must have type "function" and an object function.', path
    )


def _function(function: Mapping[str, Any], path: str, found: dict[str, Schema], problems: list[Problem]) -> None:
    name = function.get("name")
    if not isinstance(name, str):
        problems.append(
            Problem("structure.tools", f"the tool's name is {told(name)}; it must be a string.", f"{path}.name")
        )
        return
    if _NAME.fullmatch(name) is None:
        message = f"the tool's name is {told(name)}; it must be 1 to 64 letters a to z, digits, _ and -."
        problems.append(Problem("tools.name", message, f"{path}.name"))
    parameters = function.get("parameters")
    schema = Schema() if parameters is None else compile_schema(parameters, _size(parameters))
    if schema.problem is not None:
        message = f"the parameters of {told(name)} are no usable JSON schema: {schema.problem}."
        problems.append(Problem("tools.schema", message, f"{path}.parameters"))
    if name in found:
        problems.append(Problem("tools.duplicate", f"the tool {told(name)} is declared a second time.", path))
    else:
        found[name] = schema


def _size(parameters: Any) -> int:
    try:
        return len(orjson.dumps(parameters))
    except TypeError:
        try:
            return len(json.dumps(parameters, default=repr))
        except (TypeError, ValueError, RecursionError):
            return 0  # compile_schema finds out why
