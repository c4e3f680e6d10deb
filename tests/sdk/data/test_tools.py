"""`checks.tools`: declarations, calls and results; valid tool rows of every shape pass; no schema reaches out or runs away."""

from __future__ import annotations

import http.server
import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuneport.dataset.checks.base import Context, Findings
from tuneport.dataset.checks.schemas import MOST_BYTES, Schema, compile_schema
from tuneport.dataset.checks.structure import StructureCheck
from tuneport.dataset.checks.tools import ToolsCheck
from tuneport.dataset.rows import Batch, Kind, Row

ASK = {"role": "user", "content": "Weather in Oslo?"}
ANSWER = {"role": "assistant", "content": "4 degrees."}
WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}, "unit": {"enum": ["c", "f"]}},
    "required": ["city"],
    "additionalProperties": False,
}


def tool(name: str = "weather", parameters: Any = WEATHER, **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": parameters, **more}}


def call(identifier: Any = "c1", name: Any = "weather", arguments: Any = '{"city": "Oslo"}') -> dict[str, Any]:
    return {"id": identifier, "type": "function", "function": {"name": name, "arguments": arguments}}


def calling(*calls: Any, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": list(calls), **more}


def result(identifier: Any = "c1", content: Any = "4 degrees") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": identifier, "content": content}


def row(*turns: Any, tools: Any = None, **more: Any) -> dict[str, Any]:
    return {"messages": list(turns), "tools": [tool()] if tools is None else tools, **more}


def checked(*rows: Any, kind: Kind = "chat") -> tuple[Findings, dict[str, Any]]:
    """Tools and structure together, as a user meets them."""
    findings = Findings(source="d.jsonl")
    batch = Batch("d.jsonl", "train", [Row(n, r, kind=kind, canonical=r) for n, r in enumerate(rows, 2)])
    StructureCheck(Context()).scan(batch, findings)
    check = ToolsCheck(Context())
    check.reduce(check.scan(batch, findings))
    return findings, check.finish(findings)


def told(given: Any, kind: Kind = "chat") -> list[tuple[str, str | None]]:
    return [(issue.code, issue.path) for issue in checked(given, kind=kind)[0].issues]


TALK = (calling(call()), result(), ANSWER)
_FUNCTION = "messages[1].tool_calls[0].function"


@pytest.mark.parametrize(
    ("given", "code", "path", "says"),
    [
        (row(ASK, *TALK, tools={"a": 1}), "structure.tools", "tools", "an object with 'a'"),
        (row(ASK, ANSWER, tools=["weather"]), "structure.tools", "tools[0]", "'weather'"),
        (row(ASK, ANSWER, tools=[{"type": "function"}]), "structure.tools", "tools[0]", "'type'"),
        (
            row(ASK, ANSWER, tools=[{"type": "function", "name": "weather"}]),
            "structure.tools",
            "tools[0]",
            "under function",
        ),
        (
            row(ASK, ANSWER, tools=[{**tool(), "type": "web_search"}]),
            "structure.tools",
            "tools[0].type",
            "'web_search'",
        ),
        (row(ASK, ANSWER, tools=[tool(name="")]), "tools.name", "tools[0].function.name", "''"),
        (row(ASK, ANSWER, tools=[tool(name="get weather")]), "tools.name", "tools[0].function.name", "'get weather'"),
        (
            row(ASK, ANSWER, tools=[tool(name="wetter_für_oslo")]),
            "tools.name",
            "tools[0].function.name",
            "'wetter_für_oslo'",
        ),
        (row(ASK, ANSWER, tools=[tool(name="w" * 65)]), "tools.name", "tools[0].function.name", "1 to 64"),
        (row(ASK, ANSWER, tools=[tool(name="w\n")]), "tools.name", "tools[0].function.name", "'w\\n'"),
        (
            row(ASK, ANSWER, tools=[{"type": "function", "function": {"name": 3}}]),
            "structure.tools",
            "tools[0].function.name",
            "is 3",
        ),
        (row(ASK, *TALK, tools=[tool(), tool()]), "tools.duplicate", "tools[1].function", "'weather'"),
        (row(ASK, *TALK, parallel_tool_calls="yes"), "structure.type", "parallel_tool_calls", "'yes'"),
        (
            row(ASK, calling(call(), call("c2")), result(), result("c2"), ANSWER, parallel_tool_calls=False),
            "tools.parallel",
            "messages[1].tool_calls",
            "2 calls",
        ),
        (
            row(ASK, calling(call(arguments='{"city": "Os'))),
            "tools.arguments",
            f"{_FUNCTION}.arguments",
            "character 10",
        ),
        (row(ASK, calling(call(arguments=""))), "tools.arguments", f"{_FUNCTION}.arguments", "''"),
        (row(ASK, calling(call(arguments="{'city': 'Oslo'}"))), "tools.arguments", f"{_FUNCTION}.arguments", "{'city'"),
        (row(ASK, calling(call(arguments='["Oslo"]'))), "tools.arguments", f"{_FUNCTION}.arguments", "a list of 1"),
        (
            row(ASK, calling(call(arguments='{"city": NaN}'))),
            "tools.arguments",
            f"{_FUNCTION}.arguments",
            "NaN is not JSON",
        ),
        (
            row(ASK, calling(call(arguments="[" * 100_000))),
            "tools.arguments",
            f"{_FUNCTION}.arguments",
            "nested too deeply",
        ),
        (
            row(ASK, calling(call(arguments={"city": "Oslo"}))),
            "tools.arguments",
            f"{_FUNCTION}.arguments",
            "an object with 'city'",
        ),
        (row(ASK, calling(call(arguments=None))), "tools.function", f"{_FUNCTION}.arguments", "missing"),
        (
            row(ASK, calling(call(arguments="{}"))),
            "tools.arguments-schema",
            f"{_FUNCTION}.arguments",
            '"city" is a required property',
        ),
        (
            row(ASK, calling(call(arguments='{"city": 3}'))),
            "tools.arguments-schema",
            f"{_FUNCTION}.arguments",
            'city: 3 is not of type "string"',
        ),
        (
            row(ASK, calling(call(arguments='{"city": "Oslo", "town": 1}'))),
            "tools.arguments-schema",
            f"{_FUNCTION}.arguments",
            "'town' was unexpected",
        ),
        (
            row(ASK, calling(call(arguments='{"city": "Oslo", "unit": "k"}'))),
            "tools.arguments-schema",
            f"{_FUNCTION}.arguments",
            "unit: ",
        ),
        (row(ASK, calling(call(name="wether"))), "tools.undeclared", f"{_FUNCTION}.name", "declared: 'weather'"),
        (row(ASK, calling(call(name=None))), "tools.function", _FUNCTION, "name is null"),
        (row(ASK, calling({"id": "c1", "type": "function"})), "tools.function", _FUNCTION, "function is null"),
        (row(ASK, calling("call")), "structure.tool-calls", "messages[1].tool_calls[0]", "'call'"),
        (row(ASK, {**ANSWER, "tool_calls": {"id": "c1"}}), "structure.tool-calls", "messages[1].tool_calls", "'id'"),
        (row({**ASK, "tool_calls": [call()]}, ANSWER), "structure.tool-calls", "messages[0].tool_calls", "'user'"),
        (
            row(ASK, calling({**call(), "type": "custom"})),
            "structure.tool-calls",
            "messages[1].tool_calls[0].type",
            "'custom'",
        ),
        (row(ASK, calling(call(None)), result(), ANSWER), "tools.call-id", "messages[1].tool_calls[0].id", "missing"),
        (row(ASK, calling(call(7)), result(), ANSWER), "tools.call-id", "messages[1].tool_calls[0].id", "is 7"),
        (
            row(ASK, calling(call(), call()), result(), ANSWER),
            "tools.call-id",
            "messages[1].tool_calls[1].id",
            "'c1' was used before",
        ),
        (
            row(ASK, calling(call()), {"role": "tool", "content": "x"}, ANSWER),
            "tools.call-id",
            "messages[2].tool_call_id",
            "missing",
        ),
        (
            row(ASK, calling(call()), result("c9"), ANSWER),
            "tools.result-without-call",
            "messages[2].tool_call_id",
            "'c9'",
        ),
        (row(ASK, result(), ANSWER), "tools.result-without-call", "messages[1].tool_call_id", "waiting: none"),
        (
            row(ASK, calling(call()), result(), result(), ANSWER),
            "tools.result-without-call",
            "messages[3].tool_call_id",
            "has its result already",
        ),
        (row(ASK, calling(call()), ANSWER), "tools.unanswered", "messages[1].tool_calls[0]", "'c1'"),
        (
            row(ASK, calling(call()), ASK, result(), ANSWER),
            "tools.unanswered",
            "messages[1].tool_calls[0]",
            "the user's turn",
        ),
        (
            row(ASK, calling(call(), call("c2")), result("c2"), ANSWER),
            "tools.unanswered",
            "messages[1].tool_calls[0]",
            "'c1'",
        ),
        (
            row(
                ASK,
                {
                    "role": "assistant",
                    "content": None,
                    "function_call": {"name": "weather", "arguments": '{"city": 1}'},
                },
            ),
            "tools.arguments-schema",
            "messages[1].function_call.arguments",
            "city: 1",
        ),
        (
            row(ASK, {"role": "function", "name": "weather", "content": "x"}, ANSWER),
            "tools.result-without-call",
            "messages[1].name",
            "no function was called",
        ),
        (
            row(ASK, ANSWER, tools=[tool(parameters={"type": "objekt"})]),
            "tools.schema",
            "tools[0].function.parameters",
            "'objekt'",
        ),
        (
            row(ASK, ANSWER, tools=[tool(parameters={"type": "OBJECT"})]),
            "tools.schema",
            "tools[0].function.parameters",
            "lower case",
        ),
        (
            row(ASK, ANSWER, tools=[tool(parameters=[])]),
            "tools.schema",
            "tools[0].function.parameters",
            "not an object",
        ),
        (
            row(ASK, ANSWER, tools=[tool(parameters={"type": "object", "properties": {"a": {"type": "text"}}})]),
            "tools.schema",
            "tools[0].function.parameters",
            '"text"',
        ),
        (
            row(ASK, ANSWER, tools=[tool(parameters={"type": "object", "required": "a"})]),
            "tools.schema",
            "tools[0].function.parameters",
            "array",
        ),
        (
            row(ASK, ANSWER, tools=[tool(parameters={"properties": {"a": {"pattern": "(a"}}})]),
            "tools.schema",
            "tools[0].function.parameters",
            "regex",
        ),
        (
            row(ASK, ANSWER, tools=[tool(parameters={"$ref": "#/$defs/none"})]),
            "tools.schema",
            "tools[0].function.parameters",
            "none",
        ),
    ],
)
def test_one_defect_is_one_finding_with_its_value(given: dict[str, Any], code: str, path: str, says: str) -> None:
    findings, _ = checked(given)
    (issue,) = findings.issues
    assert (issue.code, issue.row, issue.path) == (code, 2, path)
    assert says in issue.message
    assert issue.fix


def test_a_call_without_any_declaration_is_worth_a_warning() -> None:
    (issue,) = checked({"messages": [ASK, calling(call())]})[0].issues
    assert (issue.code, issue.severity) == ("tools.undeclared", "warning")


NESTED = {
    "type": "object",
    "properties": {"filter": {"$ref": "#/$defs/node"}},
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "op": {"enum": ["and", "or", "is"]},
                "of": {"type": "array", "items": {"$ref": "#/$defs/node"}},
            },
            "required": ["op"],
        }
    },
}


