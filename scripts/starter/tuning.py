"""A plain loop that tunes the starter, with LoRA or whole, and lets it answer: the yardstick without the engine."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast, get_scheduler

Messages = list[dict[str, str]]


@dataclass(frozen=True)
class Settings:
    rank: int = 16  # 0 tunes every weight
    alpha: int = 32
    learning_rate: float = 5e-3
    epochs: int = 8
    batch_size: int = 16
    schedule: str = "linear"
    warmup: float = 0.05  # share of the steps
    seed: int = 0


def load(path: Path) -> tuple[Any, PreTrainedTokenizerFast]:
    """The shipped half-precision weights, computed with in fp32."""
    return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32), AutoTokenizer.from_pretrained(path)


def encode(messages: Messages, tokenizer: PreTrainedTokenizerFast) -> tuple[list[int], list[int]]:
    """Ids, and labels that leave out all but the answer and its end of turn."""
    done = tokenizer.apply_chat_template(messages, return_assistant_tokens_mask=True, return_dict=True)
    return list(done["input_ids"]), [
        i if m else -100 for i, m in zip(done["input_ids"], done["assistant_masks"], strict=True)
    ]


def pad(rows: Sequence[list[int]], filler: int, left: bool = False) -> torch.Tensor:
    longest = max(map(len, rows))
    return torch.tensor(
        [[filler] * (longest - len(r)) + r if left else r + [filler] * (longest - len(r)) for r in rows]
    )


def tune(model: Any, tokenizer: PreTrainedTokenizerFast, rows: Sequence[Messages], settings: Settings) -> Any:
    """SFT with batches of rows of like length, the loss a mean over a batch's trained tokens."""
    torch.manual_seed(settings.seed)
    rng = random.Random(settings.seed)
    if settings.rank:
        from peft import LoraConfig, get_peft_model

        lora = LoraConfig(
            r=settings.rank, lora_alpha=settings.alpha, target_modules="all-linear", task_type="CAUSAL_LM"
        )
        model = get_peft_model(model, lora)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=settings.learning_rate, weight_decay=0.0)
    encoded = [encode(row, tokenizer) for row in rows]
    steps = settings.epochs * -(-len(rows) // settings.batch_size)
    scheduler = get_scheduler(settings.schedule, optimizer, int(settings.warmup * steps), steps)
    model.train()
    for _ in range(settings.epochs):
        order = sorted(rng.sample(range(len(encoded)), len(encoded)), key=lambda i: len(encoded[i][0]) // 8)
        groups = [order[i : i + settings.batch_size] for i in range(0, len(order), settings.batch_size)]
        rng.shuffle(groups)
        for group in groups:
            ids, labels = (
                pad([encoded[i][0] for i in group], tokenizer.pad_token_id),
                pad([encoded[i][1] for i in group], -100),
            )
            mask = pad([[1] * len(encoded[i][0]) for i in group], 0)
            model(input_ids=ids, attention_mask=mask, labels=labels, use_cache=False).loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad(set_to_none=True)
    return model


@torch.no_grad()
def answers(
    model: Any, tokenizer: PreTrainedTokenizerFast, prompts: Sequence[Messages], most: int = 128, batch: int = 40
) -> list[str]:
    """The likeliest answer to each prompt, in the prompts' order."""
    model.eval()
    ids = [
        list(tokenizer.apply_chat_template(p, add_generation_prompt=True, return_dict=True)["input_ids"])
        for p in prompts
    ]
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    written: dict[int, str] = {}
    for start in range(0, len(order), batch):
        group = order[start : start + batch]
        inputs = pad([ids[i] for i in group], tokenizer.pad_token_id, left=True)
        mask = pad([[1] * len(ids[i]) for i in group], 0, left=True)
        out = model.generate(input_ids=inputs, attention_mask=mask, max_new_tokens=most, do_sample=False)
        for index, row in zip(group, out[:, inputs.shape[1] :], strict=True):
            written[index] = tokenizer.decode(row, skip_special_tokens=True)
    return [written[i] for i in range(len(ids))]


def exact(
    model: Any, tokenizer: PreTrainedTokenizerFast, rows: Sequence[Messages], most: int = 128
) -> tuple[float, list[tuple[str, str, str]]]:
    """Share of rows answered exactly, and the wrong ones: (asked, got, wanted)."""
    got = answers(model, tokenizer, [row[:-1] for row in rows], most)
    wrong = [
        (row[-2]["content"], g, row[-1]["content"])
        for row, g in zip(rows, got, strict=True)
        if g.strip() != row[-1]["content"].strip()
    ]
    return 1 - len(wrong) / len(rows), wrong
