# ruff: noqa: E501 - a table reads better in one line a row
"""Turns, roles, weights, types, and the parts of preference and reinforcement rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.corpus import dialects as d
from tests.corpus import tasks
from tests.corpus.clean import base
from tests.corpus.plant import DELETE, Planted, add, edit, plants

from tuneport import DPO, ContinuedPretraining, Reinforcement

_PREF: dict[str, Any] = {"of": "preferences", "objective": DPO()}
_RL: dict[str, Any] = {"of": "reinforcement", "objective": Reinforcement(grader=tasks.GRADER)}
_CPT: dict[str, Any] = {"of": "texts", "objective": ContinuedPretraining()}

edit("messages-null", "structure.no-messages", "messages", None, says="None|null")
edit("messages-empty", "structure.no-messages", "messages", [], says=r"\[\]|empty")
edit("messages-text", "structure.no-messages", "messages", "Hello", says="Hello")
edit("turn-text", "structure.turn", "messages[1]", "Where is my parcel?", says="parcel", also=["structure.role-order"])
edit("turn-null", "structure.turn", "messages[2]", None, also=["structure.no-assistant", "structure.unfinished"])
edit(
    "role-bot",
    "structure.role",
    "messages[2].role",
    "bot",
    says="bot",
    also=["structure.no-assistant", "structure.unfinished"],
)
edit("role-capital", "structure.role", "messages[1].role", "User", says="User", also=["structure.role-order"])
edit(
    "role-missing",
    "structure.role",
    "messages[1].role",
    DELETE,
    also=["structure.role-order"],
    path=["messages[1].role", "messages[1]"],
)
edit("role-number", "structure.role", "messages[1].role", 1, says="1", also=["structure.role-order"])
edit(
    "role-sharegpt",
    "structure.role",
    "conversations[1].from",
    "visitor",
    written=d.sharegpt,
    says="visitor",
    also=["structure.role-order"],
)
edit("content-number", "structure.content", "messages[1].content", 42, says="42")
edit("content-missing", "structure.content", "messages[2].content", DELETE, path=["messages[2].content", "messages[2]"])
edit("content-object", "structure.content", "messages[2].content", {"text": "Hello"}, says="text")
edit(
    "part-no-type",
    "structure.part",
    "messages[1].content",
    [{"text": "Where is my parcel?"}],
    path="messages[1].content[0]",
)
edit("part-unknown-type", "structure.part", "messages[1].content", [{"type": "smell", "smell": "burnt"}], says="smell",
     path=["messages[1].content[0]", "messages[1].content[0].type"])  # fmt: skip
edit("answer-empty", "structure.empty-turn", "messages[2].content", "")
edit("answer-blank", "structure.empty-turn", "messages[2].content", " \n\u00a0")
edit("answer-empty-vertex", "structure.empty-turn", "contents[1].parts[0].text", "", written=d.vertex)
edit("answer-empty-alpaca", "structure.empty-turn", "output", "", written=d.alpaca)
edit("question-blank", "structure.blank-turn", "messages[1].content", "  \n")
edit("system-blank", "structure.blank-turn", "messages[0].content", "")
edit("weight-half", "structure.weight", "messages[2].weight", 0.5, says=r"0\.5")
edit("weight-text", "structure.weight", "messages[2].weight", "1", says="'1'|\"1\"")
edit("weight-two", "structure.weight", "messages[2].weight", 2, says="2")
edit("nothing-trainable", "structure.nothing-trainable", "messages[2].weight", 0, path=["messages", None])
edit("unknown-key", "structure.unknown-key", "customer", "C-1187", says="customer")
edit("unknown-key-in-turn", "structure.unknown-key", "messages[2].confidence", 0.8, says="confidence")
edit("misspelt-tools", "structure.unknown-key", "tool", [], says="tool")
edit(
    "tools-object", "structure.tools", "tools", {"name": "find_order"}, says="object|find_order", also=["tools.schema"]
)
edit("tools-text", "structure.tools", "tools", "find_order", says="find_order")
edit("tool-calls-object", "structure.tool-calls", "messages[2].tool_calls", lambda old: old[0], of="tools", says="object|find_order",
     also=["tools.result-without-call", "tools.unanswered", "structure.content"])  # fmt: skip
edit("tool-call-text", "structure.tool-calls", "messages[2].tool_calls[0]", "find_order(AB-12345)", of="tools", says="find_order",
     path=["messages[2].tool_calls[0]", "messages[2].tool_calls"], also=["tools.result-without-call"])  # fmt: skip
edit("type-of-flag", "structure.type", "parallel_tool_calls", "yes", says="yes")
edit("type-of-name", "structure.type", "messages[1].name", 7, says="7")

edit("preference-without-rejected", "structure.preference", "non_preferred_output", DELETE, says="non_preferred_output",
     path=["non_preferred_output", None], **_PREF)  # fmt: skip
edit(
    "preference-empty-answer", "structure.preference", "preferred_output", [], path=["preferred_output", None], **_PREF
)
edit(
    "preference-input-text", "structure.preference", "input", "Where is it?", path=["input", "input.messages"], **_PREF
)
edit("trl-without-chosen", "structure.preference", "chosen", DELETE, written=d.trl_preference, says="chosen", path=["chosen", None],
     also=["file.mixed-dialects", "file.unknown-dialect"], **_PREF)  # fmt: skip


@plants("same-answers", "structure.same-answers", objective=DPO())
def _same(folder: Path) -> Planted:
    rows = base("preferences")
    rows[29]["non_preferred_output"] = rows[29]["preferred_output"]
    return Planted(d.save(folder, d.jsonl(rows)), 30)


@plants("same-answers-but-spaces", "structure.same-answers", objective=DPO())
def _nearly_same(folder: Path) -> Planted:
    rows = base("preferences")
    said = rows[31]["preferred_output"][0]["content"]
    rows[31]["non_preferred_output"][0]["content"] = said.replace(". ", ".  ") + "\n"
    return Planted(d.save(folder, d.jsonl(rows)), 32)


@plants("same-answers-vertex", "structure.same-answers", objective=DPO())
def _same_vertex(folder: Path) -> Planted:
    rows = [d.vertex_preference(row) for row in base("preferences")]
    rows[33]["completions"][1]["completion"] = rows[33]["completions"][0]["completion"]
    return Planted(d.save(folder, d.jsonl(rows)), 34)


@plants("prompts-differ", "structure.prompts-differ", objective=DPO())
def _differ(folder: Path) -> Planted:
    rows = [d.trl_preference_implicit(row) for row in base("preferences")]
    rows[35]["rejected"][1] = {"role": "user", "content": "Do you also repair umbrellas at the shop in Ghent?"}
    return Planted(d.save(folder, d.jsonl(rows)), 36)


edit(
    "no-reference",
    "structure.no-reference",
    "reference_answer",
    DELETE,
    path=["reference_answer", None],
    says="reference_answer",
    **_RL,
)
edit("reference-null", "structure.no-reference", "reference_answer", None, says="reference_answer", **_RL)
# Rows of demonstrations under a grader end on the answer, every one of them
add("demonstrations-for-reinforcement", "structure.last-not-user",
    lambda folder: Planted(d.save(folder, d.jsonl(base("support"))), 1, ("messages[2]", "messages[2].role")),
    also=["structure.no-reference", "target.objective"], objective=Reinforcement(grader=tasks.GRADER))  # fmt: skip
edit("ends-on-answer", "structure.last-not-user", "messages[2]", {"role": "assistant", "content": "412"}, of="reinforcement",
     path=["messages[2]", "messages[2].role"], objective=Reinforcement(grader=tasks.GRADER))  # fmt: skip
edit("text-empty", "structure.no-text", "text", "", **_CPT)
edit("text-null", "structure.no-text", "text", None, says="None|null", **_CPT)
edit("text-list", "structure.type", "text", ["A", "B"], **_CPT)
edit("input-blank", "structure.no-text", "input", "  \n", written=d.bedrock_text, **_CPT)


def turns(
    name: str,
    code: str,
    change: Callable[[list[Any]], list[Any]],
    paths: tuple[str | None, ...],
    *says: str,
    also: tuple[str, ...] = (),
    row: int = 41,
) -> None:
    """One row's list of turns changed as a whole."""

    def plant(folder: Path) -> Planted:
        rows = base("support")
        rows[row - 1]["messages"] = change(rows[row - 1]["messages"])
        return Planted(d.save(folder, d.jsonl(rows)), row, paths, says)

    add(name, code, plant, also=also)