@pytest.mark.parametrize(
    "given",
    [
        row(ASK, *TALK),
        row(ASK, calling(call())),
        row(ASK, calling(call()), result(), calling(call("c2"))),
        row(ASK, calling(call(), call("c2")), result("c2"), result("c1"), ANSWER),
        row(ASK, calling(call(), content="Let me look."), result(content=""), ANSWER),
        row(ASK, calling(call(), content=""), result(content=[{"type": "text", "text": "4"}]), ANSWER),
        row(ASK, *TALK, ASK, calling(call("c2")), result("c2"), ANSWER),
        row(ASK, ANSWER),
        row(ASK, ANSWER, tools=[]),
        row(ASK, *TALK, parallel_tool_calls=True),
        row(ASK, *TALK, parallel_tool_calls=False),
        row(ASK, *TALK, tools=[tool(strict=True, description="Tells the weather.")]),
        row(ASK, calling(call(arguments="{}")), tools=[tool(parameters=None)]),
        row(ASK, calling(call(arguments='{"x": 1}')), tools=[{"type": "function", "function": {"name": "weather"}}]),
        row(ASK, calling(call(arguments="{}")), tools=[tool(parameters={})]),
        row(ASK, calling(call(arguments="{}")), tools=[tool(parameters={"type": "object", "properties": {}})]),
        row(ASK, calling(call(arguments=' {\n"city":"Oslo" } '))),
        row(ASK, calling(call(arguments='{"city": "\\u00d8stfold \\ud83d\\ude00 東京"}'))),
        row(
            ASK,
            calling(call(arguments='{"filter": {"op": "and", "of": [{"op": "is"}, {"op": "or", "of": []}]}}')),
            tools=[tool(parameters=NESTED)],
        ),
        row(
            ASK,
            calling(call(arguments='{"n": 1.0}')),
            tools=[tool(parameters={"properties": {"n": {"type": "integer"}}})],
        ),
        row(
            ASK,
            calling(call(arguments='{"at": "soon"}')),
            tools=[tool(parameters={"properties": {"at": {"type": "string", "format": "date"}}})],
        ),
        row(
            ASK,
            calling(call(arguments='{"a": null}')),
            tools=[tool(parameters={"properties": {"a": {"anyOf": [{"type": "string"}, {"type": "null"}]}}})],
        ),
        row(
            ASK,
            calling(call(arguments='{"a": "ab"}')),
            tools=[tool(parameters={"properties": {"a": {"pattern": "^(?!x)[a-z]+$"}}})],
        ),
        row(
            ASK,
            calling(call(name="get-weather_2")),
            tools=[
                tool(
                    name="get-weather_2",
                    parameters={"$schema": "http://json-schema.org/draft-07/schema#", "type": "object"},
                )
            ],
        ),
        row(
            ASK,
            calling({"id": "c1", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}),
            result(),
            ANSWER,
        ),
        row(
            ASK,
            {
                "role": "assistant",
                "content": None,
                "function_call": {"name": "weather", "arguments": '{"city": "Oslo"}'},
            },
            {"role": "function", "name": "weather", "content": "4"},
            ANSWER,
        ),
        {
            "messages": [ASK, {**ANSWER, "tool_calls": None, "function_call": None}],
            "tools": None,
            "parallel_tool_calls": None,
        },
    ],
)
def test_a_valid_tool_row_passes(given: dict[str, Any]) -> None:
    assert told(given) == []


