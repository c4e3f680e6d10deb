"""What each model family refuses, beyond what its dialect can say: one small function for each rule set.

A rule looks at a canonical row and yields what is wrong with it. Sources, read on 2026-11-23: OpenAI's fine-tuning guides and
the types of its Python package; Bedrock's pages on preparing data for Nova, Claude 3 Haiku and reinforcement; Google's pages
on supervised and preference tuning of Gemini. A turn that is not even a turn is passed over: `checks.structure` names it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple, cast

from tuneport.dataset.checks.base import Limits, Problem
from tuneport.dataset.checks.structure import CHAT_KEYS, PREFERENCE_KEYS
from tuneport.dataset.checks.turns import INVISIBLE, TURN_KEYS
from tuneport.dataset.checks.words import member, named, told
from tuneport.dataset.rows import Row

Given = Mapping[str, Any]
Rule = Callable[[Row, Given, Limits], Iterator[Problem]]

# OpenAI: the keys of each kind of turn (openai.types.chat: Chat Completion … Message Param, and `weight` of the guide).
_OPENAI_TURN: dict[str, frozenset[str]] = {
    "system": frozenset({"role", "content", "name"}),
    "developer": frozenset({"role", "content", "name"}),
    "user": frozenset({"role", "content", "name"}),
    "assistant": frozenset({"role", "content", "name", "weight", "refusal", "audio", "tool_calls", "function_call"}),
    "tool": frozenset({"role", "content", "tool_call_id"}),
    "function": frozenset({"role", "content", "name"}),
}
_CLAUDE = frozenset({"system", "messages"})
_CLAUDE_TURN = frozenset({"role", "content"})
_OPENAI_NAME = re.compile(r"[^\s<|\\/>]{1,64}")
_SYSTEM = ("system", "developer")

# Nova: strings of its own prompt format, exactly so, wherever they stand in a text (also within a word).
NOVA_FORBIDDEN: Final = (
    "System:", "SYSTEM:", "User:", "USER:", "Bot:", "BOT:", "Assistant:", "ASSISTANT:", "Thought:",
    "[EOS]", "<image>", "<video>",
)  # fmt: skip
_NOVA_IMAGES = 10
# Vertex answers "use a valid role: user, model", also to results (crmne/ruby_llm, issue 678). Beside each, what to write.
_GEMINI_FIXES = {
    "assistant": "write 'model'.",
    "system": "move its text to systemInstruction.",
    "developer": "move its text to systemInstruction.",
    "function": "write 'user', with the result as a functionResponse.",
    "tool": "write 'user', with the result as a functionResponse.",
}


class Turn(NamedTuple):
    path: str
    role: str
    turn: Given
    number: int


def turns_of(turns: Any, path: str) -> list[Turn]:
    """The turns that have a role."""
    found: list[Turn] = []
    if isinstance(turns, list):
        for number, turn in enumerate(cast("list[Any]", turns)):
            role = cast("Given", turn).get("role") if isinstance(turn, Mapping) else None
            if isinstance(role, str):
                found.append(Turn(f"{path}[{number}]", role, cast("Given", turn), number))
    return found


def parts_of(turn: Turn) -> Iterator[tuple[str, str, Given]]:
    """Path, type and content part, of each part that has a type."""
    content = turn.turn.get("content")
    if isinstance(content, list):
        for index, part in enumerate(cast("list[Any]", content)):
            kind = cast("Given", part).get("type") if isinstance(part, Mapping) else None
            if isinstance(kind, str):
                yield f"{turn.path}.content[{index}]", kind, cast("Given", part)


def _is_video(kind: str, part: Given) -> bool:
    inner = part.get(kind)
    mime = cast("Given", inner).get("mime_type") if isinstance(inner, Mapping) else None
    return isinstance(mime, str) and mime.startswith("video/")


def _unknown(given: Given, known: frozenset[str], path: str, where: str) -> Iterator[Problem]:
    for key, value in given.items():
        if key not in known and value is not None:
            message = f"the key {str(key)[:60]!r} is not one of {where}: {named(sorted(known), 9)}."
            yield Problem("target.unknown-key", message, member(path, key))


def _ends(turns: list[Turn], role: str, who: str) -> Iterator[Problem]:
    if turns and turns[-1].role != role:
        yield Problem(
            "target.ends",
            f"the row ends on the {turns[-1].role}'s turn; for {who} it ends on the {role}'s.",
            turns[-1].path,
        )


def _images(turns: list[Turn], limit: int | None, who: str, *, system: str = "user") -> Iterator[Problem]:
    """Images stand in user turns only, and not too many of them."""
    count = 0
    for turn in turns:
        for path, kind, _ in parts_of(turn):
            if kind == "image_url":
                count += 1
                if turn.role != system:
                    yield Problem(
                        "target.image",
                        f"an image in the {turn.role}'s turn; {who} takes images in user turns only.",
                        path,
                    )
    if limit is not None and count > limit:
        yield Problem("target.too-many-images", f"{count} images; {who} takes at most {limit} in a row.", "messages")


def _openai_turns(turns: list[Turn]) -> Iterator[Problem]:
    for turn in turns:
        known = _OPENAI_TURN.get(turn.role)
        if known is None:
            continue
        if len(turn.turn) > 2:
            yield from _unknown(turn.turn, known, turn.path, f"the {turn.role}'s turn at OpenAI")
        name = turn.turn.get("name")
        if isinstance(name, str) and "name" in known and _OPENAI_NAME.fullmatch(name) is None:
            message = f"the name {told(name)}; OpenAI takes 1 to 64 characters without spaces and without < | \\ / >."
            yield Problem("target.name", message, f"{turn.path}.name")
        for path, kind, _ in parts_of(turn):
            if kind in {"input_audio", "file"}:
                yield Problem(
                    "target.cannot-say", f"a part of type {kind}; OpenAI's training rows hold text and images.", path
                )


def _openai(row: Row, given: Given, limits: Limits) -> Iterator[Problem]:
    """Supervised: `{messages, tools?, parallel_tool_calls?}`, the last turn the assistant's, images in user turns."""
    del row
    yield from _unknown(given, CHAT_KEYS, "", "an OpenAI row")
    turns = turns_of(given.get("messages"), "messages")
    yield from _openai_turns(turns)
    yield from _images(turns, limits.max_images, "OpenAI")
    yield from _ends(turns, "assistant", "OpenAI")


