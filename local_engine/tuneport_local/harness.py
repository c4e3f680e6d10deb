"""lm-evaluation-harness on a local model, in a process of its own: the application never loads torch.

    python -m tuneport_local.harness --model PATH [--adapter PATH] --tasks a,b [--include-path DIR] [--limit N] --out FILE

`FILE` gets the scores by document (`tuneport.scoring.harness.HarnessScores`) or {"fatal": "why not", "error": "its class"},
and the exit code is 1 then. The model is the one that answers and was scored: loaded by `models.load_for_inference`, with the
tokenizer that it was trained with. The harness's own prompts are used as they are, without the chat template, as its
published figures are.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tuneport.errors import NotInstalledError
from tuneport.scoring.harness import HarnessScores, measure, to_parent
from tuneport_local.generate import context_of

_BATCH = 8  # requests at once; the same for base and tuned


def run(
    model_path: Path,
    adapter: Path | None,
    tasks: Sequence[str],
    *,
    include_path: Path | None = None,
    limit: int | None = None,
    device: str = "cpu",
    threads: int | None = None,
) -> HarnessScores:
    """The scores of one model. Raises NotInstalledError without lm-eval, ModelError, and what `measure` raises."""
    from tuneport_local import models
    from tuneport_local.data import load_chat_tokenizer

    serving = models.serving_of(adapter or model_path)
    model = models.load_for_inference(model_path, adapter, device=device)
    models.use_threads(model, threads)
    trusted = serving.trust_remote_code if serving else False
    chat = load_chat_tokenizer(adapter or model_path, trust_remote_code=trusted)
    try:
        loader: Any = importlib.import_module("lm_eval.models.huggingface")
    except ImportError as error:
        raise NotInstalledError(
            f"lm-evaluation-harness is not installed ({error}): pip install 'tuneport[lm-eval]'", extra="lm-eval"
        ) from error
    lm: Any = loader.HFLM(
        pretrained=model,
        tokenizer=chat.tokenizer,
        backend="causal",
        batch_size=_BATCH,
        max_length=context_of(model),
        truncation=True,
    )
    return measure(lm, tasks, include_path=include_path, limit=limit)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="lm-evaluation-harness on a local model, scores by document.")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--adapter", type=Path)
    parser.add_argument("--tasks", required=True, help="names, separated by commas")
    parser.add_argument("--include-path", type=Path)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--home", type=Path, help="hold the device's lease meanwhile")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(argv)

    def work() -> HarnessScores:
        with ExitStack() as stack:
            if args.home:
                from tuneport_local.devices import lease

                os.environ.setdefault("HF_DATASETS_CACHE", str(args.home / "cache" / "datasets"))
                stack.enter_context(lease(args.home, [args.device], who=f"lm-eval of {args.model.name}", wait=False))
            from tuneport_local import models

            return run(
                args.model.resolve(),
                args.adapter.resolve() if args.adapter else None,
                [name for name in args.tasks.split(",") if name],
                include_path=args.include_path.resolve() if args.include_path else None,
                limit=args.limit,
                device=models.see_only(args.device),
                threads=args.threads,
            )

    return to_parent(args.out.resolve(), work)


if __name__ == "__main__":
    sys.exit(main())
