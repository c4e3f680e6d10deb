"""Which directory a local model is, and whether its files can be used: no torch, no transformers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tuneport.errors import ModelError
from tuneport.strict import suggest

STARTER = Path(__file__).parent / "starter"
STARTER_DATA = Path(__file__).parent / "starter_data"
RECOMMENDED = "tuneport.json"  # a model may bring the hyperparameters that suit it
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+(@[\w./-]+)?")
_PICKLED = ("pytorch_model*.bin", "*.pt", "*.pth", "consolidated*.pth", "*.ckpt")


def resolve(model: str) -> Path:
    """The directory of `starter`, a path, or a hub id (`org/name`, `org/name@revision`) that is on this machine.

    Raises ModelError, which says what is there instead and what to do.
    """
    if model == "starter":
        return STARTER
    path = Path(model).expanduser()
    if path.exists():
        return check(path.resolve())
    if _HUB_ID.fullmatch(model):
        return check(_hub(model))
    parent = path.parent
    near = ""
    if parent.is_dir():
        names = [p.name for p in parent.iterdir() if p.is_dir() and not p.name.startswith(".")]
        if names and "?" in (hint := suggest(path.name, names)):
            near = f" In {parent}, {hint}"
    raise ModelError(
        f"there is no model at {model!r}: give a directory in Hugging Face layout (config.json, *.safetensors, a tokenizer), "
        f"a hub id such as 'Qwen/Qwen3-0.6B', or 'starter'.{near}"
    )


def check(path: Path) -> Path:
    """`path` where it is a causal model that can be loaded safely; ModelError with the reason otherwise."""
    if not path.is_dir():
        raise ModelError(f"{path} is a file: give the directory that holds config.json and the weights.")
    if (path / "adapter_config.json").exists() and not (path / "config.json").exists():
        raise ModelError(
            f"{path} is an adapter, not a whole model. Name the model under it, or export a merged model first."
        )
    if not (path / "config.json").exists():
        raise ModelError(f"{path} is not a model: it has no config.json. Give a directory in Hugging Face layout.")
    read_config(path)
    weights = sorted(path.glob("*.safetensors"))
    if not weights:
        pickled = sorted({p.name for pattern in _PICKLED for p in path.glob(pattern)})
        if pickled:
            raise ModelError(
                f"{path} has its weights only as pickles ({', '.join(pickled[:3])}), which can run code when loaded. "
                "Convert them once, where you trust them: load with AutoModelForCausalLM.from_pretrained and call "
                ".save_pretrained(…), which writes safetensors."
            )
        raise ModelError(f"{path} has no weights: no *.safetensors file is in it.")
    for file in weights:
        _demand_whole(file)
    if (index := path / "model.safetensors.index.json").exists():
        named = set(_json_object(index).get("weight_map", {}).values())
        if missing := sorted(named - {file.name for file in weights}):
            more = f" and {len(missing) - 1} more files" if len(missing) > 1 else ""
            raise ModelError(
                f"{path} lacks {missing[0]}{more}, which {index.name} names: copy or download the model again."
            )
    return path


def _demand_whole(file: Path) -> None:
    """Raises ModelError where a safetensors file is not as long as its own header says: 8 bytes of length, JSON, tensors."""
    size = file.stat().st_size
    with file.open("rb") as handle:
        start = handle.read(8)
        if start == b"version ":
            raise ModelError(f"{file} is a pointer of Git LFS and not the weights themselves: run git lfs pull there.")
        length = int.from_bytes(start, "little")
        header = handle.read(length) if len(start) == 8 and length <= size else b""
    try:
        tensors: dict[str, Any] = json.loads(header)
        ends = [tensor["data_offsets"][1] for name, tensor in tensors.items() if name != "__metadata__"]
        whole = size == 8 + length + max(ends, default=0)
    except (ValueError, LookupError, TypeError, AttributeError):
        whole = False
    if not whole:
        raise ModelError(
            f"{file} is not whole: its {size:,} bytes are not what its header says. Copy or download it again."
        )


def read_config(path: Path) -> dict[str, Any]:
    """The parsed config.json."""
    return _json_object(path / "config.json")


def _json_object(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{file} cannot be read: {error}.") from None
    if not isinstance(found, dict):
        raise ModelError(f"{file} is not a JSON object.")
    return found


def context_length(path: Path) -> int | None:
    """The most tokens that the model's config allows, where it says."""
    config = read_config(path)
    text = config.get("text_config") if isinstance(config.get("text_config"), dict) else config
    for key in ("max_position_embeddings", "n_positions", "max_sequence_length", "seq_length"):
        value = (text or {}).get(key)
        if isinstance(value, int) and value > 0:
            return value
    return None


def recommended(path: Path) -> dict[str, Any]:
    """Hyperparameters that the model's own tuneport.json recommends, by name; {} where it has none."""
    file = path / RECOMMENDED
    if not file.exists():
        return {}
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{file} cannot be read: {error}.") from None
    values = data.get("hyperparameters", {}) if isinstance(data, dict) else {}
    return values if isinstance(values, dict) else {}


def _hub(model: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    name, _, revision = model.partition("@")
    try:
        path = snapshot_download(
            name,
            revision=revision or None,
            allow_patterns=["*.json", "*.safetensors", "*.jinja", "tokenizer*", "*.model", "*.txt"],
        )
    except LocalEntryNotFoundError:
        raise ModelError(
            f"{model!r} is neither a directory here nor in the Hugging Face cache, and the hub cannot be reached. "
            "Download it where there is a network, or give a path."
        ) from None
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise ModelError(f"{model!r} could not be fetched from the hub: {str(error).splitlines()[0]}") from None
    return Path(path)