def _openai_preference(row: Row, given: Given, limits: Limits) -> Iterator[Problem]:
    """Direct preference optimisation: text only, and each answer is one turn of the assistant's."""
    del row, limits
    yield from _unknown(given, PREFERENCE_KEYS, "", "an OpenAI preference row")
    asked = given.get("input")
    asked = cast("Given", asked if isinstance(asked, Mapping) else {})
    yield from _unknown(asked, CHAT_KEYS, "input", "a preference row's input")
    prompt = turns_of(asked.get("messages"), "input.messages")
    answers = {key: turns_of(given.get(key), key) for key in ("preferred_output", "non_preferred_output")}
    for turns in (prompt, *answers.values()):
        yield from _openai_turns(turns)
        for turn in turns:
            for path, kind, _ in parts_of(turn):
                if kind == "image_url":
                    yield Problem("target.image", "an image; OpenAI's preference rows are text only.", path)
    for key, turns in answers.items():
        if len(turns) > 1 and turns[0].role == "assistant":  # else prompt and answer in one: `structure` says so
            yield Problem(
                "target.cannot-say", f"{key} has {len(turns)} turns; OpenAI takes one turn of the assistant's.", key
            )


def _openai_reinforcement(row: Row, given: Given, limits: Limits) -> Iterator[Problem]:
    """Reinforcement: as supervised, but any further key is the grader's. That the user has the last word is `structure`'s."""
    del row
    turns = turns_of(given.get("messages"), "messages")
    yield from _openai_turns(turns)
    yield from _images(turns, limits.max_images, "OpenAI")


def _alternation(turns: list[Turn], who: str) -> Iterator[Problem]:
    """After an optional system turn, user and assistant take strict turns; the user begins and the assistant ends."""
    rest = turns[1:] if turns and turns[0].role in _SYSTEM else turns
    before = "assistant"
    for turn in rest:
        if turn.role in _SYSTEM:
            message = f"a {turn.role} turn at place {turn.number + 1}; {who} takes one, at the beginning."
            yield Problem("target.alternation", message, turn.path)
            return
        if turn.role not in {"user", "assistant"}:
            continue
        if turn.role == before:
            wanted = "user" if before == "assistant" else "assistant"
            message = (
                f"turn {turn.number + 1} is the {turn.role}'s, where the {wanted}'s belongs; {who} wants them in turn."
            )
            yield Problem("target.alternation", message, turn.path)
            return
        before = turn.role
    yield from _ends(turns, "assistant", who)


