"""A model's tokenizer as training and generation use it: checked against its own file, with a chat template for certain."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from tuneport.errors import ModelError
from tuneport_local.templates import Messages, Shape, Template, Tools, Unusable, choose, for_template

_FILES = ("tokenizer.json", "*.model", "vocab.json", "vocab.txt", "tekken.json", "*.tiktoken")
# Texts on which tokenizers that were rebuilt differ from their file: case, digits, runs of spaces, scripts, code, emoji.
_PROBES = (
    "Hello, World! It's 3:45 PM on 2024-12-31; call 5551234567 or PAY $1,299.99 NOW.",
    "  two  spaces   three\ttab\n\n\nlines  \n end ",
    "東京は日本の首都です。 Привет, мир! नमस्ते दुनिया مرحبا Ünïcödé 한국어 🙂👍🏽",
    'def f(x):\n    return {"a": [1, 22, 333], "b": x**2 != 0}  # done\nHTTPServerError camelCase snake_case',
)
MARK = "\ue000"


@dataclass
class ChatTokenizer:
    """A Hugging Face tokenizer and the chat template to train with. Made by `load_chat_tokenizer`.

    `stop_token_ids` end a generation: the EOS token, those of generation_config.json, and the template's end of turn.
    `pad_token_id` may equal one of them: batches are masked by length, never by id.
    """

    tokenizer: Any
    template: Template
    stop_token_ids: list[int]
    pad_token_id: int
    warnings: list[str] = field(default_factory=list[str])

    @property
    def template_source(self) -> str:
        """Where the template came from: "the model's own", "tuneport:chatml", "tuneport:plain", or own "with tuneport:…"."""
        return self.template.source

    @cached_property
    def added(self) -> dict[int, str]:
        """Every added token, special or not: id to text."""
        return {number: str(token) for number, token in self.tokenizer.added_tokens_decoder.items()}

    @property
    def special_ids(self) -> set[int]:
        """Ids that may end a turn: special tokens, and every declared stop."""
        return self._specials | {*self.stop_token_ids}

    @cached_property
    def _specials(self) -> set[int]:
        return {number for number, token in self.tokenizer.added_tokens_decoder.items() if token.special}

    def render(self, messages: Messages, tools: Tools = None, *, prompt: bool = False) -> str:
        """The conversation as text; with `prompt`, what comes before an answer is added. `messages` are of `for_template`."""
        return _render(self.tokenizer, self.template.text, messages, tools, prompt=prompt)

    def prompt_ids(self, messages: Sequence[Mapping[str, Any]], tools: Tools = None) -> list[int]:
        """Token ids after which the model has to answer `messages` (OpenAI's shape). `ModelError` if refused."""
        try:
            text = self.render(for_template(messages, self.template.shape), tools or None, prompt=True)
        except Unusable as error:
            raise ModelError(f"these messages cannot be put to the model. {error}.") from error
        return cast("list[int]", self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


def _render(tokenizer: Any, template: str, messages: Messages, tools: Tools, *, prompt: bool = False) -> str:
    from jinja2.exceptions import TemplateError

    try:
        text = tokenizer.apply_chat_template(
            messages, tools=tools, chat_template=template, add_generation_prompt=prompt, tokenize=False
        )
    # A template is a program: raise_exception is a TemplateError, and adding None to text or asking for a missing key are not.
    except (TemplateError, TypeError, ValueError, LookupError, AttributeError) as error:
        words = " ".join(str(error).split())
        raise Unusable(f"refused by the chat template: {words}") from error
    return cast("str", text)


def load_chat_tokenizer(path: Path, *, trust_remote_code: bool = False) -> ChatTokenizer:
    """Load the tokenizer in the directory `path`, from its files alone. Raises `ModelError` where that cannot be done."""
    if not path.is_dir():
        raise ModelError(f"{path} is not a directory. Give a model directory in Hugging Face layout.")
    if not any(match for pattern in _FILES for match in path.glob(pattern)):
        raise ModelError(
            f"{path} holds no tokenizer (none of {', '.join(_FILES)}). Copy the tokenizer's files beside the weights."
        )
    tokenizer, warnings = _load(path, trust_remote_code=trust_remote_code)

    def render(template: str, messages: Messages, tools: Tools, shape: Shape) -> str:
        return _render(tokenizer, template, for_template(messages, shape), tools)

    own = cast("str | dict[str, str] | None", tokenizer.chat_template)
    beginning = tokenizer("a")["input_ids"]
    adds_bos = tokenizer.bos_token_id is not None and beginning[:1] == [tokenizer.bos_token_id]
    template = choose(own, tokenizer.get_vocab(), render, adds_bos=adds_bos)
    tokenizer.chat_template = template.text
    stops = _declared_stops(path, tokenizer)
    chat = ChatTokenizer(tokenizer, template, stops, 0, [*warnings, *template.warnings])
    ending = chat.render([{"role": "user", "content": "q"}, {"role": "assistant", "content": MARK}]).rpartition(MARK)[2]
    for token in tokenizer(ending, add_special_tokens=False)["input_ids"]:
        if token in chat.special_ids:
            chat.stop_token_ids = sorted({*stops, token})
            break
    if not chat.stop_token_ids:
        raise ModelError(
            f"{path}: the tokenizer names no end token, so a model could not learn to stop. Set its eos_token."
        )
    pad = tokenizer.pad_token_id
    chat.pad_token_id = chat.stop_token_ids[0] if pad is None else pad
    return chat


def _load(path: Path, *, trust_remote_code: bool) -> tuple[Any, list[str]]:
    """The tokenizer as transformers loads it, or as its own file says where the two differ."""
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    try:
        tokenizer: Any = cast("Any", AutoTokenizer).from_pretrained(
            path, local_files_only=True, trust_remote_code=trust_remote_code
        )
    except (OSError, ValueError, LookupError, AttributeError, TypeError, ImportError) as error:
        reason = " ".join(str(error).split())
        raise ModelError(f"the tokenizer in {path} cannot be loaded: {reason}") from error
    if not tokenizer.is_fast:
        raise ModelError(
            f"the tokenizer in {path} ({type(tokenizer).__name__}) does not say which characters a token stands for, so the "
            "answers cannot be marked. Give the model a tokenizer.json."
        )
    file = path / "tokenizer.json"
    if not file.exists() or _agrees(tokenizer, file):
        return tokenizer, []
    rebuilt = type(tokenizer).__name__
    tokenizer = cast("Any", PreTrainedTokenizerFast).from_pretrained(path, local_files_only=True)
    warning = (
        f"transformers' {rebuilt} splits text otherwise than the model's own tokenizer.json, which the model was trained with: "
        "tokenizer.json is used as it is, and saved with the tuned model."
    )
    if not _agrees(tokenizer, file):
        raise ModelError(
            f"the tokenizer in {path} cannot be loaded as its tokenizer.json says. Save it again, or update it."
        )
    return tokenizer, [warning]


def _agrees(tokenizer: Any, file: Path) -> bool:
    from tokenizers import Tokenizer

    written = Tokenizer.from_file(str(file))
    written.no_truncation()
    written.no_padding()
    return all(
        tokenizer(text, add_special_tokens=False)["input_ids"] == written.encode(text, add_special_tokens=False).ids
        for text in _PROBES
    )


def _declared_stops(path: Path, tokenizer: Any) -> list[int]:
    """The tokenizer's EOS and what generation_config.json ends on (chat models name their end of turn there)."""
    found: set[int] = set() if tokenizer.eos_token_id is None else {tokenizer.eos_token_id}
    file = path / "generation_config.json"
    if file.exists():
        eos = json.loads(file.read_text(encoding="utf-8")).get("eos_token_id")
        found.update([eos] if isinstance(eos, int) else eos or [])
    return sorted(found)


def save_template(chat: ChatTokenizer, out_dir: Path) -> None:
    """Save tokenizer and template in `out_dir` as they were trained with, so that the tuned model loads the same anywhere."""
    chat.tokenizer.save_pretrained(out_dir)
