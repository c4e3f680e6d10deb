# ruff: noqa: E501 - a table reads better in one line a row
"""What a model family refuses, though it would be sound elsewhere."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from tests.corpus import dialects as d
from tests.corpus import talk
from tests.corpus.clean import CLAUDE, GEMINI, LLAMA, NOVA, OPENAI, OPENAI_IMAGES, STARTER, base
from tests.corpus.plant import Planted, edit, plants, within, words

from tuneport import DPO, SFT


def _all(name: str, of: str, objective: Any, **options: Any) -> None:
    """A sound file, but for another objective."""

    @plants(name, "target.objective", objective=objective, **options)
    def _plant(folder: Path) -> Planted:
        return Planted(d.save(folder, d.jsonl(base(of))), 1)


_all("demonstrations-for-preferences", "support", DPO(), also=["structure.preference"])
_all("preferences-for-demonstrations", "preferences", SFT(), target=OPENAI, also=["structure.no-messages"])
_all("text-for-demonstrations", "texts", SFT(), also=["structure.no-messages"])
_PICTURE = {"type": "image_url", "image_url": {"url": talk.png(words("picture"))}}
_AND_PICTURE: list[Any] = [
    {
        "type": "text",
        "text": "Here is what the part looks like from below, with the notch that has to point to the left when you press it in.",
    },
    _PICTURE,
]


def one_of(
    name: str,
    code: str,
    of: str,
    row: int,
    paths: tuple[str | None, ...],
    *says: str,
    also: tuple[str, ...] = (),
    **options: Any,
) -> None:
    """One row of another set among the rows of support."""

    @plants(name, code, also=also, **options)
    def _plant(folder: Path) -> Planted:
        rows = base("support")
        rows[row - 1] = base(of)[row - 1]
        return Planted(d.save(folder, d.jsonl(rows)), row, paths, says)


_TOOL_PATHS = (
    "tools",
    "messages[2].tool_calls",
    "messages[2].tool_calls[0]",
    "messages[2]",
    "messages[3]",
    "messages[3].role",
)
_TOOLS_TOO = ("target.role", "target.cannot-say", "target.alternation")
one_of("tools-to-nova", "target.tools", "tools", 17, _TOOL_PATHS, "tool", target=NOVA, also=_TOOLS_TOO)
one_of("tools-to-claude-3", "target.tools", "tools", 17, _TOOL_PATHS, "tool", target=CLAUDE, also=_TOOLS_TOO)
edit("name-with-blank-openai", "target.name", "messages[1].name", "Maria del Mar", target=OPENAI, says="Maria del Mar")
one_of(
    "several-turns-to-llama", "target.cannot-say", "several-turns", 18, ("messages", "messages[3]", None), target=LLAMA
)
edit("weight-to-nova", "target.cannot-say", "messages[2].weight", 0, of="several-turns", target=NOVA, says="weight")
edit(
    "question-empty-gemini",
    "target.blank",
    "contents[0].parts[0].text",
    "",
    written=d.vertex,
    target=GEMINI,
    also=["structure.blank-turn"],
)

_NEXT = {"role": "user", "content": [{"text": "And is there a smaller one for the balcony?"}]}
edit("two-questions-nova", "target.alternation", "messages", lambda t: [t[0], _NEXT, t[1]], written=d.bedrock_converse, target=NOVA,
     path=["messages[1]", "messages[1].role"], also=["structure.role-order"])  # fmt: skip
edit("two-answers-claude-3", "target.alternation", "messages", lambda t: [*t, {"role": "assistant", "content": "I forgot to say that the shop in the old town closes at six on Monday, and that parking behind it is free."}],
     written=d.bedrock_claude, target=CLAUDE, path=["messages[2]", "messages[2].role"], also=["structure.role-order"])  # fmt: skip
edit("answer-first-nova", "target.alternation", "messages", lambda t: [{"role": "assistant", "content": [{"text": "Welcome, what brings you here?"}]}, *t],
     written=d.bedrock_converse, target=NOVA, path=["messages[0]", "messages[0].role"], also=["structure.role-order"])  # fmt: skip

_SAID = "messages[0].content[0].text"
for _name, _text, _where in (
    ("user-in-question", "User: where is it?", _SAID),
    ("assistant-in-answer", "Assistant: on its way.", "messages[1].content[0].text"),
    ("bot-capitals", "BOT: beep", _SAID),
    ("end-mark-in-system", "Stop with [EOS] always.", "system[0].text"),
    ("image-mark", "See <image> above.", _SAID),
    ("thought", "Thought: the belt is loose.", "messages[1].content[0].text"),
):
    _mark = next(m for m in ("User:", "Assistant:", "BOT:", "[EOS]", "<image>", "Thought:") if m in _text)
    edit(f"nova-{_name}", "target.forbidden-string", _where, within(_text), written=d.bedrock_converse, target=NOVA,
         says=_mark.replace("[", r"\["), also=["quality.control-token"])  # fmt: skip

edit("assistant-to-gemini", "target.role", "contents[1].role", "assistant", written=d.vertex, target=GEMINI, says="assistant",
     also=["structure.role"])  # fmt: skip
edit("function-to-gemini", "target.role", "contents[1].role", "function", written=d.vertex, target=GEMINI, says="function",
     also=["structure.role", "structure.no-assistant", "structure.unfinished", "target.ends"])  # fmt: skip

edit("image-in-answer-openai", "target.image", "messages[2].content", _AND_PICTURE, target=OPENAI_IMAGES,
     path=["messages[2].content[1]", "messages[2].content"])  # fmt: skip
edit("image-to-claude-3", "target.image", "messages[1].content", _AND_PICTURE, target=CLAUDE, path=["messages[1].content[1]", "messages[1].content"],
     also=["target.cannot-say"])  # fmt: skip
edit("image-in-preference-openai", "target.image", "input.messages[1].content", _AND_PICTURE, of="preferences", target=OPENAI, objective=DPO(),
     path=["input.messages[1].content[1]", "input.messages[1].content"])  # fmt: skip
edit("eleven-images-nova", "target.too-many-images", "messages[1].content", [_AND_PICTURE[0], *[_PICTURE] * 11], target=NOVA,
     says=[r"\b11\b", r"\b10\b"], path=["messages", "messages[1].content", "messages[1].content[11]", None])  # fmt: skip

edit("ends-on-question-nova", "target.ends", "messages[2]", _NEXT, written=d.bedrock_converse, target=NOVA, also=["structure.unfinished"],
     path=["messages[2]", "messages[2].role", "messages"])  # fmt: skip
edit("ends-on-question-gemini", "target.ends", "contents[2]", {"role": "user", "parts": [{"text": "And for the balcony?"}]}, written=d.vertex,
     target=GEMINI, also=["structure.unfinished"], path=["contents[2]", "contents[2].role", "contents"])  # fmt: skip
edit(
    "extra-key-claude-3",
    "target.unknown-key",
    "ticket",
    "T-2291",
    written=d.bedrock_claude,
    target=CLAUDE,
    says="ticket",
    also=["structure.unknown-key"],
)
edit(
    "extra-key-openai",
    "target.unknown-key",
    "customer",
    "C-1187",
    target=OPENAI,
    says="customer",
    also=["structure.unknown-key"],
)

edit("image-to-starter", "target.template", "messages[1].content", _AND_PICTURE, of="classification", target=STARTER,
     path=["messages", "messages[1].content", "messages[1].content[1]", "messages[1]", None], also=["target.image", "target.cannot-say"])  # fmt: skip

_REFUSES_SYSTEM = (
    "{% for message in messages %}{% if message['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
_DROPS_A_TURN = (
    "{% for message in messages %}{% if message['role'] != 'user' or loop.index0 != 3 %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + "
    "'<|im_end|>\\n' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def _model(folder: Path, template: str) -> str:
    """The starter model under another chat template."""
    import tuneport_local

    here = Path(tuneport_local.__path__[0])
    model = folder / "model"
    shutil.copytree(here / "starter", model)
    (model / "chat_template.jinja").write_text(template, encoding="utf-8")
    return f"local:{model}"


@plants(
    "template-drops-a-turn", "target.template", also=["target.template-note", "tokens.answer-cut", "tokens.too-long"]
)
def _drops(folder: Path) -> Planted:
    """A template that leaves out the fourth turn if it's the user's: one row has such a turn."""
    rows = base("classification")
    more = [{"role": "user", "content": "And who answers on Sunday?"}, {"role": "assistant", "content": "account"}]
    rows[40]["messages"] += more
    return Planted(d.save(folder, d.jsonl(rows)), 41, options={"target": _model(folder, _DROPS_A_TURN)})


@plants("template-refuses-system", "target.template-note")
def _refuses(folder: Path) -> Planted:
    """A template that knows no system turn, as Gemma's: tuneport says what it does with it."""
    data = d.save(folder, d.jsonl(base("classification")))
    return Planted(data, anywhere=True, says=("system",), options={"target": _model(folder, _REFUSES_SYSTEM)})