def _no_tools(given: Given, turns: list[Turn], who: str) -> list[Problem]:
    """Where there are tools at all, the first place that shows them. Turns around them are not judged beside that."""
    if given.get("tools"):
        return [Problem("target.tools", f"the row declares tools; {who} is not tuned on tools.", "tools")]
    for turn in turns:
        for key in ("tool_calls", "function_call"):
            if turn.turn.get(key):
                what = f"a call of a tool; {who} is not tuned on tools."
                return [Problem("target.tools", what, f"{turn.path}.{key}")]
        if turn.role in {"tool", "function"}:
            return [Problem("target.tools", f"a {turn.role} turn; {who} is not tuned on tools.", turn.path)]
    return []


def _nova(row: Row, given: Given, limits: Limits) -> Iterator[Problem]:
    """Nova: strict alternation, no tools, at most 10 images or one video, and strings of its own prompt format refused."""
    turns = turns_of(given.get("messages"), "messages")
    yield from _no_tools(given, turns, "Nova") or _alternation(turns, "Nova")
    if any(isinstance(turn.turn.get("content"), list) for turn in turns):
        yield from _images(turns, _NOVA_IMAGES if limits.max_images is None else limits.max_images, "Nova")
        yield from _videos(turns)
    texts = row.texts
    whole = "\n".join([text.text for text in texts])
    for word in NOVA_FORBIDDEN:
        if word in whole:
            for text in texts:
                place = text.text.find(word)
                if place >= 0:
                    around = text.text[max(0, place - 15) : place + len(word) + 15]
                    message = (
                        f"{word!r} at character {place + 1} ({told(around)}); Nova refuses a row with this string."
                    )
                    yield Problem("target.forbidden-string", message, text.path)


def _videos(turns: list[Turn]) -> Iterator[Problem]:
    videos = [(path, turn.role) for turn in turns for path, kind, part in parts_of(turn) if _is_video(kind, part)]
    images = any(kind == "image_url" for turn in turns for _, kind, _ in parts_of(turn))
    for path, role in videos:
        if role != "user":
            yield Problem("target.image", f"a video in the {role}'s turn; Nova takes videos in user turns only.", path)
    if len(videos) > 1 or (videos and images):
        what = f"{len(videos)} videos" if len(videos) > 1 else "a video beside images"
        yield Problem("target.too-many-images", f"{what}; Nova takes images or one video in a row.", videos[-1][0])


def _claude_3(row: Row, given: Given, limits: Limits) -> Iterator[Problem]:
    """Claude 3 Haiku: `{system?, messages}` and no other key, text in strict alternation, no tools, no images."""
    del row, limits
    if len(given) > 1:
        beside = {key: value for key, value in given.items() if key not in CHAT_KEYS}
        yield from _unknown(beside, _CLAUDE, "", "a Claude 3 row")
    turns = turns_of(given.get("messages"), "messages")
    yield from _no_tools(given, turns, "Claude 3") or _alternation(turns, "Claude 3")
    for turn in turns:
        if (
            len(turn.turn) > 2 and turn.role in TURN_KEYS
        ):  # what is known elsewhere is named as what cannot be said here
            beside = {key: value for key, value in turn.turn.items() if key not in TURN_KEYS[turn.role]}
            yield from _unknown(beside, _CLAUDE_TURN, turn.path, f"the {turn.role}'s turn in a Claude 3 row")
        for path, kind, _ in parts_of(turn):
            if kind != "text":
                yield Problem("target.image", f"a part of type {kind}; Claude 3 is tuned on text only.", path)


def _llama_3_1(row: Row, given: Given, limits: Limits) -> Iterator[Problem]:
    """Llama 3.1: one prompt and one completion, nothing else."""
    del row, limits
    turns = turns_of(given.get("messages"), "messages")
    if tools := _no_tools(given, turns, "Llama 3.1"):
        yield from tools
        return
    if turns and turns[0].role in _SYSTEM:
        message = f"a {turns[0].role} turn; Llama 3.1's rows are one prompt and one completion."
        yield Problem("target.cannot-say", message, turns[0].path, "put it into the question.")
        turns = turns[1:]
    roles = [turn.role for turn in turns]
    if roles and roles != ["user", "assistant"]:
        message = f"{len(roles)} turns ({' → '.join(roles[:6])}); Llama 3.1's rows are one prompt and one completion."
        yield Problem("target.cannot-say", message, turns[min(2, len(turns) - 1)].path)