def test_a_preference_row_is_followed_into_both_answers() -> None:
    given = {
        "input": {"messages": [ASK, calling(call())], "tools": [tool()]},
        "preferred_output": [result(), ANSWER],
        "non_preferred_output": [result("c9"), {"role": "assistant", "content": "?"}],
    }
    assert told(given, "preference") == [("tools.result-without-call", "non_preferred_output[0].tool_call_id")]
    calls = {**given, "input": {"messages": [ASK], "tools": [tool()]}, "preferred_output": [calling(call())]}
    calls["non_preferred_output"] = [calling(call(arguments='{"town": "Oslo"}'))]
    assert told(calls, "preference") == [
        ("tools.arguments-schema", "non_preferred_output[0].tool_calls[0].function.arguments")
    ]
    unanswered = {
        **given,
        "preferred_output": [ANSWER],
        "non_preferred_output": [{"role": "assistant", "content": "?"}],
    }
    assert told(unanswered, "preference") == [("tools.unanswered", "input.messages[1].tool_calls[0]")]
    wrong = {**calls, "input": {"messages": [ASK], "tools": [tool(name="no good")], "parallel_tool_calls": 1}}
    assert ("tools.name", "input.tools[0].function.name") in told(wrong, "preference")
    assert ("structure.type", "input.parallel_tool_calls") in told(wrong, "preference")


