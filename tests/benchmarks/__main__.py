"""Figures, printed with what they were measured on: `make bench`, or `python -m tests.benchmarks import memory demo`.

Nothing here asserts: machines differ. Ratios stand in one run.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from tests.benchmarks.data import bench_data
from tests.benchmarks.near import bench_near


def bench_import() -> None:
    """Seconds to `import tuneport` in a fresh interpreter, above an empty one; median of 9."""

    def seconds(code: str) -> float:
        times = []
        for _ in range(9):
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True)
            times.append(time.perf_counter() - start)
        return statistics.median(times)

    empty = seconds("pass")
    whole = "import tuneport; [getattr(tuneport, n) for n in tuneport.__all__]"
    print(f"import tuneport               {seconds('import tuneport') - empty:6.3f} s  (limit 0.3)")
    print(f"… and every public name       {seconds(whole) - empty:6.3f} s")
    print(f"import pydantic, the floor    {seconds('import pydantic.main') - empty:6.3f} s")


def bench_memory() -> None:
    """Peak memory and speed of full, LoRA and QLoRA on one random model of 134M parameters, 3 steps of 2 × 128 tokens."""
    from tuneport import Full, Hyperparameters, LoRA, QLoRA

    with tempfile.TemporaryDirectory() as folder:
        os.environ["TUNEPORT_HOME"] = str(Path(folder) / "home")
        model, parameters = _model(Path(folder) / "model")
        print(f"{parameters / 1e6:.0f}M parameters, fp32 unless said, batch 2 × 128 tokens")
        print(f"{'method':<22}{'peak MiB':>10}{'ratio':>8}{'tokens/s':>10}{'trained parameters':>21}")
        rows = [_row(n) for n in range(8)]
        first = 0.0
        for name, method, more in (
            ("full", Full(), {}),
            ("lora", LoRA(), {}),
            ("lora bf16", LoRA(), {"precision": "bf16"}),
            ("qlora bf16", QLoRA(), {"precision": "bf16"}),
            ("qlora bf16 checkpt.", QLoRA(), {"precision": "bf16", "gradient_checkpointing": True}),
        ):
            knobs = Hyperparameters(max_steps=3, batch_size=2, max_length=128, **more)
            _, result = _run(model, rows, method=method, hyperparameters=knobs)
            peak = (result.usage.peak_memory_bytes or 0) / 2**20
            first = first or peak
            said = next((m for m in _messages(result.job_id) if m.startswith("training ")), "")
            speed = result.metrics.get("tokens_per_second", 0.0)
            print(
                f"{name:<22}{peak:>10,.0f}{peak / first:>8.2f}{speed:>10,.0f}{said.split(' of ')[0][9:]:>21}",
                flush=True,
            )


def bench_demo() -> None:
    """The whole `tuneport demo`, in a fresh home, and its scores."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "tuneport.cli", "demo", "--json"],
            env=os.environ | {"TUNEPORT_HOME": folder},
            capture_output=True,
            check=True,
        )
        seconds = time.perf_counter() - start
        result = json.loads(done.stdout)
    scores = {metric["name"]: (metric["base"], metric["tuned"]) for metric in result["test"]["metrics"]}
    base, tuned = scores["exact_match"]
    print(f"tuneport demo                 {seconds:6.1f} s  (limit 180)")
    print(f"exact match on {result['test']['rows']} rows: base {base:.3f}, tuned {tuned:.3f}")


def bench_seeds() -> None:
    """The demo for five seeds, each on a fresh training and test set made for that seed: exact match, base and tuned."""
    import importlib.util

    path = Path(__file__).parents[2] / "scripts" / "starter" / "generate.py"
    sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location("starter_generate", path)
    assert spec is not None
    assert spec.loader is not None
    generate = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = generate
    spec.loader.exec_module(generate)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TUNEPORT_HOME"] = str(Path(folder) / "home")
        for seed in (1, 2, 3, 4, 5):
            train, test = generate.demo_rows(seed)
            seconds, result = _run("local:starter", train, test=test, seed=seed)
            metric = next(m for m in result.test.metrics if m.name == "exact_match")
            print(f"seed {seed}: base {metric.base:.3f}, tuned {metric.tuned:.3f}, {seconds:.0f} s", flush=True)


def _run(model: str, rows: Any, **fields: Any) -> tuple[float, Any]:
    from tuneport import Dataset, FineTuneJob

    if "test" in fields:
        fields["test"] = Dataset(fields["test"], name="test")
    start = time.perf_counter()
    result = FineTuneJob.create(model, Dataset(rows, name="made for the benchmark"), **fields).wait()
    return time.perf_counter() - start, result


def _messages(job_id: str) -> list[str]:
    from tuneport import FineTuneJob

    return [event.message for event in FineTuneJob.get(job_id).events()]


def _row(n: int) -> dict[str, Any]:
    words = " ".join(f"word{n}x{i}" for i in range(15))
    return {"messages": [{"role": "user", "content": words}, {"role": "assistant", "content": words}]}


def _model(path: Path) -> tuple[str, int]:
    """A Llama of 134M random parameters, with the starter's tokenizer widened to 32,000 entries."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from tuneport_local.layout import STARTER

    torch.manual_seed(0)
    AutoTokenizer.from_pretrained(STARTER).save_pretrained(path)
    config = LlamaConfig(
        vocab_size=32_000,
        hidden_size=768,
        intermediate_size=2048,
        num_hidden_layers=12,
        num_attention_heads=12,
        max_position_embeddings=1024,
    )
    model = LlamaForCausalLM(config)
    model.save_pretrained(path)
    return f"local:{path}", sum(p.numel() for p in model.parameters())


BENCHES: dict[str, Callable[[], None]] = {
    "import": bench_import,
    "memory": bench_memory,
    "demo": bench_demo,
    "seeds": bench_seeds,
    "data": bench_data,
    "near": bench_near,
}

if __name__ == "__main__":
    memory = psutil.virtual_memory().total / 2**30
    print(f"Python {platform.python_version()}, {platform.system()}, {os.cpu_count()} cores, {memory:.0f} GiB")
    for name in sys.argv[1:] or BENCHES:
        print(f"\n{name}: {(BENCHES[name].__doc__ or '').splitlines()[0]}")
        BENCHES[name]()
