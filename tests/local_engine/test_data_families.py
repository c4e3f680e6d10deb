"""What is trained, family by family: literal expectations, a slow reference, and trl's own marked templates."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import families
import hypothesis
import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from tuneport_local.data import IGNORED, ChatTokenizer, Example, Prepared, load_chat_tokenizer, prepare

Load = Callable[..., ChatTokenizer]
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "the weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
SYSTEM = {"role": "system", "content": "Be brief."}
CHAT = [
    {"role": "user", "content": "Capital of France?"},
    {"role": "assistant", "content": "Paris."},
    {"role": "user", "content": "And of Peru?"},
    {"role": "assistant", "content": "Rome, maybe.", "weight": 0},
    {"role": "user", "content": "No!"},
    {"role": "assistant", "content": "Lima 🙂, naïve 東京", "weight": 1},
]
CALL = {
    "id": "call_abcdefghijk",
    "type": "function",
    "function": {"name": "get_weather", "arguments": '{"city": "Oslo"}'},
}
TOOLS = [
    {"role": "user", "content": "Weather in Oslo?"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "call_abcdefghijk", "content": "7 degrees, rain"},
    {"role": "assistant", "content": "It is 7."},
    {"role": "user", "content": "Thanks"},
    {"role": "assistant", "content": "Welcome."},
]
HERMES = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo"}}\n</tool_call>'
LLAMA_CALL = '{"name": "get_weather", "parameters": {"city": "Oslo"}}'
GRANITE_CALL = '<|tool_call|>[{"name": "get_weather", "arguments": {"city": "Oslo"}}]'
MISTRAL_CALL = '[TOOL_CALLS] [{"name": "get_weather", "arguments": {"city": "Oslo"}, "id": "098b9709a"}]'
NO_THOUGHT = "<think>\n\n</think>\n\n"  # Qwen3 writes it in the last turn alone, and has to learn to

# family: (before an answer, before the last answer, the call, the end of turn)
EXPECTED = {
    "qwen3": ("", NO_THOUGHT, HERMES, "<|im_end|>"),
    "qwen3_moe": ("", NO_THOUGHT, HERMES, "<|im_end|>"),
    "llama": ("", "", LLAMA_CALL, "<|eot_id|>"),
    "mistral": (" ", " ", MISTRAL_CALL, "</s>"),
    "mixtral": ("", "", HERMES, "</s>"),
    "gemma3": ("", "", HERMES, "<end_of_turn>"),
    "phi3": ("", "", HERMES, "<|end|>"),
    "gpt2": ("", "", HERMES, "<|endoftext|>"),
    "granite": ("", "", GRANITE_CALL, "<|end_of_text|>"),
    "olmo2": ("", "", HERMES, "<|endoftext|>"),
}
# What stands right before an answer in each family's rendered text, as a regular expression.
HEADERS = {
    "qwen3": r"<\|im_start\|>assistant\n",
    "qwen3_moe": r"<\|im_start\|>assistant\n",
    "llama": r"<\|start_header_id\|>assistant<\|end_header_id\|>\n\n",
    "mistral": r"\[/INST\]|\[/TOOL_RESULTS\]",
    "mixtral": r" \[/INST\]",
    "gemma3": r"<start_of_turn>model\n",
    "phi3": r"<\|assistant\|>\n",
    "gpt2": r"### Assistant:\n",
    "granite": r"<\|start_of_role\|>assistant<\|end_of_role\|>",
    "olmo2": r"<\|assistant\|>\n",
}


@pytest.fixture(scope="session")
def load(tiny_tokenizer: Callable[..., Path]) -> Load:
    made: dict[tuple[str, str | None], ChatTokenizer] = {}

    def get(family: str, template: str | None = None) -> ChatTokenizer:
        if (family, template) not in made:
            made[family, template] = load_chat_tokenizer(tiny_tokenizer(family, template))
        return made[family, template]

    return get


def prepared(
    chat: ChatTokenizer, messages: list[dict[str, Any]], tools: Any = None, max_length: int = 4000
) -> Prepared:
    row = {"row": 1, "messages": messages, "tools": tools}
    return prepare([row], chat, split="train", max_length=max_length, truncation="drop")


def one(chat: ChatTokenizer, messages: list[dict[str, Any]], tools: Any = None) -> Example:
    result = prepared(chat, messages, tools)
    assert [entry.reason for entry in result.ledger] == [None]
    return result.examples[0]


def runs(chat: ChatTokenizer, example: Example) -> list[str]:
    """The text of each unbroken run of trained tokens."""
    found: list[str] = []
    run: list[int] = []
    for label in [*example.labels, IGNORED]:
        if label != IGNORED:
            run.append(label)
        elif run:
            found.append(chat.tokenizer.decode(run))
            run = []
    return found


@pytest.mark.parametrize("family", EXPECTED)
def test_only_trained_answers_and_their_end_of_turn_are_labelled(load: Load, family: str) -> None:
    chat = load(family)
    before, last, _, end = EXPECTED[family]
    example = one(chat, [SYSTEM, *CHAT])
    assert runs(chat, example) == [f"{before}Paris.{end}", f"{last}Lima 🙂, naïve 東京{end}"]
    text = chat.tokenizer.decode(example.input_ids)
    for said in ("Be brief.", "Capital of France?", "And of Peru?", "Rome, maybe.", "No!"):
        assert said in text
    assert all(label in (IGNORED, token) for token, label in zip(example.input_ids, example.labels, strict=True))


@pytest.mark.parametrize("family", EXPECTED)
def test_tool_calls_are_trained_and_their_results_are_read(load: Load, family: str) -> None:
    chat = load(family)
    before, last, call, end = EXPECTED[family]
    example = one(chat, TOOLS, [TOOL])
    assert runs(chat, example) == [f"{call}{end}", f"{before}It is 7.{end}", f"{last}Welcome.{end}"]
    text = chat.tokenizer.decode(example.input_ids)
    for said in ("the weather of a city", "7 degrees, rain", "Weather in Oslo?"):
        assert said in text


@pytest.mark.parametrize("family", EXPECTED)
def test_the_family_stops_where_its_turns_end(load: Load, family: str) -> None:
    chat = load(family)
    assert chat.tokenizer.convert_tokens_to_ids(EXPECTED[family][3]) in chat.stop_token_ids


@pytest.mark.parametrize("family", EXPECTED)
def test_what_is_trained_follows_the_prompt_used_to_generate(load: Load, family: str) -> None:
    chat = load(family)
    messages = [SYSTEM, CHAT[0]]
    example = one(chat, [*messages, CHAT[1]])
    prompt = chat.prompt_ids(messages)
    assert example.input_ids[: len(prompt)] == prompt
    assert example.labels[: len(prompt)] == [IGNORED] * len(prompt)
    assert example.labels[len(prompt)] != IGNORED


def reference(chat: ChatTokenizer, family: str, messages: list[dict[str, Any]], text: str, ids: list[int]) -> list[int]:
    """The slow, obvious labels: colour every character behind an assistant header up to the end of turn, turn by turn."""
    colour = [False] * len(text)
    place = 0
    stop = families.FAMILIES[family].stop
    for message in messages:
        if message["role"] != "assistant":
            continue
        header = re.compile(HEADERS[family]).search(text, place)
        assert header is not None
        place = text.index(stop, header.end()) + len(stop)
        if message.get("weight") != 0:
            colour[header.end() : place] = [True] * (place - header.end())
    encoding = chat.tokenizer.backend_tokenizer.encode(text, add_special_tokens=False)
    assert encoding.ids == ids
    specials = {token.content for token in chat.tokenizer.added_tokens_decoder.values()}
    labels: list[int] = []
    for number, token, (first, last) in zip(encoding.ids, encoding.tokens, encoding.offsets, strict=True):
        bare = token.strip()  # Phi's tokens swallow the white space behind them
        characters = colour[first : first + len(bare)] if bare in specials else colour[first:last]
        labels.append(number if any(characters) else IGNORED)
    return labels


def words(chat: ChatTokenizer) -> st.SearchStrategy[str]:
    letters = st.sampled_from("abc XYZ 12  .,\n{}\"'\\ éß東京語мир🙂👍🏽\t")
    return st.lists(letters, min_size=1, max_size=12).map("".join).filter(lambda text: bool(text.strip()))


@pytest.mark.parametrize("family", EXPECTED)
def test_labels_equal_the_slow_reference_on_random_conversations(load: Load, family: str) -> None:
    chat = load(family)
    text_of = words(chat)

    @st.composite
    def conversations(draw: st.DrawFn) -> tuple[list[dict[str, Any]], Any]:
        messages: list[dict[str, Any]] = []
        if draw(st.booleans()):
            messages.append({"role": "system", "content": draw(text_of)})
        tools = draw(st.booleans())
        for turn in range(draw(st.integers(1, 4))):
            messages.append({"role": "user", "content": draw(text_of)})
            if tools and draw(st.booleans()):
                call = {**CALL, "id": f"call_{turn}"}
                weight = draw(st.sampled_from([{}, {"weight": 0}, {"weight": 1}]))
                messages.append({"role": "assistant", "content": None, "tool_calls": [call], **weight})
                messages.append({"role": "tool", "tool_call_id": f"call_{turn}", "content": draw(text_of)})
            weight = draw(st.sampled_from([{}, {"weight": 0}, {"weight": 1}]))
            messages.append({"role": "assistant", "content": draw(text_of), **weight})
        hypothesis.assume(any(m.get("weight") != 0 for m in messages if m["role"] == "assistant"))
        return messages, [TOOL] if tools else None

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
    @given(conversations())
    def check(conversation: tuple[list[dict[str, Any]], Any]) -> None:
        messages, tools = conversation
        example = one(chat, messages, tools)
        text = chat.tokenizer.decode(example.input_ids)
        rendered = whole_text(chat, messages, tools)
        assert example.labels == reference(chat, family, messages, rendered, example.input_ids), text
        stop = chat.tokenizer.convert_tokens_to_ids(families.FAMILIES[family].stop)
        trained = [m for m in messages if m["role"] == "assistant" and m.get("weight") != 0]
        assert example.labels.count(stop) == len(trained)
        for run in runs(chat, example):
            assert run.endswith(families.FAMILIES[family].stop)
        joined = "".join(runs(chat, example))
        assert all((m["content"] or "get_weather").strip() in joined for m in trained)

    check()


def whole_text(chat: ChatTokenizer, messages: list[dict[str, Any]], tools: Any) -> str:
    """The conversation as transformers renders it with the template that a tuned model would be saved with."""
    clean: list[dict[str, Any]] = []
    for message in messages:
        out = {key: value for key, value in message.items() if key != "weight"}
        if "tool_calls" in out:
            function = {"name": "get_weather", "arguments": {"city": "Oslo"}}
            out["tool_calls"] = [
                {**call, "id": nine(call["id"], chat), "function": function} for call in out["tool_calls"]
            ]
        if "tool_call_id" in out:
            out["tool_call_id"] = nine(out["tool_call_id"], chat)
        clean.append(out)
    return str(chat.tokenizer.apply_chat_template(clean, tools=tools, tokenize=False))


def nine(identifier: str, chat: ChatTokenizer) -> str:
    import hashlib

    return hashlib.sha256(identifier.encode()).hexdigest()[:9] if chat.template.shape.short_ids else identifier


@pytest.mark.parametrize(
    ("family", "name"),
    [("llama", "llama3"), ("gemma3", "gemma3"), ("phi3", "phi3"), ("qwen3", "qwen3_instruct_2507")],
)
def test_labels_equal_trls_marked_template_up_to_the_end_of_turn(load: Load, family: str, name: str) -> None:
    import trl

    folder = Path(trl.__file__).parent / "chat_templates"
    chat = load(family, (folder / f"{name}.jinja").read_text(encoding="utf-8"))
    messages = [{key: value for key, value in m.items() if key != "weight"} for m in CHAT]
    example = one(chat, messages)
    theirs = chat.tokenizer.apply_chat_template(
        messages,
        chat_template=(folder / f"{name}_training.jinja").read_text(encoding="utf-8"),
        return_assistant_tokens_mask=True,
        return_dict=True,
    )
    assert example.input_ids == theirs["input_ids"]
    # (trl's qwen2_5 pair is no reference: its marks begin before the header's own line break, which a prompt already holds.)
    # trl also trains what a template writes behind the end of turn (a line break; Phi's end of text): a model that has
    # stopped never comes to say it, so ours ends each run at the stop token.
    stop = chat.tokenizer.convert_tokens_to_ids(families.FAMILIES[family].stop)
    expected: list[int] = []
    stopped = False
    for token, marked in zip(theirs["input_ids"], theirs["assistant_masks"], strict=True):
        stopped = stopped and bool(marked)
        expected.append(token if marked and not stopped else IGNORED)
        stopped = stopped or (token == stop and bool(marked))
    assert sum(label != IGNORED for label in expected) > 20
    assert example.labels == expected


def test_the_reference_turns_red_without_the_end_of_turn(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    from tuneport_local import data

    chat = load("qwen3")
    rendered = whole_text(chat, CHAT, None)

    def agree() -> bool:
        example = one(chat, CHAT)
        return example.labels == reference(chat, "qwen3", CHAT, rendered, example.input_ids)

    assert agree()
    monkeypatch.setattr(data, "_to_stop", lambda chat, tokens, turn: (turn.start, turn.end, True))
    assert not agree()
