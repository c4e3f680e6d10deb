"""Loading a base model from its directory, quantising it, and attaching what learns.

Only safetensors are read: a pickle runs code when it is opened. What is loaded for training and for answering goes through
the same function, so that a model answers with the precision and the quantisation that it was trained and scored with.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, cast

from pydantic import BaseModel, ConfigDict, TypeAdapter

from tuneport.errors import ModelError, SpecError, UnsupportedError
from tuneport.methods import Full, LoRA, Method, QLoRA
from tuneport_local import layout
from tuneport_local.config import RunConfig

Precision = Literal["fp32", "bf16"]
SERVING = "serving.json"


class Serving(BaseModel):
    """How an artifact wants to be loaded, kept beside it as `serving.json`: as it was trained and scored."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    version: int = 1
    kind: Literal["adapter", "full"]
    base: str
    precision: Precision
    method: dict[str, Any]
    trust_remote_code: bool = False


def see_only(*devices: str) -> str:
    """Hide every GPU but these from this process, and return the first one's name in it: "cpu" or "cuda:0".

    To be called before torch looks for GPUs. The Trainer would use every GPU that it sees. Indices count within those that
    CUDA_VISIBLE_DEVICES already leaves visible.
    """
    wanted = [int(device.partition(":")[2] or 0) for device in devices if device.startswith("cuda")]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    every = [str(index) for index in range(max(wanted, default=-1) + 1)]
    names = every if visible is None else [name for name in visible.split(",") if name]
    if any(index >= len(names) for index in wanted):
        raise SpecError(f"devices {list(devices)}: only {len(names)} are visible (CUDA_VISIBLE_DEVICES={visible!r})")
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(names[index] for index in wanted)
    return "cuda:0" if wanted else "cpu"


def precision_of(model: Any) -> Precision:
    """What the model computes in, by its norms, embeddings and other unquantised weights."""
    import torch

    return "bf16" if model.get_input_embeddings().weight.dtype == torch.bfloat16 else "fp32"


_SMALL = 30_000_000  # parameters


def use_threads(model: Any, wanted: int | None) -> int:
    """Set torch's CPU threads: `wanted`, else one for a small model, else torch's own choice. Returns how many there are.

    Below some 30M parameters a product is done before a second thread has woken up (measured on 2 cores: no gain), and where
    another process wants the core, threads that wait for one another made a 2M model ten times slower.
    """
    import torch

    if wanted is None and sum(p.numel() for p in model.parameters()) < _SMALL:
        wanted = 1
    if wanted is not None:
        torch.set_num_threads(wanted)
    return torch.get_num_threads()


def fingerprint(path: Path) -> str:
    """sha256, in hex, over the weight files' names and bytes in the order of their names."""
    digest = hashlib.sha256()
    for file in sorted(path.glob("*.safetensors")):
        digest.update(file.name.encode() + b"\0")
        with file.open("rb") as handle:
            while chunk := handle.read(1 << 22):
                digest.update(chunk)
    return digest.hexdigest()


def method_of(config: RunConfig) -> Full | LoRA | QLoRA:
    """The method that the run asks for. Raises UnsupportedError for one that this engine does not train."""
    method: Any = TypeAdapter(Method).validate_python(config.method)
    if not isinstance(method, (Full, LoRA, QLoRA)):
        raise UnsupportedError(
            f"method {method.kind!r} cannot be trained locally: use 'full', 'lora' or 'qlora'",
            feature=f"method:{method.kind}",
            reason="not implemented by the local engine",
        )
    return method


def load_base(
    path: Path,
    *,
    device: str = "cpu",
    precision: Precision = "fp32",
    method: Full | LoRA | QLoRA | None = None,
    trust_remote_code: bool = False,
    training: bool = False,
) -> Any:
    """A causal language model in evaluation mode, on `device`.

    Full training keeps its weights in fp32 whatever the precision, and computes in bf16 under autocast: in bf16 an update
    that is smaller than 1/256 of its weight is lost. QLoRA's base is held in 4 bits and computed with in `precision`.
    Raises ModelError.
    """
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    layout.check(path)
    dtype = torch.bfloat16 if precision == "bf16" and not (training and isinstance(method, Full)) else torch.float32
    options: dict[str, Any] = {"dtype": dtype}
    if isinstance(method, QLoRA):
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=method.quant_type,
            bnb_4bit_use_double_quant=method.double_quantization,
            bnb_4bit_compute_dtype=dtype,
        )
        options["device_map"] = {"": device}
    try:
        model, info = cast("Any", AutoModelForCausalLM).from_pretrained(
            str(path),
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=trust_remote_code,
            output_loading_info=True,
            **options,
        )
    except (ValueError, OSError, KeyError) as error:
        fix = ""
        if "trust_remote_code" in str(error):
            fix = " It brings code of its own: read it, and set trust_remote_code only where you trust it."
        reason = str(error).split("\n\n")[0].rstrip(".")  # what follows is advice for those who call transformers
        raise ModelError(f"model {str(path)!r} cannot be loaded as a causal language model: {reason}.{fix}") from error
    except RuntimeError as error:
        if "ignore_mismatched_sizes" not in str(error):
            raise
        raise ModelError(
            f"the weights of model {str(path)!r} do not have the shapes that its config.json gives: the two belong to "
            "different models. Copy the model again."
        ) from error
    missing = sorted(info["missing_keys"])
    if missing:
        raise ModelError(
            f"model {str(path)!r} lacks {len(missing)} of its weights, {missing[0]!r} for one, and would answer with random "
            "numbers in their place: copy the model again, with all of its *.safetensors files"
        )
    if "device_map" not in options:
        return model.to(device).eval()
    for module in model.modules():
        # On CPUs with AVX512-BF16, bitsandbytes repacks a layer when it is first evaluated: that undoes double quantisation,
        # rounds the scales to bf16, and fails on narrow layers. The model scored must be the model trained.
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    return model.eval()


