"""Loading: a tokenizer that agrees with its own file, a template for certain, and both saved as they were trained with."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import families
import pytest
from tokenizers import Tokenizer, pre_tokenizers

from tuneport.errors import ModelError
from tuneport_local.data import IGNORED, load_chat_tokenizer, prepare, save_template

Tiny = Callable[..., Path]
MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Weather in Oslo?"},
    {"role": "assistant", "content": "Rain."},
]
TOOLS = [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {}}}]


def test_a_directory_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="holds no tokenizer"):
        load_chat_tokenizer(tmp_path)
    with pytest.raises(ModelError, match="is not a directory"):
        load_chat_tokenizer(tmp_path / "absent")
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_chat_tokenizer(tmp_path)


def test_a_rebuilt_tokenizer_that_splits_otherwise_than_its_file_is_not_used(tmp_path: Path) -> None:
    folder = families.tiny_tokenizer_dir("qwen3", tmp_path)
    written = Tokenizer.from_file(str(folder / "tokenizer.json"))
    # Qwen2Tokenizer builds its own pre-tokenizer, and drops the one that the file has (transformers 5).
    written.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(" ", "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    written.save(str(folder / "tokenizer.json"))
    from transformers import AutoTokenizer

    text = "What is the capital of France?"
    right = written.encode(text, add_special_tokens=False).ids
    assert AutoTokenizer.from_pretrained(folder)(text)["input_ids"] != right, "transformers no longer has the fault"
    chat = load_chat_tokenizer(folder)
    assert chat.tokenizer(text)["input_ids"] == right
    assert any("tokenizer.json is used as it is" in warning for warning in chat.warnings)
    save_template(chat, tmp_path / "saved")
    again = load_chat_tokenizer(tmp_path / "saved")
    assert again.tokenizer(text)["input_ids"] == right
    assert again.warnings == []


def test_a_model_without_a_template_gets_a_named_one_and_says_so(tiny_tokenizer: Tiny, tmp_path: Path) -> None:
    plain = load_chat_tokenizer(tiny_tokenizer("gpt2"))
    assert plain.template_source == "tuneport:plain"
    assert any("tuneport:plain" in warning for warning in plain.warnings)
    folder = families.tiny_tokenizer_dir("qwen3", tmp_path)
    (folder / "chat_template.jinja").unlink()
    chatml = load_chat_tokenizer(folder)
    assert chatml.template_source == "tuneport:chatml"
    assert any("tuneport:chatml" in warning for warning in chatml.warnings)
    (example,) = prepare(
        [{"row": 1, "messages": MESSAGES, "tools": TOOLS}], chatml, split="train", max_length=500, truncation="drop"
    ).examples
    text = chatml.tokenizer.decode(example.input_ids)
    assert text.startswith("<|im_start|>system\nBe brief.\n\nYou may call")
    assert chatml.tokenizer.decode([label for label in example.labels if label != IGNORED]) == "Rain.<|im_end|>"


@pytest.mark.parametrize("family", ["gpt2", "gemma3", "mistral", "mixtral", "qwen3", "phi3"])
def test_what_is_saved_renders_with_transformers_alone_as_it_was_trained(
    tiny_tokenizer: Tiny, tmp_path: Path, family: str
) -> None:
    from transformers import AutoTokenizer

    chat = load_chat_tokenizer(tiny_tokenizer(family))
    save_template(chat, tmp_path)
    alone = AutoTokenizer.from_pretrained(tmp_path)
    ours = chat.prompt_ids(MESSAGES[:2], TOOLS)
    theirs = alone.apply_chat_template(MESSAGES[:2], tools=TOOLS, add_generation_prompt=True, return_dict=False)
    assert ours == theirs
    again = load_chat_tokenizer(tmp_path)
    assert again.prompt_ids(MESSAGES[:2], TOOLS) == ours
    assert set(again.stop_token_ids) == set(chat.stop_token_ids)


@pytest.mark.parametrize("family", ["gemma3", "phi3", "mixtral", "olmo2"])
def test_completing_a_template_changes_nothing_for_rows_that_need_nothing(tiny_tokenizer: Tiny, family: str) -> None:
    chat = load_chat_tokenizer(tiny_tokenizer(family))
    assert "tuneport:tools" in chat.template_source
    own = families.chat_template(family)
    messages = [*MESSAGES[1:], *MESSAGES[1:]]
    ours = chat.tokenizer.apply_chat_template(messages, tokenize=False)
    assert ours == chat.tokenizer.apply_chat_template(messages, chat_template=own, tokenize=False)


def test_declared_ends_and_the_templates_own_end_a_generation(tmp_path: Path) -> None:
    folder = families.tiny_tokenizer_dir("phi3", tmp_path)
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [2]}))
    chat = load_chat_tokenizer(folder)
    ends = chat.tokenizer.convert_ids_to_tokens(chat.stop_token_ids)
    assert set(ends) == {"</s>", "<|endoftext|>", "<|end|>"}


def test_a_template_that_cannot_render_a_conversation_is_refused_with_its_words(tiny_tokenizer: Tiny) -> None:
    with pytest.raises(ModelError, match="not today"):
        load_chat_tokenizer(tiny_tokenizer("llama", "{{ raise_exception('not today') }}"))
    with pytest.raises(ModelError, match="leaves out turns"):
        load_chat_tokenizer(tiny_tokenizer("llama", "hello"))


def test_messages_that_the_template_refuses_are_refused_to_the_caller_of_a_prompt(tiny_tokenizer: Tiny) -> None:
    chat = load_chat_tokenizer(tiny_tokenizer("gemma3"))
    with pytest.raises(ModelError, match="roles must alternate"):
        chat.prompt_ids([MESSAGES[1], MESSAGES[1]])
