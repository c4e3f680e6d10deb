"""What local training will need in memory, part by part, and what to change where it does not fit.

The parts follow what the engine does: full training keeps fp32 weights, gradients and two AdamW moments (16 bytes a
parameter); LoRA keeps the base in the run's precision; QLoRA packs the base's matrices in 4 bits and holds the rest in fp32.
Activations are counted from what transformers' layers keep for the backward pass (measured with saved-tensor hooks: in fp32,
per token and layer, 8 hidden + 2 key-value + 4 intermediate widths). The loss is made in tiles of 4,096 tokens, so that
logits are never whole in training.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from tuneport.estimates.shape import ModelShape

Precision = Literal["fp32", "bf16"]
_TILE = 4096  # tokens of the loss's tile (trl.kernels.chunked_logprob), and about the width of its vocabulary chunk
_LOGITS = 2**28  # the most logits that a validation computes at once
_PROCESS_CPU = 720 * 2**20  # Python with torch, transformers, peft and trl loaded, before a model
_PROCESS_GPU = 600 * 2**20  # CUDA's context and libraries
# glibc's heap keeps what is freed between tensors that stay, unless a tensor is large enough for a mapping of its own. Measured
# on a 34M model: resident growth over what autograd keeps; with MALLOC_MMAP_THRESHOLD_=1000000 it is 1.05 for both.
_HEAP = {"full": 1.6}
_HEAP_ADAPTER = 2.6
_OWN_MAPPING = 32 * 2**20
_SPREAD = (0.75, 1.4)  # what the tests hold the estimate to, and what allocators add


@dataclass(frozen=True)
class Request:
    """What is asked of the machine. `length`: tokens of the longest row in a batch."""

    shape: ModelShape
    method: str = "lora"
    rank: int = 16
    precision: Precision = "fp32"
    micro_batch: int = 8
    length: int = 2048
    checkpointing: bool = False
    gpu: bool = False
    validates: bool = False


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes, by part. `low` and `high` are the range in which the peak is expected."""

    request: Request
    parts: dict[str, int]
    total: int
    low: int
    high: int

    def words(self) -> str:
        inside = ", ".join(f"{name} {human(size)}" for name, size in self.parts.items() if size >= 2**20)
        return f"about {human(self.total)} ({human(self.low)} to {human(self.high)}): {inside}"


def memory(request: Request) -> MemoryEstimate:
    """The peak of one training process: what stays, and the larger of a training step and a validation."""
    shape, full = request.shape, request.method == "full"
    wide = 2 if request.precision == "bf16" else 4
    trained = shape.parameters if full else shape.lora_per_rank * request.rank
    if full:
        weights = 4 * shape.parameters
    elif request.method == "qlora":
        # NF4 with double quantisation: 4 bits and 0.127 more a parameter (arXiv 2305.14314); the rest is turned to fp32.
        weights = int(shape.linear * (4 + 0.127) / 8) + 4 * shape.embedding
    else:
        weights = wide * shape.parameters
    stays = {
        "weights": weights,
        "adapter": 0 if full else 4 * trained,
        "optimiser": 8 * trained,
    }
    step = {
        "gradients": 4 * trained,
        "activations": _activations(request),
        "loss": _loss(request),
        # bf16 under autocast keeps a copy of each matrix that learns or is used in its cast
        "casts": 2 * shape.linear if full and request.precision == "bf16" else _unpacked(request),
        "heap": 0 if request.gpu else _heap(request),
    }
    validation = {"validation logits": _validation(request)} if request.validates else {}
    moving = step if sum(step.values()) >= sum(validation.values()) else validation
    parts = {**stays, **moving, "process": _PROCESS_GPU if request.gpu else _PROCESS_CPU}
    total = sum(parts.values())
    low, high = (int(total * factor) for factor in _SPREAD)
    return MemoryEstimate(request, parts, total, low, high)


def _activations(request: Request) -> int:
    shape, tokens = request.shape, request.micro_batch * request.length
    width, layer = _layer(request)
    if request.checkpointing:
        return tokens * (width * shape.hidden * shape.layers + layer)
    return tokens * layer * shape.layers


