"""`rendering.template_check`: rendered as transformers renders, for every family; what the template leaves out is named."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import families
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuneport.dataset.checks.base import Context, Findings, Problem, Target
from tuneport.dataset.checks.target import TargetCheck
from tuneport.dataset.rows import Batch, Row
from tuneport.errors import ModelError
from tuneport_local.rendering import render_template, template_check
from tuneport_local.templates import for_template
from tuneport_local.tokenizers import load_chat_tokenizer

Tiny = Callable[..., Path]

SYSTEM = {"role": "system", "content": "Answer in rhyme."}
ASK = {"role": "user", "content": 'What is "Übung"?\n\n  <b>東京</b> & more'}
ANSWER = {"role": "assistant", "content": "Practice, 🙂 naïve."}
TOOLS = [
    {
        "type": "function",
        "function": {"name": "weather", "description": "Tells it.", "parameters": {"type": "object", "properties": {}}},
    }
]
CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city": "Zürich \\"Süd\\"", "days": 3}'},
}
CALLING = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "call_1", "content": '{"degrees": 7}'}

ROWS: dict[str, dict[str, Any]] = {
    "plain": {"messages": [ASK, ANSWER]},
    "system": {"messages": [SYSTEM, ASK, ANSWER, ASK, ANSWER]},
    "developer": {"messages": [{**SYSTEM, "role": "developer"}, ASK, ANSWER]},
    "tools": {"messages": [SYSTEM, ASK, CALLING, RESULT, ANSWER], "tools": TOOLS},
    "reasoning": {"messages": [ASK, {**ANSWER, "reasoning_content": "Let me think."}]},
    "thought": {"messages": [ASK, {**ANSWER, "content": "<think>\nHm.\n</think>\n\nYes."}, ASK, ANSWER]},
    "parts": {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]},
            ANSWER,
        ]
    },
}


def as_model(folder: Path) -> Path:
    """Tokenizer files look like a model once a config and weights lie beside them; neither is read here."""
    (folder / "config.json").write_text("{}")
    header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    return folder


def codes(problems: Sequence[Problem]) -> list[tuple[str, str]]:
    return [(problem.code, problem.path) for problem in problems if problem.code != "target.template-note"]


@pytest.mark.parametrize("family", families.FAMILIES)
def test_a_row_is_rendered_exactly_as_transformers_does(tiny_tokenizer: Tiny, family: str) -> None:
    folder = tiny_tokenizer(family)
    chat = load_chat_tokenizer(folder)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    tokens = {key: value for key, value in config.items() if key.endswith("_token") and isinstance(value, str)}
    for name, row in ROWS.items():
        messages = for_template(row["messages"], chat.template.shape)
        ours = render_template(chat.template.text, messages, row.get("tools"), tokens)
        assert ours == chat.render(messages, row.get("tools")), name


@pytest.mark.parametrize("family", families.FAMILIES)
def test_no_family_leaves_anything_out(tiny_tokenizer: Tiny, family: str) -> None:
    check = template_check(f"local:{as_model(tiny_tokenizer(family))}")
    for name, row in ROWS.items():
        assert codes(check(row)) == [], name


def test_the_starter_model_is_checked_without_torch_or_transformers() -> None:
    program = """
