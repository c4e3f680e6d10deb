"""The process that answers for a local model, and the decoding that it shares with scoring."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tuneport.errors import DatasetError
from tuneport_local import models, run
from tuneport_local.config import RunConfig
from tuneport_local.generate import complete, stop_ids

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
QUESTION = [{"role": "user", "content": "What is the capital of number 1?"}]


class Answers:
    def __init__(self, process: subprocess.Popen[Any]) -> None:
        self.process = process

    def read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        return json.loads(line) if line else {}

    def ask(self, **question: Any) -> dict[str, Any]:
        return self.say(json.dumps(question))

    def say(self, line: str) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.read()


@contextmanager
def answering(*arguments: object) -> Iterator[Answers]:
    command = [sys.executable, "-m", "tuneport_local.generate", *map(str, arguments), "--threads", "1"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    )
    try:
        yield Answers(process)
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            with suppress(BrokenPipeError):
                pipe.close()


def test_it_answers_each_line_with_a_line_and_ends_with_its_input(make_job: Callable[..., Path]) -> None:
    job = make_job("qwen3", max_steps=2)
    run.train(job)
    base = RunConfig.load(job / "config.json").model_path
    with answering("--model", base, "--adapter", job / "artifacts") as child:
        ready = child.read()
        assert ready["ready"] is True
        first = child.ask(id=1, messages=QUESTION, temperature=0, max_tokens=6)
        assert first["id"] == 1
        assert isinstance(first["content"], str)
        assert first["finish_reason"] in ("stop", "length")
        assert 0 < first["completion_tokens"] <= 6
        assert first["prompt_tokens"] > 5
        assert child.ask(id=1, messages=QUESTION, temperature=0, max_tokens=6) == first
        warm = [child.ask(id=n, messages=QUESTION, temperature=1.5, max_tokens=12, seed=3)["content"] for n in (2, 3)]
        assert warm[0] == warm[1]
        assert child.ask(id=4, messages=QUESTION, temperature=1.5, max_tokens=12, seed=4)["content"] != warm[0]
        # A bad question gets its error, and the next one its answer.
        assert "error" in child.ask(id=5, messages="hello")
        assert child.ask(id=6, messages=QUESTION, max_tokens=100_000_000, temperature=0).keys() >= {"id"}
        assert child.say("not json") == {
            "id": None,
            "error": "JSONDecodeError: Expecting value: line 1 column 1 (char 0)",
        }
        assert child.ask(id=7, messages=QUESTION, temperature=0, max_tokens=6) == {**first, "id": 7}
        assert child.process.stdin is not None
        child.process.stdin.close()
        assert child.process.wait(timeout=60) == 0
        assert child.read() == {}


def test_it_ends_when_nobody_asks(tiny_model: Callable[[str], Path]) -> None:
    with answering("--model", tiny_model("llama"), "--idle-seconds", "0.2") as child:
        assert child.read()["ready"] is True
        assert child.process.wait(timeout=60) == 0


def test_what_cannot_be_loaded_is_told_on_the_first_line(tmp_path: Path) -> None:
    with answering("--model", tmp_path) as child:
        assert "config.json" in child.read()["fatal"]
        assert child.process.wait(timeout=60) == 1


def test_a_device_that_a_job_holds_is_refused(tiny_model: Callable[[str], Path], tmp_path: Path) -> None:
    from tuneport_local.devices import lease

    with lease(tmp_path, ["cpu"], who="job-1"), answering("--model", tiny_model("llama"), "--home", tmp_path) as child:
        assert "job-1" in child.read()["fatal"]


def load(path: Path) -> tuple[Any, Any]:
    from tuneport_local.data import load_chat_tokenizer

    return models.load_for_inference(path), load_chat_tokenizer(path)


@pytest.mark.parametrize("family", ["llama", "gemma3", "gpt2", "mixtral"])
def test_an_answer_does_not_depend_on_its_neighbours_in_the_batch(
    family: str, tiny_model: Callable[[str], Path]
) -> None:
    model, chat = load(tiny_model(family))
    prompts = [chat.prompt_ids([{"role": "user", "content": "Hello" + " there" * n}]) for n in (0, 9, 3)]
    together = complete(model, chat, prompts, max_tokens=8)
    assert together == [complete(model, chat, [prompt], max_tokens=8)[0] for prompt in prompts]


def test_the_models_own_sampling_habits_are_off(tiny_model: Callable[[str], Path]) -> None:
    model, chat = load(tiny_model("llama"))
    prompt = chat.prompt_ids(QUESTION)
    plain = complete(model, chat, [prompt], max_tokens=16)
    model.generation_config.update(
        repetition_penalty=5.0, do_sample=True, top_k=3, temperature=2.0, no_repeat_ngram_size=1
    )
    assert complete(model, chat, [prompt], max_tokens=16) == plain


def test_an_answer_ends_before_the_stop_token(tiny_model: Callable[[str], Path]) -> None:
    import torch

    model, chat = load(tiny_model("llama"))
    stop = stop_ids(model, chat)[0]
    head = model.get_output_embeddings()
    head.bias = torch.nn.Parameter(torch.zeros(head.weight.shape[0]))
    head.bias.data[stop] = 1e4  # the stop token is always the likeliest
    answer = complete(model, chat, [chat.prompt_ids(QUESTION)], max_tokens=8)[0]
    assert (answer.text, answer.finish_reason, answer.tokens) == ("", "stop", 1)


def test_a_prompt_that_fills_the_context_is_refused(tiny_model: Callable[[str], Path]) -> None:
    model, chat = load(tiny_model("llama"))
    context = model.config.max_position_embeddings
    with pytest.raises(DatasetError, match=f"context holds {context}"):
        complete(model, chat, [[5] * context], max_tokens=8)