def _layer(request: Request) -> tuple[int, int]:
    """Bytes of one activation, and of all that one layer keeps of one token."""
    shape = request.shape
    hidden, kv, inner = shape.hidden, shape.kv_width, shape.intermediate
    inner = inner if shape.gated else int(inner * 1.1)
    normed = 2 * (hidden + kv) if shape.qk_norm else 0
    if request.precision == "fp32":
        return 4, 4 * (8 * hidden + 2 * kv + 4 * inner + normed)
    if request.method == "lora":
        return 2, 2 * (8 * hidden + 2 * kv + 4 * inner + normed) + 4 * hidden
    # autocast over fp32 weights keeps both kinds
    return 4, 32 * hidden + 6 * kv + 11 * inner + 3 * normed


def _heap(request: Request) -> int:
    """What the allocator of a Linux process holds beyond what is used."""
    tokens = request.micro_batch * request.length
    width, layer = _layer(request)
    if tokens * request.shape.hidden * width >= _OWN_MAPPING:
        return 0
    factor = _HEAP.get(request.method, _HEAP_ADAPTER)
    again = 2 * tokens * layer if request.checkpointing else 0
    return int((factor - 1) * _activations(request)) + again


def _loss(request: Request) -> int:
    tokens = request.micro_batch * request.length
    tile = min(tokens, _TILE) * min(request.shape.vocabulary, _TILE) * (2 if request.precision == "bf16" else 4)
    return 3 * tile + 8 * tokens * request.shape.hidden


def _unpacked(request: Request) -> int:
    """QLoRA unpacks one matrix at a time, there and back."""
    if request.method != "qlora":
        return 0
    largest = request.shape.hidden * max(request.shape.intermediate, request.shape.hidden)
    return 3 * largest * (2 if request.precision == "bf16" else 4)


def _validation(request: Request) -> int:
    rows = max(1, min(2 * request.micro_batch, 64))
    logits = min(
        rows * request.length * request.shape.vocabulary, max(_LOGITS, request.length * request.shape.vocabulary)
    )
    return int(logits * 4 * 2.5)  # the model's own, as fp32, and the softmax of the cross-entropy


def fits(estimate: MemoryEstimate, available: int) -> tuple[bool, str]:
    """Whether the estimate's total is within `available` bytes, and in words what to change where it is not.

    The changes are tried in the order in which they cost least: smaller batches in one pass (the result is the same), then
    recomputing activations, then bf16, then training fewer parameters, then shorter rows.
    """
    needed = human(estimate.total)
    if estimate.total <= available:
        room = "" if estimate.high <= available else f"; tight: up to {human(estimate.high)} is possible"
        return True, f"about {needed} of {human(available)}{room}"
    words = f"about {needed} are needed and {human(available)} are there"
    request, said = estimate.request, list[str]()
    while request.micro_batch > 1:
        request = replace(request, micro_batch=request.micro_batch // 2)
        said = [f"micro_batch_size={request.micro_batch}"]
        if memory(request).total <= available:
            return False, f"{words}: set {said[0]} (then about {human(memory(request).total)})"
    for change, how in _changes(request):
        request = change
        said.append(how)
        if memory(request).total <= available:
            return False, f"{words}: set {', '.join(said)} (then about {human(memory(request).total)})"
    least = human(memory(request).total)
    return (
        False,
        f"{words}: even with {', '.join(said) or 'nothing left to change'} it takes {least}; use a smaller model",
    )


def _changes(request: Request) -> Iterator[tuple[Request, str]]:
    """One change after another, each on top of those before."""
    if not request.checkpointing:
        request = replace(request, checkpointing=True)
        yield request, "gradient_checkpointing=true"
    if request.method == "full":
        request = replace(request, method="lora", precision="bf16")
        yield request, "method=LoRA() with precision='bf16'"
    elif request.precision == "fp32":
        request = replace(request, precision="bf16")
        yield request, "precision='bf16'"
    if request.method != "qlora":
        request = replace(request, method="qlora")
        yield request, "method=QLoRA() instead"
    if request.length > 512:
        request = replace(request, length=request.length // 2)
        yield request, f"max_length={request.length}"


def human(size: float) -> str:
    """Bytes in words: MiB below a GiB."""
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"