def test_what_is_wrong_with_a_declaration_is_said_for_each_row_that_has_it() -> None:
    bad = row(ASK, ANSWER, tools=[tool(name="no good")])
    findings, stats = checked(bad, row(ASK, *TALK), bad)
    assert [(i.code, i.row) for i in findings.issues] == [("tools.name", 2), ("tools.name", 4)]
    assert stats == {"rows": 3, "calls": 1, "results": 1}


def test_no_schema_reaches_the_network_or_a_file(tmp_path: Path) -> None:
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class's name
            return

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    (tmp_path / "x.json").write_text("{}")
    base = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        for schema in (
            {"$ref": f"{base}/a.json"},
            {"$ref": "file.json", "$id": f"{base}/b.json"},
            {"properties": {"a": {"$ref": f"{base}/c.json#/x"}}},
            {"$schema": f"{base}/d.json"},
            {"$ref": (tmp_path / "x.json").as_uri()},
            {"$dynamicRef": f"{base}/e.json"},
        ):
            (issue,) = checked(row(ASK, calling(call()), tools=[tool(parameters=schema)]))[0].issues
            assert (issue.code, issue.path) == ("tools.schema", "tools[0].function.parameters")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert asked == []


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("schema", "arguments"),
    [
        ({"properties": {"a": {"pattern": "^(a+)+$"}}}, {"a": "a" * 5000 + "!"}),
        ({"properties": {"a": {"pattern": r"^(?=a)(\w+\s?)*\1$"}}}, {"a": "aaaa " * 2000 + "!"}),
        ({"properties": {"a": {"pattern": "(a{1000}){1000}"}}}, {"a": "a"}),
    ],
)
def test_no_pattern_hangs(schema: dict[str, Any], arguments: dict[str, Any]) -> None:
    findings, _ = checked(row(ASK, calling(call(arguments=json.dumps(arguments))), tools=[tool(parameters=schema)]))
    assert {issue.code for issue in findings.issues} <= {"tools.schema", "tools.arguments-schema"}