import sys
from tuneport_local.rendering import template_check
row = {"messages": [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi"}]}
assert template_check("local:starter")(row) == []
print(sorted({"torch", "transformers", "tokenizers", "numpy"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


DROPS_SYSTEM_LATER = """\
{%- for m in messages -%}
{%- if m.role == "system" and not loop.first -%}{%- continue -%}{%- endif -%}
<{{ m.role }}>{{ m.content }}</{{ m.role }}>
{%- endfor -%}"""
REFUSES_LONG = """\
{%- for m in messages -%}
{%- if loop.index > 4 -%}{{ raise_exception("Only four turns, please!") }}{%- endif -%}
<{{ m.role }}>{{ m.content }}</{{ m.role }}>
{%- endfor -%}"""
CUTS = "{%- for m in messages -%}<{{ m.role }}>{{ m.content[:20] }}</{{ m.role }}>{%- endfor -%}"


@pytest.mark.parametrize(
    ("template", "row", "path", "says"),
    [
        (
            DROPS_SYSTEM_LATER,
            {"messages": [ASK, ANSWER, SYSTEM, ASK, ANSWER]},
            "messages[2].content",
            "leaves out of the system's turn: 'Answer in rhyme.'",
        ),
        (REFUSES_LONG, {"messages": [ASK, ANSWER, ASK, ANSWER, ASK, ANSWER]}, "messages", "Only four turns, please!"),
        (CUTS, {"messages": [ASK, {**ANSWER, "content": "a" * 30 + "\nshort"}]}, "messages[1].content", "aaa"),
        (
            CUTS,
            {
                "input": {"messages": [ASK]},
                "preferred_output": [ANSWER],
                "non_preferred_output": [{**ANSWER, "content": "b" * 30}],
            },
            "non_preferred_output[0].content",
            "bbb",
        ),
        (CUTS, {"messages": [{"role": "user", "content": [{"type": "image_url"}]}, ANSWER]}, "messages", "image_url"),
    ],
)
def test_what_a_template_leaves_out_or_refuses_is_named(
    tiny_tokenizer: Tiny, template: str, row: dict[str, Any], path: str, says: str
) -> None:
    check = template_check(str(as_model(tiny_tokenizer("qwen3", template=template))))
    ask = {**ASK, "content": "short"}
    given = json.loads(json.dumps(row).replace(json.dumps(ASK["content"]), '"short"'))
    assert codes(check({"messages": [ask, {**ANSWER, "content": "fine"}]})) == []
    found = [problem for problem in check(given) if problem.code != "target.template-note"]
    assert [(problem.code, problem.path) for problem in found] == [("target.template", path)]
    assert says in found[0].message


def test_a_call_or_a_tool_that_is_left_out_is_named(tiny_tokenizer: Tiny) -> None:
    template = (
        "{%- for t in tools or [] -%}{%- if loop.first -%}{{ t | tojson }}{%- endif -%}{%- endfor -%}"
        "{%- for m in messages -%}<{{ m.role }}>{{ m.content }}"
        "{%- for c in m.tool_calls or [] -%}{%- if loop.first -%}{{ c.function | tojson }}{%- endif -%}{%- endfor -%}"
        "{%- endfor -%}"
    )
    check = template_check(str(as_model(tiny_tokenizer("qwen3", template=template))))
    other = {"type": "function", "function": {"name": "tides"}}
    second = {"id": "call_2", "type": "function", "function": {"name": "tides", "arguments": "{}"}}
    row = {"messages": [ASK, {**CALLING, "tool_calls": [CALL, second]}], "tools": [*TOOLS, other]}
    assert codes(check(row)) == [
        ("target.template", "messages[1].tool_calls[1].function"),
        ("target.template", "tools[1]"),
    ]


def test_a_completed_template_is_noted_once_for_all_rows(tiny_tokenizer: Tiny) -> None:
    folder = as_model(tiny_tokenizer("gemma3"))
    target = Target(f"local:{folder}", rendering="tuneport_local.rendering:template_check")
    check, findings = TargetCheck(Context(target=target)), Findings(source="d.jsonl")
    rows = [Row(n, {}, canonical=ROWS[name]) for n, name in enumerate(["plain", "tools", "tools", "plain"], 1)]
    check.reduce(check.scan(Batch("d.jsonl", "train", rows), findings))
    stats = check.finish(findings)
    (note,) = findings.issues
    assert (note.code, note.row, note.severity) == ("target.template-note", None, "warning")
    assert "tuneport:tools" in note.message
    assert "(2 rows)" in note.message
    assert stats["rendered"] == 4


def test_a_model_without_a_template_is_checked_with_the_one_it_will_be_trained_with(tiny_tokenizer: Tiny) -> None:
    check = template_check(str(as_model(tiny_tokenizer("gpt2"))))
    notes = [problem.message for problem in check(ROWS["plain"])]
    assert len(notes) == 1
    assert "tuneport:plain" in notes[0]
    assert codes(check(ROWS["tools"])) == []


@pytest.mark.parametrize("where", ["file", "config", "named", "json"])
def test_a_template_is_found_wherever_a_model_keeps_it(tiny_tokenizer: Tiny, tmp_path: Path, where: str) -> None:
    folder = families.tiny_tokenizer_dir("qwen3", tmp_path)
    template = (folder / "chat_template.jinja").read_text()
    refusing = "{{ raise_exception('the default one') }}"
    config = json.loads((folder / "tokenizer_config.json").read_text())
    if where != "file":
        (folder / "chat_template.jinja").unlink()
    if where == "config":
        config["chat_template"] = template
    elif where == "named":
        config["chat_template"] = [{"name": "default", "template": template}, {"name": "rag", "template": refusing}]
    elif where == "json":
        (folder / "chat_template.json").write_text(json.dumps({"chat_template": template}))
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    check = template_check(str(as_model(folder)))
    assert [list(check(row)) for row in ROWS.values()] == [[]] * len(ROWS)


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{% if %}", "not valid Jinja"),
        ("{{ raise_exception('never') }}", "never"),
        ("{{ messages.__class__.mro() }}", "cannot render"),
    ],
)
def test_a_template_that_is_of_no_use_is_a_model_error(tiny_tokenizer: Tiny, template: str, says: str) -> None:
    with pytest.raises(ModelError, match=says):
        template_check(str(as_model(tiny_tokenizer("qwen3", template=template))))


def test_a_model_that_is_not_there_is_a_model_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no model at"):
        template_check(f"local:{tmp_path / 'none'}")
    folder = as_model(tmp_path)
    (folder / "tokenizer_config.json").write_text("{")
    with pytest.raises(ModelError, match="cannot be read"):
        template_check(str(folder))


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
_turn = st.fixed_dictionaries(
    {},
    optional={
        "role": st.sampled_from(["system", "user", "assistant", "tool"]) | _json,
        "content": st.text(max_size=9) | _json,
        "tool_calls": st.lists(st.just(CALL) | _json, max_size=2) | _json,
    },
)
_turns = st.lists(_turn | _json, max_size=4) | _json
_rows = st.fixed_dictionaries(
    {},
    optional={
        "messages": _turns,
        "input": st.fixed_dictionaries({"messages": _turns}) | _json,
        "preferred_output": _turns,
        "tools": _json,
    },
)
_checks: dict[str, Callable[[Mapping[str, Any]], Sequence[Problem]]] = {}


@settings(max_examples=300, deadline=None)
@given(_rows, st.sampled_from(["qwen3", "mistral", "gemma3"]))
def test_whatever_the_row_holds_there_are_problems_and_no_exception(
    tiny_tokenizer: Tiny, row: dict[str, Any], family: str
) -> None:
    if family not in _checks:
        _checks[family] = template_check(str(as_model(tiny_tokenizer(family))))
    assert all(problem.message for problem in _checks[family](row))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.text(min_size=1, max_size=40), min_size=2, max_size=6),
    st.sampled_from(["qwen3", "llama", "gemma3", "granite"]),
)
def test_no_text_is_wrongly_said_to_be_left_out(tiny_tokenizer: Tiny, texts: list[str], family: str) -> None:
    if family not in _checks:
        _checks[family] = template_check(str(as_model(tiny_tokenizer(family))))
    turns = [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(texts)]
    assert codes(_checks[family]({"messages": turns})) == []
