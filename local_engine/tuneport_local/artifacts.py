"""What a run leaves to be used: weights or an adapter, the tokenizer, the template that was trained with, and a model card.

`artifacts/` is filled under another name and renamed when it is complete, so that it is either whole or not there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from tuneport.errors import TuneportError
from tuneport.methods import Full, LoRA, QLoRA
from tuneport.result import Artifact, LedgerTotals, TestScores
from tuneport_local.config import ARTIFACTS, RunConfig
from tuneport_local.data import ChatTokenizer, Example, collate, save_template
from tuneport_local.generate import stop_ids
from tuneport_local.models import SERVING, Serving

_TOLERANCE = {"fp32": 1e-3, "bf16": 5e-2}  # relative to the logits' norm; bf16 keeps 8 bits
_CHANGES_BASE = frozenset({"pissa", "olora"})
_TOKENIZER = ("tokenizer", "vocab", "merges", "special_tokens", "added_tokens", "spiece")

Kind = Literal["adapter", "weights", "config", "tokenizer", "template", "model-card"]


def changes_base(method: Full | LoRA | QLoRA) -> bool:
    """True where the method's start subtracts the adapter from the base's weights, which a server would have to repeat."""
    return isinstance(method, LoRA) and method.init in _CHANGES_BASE and not method.dora


def save_model(
    part: Path, model: Any, chat: ChatTokenizer, method: Full | LoRA | QLoRA, config: RunConfig, initial: Path | None
) -> None:
    """Fill `part` with all but the model card.

    `initial` holds the adapter as it started, for a method that changed the base: the difference of the two is saved, of
    twice the rank, and fits the untouched base.
    """
    import torch
    from transformers import GenerationConfig

    settings = GenerationConfig(
        eos_token_id=stop_ids(model, chat),
        pad_token_id=chat.pad_token_id,
        bos_token_id=chat.tokenizer.bos_token_id,
    )
    model.generation_config = settings
    if isinstance(method, Full):
        if config.precision == "bf16":
            model.to(torch.bfloat16)
        model.save_pretrained(str(part), safe_serialization=True)
    else:
        options = {"path_initial_model_for_weight_conversion": str(initial)} if initial else {}
        model.save_pretrained(str(part), safe_serialization=True, save_embedding_layers=False, **options)
    settings.save_pretrained(str(part))
    chat.tokenizer.save_pretrained(str(part))
    save_template(chat, part)
    serving = Serving(
        kind="full" if isinstance(method, Full) else "adapter",
        base=config.model_path,
        precision=config.precision,
        method=config.method,
        trust_remote_code=config.trust_remote_code,
    )
    (part / SERVING).write_text(serving.model_dump_json(indent=2) + "\n", encoding="utf-8")


def logits(model: Any, example: Example, pad_token_id: int, *, bf16: bool) -> Any:
    """The logits (T, V) of one row, on the CPU in fp32."""
    import torch

    model.eval()
    device = model.get_input_embeddings().weight.device
    batch = {k: v.to(device) for k, v in collate([example], pad_token_id).items() if k != "labels"}
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        return model(**batch, use_cache=False).logits[0].float().cpu()


def check_parity(trained: Any, reloaded: Any, precision: Literal["fp32", "bf16"]) -> float:
    """The relative distance of two models' logits. Raises TuneportError where the artifact is not the model that was trained.

    A model that is good in training and bad when served is found here, and not by its users.
    """
    distance = float((trained - reloaded).norm() / trained.norm().clamp(min=1e-9))
    if not distance <= _TOLERANCE[precision]:
        raise TuneportError(
            f"the saved artifact, loaded again, answers differently from the model that was trained: its logits are "
            f"{distance:.2g} apart, {_TOLERANCE[precision]:g} is allowed at {precision}. It was not kept. This is a fault of "
            "the method's saving: choose another init or method, and report it."
        )
    return distance


def describe(folder: Path) -> list[Artifact]:
    """Every file of an artifact directory with its kind, size and checksum; paths are relative to the job."""
    found: list[Artifact] = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        name = f"{ARTIFACTS}/{path.relative_to(folder)}"
        found.append(Artifact(kind=_kind(path.name), path=name, bytes=path.stat().st_size, sha256=digest))
    return found


def _kind(name: str) -> Kind:
    if name == "README.md":
        return "model-card"
    if name.startswith("adapter"):
        return "adapter"
    if name.endswith(".jinja"):
        return "template"
    if name.endswith((".safetensors", ".safetensors.index.json")):
        return "weights"
    return "tokenizer" if name.startswith(_TOKENIZER) else "config"


def model_card(
    config: RunConfig,
    *,
    kind: Literal["adapter", "full"],
    totals: dict[str, LedgerTotals],
    steps: int,
    test: TestScores | None,
    base_fingerprint: str,
    template_source: str,
    warnings: Sequence[str],
) -> str:
    """README.md: what it was made of and how, what it scores, and how to load it."""
    metadata = {"base_model": config.model_path, "library_name": "peft" if kind == "adapter" else "transformers"}
    head = "\n".join(f"{key}: {json.dumps(value)}" for key, value in metadata.items())
    shown = {
        "objective": config.objective.get("kind"),
        "method": ", ".join(f"{k} {v}" for k, v in config.method.items() if v is not None),
        "optimiser steps": steps,
        "epochs": config.epochs,
        "batch size": f"{config.batch_size} (micro-batches of {config.micro_batch_size})",
        "learning rate": f"{config.learning_rate:g}, {config.scheduler}, {config.warmup_ratio:g} of the steps warming up",
        "weight decay": config.weight_decay,
        "max length": f"{config.max_length} tokens",
        "precision": config.precision,
        "seed": config.seed,
        "chat template": template_source,
        "base fingerprint": f"sha256 {base_fingerprint}",
    }
    lines = [f"---\n{head}\ntags: [tuneport]\n---", f"# Fine-tuned by tuneport, job {config.job_id}", "## Training"]
    lines.append("\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in shown.items())]))
    lines.append("## Data")
    rows = [
        f"| {split} | {t.rows} | {t.used} | {t.truncated} | {t.dropped} | {t.trainable_tokens or 0} |"
        for split, t in totals.items()
    ]
    columns = "| split | rows | used | truncated | dropped | trained tokens |"
    lines.append("\n".join([columns, "|---|---|---|---|---|---|", *rows]))
    if test:
        lines.append(
            f"## Scores on {test.rows} held-out rows\n\nGreedy, at most {config.test_max_new_tokens} new tokens."
        )
        rows = []
        for m in test.metrics:
            d = m.difference
            change = f"{d.estimate:+.4f} ({d.low:+.4f} to {d.high:+.4f})" if d else ""
            rows.append(f"| {m.name} | {m.base:.4f} | {m.tuned:.4f} | {change} |")
        lines.append("\n".join(["| metric | base | tuned | difference (95%) |", "|---|---|---|---|", *rows]))
    lines.append("## Loading it\n\n```python\n" + _loading(config, kind) + "\n```")
    if warnings:
        lines.append("## Warnings\n\n" + "\n".join(f"- {warning}" for warning in warnings))
    return "\n\n".join(lines) + "\n"


def _loading(config: RunConfig, kind: str) -> str:
    dtype = "torch.bfloat16" if config.precision == "bf16" else "torch.float32"
    if kind == "full":
        return (
            "import torch\nfrom transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
            f'model = AutoModelForCausalLM.from_pretrained("<this folder>", dtype={dtype})\n'
            'tokenizer = AutoTokenizer.from_pretrained("<this folder>")'
        )
    note = "# trained on a base held in 4 bits: on another precision its answers can differ\n"
    return (
        "import torch\nfrom peft import PeftModel\nfrom transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
        f"{note if config.method.get('kind') == 'qlora' else ''}"
        f"base = AutoModelForCausalLM.from_pretrained({json.dumps(config.model_path)}, dtype={dtype})\n"
        'model = PeftModel.from_pretrained(base, "<this folder>")\n'
        'tokenizer = AutoTokenizer.from_pretrained("<this folder>")'
    )