def _doubling(steps: int) -> dict[str, Any]:
    defs: dict[str, Any] = {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(steps)}
    return {"$defs": {**defs, f"a{steps}": {"type": "object"}}, "$ref": "#/$defs/a0"}


def _deep(steps: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(steps):
        value = {"x": value}
    return value


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("schema", "arguments"),
    [
        (_doubling(60), {}),
        ({"properties": {"x": {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}}}, _deep(100)),
        ({"patternProperties": {"x": {"$ref": "#"}, ".": {"$ref": "#"}}}, _deep(100)),
        ({"properties": {"x": {"anyOf": [{"$ref": "#/$defs/b"}] * 3}}, "$defs": {"b": {"$ref": "#"}}}, _deep(100)),
        ({"$defs": {f"a{n}": {"$ref": f"#/$defs/a{n + 1}"} for n in range(5000)}, "$ref": "#/$defs/a0"}, {}),
        ({"properties": {f"p{n}": {"type": "string"} for n in range(MOST_BYTES // 20)}}, {}),
    ],
)
def test_no_schema_runs_away_and_what_was_not_checked_is_said(
    schema: dict[str, Any], arguments: dict[str, Any]
) -> None:
    findings, stats = checked(row(ASK, calling(call(arguments=json.dumps(arguments))), tools=[tool(parameters=schema)]))
    assert {issue.code for issue in findings.issues} <= {"tools.schema"}
    assert findings.issues or sum(stats["calls_not_held_against_a_schema"].values()) == 1


@pytest.mark.timeout(60)
def test_references_in_a_circle_are_named() -> None:
    every = [f"d{n}" for n in range(12)]
    defs = {name: {"allOf": [{"$ref": f"#/$defs/{other}"} for other in every if other != name]} for name in every}
    (issue,) = checked(row(ASK, calling(call()), tools=[tool(parameters={"$defs": defs, "$ref": "#/$defs/d0"})]))[
        0
    ].issues
    assert issue.code == "tools.schema"
    assert "refers to itself without end" in issue.message


def test_a_recursive_schema_is_checked_all_the_way_down() -> None:
    schema = {
        "type": "object",
        "properties": {
            "left": {"$ref": "#"},
            "right": {"anyOf": [{"$ref": "#"}, {"type": "null"}]},
            "value": {"type": "integer"},
        },
    }
    tree: dict[str, Any] = {"value": "wrong"}
    for _ in range(10):
        tree = {"left": tree, "right": None, "value": 1}
    (issue,) = checked(row(ASK, calling(call(arguments=json.dumps(tree))), tools=[tool(parameters=schema)]))[0].issues
    assert issue.code == "tools.arguments-schema"
    assert ".value" in issue.message


def test_without_the_schema_package_the_rest_is_checked_and_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    program = """
import sys, json
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "jsonschema_rs":
            raise ModuleNotFoundError(name)
        return None
sys.meta_path.insert(0, Hidden())
import importlib.util
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name == "jsonschema_rs" else real(name, package)
from tuneport.dataset.checks.base import Context, Findings
from tuneport.dataset.checks.tools import ToolsCheck
from tuneport.dataset.rows import Batch, Row
given = json.loads(sys.argv[1])
findings, check = Findings(), ToolsCheck(Context())
check.reduce(check.scan(Batch("d", "train", [Row(1, given, canonical=given)]), findings))
print(json.dumps([[issue.code for issue in findings.issues], check.finish(findings)]))
"""
    given = row(ASK, calling(call(arguments='{"town": 1}'), call("c2", name="wether")))
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(given)], capture_output=True, text=True, check=True
    )
    codes, stats = json.loads(done.stdout)
    assert codes == ["tools.undeclared"]
    assert "tuneport[data]" in stats["schemas"]
    assert stats["calls_not_held_against_a_schema"] == {"jsonschema-rs is not installed": 1}


# Whatever JSON holds

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
_keyword = st.sampled_from(
    ["type", "properties", "$ref", "allOf", "items", "enum", "pattern", "required", "$defs", "not", "$id", "$schema"]
)
_schema = st.recursive(
    st.sampled_from(["object", "string", "#", "#/$defs/a", "a", "^a+$"]) | st.booleans() | st.integers(),
    lambda inner: (
        st.dictionaries(_keyword | st.sampled_from(["a", "b"]), inner, max_size=4) | st.lists(inner, max_size=3)
    ),
    max_leaves=12,
)
_id = st.sampled_from(["c1", "c2", ""]) | _json
_function = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["f", "g"]) | _json,
        "arguments": _json | st.builds(json.dumps, _json) | st.text(max_size=4),
    },
)
_call = (
    st.fixed_dictionaries({}, optional={"id": _id, "type": st.just("function") | _json, "function": _function | _json})
    | _json
)
_turn = st.fixed_dictionaries(
    {},
    optional={
        "role": st.sampled_from(["user", "assistant", "assistant", "tool", "function"]) | _json,
        "content": st.none() | st.text(max_size=4),
        "tool_calls": st.lists(_call, max_size=3) | _json,
        "tool_call_id": _id,
        "function_call": _function | _json,
        "name": st.sampled_from(["f", "g"]) | _json,
    },
)
_declared = st.fixed_dictionaries(
    {"function": st.fixed_dictionaries({"name": st.sampled_from(["f", "g"]) | _json, "parameters": _schema | _json})}
)
_turns = st.lists(_turn | _json, max_size=5) | _json
_more = {"tools": st.lists(_declared | _json, max_size=3) | _json, "parallel_tool_calls": _json}
_any = st.fixed_dictionaries(
    {},
    optional={
        "messages": _turns,
        **_more,
        "input": st.fixed_dictionaries({}, optional={"messages": _turns, **_more}) | _json,
        "preferred_output": _turns,
        "non_preferred_output": _turns,
    },
)