def _gemini(row: Row, given: Given, limits: Limits) -> Iterator[Problem]:
    """Gemini: user and model after the system instruction, at least one user turn, the model last, no blank text."""
    written = is_vertex(row)  # then `gemini_roles` has seen to the roles
    turns = turns_of(given.get("messages"), "messages")
    for turn in turns:
        if not written and (turn.role == "function" or (turn.number and turn.role in _SYSTEM)):
            where = " after the first turn" if turn.role in _SYSTEM else ""
            yield Problem(
                "target.role",
                f"a {turn.role} turn{where}; Gemini's contents are user's and model's.",
                f"{turn.path}.role",
            )
        yield from _blank(turn)
        if turn.turn.get("tool_calls") and not given.get("tools"):
            message = "a call, and the row declares no functions; Gemini takes calls of declared functions only."
            yield Problem("target.tools", message, f"{turn.path}.tool_calls", "declare the functions in tools.")
    if turns and not any(turn.role == "user" for turn in turns):
        yield Problem("target.role", "no user turn; Gemini's contents hold at least one.", "messages")
    yield from _images(turns, limits.max_images, "Gemini")
    yield from _ends(turns, "assistant", "Gemini")


def is_vertex(row: Row) -> bool:
    return row.dialect is not None and row.dialect.startswith("vertex")


def gemini_roles(row: Row) -> Iterator[Problem]:
    """Roles in a row of Vertex's own. "assistant", "function" and others are read for what they mean, and refused there."""
    contents = row.data.get("contents")
    for turn in turns_of(contents, "contents"):
        if turn.role in _GEMINI_FIXES:
            message = f"the role is {turn.role!r}; Gemini's contents are of 'user' and 'model'."
            yield Problem("target.role", message, f"{turn.path}.role", _GEMINI_FIXES[turn.role])
    completions = row.data.get("completions")
    if isinstance(completions, list):
        for index, item in enumerate(cast("list[Any]", completions)):
            completion = cast("Given", item).get("completion") if isinstance(item, Mapping) else None
            if isinstance(completion, Mapping) and cast("Given", completion).get("role") == "assistant":
                path = f"completions[{index}].completion.role"
                yield Problem(
                    "target.role", "the role is 'assistant'; a completion is of 'model'.", path, "write 'model'."
                )


def _blank(turn: Turn) -> Iterator[Problem]:
    content = turn.turn.get("content")
    calls = turn.turn.get("tool_calls")
    if (
        isinstance(content, str)
        and not calls
        and turn.role not in {"tool", "assistant"}
        and not content.strip(INVISIBLE)
    ):
        yield Problem(
            "target.blank",
            f"the {turn.role}'s text is blank: {told(content)}; Gemini refuses empty parts.",
            f"{turn.path}.content",
        )
    for path, kind, part in parts_of(turn):
        text = part.get("text")
        if kind == "text" and isinstance(text, str) and not text:
            yield Problem("target.blank", "an empty text part; Gemini refuses empty parts.", f"{path}.text")


def _bedrock_rft(row: Row, given: Given, limits: Limits) -> Iterator[Problem]:
    """Reinforcement on Bedrock: OpenAI's rows with `reference_answer`."""
    del row, limits
    if given.get("reference_answer") is None:
        message = "the row has no reference_answer, which Bedrock's reinforcement hands to the grader."
        yield Problem("structure.no-reference", message, "reference_answer", "give the row a reference_answer.")


def _vertex_preference(row: Row, given: Given, limits: Limits) -> Iterator[Problem]:
    """Gemini's preference tuning: the last turn of the prompt is the user's, and of two completions one has score 1, one 0."""
    del row, limits
    asked = given.get("input")
    prompt = turns_of(cast("Given", asked).get("messages") if isinstance(asked, Mapping) else None, "input.messages")
    yield from _ends(prompt, "user", "Gemini's preference tuning")
    scores = given.get("scores")
    if isinstance(scores, list):
        shown = " and ".join(told(score) for score in cast("list[Any]", scores)[:4])
        message = f"the scores are {shown}; Vertex takes 1 and 0."
        yield Problem("target.cannot-say", message, "scores", "give the preferred completion 1 and the other 0.")


RULES: dict[str, Rule] = {
    "openai": _openai,
    "openai-preference": _openai_preference,
    "openai-reinforcement": _openai_reinforcement,
    "nova": _nova,
    "claude-3": _claude_3,
    "llama-3.1": _llama_3_1,
    "gemini": _gemini,
    "bedrock-rft": _bedrock_rft,
    "vertex-preference": _vertex_preference,
}
# What is refused as it stands in the file, though its meaning is clear: looked at beside the rule sets of these names.
AS_WRITTEN: dict[str, Callable[[Row], Iterator[Problem]]] = {"gemini": gemini_roles, "vertex-preference": gemini_roles}
# Rule sets that a plain conversation can break: all others are content with it.
HARD_ON_PLAIN = frozenset({"nova", "llama-3.1"})