def left_whole(model: Any) -> str | None:
    """What a quantised model still holds unquantised, in words; None where that is no more than it has to be.

    bitsandbytes quantises linear layers. The experts of a mixture are one block of weights for all of them, which is none,
    and nearly the whole model. Embeddings, the head and vectors are left whole on purpose.
    """
    from torch import nn

    spared = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    if (head := model.get_output_embeddings()) is not None:
        spared.add(id(head.weight))
    matrices = [(n, p) for n, p in model.named_parameters() if p.ndim > 1 and id(p) not in spared]
    whole = [(name, p) for name, p in matrices if p.is_floating_point()]
    if not whole:
        return None
    count, (largest, _) = sum(p.numel() for _, p in whole), max(whole, key=lambda it: it[1].numel())
    every = count + sum(2 * p.numel() for _, p in matrices if not p.is_floating_point())  # two to a byte
    return (
        f"bitsandbytes holds linear layers only in 4 bits: {count:,} of {every:,} weights ({largest} for one) are not, "
        "and take as much memory as under LoRA"
    )


def linear_names(model: Any) -> list[str]:
    """The last part of the name of every linear module but the head: what `target_modules` may say."""
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    head = model.get_output_embeddings()
    linear = (nn.Linear, Conv1D)
    return sorted(
        {name.rpartition(".")[2] for name, m in model.named_modules() if isinstance(m, linear) and m is not head}
    )


def attach(model: Any, method: Full | LoRA | QLoRA) -> Any:
    """`model` with the method's parameters, which alone require gradients.

    Raises SpecError where `target_modules` names something that the model does not have.
    """
    if isinstance(method, Full):
        return model.requires_grad_(True)
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
    from transformers.pytorch_utils import Conv1D

    targets = method.target_modules
    if targets != "all-linear":
        _check_targets(model, targets)
    if isinstance(method, QLoRA):
        # It also turns the norms and the head to fp32. Checkpointing is the trainer's to switch on.
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    init: Any = True
    if isinstance(method, LoRA) and method.init != "default":
        init = method.init
    alpha = method.effective_alpha
    config = cast("Any", LoraConfig)(
        task_type="CAUSAL_LM",
        r=method.rank,
        lora_alpha=int(alpha) if alpha.is_integer() else alpha,  # servers expect a whole number
        lora_dropout=method.dropout,
        target_modules=targets if isinstance(targets, str) else list(targets),
        use_rslora=method.rslora,
        use_dora=method.dora,
        init_lora_weights=init,
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),  # GPT-2's transposed linear
    )
    try:
        return get_peft_model(model, config)
    except (
        ValueError
    ) as error:  # dropout on a mixture's fused experts, an odd rank with orthogonal init, and their like
        raise SpecError(f"method {method.kind!r} does not fit this model: {error}") from error


def _check_targets(model: Any, targets: Sequence[str]) -> None:
    head = model.get_output_embeddings()
    modules = {name: module for name, module in model.named_modules() if name}
    known = ", ".join(linear_names(model))
    for target in targets:
        matched = [m for name, m in modules.items() if name == target or name.endswith(f".{target}")]
        if not matched:
            raise SpecError(f"target_modules: {target!r} is not a module of this model; its linear modules are {known}")
        if any(m is head for m in matched):
            raise SpecError(
                f"target_modules: {target!r} is the model's head, which an adapter cannot train here (the loss reads the "
                f"head's own weights); name others of {known}"
            )


def serving_of(folder: Path) -> Serving | None:
    """What `serving.json` says in an artifact's directory; None where there is none."""
    path = folder / SERVING
    return Serving.model_validate_json(path.read_bytes()) if path.is_file() else None


def load_for_inference(
    path: Path, adapter: Path | None = None, *, device: str = "cpu", precision: Precision | None = None
) -> Any:
    """The model in `path`, under the adapter where one is given, ready to answer.

    An artifact of tuneport's own is loaded as it was trained; anything else in fp32 on a CPU and in bf16 elsewhere.
    Raises ModelError.
    """
    serving = serving_of(adapter or path)
    method: Any = TypeAdapter(Method).validate_python(serving.method) if serving else None
    if precision is None:
        precision = serving.precision if serving else ("fp32" if device == "cpu" else "bf16")
    model = load_base(
        path,
        device=device,
        precision=precision,
        method=method,
        trust_remote_code=serving.trust_remote_code if serving else False,
    )
    if adapter is None:
        return model
    if not (adapter / "adapter_config.json").is_file() or not (adapter / "adapter_model.safetensors").is_file():
        raise ModelError(f"adapter {str(adapter)!r} lacks adapter_config.json or adapter_model.safetensors")
    from peft import PeftModel

    return PeftModel.from_pretrained(model, str(adapter)).eval()
