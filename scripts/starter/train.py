"""Makes the starter model: a byte-level BPE tokenizer and a small Llama, trained from nothing on generated rows.

    OMP_NUM_THREADS=1 python train.py --out DIR

What comes out depends on the arguments alone (and on the releases of torch and tokenizers that computed it).
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import time
from collections.abc import Iterator
from pathlib import Path

import demo_task
import formats
import skills
import torch
from files import make_model, make_tokenizer, save
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

# Text outside the answers is mostly made-up names, which nobody can predict; a little weight keeps some language in.
PROMPT_WEIGHT = 0.1
Batch = tuple[torch.Tensor, torch.Tensor]  # ids and loss weights, each (rows, length)
Row = tuple[list[int], list[float]]  # one row's ids and loss weights


def encode(turns: skills.Turns, tokenizer: PreTrainedTokenizerFast) -> tuple[list[int], list[float]]:
    """Token ids as the chat template writes them, and each one's weight in the loss."""
    parts: list[tuple[str, float]] = []
    for turn in turns:
        answer = turn["role"] == "assistant"
        parts += [
            (f"<|im_start|>{turn['role']}\n", PROMPT_WEIGHT),
            (turn["content"] + "<|im_end|>", 1.0 if answer else PROMPT_WEIGHT),
            ("\n", 0.0),
        ]
    ids: list[int] = []
    weights: list[float] = []
    for text, weight in parts:
        piece = tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids
        ids += piece
        weights += [weight] * len(piece)
    return ids, weights


def batches(seed: int, stage: int, tokenizer: PreTrainedTokenizerFast, tokens: int) -> Iterator[Batch]:
    """Batches of about `tokens` tokens, of rows of like length, so that next to nothing is padding; in random order."""
    rows = skills.pretraining_rows(seed, stage)
    rng = random.Random(seed)
    while True:
        chunk: list[Row] = []
        for turns in itertools.islice(rows, 4096):
            answers = [turn["content"] for turn in turns if turn["role"] == "assistant"]
            assert not any(demo_task.is_house_format(a) or formats.uses_house_key(a) for a in answers), turns
            chunk.append(encode(turns, tokenizer))
        chunk.sort(key=lambda row: len(row[0]))
        groups: list[list[Row]] = [[]]
        for row in chunk:
            if groups[-1] and (len(groups[-1]) + 1) * len(row[0]) > tokens:
                groups.append([])
            groups[-1].append(row)
        rng.shuffle(groups)
        for group in groups:
            longest = max(len(ids) for ids, _ in group)
            pad = tokenizer.pad_token_id
            yield (
                torch.tensor([ids + [pad] * (longest - len(ids)) for ids, _ in group]),
                torch.tensor([weights + [0.0] * (longest - len(weights)) for _, weights in group]),
            )


def rate(step: int, steps: int, tail: float, warmup: int = 40) -> float:
    """Warm up, hold, then fall in a straight line to nothing over the last `tail` of the steps."""
    return min(1.0, (step + 1) / warmup, (steps - step) / (tail * steps))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=1600)
    parser.add_argument("--stage", type=int, choices=[1, 2], default=1, help="which mixture of tasks")
    parser.add_argument("--init", type=Path, help="go on from this model instead of from nothing")
    parser.add_argument("--tail", type=float, default=0.35, help="share of the steps in which the rate falls")
    parser.add_argument("--tokens", type=int, default=4096, help="tokens in a batch")
    parser.add_argument("--lr", type=float, default=0.02, help="of the matrices (Muon)")
    parser.add_argument("--adam-lr", type=float, default=3e-3, help="of the embedding and the norms")
    parser.add_argument("--hidden", type=int, default=192)
    parser.add_argument("--layers", type=int, default=4)
    args = parser.parse_args()
    torch.set_num_threads(1)  # the same sums in the same order on any machine with the same torch
    torch.manual_seed(args.seed)
    if args.init:
        tokenizer = PreTrainedTokenizerFast.from_pretrained(args.init)
        model = LlamaForCausalLM.from_pretrained(args.init, dtype=torch.float32)
    else:
        tokenizer = make_tokenizer(itertools.islice(skills.pretraining_rows(args.seed), 20_000))
        model = make_model(tokenizer, args.hidden, args.layers)
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    others = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.Muon(matrices, lr=args.lr, momentum=0.95, weight_decay=0.01),
        torch.optim.AdamW(others, lr=args.adam_lr, betas=(0.9, 0.98), weight_decay=0.0),
    ]
    base_rates = [group["lr"] for optimizer in optimizers for group in optimizer.param_groups]
    parameters = sum(p.numel() for p in model.parameters())
    print(f"{parameters / 1e6:.2f}M parameters, vocabulary {len(tokenizer)}", flush=True)
    started, seen, answered, answer_loss = time.monotonic(), 0, 0.0, 0.0
    log: list[dict[str, float]] = []
    model.train()
    stream = batches(args.seed, args.stage, tokenizer, args.tokens)
    for step, (ids, weights) in enumerate(itertools.islice(stream, args.steps)):
        groups = [group for optimizer in optimizers for group in optimizer.param_groups]
        for group, base in zip(groups, base_rates, strict=True):
            group["lr"] = base * rate(step, args.steps, args.tail)
        # No attention mask: padding stands on the right only, where a causal model's answers can't see it.
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(input_ids=ids, use_cache=False).logits
        losses = torch.nn.functional.cross_entropy(
            logits[:, :-1].float().flatten(0, 1), ids[:, 1:].flatten(), reduction="none"
        )
        weight = weights[:, 1:].flatten()
        loss = (losses * weight).sum() / weight.sum()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        seen += int((ids != tokenizer.pad_token_id).sum())
        in_answers = weight == 1.0
        answered += float(in_answers.sum())
        answer_loss += float(losses.detach()[in_answers].sum())
        if (step + 1) % 50 == 0 or step + 1 == args.steps:
            seconds = time.monotonic() - started
            log.append(
                {
                    "step": step + 1,
                    "tokens": seen,
                    "seconds": round(seconds, 1),
                    "answer_loss": round(answer_loss / answered, 4),
                }
            )
            print(
                f"step {step + 1}/{args.steps}  {seen / 1e6:.2f}M tokens  {seconds:.0f} s  {seen / seconds:.0f}/s  "
                f"answers {answer_loss / answered:.4f}",
                flush=True,
            )
            answered = answer_loss = 0.0
        if (step + 1) % 500 == 0:
            save(model, tokenizer, args.out)
    save(model, tokenizer, args.out)
    (args.out / "train_log.json").write_text(
        json.dumps({"args": {k: str(v) for k, v in vars(args).items()}, "log": log}, indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