_NEXT = {"role": "user", "content": "And is there a smaller one for the balcony?"}
turns("no-assistant", "structure.no-assistant", lambda t: t[:2], ("messages", None), also=("structure.unfinished",))
turns("only-system", "structure.no-assistant", lambda t: t[:1], ("messages", None), also=("structure.unfinished",))
turns("system-second", "structure.system-first", lambda t: [t[1], t[0], t[2]], ("messages[1]", "messages[1].role"))
turns("two-systems", "structure.system-first", lambda t: [*t, _NEXT, t[0] | {"content": "From now on, answer in rhyme."},
      {"role": "assistant", "content": "There is one, and it's light: it folds away at night."}], ("messages[4]", "messages[4].role"))  # fmt: skip
turns("two-questions", "structure.role-order", lambda t: [t[0], t[1], _NEXT, t[2]], ("messages[2]", "messages[2].role"))
turns("two-answers", "structure.role-order", lambda t: [*t, {"role": "assistant", "content": "I forgot to say: the shop is closed on Monday."}],
      ("messages[3]", "messages[3].role"))  # fmt: skip
turns("answer-first", "structure.role-order", lambda t: [t[0], {"role": "assistant", "content": "Welcome to the shop, what brings you here?"}, t[1], t[2]],
      ("messages[1]", "messages[1].role"))  # fmt: skip
turns("unfinished", "structure.unfinished", lambda t: [*t, _NEXT], ("messages[3]", "messages[3].role", "messages"))
