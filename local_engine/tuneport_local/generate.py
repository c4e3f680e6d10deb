"""Answers for a local model: a child process that somebody leases, and that ends when it has been idle.

    python -m tuneport_local.generate --model PATH [--adapter PATH] [--device cpu] [--idle-seconds 120] [--home HOME]

JSON lines in and out, an answer for each question in order:

    out  {"ready": true, "pid": 123, "precision": "fp32"}      or  {"fatal": "why not"}, and exit code 1
    in   {"id": 1, "messages": […], "tools": […], "temperature": 0, "max_tokens": 256, "seed": 7}
    out  {"id": 1, "content": "…", "finish_reason": "stop", "prompt_tokens": 12, "completion_tokens": 3}
         {"id": 1, "error": "why not"}
    in   {"id": 2, "messages": […], "answer": "…"}     or  {"id": 2, "text": "…"}: how likely is it?
    out  {"id": 2, "nats": 12.3, "tokens": 7}          summed -ln p, over the tokens that were predicted

It ends at the end of its input or when nothing was asked for `--idle-seconds`. At temperature 0 the same question gets the
same answer. With `--home` it holds the device's lease for as long as it lives, and refuses at once where a job has it.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

from tuneport.errors import DatasetError, TuneportError
from tuneport_local.calls import read_calls


@dataclass(frozen=True)
class Completion:
    """What a model wrote. `tokens` counts what was generated, the stop token included."""

    text: str
    finish_reason: Literal["stop", "length"]
    prompt_tokens: int
    tokens: int


def stop_ids(model: Any, chat: Any) -> list[int]:
    """Every token that ends an answer: the template's own end of turn, and what the model's own settings name."""
    own = getattr(model.generation_config, "eos_token_id", None)
    return sorted({*chat.stop_token_ids, *([own] if isinstance(own, int) else own or [])})


def context_of(model: Any) -> int | None:
    """The most tokens, question and answer together, that the model can hold; None where its config does not say."""
    context: int | None = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return context


def complete(
    model: Any,
    chat: Any,
    prompts: Sequence[Sequence[int]],
    *,
    max_tokens: int,
    temperature: float = 0.0,
    seed: int | None = None,
) -> list[Completion]:
    """One completion for each prompt of token ids, in one batch, padded on the left.

    At temperature 0 the likeliest token is taken each time. The model's own sampling habits (a repetition penalty, top-k)
    are switched off: they would differ from base to tuned model and from here to a server. Raises DatasetError where a
    prompt leaves no room in the model's context.
    """
    import torch
    from transformers import GenerationConfig

    longest = max(map(len, prompts))
    context = context_of(model)
    room = max_tokens if context is None else min(max_tokens, context - longest)
    if room < 1:
        raise DatasetError(
            f"the prompt is {longest} tokens long and the model's context holds {context}: nothing is left for an answer"
        )
    stops = stop_ids(model, chat)
    device = model.get_input_embeddings().weight.device
    ids = torch.tensor([[chat.pad_token_id] * (longest - len(p)) + list(p) for p in prompts], device=device)
    mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts], device=device)
    sampling: dict[str, Any] = {"do_sample": False}
    if temperature > 0:
        sampling = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
        torch.manual_seed(int.from_bytes(os.urandom(4)) if seed is None else seed)
    settings = GenerationConfig(
        max_new_tokens=room,
        num_beams=1,
        repetition_penalty=1.0,
        no_repeat_ngram_size=0,
        eos_token_id=stops,
        pad_token_id=chat.pad_token_id,
        **sampling,
    )
    with torch.inference_mode():
        out = model.generate(input_ids=ids, attention_mask=mask, generation_config=settings)
    answers: list[Completion] = []
    for prompt, row in zip(prompts, out[:, longest:].tolist(), strict=True):
        end = next((i for i, token in enumerate(row) if token in stops), None)
        text = chat.tokenizer.decode(row[:end], skip_special_tokens=True)
        written = len(row) if end is None else end + 1
        answers.append(Completion(text, "length" if end is None else "stop", len(prompt), written))
    return answers


def serve(model: Any, chat: Any, questions: IO[str], answers: IO[str], *, idle_seconds: float) -> None:
    """Answer line by line until the input ends or nobody has asked for `idle_seconds`."""
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        for line in questions:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    while True:
        try:
            line = lines.get(timeout=idle_seconds)
        except queue.Empty:
            return
        if line is None:
            return
        if line.strip():
            _write(answers, _answer(model, chat, line))


def _answer(model: Any, chat: Any, line: str) -> dict[str, Any]:
    asked: dict[str, Any] = {}
    try:
        asked = {**json.loads(line)}
        if "answer" in asked or "text" in asked:
            nats, tokens = _likelihood(model, chat, asked)
            return {"id": asked.get("id"), "nats": nats, "tokens": tokens}
        tools: list[dict[str, Any]] = asked.get("tools") or []
        answer = complete(
            model,
            chat,
            [chat.prompt_ids(asked["messages"], tools or None)],
            max_tokens=int(asked.get("max_tokens") or 256),
            temperature=float(asked.get("temperature") or 0.0),
            seed=asked.get("seed"),
        )[0]
    except Exception as error:  # noqa: BLE001  one bad question must not end the answers to the next
        text = str(error) if isinstance(error, TuneportError) else f"{type(error).__name__}: {error}"
        return {"id": asked.get("id"), "error": text}
    content, calls = read_calls(answer.text, {str(tool.get("function", tool).get("name")) for tool in tools})
    return {
        "id": asked.get("id"),
        "content": content,
        "tool_calls": calls,
        "finish_reason": answer.finish_reason,
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.tokens,
    }


def _likelihood(model: Any, chat: Any, asked: dict[str, Any]) -> tuple[float, int]:
    """Summed -ln p and tokens of the answer after its messages, its end of turn included; or of a plain text.

    A text that is longer than the context is scored in windows, each of which sees half a context before what it counts.
    """
    from tuneport_local.data import IGNORED, Example, encode
    from tuneport_local.score import losses

    context = context_of(model)
    if "answer" in asked:
        before = [{**turn, "weight": 0} if turn.get("role") == "assistant" else turn for turn in asked["messages"]]
        row = {"messages": [*before, {"role": "assistant", "content": asked["answer"]}], "tools": asked.get("tools")}
        ids, labels = encode(row, chat, {})
        if context is not None and len(ids) > context:
            raise DatasetError(f"question and answer have {len(ids)} tokens, and the model's context holds {context}")
        examples = [Example(0, ids, labels)]
    else:
        ids = chat.tokenizer(asked["text"], add_special_tokens=False, verbose=False)["input_ids"]
        if (start := chat.tokenizer.bos_token_id) is not None:
            ids = [start, *ids]
        width = min(context or 1024, 1024)
        step = max(width // 2, 1)
        examples = []
        for first in range(0, max(len(ids) - 1, 1), step):
            begin = max(0, first + step + 1 - width)
            window = ids[begin : first + step + 1]
            seen = first + 1 - begin  # these were counted by the window before, or begin the text
            examples.append(Example(0, window, [IGNORED] * seen + window[seen:]))
        examples = [example for example in examples if any(label != IGNORED for label in example.labels)]
    found = losses(model, examples, chat.pad_token_id, 1)
    return sum(one.loss for one in found), sum(one.tokens for one in found)


def _write(out: IO[str], message: dict[str, Any]) -> None:
    # All in ASCII: a model may write half a surrogate pair as an escape of its JSON, and no encoding holds one.
    out.write(json.dumps(message) + "\n")
    out.flush()


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Answers for a local model, JSON lines in and out.")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--adapter", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--idle-seconds", type=float, default=120.0)
    parser.add_argument("--home", type=Path)
    args = parser.parse_args(argv)
    # Libraries print; only answers may reach whoever reads our standard output. So ours is kept aside, and 1 becomes 2.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    with ExitStack() as stack:
        try:
            if args.home:
                from tuneport_local.devices import lease

                stack.enter_context(lease(args.home, [args.device], who=f"answers of {args.model.name}", wait=False))
            from tuneport_local import models

            device = models.see_only(args.device)
            from tuneport_local.data import load_chat_tokenizer

            serving = models.serving_of(args.adapter or args.model)
            model = models.load_for_inference(args.model, args.adapter, device=device)
            models.use_threads(model, args.threads)
            trusted = serving.trust_remote_code if serving else False
            chat = load_chat_tokenizer(args.adapter or args.model, trust_remote_code=trusted)
        except Exception as error:  # noqa: BLE001  whatever it is, the one who waits for "ready" has to hear of it
            text = str(error) if isinstance(error, TuneportError) else f"{type(error).__name__}: {error}"
            _write(out, {"fatal": text, "error": type(error).__name__})
            return 1
        _write(out, {"ready": True, "pid": os.getpid(), "precision": models.precision_of(model)})
        serve(model, chat, sys.stdin, out, idle_seconds=args.idle_seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
