"""A model's shape from its config.json, and its exact parameters from its safetensors headers: no torch, no package.

A safetensors file begins with the length of its header (8 bytes, little-endian) and the header, which is JSON: names, types
and shapes. Reading it costs kilobytes of a file of gigabytes. (https://github.com/huggingface/safetensors#format)
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from tuneport.errors import ModelError

_LONGEST_HEADER = 100 * 2**20  # what the safetensors package itself refuses beyond
_EMBEDDING = re.compile(r"(embed|wte|wpe|lm_head|word_embeddings|embed_out)")
_UNGATED = {"gpt2", "gpt_neox", "gptj", "opt", "bloom", "phi", "falcon", "gpt_bigcode", "starcoder2", "stablelm_epoch"}
_TIED = {"gpt2", "gemma", "gemma2", "gemma3", "gemma3_text", "opt", "bloom", "falcon", "gpt_bigcode"}
_NAMES: Mapping[str, tuple[str, ...]] = {
    "hidden": ("hidden_size", "n_embd", "d_model"),
    "layers": ("num_hidden_layers", "n_layer", "num_layers"),
    "heads": ("num_attention_heads", "n_head"),
    "vocabulary": ("vocab_size",),
    "intermediate": ("intermediate_size", "n_inner", "ffn_dim"),
    "experts": ("num_local_experts", "num_experts", "n_routed_experts"),
    "active_experts": ("num_experts_per_tok", "num_experts_per_token"),
    "expert_intermediate": ("moe_intermediate_size",),
}


@dataclass(frozen=True)
class ModelShape:
    """Counts are of parameters. `exact`: read from the weights; else worked out from the config for the usual layers."""

    parameters: int
    linear: int  # in the matrices that adapters sit on and quantisation packs: all but embeddings, head and norms
    active: int  # used for one token: fewer than all in a mixture of experts; without the input embedding
    lora_per_rank: int  # parameters of a LoRA of rank 1 on every linear: the sum of inputs and outputs
    hidden: int
    layers: int
    heads: int
    kv_width: int
    intermediate: int  # of one token: all of its experts together
    vocabulary: int
    gated: bool
    qk_norm: bool
    exact: bool

    @property
    def embedding(self) -> int:
        return self.parameters - self.linear


def shape_of(path: Path) -> ModelShape:
    """The shape of the model in a directory of Hugging Face's layout. Raises ModelError where it cannot be told."""
    config = _config(path)
    headers = _headers(path)
    size = {name: _number(config, keys) for name, keys in _NAMES.items()}
    missing = [_NAMES[name][0] for name in ("hidden", "layers", "heads", "vocabulary") if not size[name]]
    if missing:
        raise ModelError(
            f"{path / 'config.json'} lacks {', '.join(missing)}: memory and time cannot be estimated from it."
        )
    hidden, layers, heads, vocabulary = (size[n] for n in ("hidden", "layers", "heads", "vocabulary"))
    kind = str(config.get("model_type", ""))
    head = int(config.get("head_dim") or hidden // heads)
    kv_width = head * int(config.get("num_key_value_heads") or heads)
    intermediate = size["intermediate"] or 4 * hidden
    experts, chosen = max(1, size["experts"]), max(1, size["active_experts"])
    one = size["expert_intermediate"] or intermediate
    per_token = one * chosen if experts > 1 else intermediate
    if headers:
        counted = _counted(headers)
        gated = any(re.search(r"gate_proj|gate_up_proj|\.w3\.", name) for name in headers)
        qk_norm = any("q_norm" in name for name in headers)
    else:
        gated, qk_norm = kind not in _UNGATED, kind.startswith(("qwen3", "gemma3", "olmo2"))
        matrices = 3 if gated else 2
        attention = 2 * hidden * head * heads + 2 * hidden * kv_width
        linear = layers * (attention + experts * matrices * hidden * one)
        wide = layers * (4 * hidden + 2 * head * heads + 2 * kv_width + experts * matrices * (hidden + one))
        tied = bool(config.get("tie_word_embeddings", kind in _TIED))
        other = vocabulary * hidden * (1 if tied else 2) + hidden * (2 * layers + 1)
        counted = _Counted(linear + other, linear, layers * attention, wide)
    dense = counted.dense if experts > 1 else counted.linear
    active = dense + (counted.linear - dense) * chosen // experts + vocabulary * hidden
    return ModelShape(
        parameters=counted.parameters,
        linear=counted.linear,
        active=active,
        lora_per_rank=counted.wide,
        hidden=hidden,
        layers=layers,
        heads=heads,
        kv_width=kv_width,
        intermediate=per_token,
        vocabulary=vocabulary,
        gated=gated,
        qk_norm=qk_norm,
        exact=bool(headers),
    )


@dataclass(frozen=True)
class _Counted:
    parameters: int
    linear: int
    dense: int  # of the linear ones, those outside experts
    wide: int


def _counted(headers: Mapping[str, tuple[int, ...]]) -> _Counted:
    total = linear = dense = wide = 0
    for name, shape in headers.items():
        size = math.prod(shape)
        total += size
        if len(shape) < 2 or _EMBEDDING.search(name) or not name.endswith(("weight", "_proj")):
            continue
        linear += size
        dense += 0 if "expert" in name else size
        # Experts that are fused into one tensor (E, in, out) get an update each.
        wide += math.prod(shape[:-2]) * (shape[-2] + shape[-1])
    return _Counted(total, linear, dense, wide)


def _config(path: Path) -> dict[str, Any]:
    file = path / "config.json"
    try:
        data: Any = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{file} cannot be read: {error}.") from None
    if not isinstance(data, dict):
        raise ModelError(f"{file} is not a JSON object.")
    config = cast("dict[str, Any]", data)
    text = config.get("text_config")
    return {**config, **cast("dict[str, Any]", text)} if isinstance(text, dict) else config


def _number(config: Mapping[str, Any], keys: tuple[str, ...]) -> int:
    for key in keys:
        value = config.get(key)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return 0


def _headers(path: Path) -> dict[str, tuple[int, ...]]:
    """Each tensor's shape, over all weight files; {} where there is none."""
    found: dict[str, tuple[int, ...]] = {}
    for file in sorted(path.glob("*.safetensors")):
        if not file.name.startswith("adapter"):
            found.update(_header(file))
    return found


def _header(file: Path) -> dict[str, tuple[int, ...]]:
    try:
        with file.open("rb") as handle:
            start = handle.read(8)
            if len(start) < 8:
                raise ModelError(f"{file} is too short to be a safetensors file: copy it again.")
            (length,) = struct.unpack("<Q", start)
            if length > min(_LONGEST_HEADER, file.stat().st_size - 8):
                raise ModelError(f"{file} is damaged: its header claims {length:,} bytes. Copy the model again.")
            header: Any = json.loads(handle.read(length))
        return {
            name: tuple(int(side) for side in tensor["shape"])
            for name, tensor in cast("dict[str, Any]", header).items()
            if name != "__metadata__"
        }
    except OSError as error:
        raise ModelError(f"{file} cannot be read: {error.strerror or error}.") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{file} has a header that cannot be read: {error}. Copy the model again.") from None
