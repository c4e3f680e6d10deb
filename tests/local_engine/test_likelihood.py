"""How likely an answer or a text is, from the chat child, held against transformers asked directly, a token at a time."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tuneport.backend import Scores
from tuneport.errors import BackendError
from tuneport_backends.local_chat import LocalChat
from tuneport_local.layout import STARTER

os.environ["HF_HUB_OFFLINE"] = "1"
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
CONTEXT = 1024
QUESTION = [{"role": "user", "content": "Rewrite the date 3 May 2024 as year-month-day."}]
TOOL = {
    "type": "function",
    "function": {"name": "add", "description": "Adds.", "parameters": {"type": "object", "properties": {}}},
}


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalChat]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNEPORT_HOME", str(tmp_path_factory.mktemp("home")))
        chat = LocalChat(STARTER)
        yield chat
        chat.close()


class Reference:
    """The slow, obvious way: the whole text before a token goes through the model, and its probability is looked up."""

    def __init__(self) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.model: Any = AutoModelForCausalLM.from_pretrained(STARTER, dtype="float32", local_files_only=True).eval()
        self.tokenizer: Any = AutoTokenizer.from_pretrained(STARTER, local_files_only=True)

    def nats(self, before: list[int], token: int) -> float:
        import torch

        with torch.no_grad():
            logits = self.model(torch.tensor([before])).logits[0, -1]
        return -float(torch.log_softmax(logits, -1)[token])

    def answer(
        self, messages: list[dict[str, Any]], answer: str, tools: list[dict[str, Any]] | None = None
    ) -> tuple[float, int]:
        text = self.tokenizer.apply_chat_template(messages, tools=tools, add_generation_prompt=True, tokenize=False)
        asked = self.ids(text)
        said = self.ids(answer + "<|im_end|>")
        return sum(self.nats(asked + said[:i], token) for i, token in enumerate(said)), len(said)

    def ids(self, text: str) -> list[int]:
        found: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return found


@pytest.fixture(scope="module")
def reference() -> Reference:
    import torch

    torch.set_num_threads(1)
    return Reference()


def test_a_local_model_says_likelihoods(session: LocalChat) -> None:
    assert isinstance(session, Scores)


@pytest.mark.parametrize("answer", ["2024-05-03", "no idea", "ä 🙂 {}\n", ""])
def test_an_answer(answer: str, session: LocalChat, reference: Reference) -> None:
    nats, tokens = session.score(QUESTION, answer)
    expected, count = reference.answer(QUESTION, answer)
    assert tokens == count
    assert nats == pytest.approx(expected, rel=1e-4, abs=2e-4)


def test_of_several_turns_only_the_answer_counts(session: LocalChat, reference: Reference) -> None:
    turns = [
        {"role": "system", "content": "Be brief."},
        *QUESTION,
        {"role": "assistant", "content": "2024-05-03"},
        {"role": "user", "content": "And 4 June 2023?"},
    ]
    nats, tokens = session.score(turns, "2023-06-04")
    assert (nats, tokens) == (pytest.approx(reference.answer(turns, "2023-06-04")[0], rel=1e-4, abs=2e-4), 11)
    assert turns[2] == {"role": "assistant", "content": "2024-05-03"}  # what was given is left as it was


def test_tools_are_shown_to_the_model(session: LocalChat, reference: Reference) -> None:
    nats, tokens = session.score(QUESTION, "2024-05-03", tools=[TOOL])
    expected, count = reference.answer(QUESTION, "2024-05-03", [TOOL])
    assert tokens == count
    assert nats == pytest.approx(expected, rel=1e-4, abs=2e-4)
    assert nats != pytest.approx(session.score(QUESTION, "2024-05-03")[0], rel=1e-4)


def test_the_likeliest_answer_is_the_one_it_gives(session: LocalChat) -> None:
    said = session.chat(QUESTION, max_tokens=32).content
    best = session.score(QUESTION, said)[0]
    assert all(session.score(QUESTION, other)[0] > best for other in ("2023-05-03", "May", said + "."))


def test_an_answer_that_does_not_fit_is_refused_and_the_next_is_scored(session: LocalChat) -> None:
    with pytest.raises(BackendError, match=r"question and answer have \d+ tokens, and the model's context holds 1024"):
        session.score(QUESTION, "7" * (CONTEXT + 1))
    assert session.score(QUESTION, "2024-05-03")[1] == 11


def test_an_answer_that_just_fits_is_scored(session: LocalChat, reference: Reference) -> None:
    text = reference.tokenizer.apply_chat_template(QUESTION, add_generation_prompt=True, tokenize=False)
    room = CONTEXT - len(reference.ids(text)) - 2  # the end of turn, and the line end after it
    assert session.score(QUESTION, "7" * room)[1] == room + 1


def test_a_short_text(session: LocalChat, reference: Reference) -> None:
    text = "Please send the bill to Ann before 3 May."
    ids = reference.ids(text)
    nats, tokens = session.score_text(text)
    assert tokens == len(ids) - 1  # nothing stands before the first: this tokenizer has no token that begins a text
    assert nats == pytest.approx(sum(reference.nats(ids[:i], ids[i]) for i in range(1, len(ids))), rel=1e-4)


@pytest.mark.parametrize("text", ["", "a"])
def test_a_text_in_which_nothing_is_predicted(text: str, session: LocalChat) -> None:
    assert session.score_text(text) == (0.0, 0)


def test_a_long_text_counts_each_token_once_and_lets_it_see_half_a_context(
    session: LocalChat, reference: Reference
) -> None:
    import torch

    text = "".join(f"Order {n * 7919 % 1000} of the lamp is late. " for n in range(260))
    ids = reference.ids(text)
    assert len(ids) > 2.5 * CONTEXT
    nats, tokens = session.score_text(text)
    assert tokens == len(ids) - 1
    half = CONTEXT // 2
    expected = 0.0
    for begin in range(1, len(ids), half):  # blocks of half a context, each after as much as the context still holds
        block = ids[begin : begin + half]
        before = ids[max(0, begin - half) : begin]
        with torch.no_grad():
            logits = reference.model(torch.tensor([before + block])).logits[0]
        likely = torch.log_softmax(logits, -1)
        expected -= sum(float(likely[len(before) - 1 + i, token]) for i, token in enumerate(block))
    assert nats == pytest.approx(expected, rel=1e-4, abs=2e-4)


def test_half_a_surrogate_pair_is_an_error_of_its_question_alone(session: LocalChat) -> None:
    with pytest.raises(BackendError):
        session.score_text("half \ud83d a pair")
    assert session.score_text("a b")[1] == 1


def test_what_a_model_writes_with_half_a_surrogate_pair_reaches_the_asker() -> None:
    import io

    from tuneport_local.calls import read_calls
    from tuneport_local.generate import _write

    _, calls = read_calls('{"name": "\\ud83d", "arguments": {"a": "\\ud83d"}}', {"\ud83d"})
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="utf-8")
    _write(out, {"tool_calls": calls})
    assert json.loads(raw.getvalue())["tool_calls"][0]["function"]["name"] == "\ud83d"


def test_an_adapter_changes_what_is_likely(tmp_path: Path, session: LocalChat, home: Path) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(STARTER, local_files_only=True, dtype="float32"),
        LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False, task_type="CAUSAL_LM"),
    )
    model.save_pretrained(tmp_path / "adapter")
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (tmp_path / "adapter" / name).write_bytes((STARTER / name).read_bytes())
    tuned = LocalChat(STARTER, adapter=tmp_path / "adapter")
    try:
        assert tuned.score(QUESTION, "2024-05-03")[0] != pytest.approx(session.score(QUESTION, "2024-05-03")[0])
    finally:
        tuned.close()