@settings(max_examples=800, deadline=None)
@given(_any, st.sampled_from(["chat", "preference", "reinforcement", "text"]))
def test_whatever_the_row_holds_there_are_findings_and_no_exception(given: dict[str, Any], kind: Kind) -> None:
    findings, stats = checked(given, given, kind=kind)
    assert all(len(issue.message) < 2000 for issue in findings.issues)
    assert json.dumps(stats)
    assert [i.message for i in findings.issues if i.row == 2] == [i.message for i in findings.issues if i.row == 3]


@settings(max_examples=500, deadline=None)
@given(_schema | _json, _json)
def test_whatever_the_schema_is_it_is_compiled_or_refused(schema: Any, value: Any) -> None:
    compiled = compile_schema(schema, 100)
    assert isinstance(compiled, Schema)
    assert compiled.validator is None or compiled.problem is None
    compiled.errors(value)


@st.composite
def tool_rows(draw: st.DrawFn) -> dict[str, Any]:
    names = draw(st.lists(st.from_regex(r"[a-zA-Z0-9_-]{1,64}", fullmatch=True), min_size=1, max_size=3, unique=True))
    types: dict[str, st.SearchStrategy[Any]] = {
        "string": st.text(max_size=8),
        "integer": st.integers(-(2**40), 2**40),
        "boolean": st.booleans(),
        "array": st.lists(st.integers(0, 9), max_size=3),
    }
    shapes: dict[str, dict[str, str]] = {
        name: draw(st.dictionaries(st.text(min_size=1, max_size=6), st.sampled_from(sorted(types)), max_size=3))
        for name in names
    }
    tools = [
        tool(
            name, {"type": "object", "properties": {k: {"type": t} for k, t in shape.items()}, "required": list(shape)}
        )
        for name, shape in shapes.items()
    ]
    turns: list[Any] = [ASK]
    for number in range(draw(st.integers(1, 3))):
        calls: list[Any] = []
        for index in range(draw(st.integers(1, 3))):
            name = draw(st.sampled_from(names))
            arguments = {key: draw(types[kind]) for key, kind in shapes[name].items()}
            calls.append(call(f"call-{number}-{index}", name, json.dumps(arguments, ensure_ascii=draw(st.booleans()))))
        turns.append(calling(*calls))
        turns.extend(result(one["id"], draw(st.text(max_size=5))) for one in draw(st.permutations(calls)))
    return row(*turns, ANSWER, tools=tools)


@settings(max_examples=200, deadline=None)
@given(tool_rows())
def test_a_generated_valid_tool_row_has_no_finding(given: dict[str, Any]) -> None:
    assert told(given) == []
