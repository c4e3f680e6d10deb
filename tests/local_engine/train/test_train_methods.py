"""Every family and method: it learns, what it leaves behind loads again and answers, and the base is not touched."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from tuneport.errors import ModelError, SpecError, UnsupportedError
from tuneport_local import models, run
from tuneport_local.config import RunConfig, RunReport, read_events

pytestmark = [
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:The following .* did not match any targeted module:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:PiSSA changes the base weights:UserWarning"),
    pytest.mark.filterwarnings("ignore:OLoRA changes the base weights:UserWarning"),
]
families: Any = sys.modules["families"]
MakeJob = Callable[..., Path]


def answer(model_path: Path, adapter: Path | None) -> str:
    from tuneport_local.data import load_chat_tokenizer
    from tuneport_local.generate import complete

    chat = load_chat_tokenizer(adapter or model_path)
    model = models.load_for_inference(model_path, adapter)
    ids = chat.prompt_ids([{"role": "user", "content": "What is the capital of number 1?"}])
    return complete(model, chat, [ids], max_tokens=12)[0].text


def sums(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir()) if p.is_file()}


@pytest.mark.parametrize("family", sorted(families.FAMILIES))
def test_every_family_learns_with_lora_and_its_artifact_answers(family: str, make_job: MakeJob) -> None:
    job = make_job(family, test=4)
    report = run.train(job)
    losses = [point.loss for point in report.curve]
    assert len(losses) == 4
    assert losses[-1] < losses[0]
    assert report.kind == "adapter"
    assert report.test is not None
    assert {m.name for m in report.test.metrics} == {"exact_match", "loss", "token_accuracy"}
    loss = next(m for m in report.test.metrics if m.name == "loss")
    assert loss.tuned < loss.base
    base = Path(RunConfig.load(job / "config.json").model_path)
    assert isinstance(answer(base, job / "artifacts"), str)
    assert RunReport.load(job / "report.json") == report


@pytest.mark.parametrize("family", ["llama", "qwen3_moe", "gpt2", "gemma3"])
def test_full_training_leaves_a_model_of_its_own(family: str, make_job: MakeJob) -> None:
    job = make_job(family, method={"kind": "full"}, learning_rate=5e-3, test=4)
    report = run.train(job)
    assert report.kind == "full"
    assert report.curve[-1].loss < report.curve[0].loss
    assert {a.kind for a in report.artifacts} >= {"weights", "tokenizer", "model-card"}
    assert isinstance(answer(job / "artifacts", None), str)


def test_enough_steps_teach_the_facts(make_job: MakeJob) -> None:
    job = make_job(
        method={"kind": "full"}, learning_rate=5e-3, scheduler="constant", max_steps=80, checkpoint_steps=80, test=4
    )
    facts = {"red": "Paris", "green": "Lima", "blue": "Tokyo", "black": "Oslo"}
    rows = [
        {"row": n, "messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": told}]}
        for n, (asked, told) in enumerate(facts.items(), 1)
    ]
    for split, times in (("train", 4), ("test", 1)):
        lines = [json.dumps({**row, "row": i}) for i, row in enumerate(rows * times, 1)]
        (job / f"{split}.jsonl").write_text("\n".join(lines) + "\n")
    report = run.train(job)
    exact = next(m for m in report.test.metrics if m.name == "exact_match")
    assert (exact.base, exact.tuned) == (0.0, 1.0)
    scored = [json.loads(line) for line in (job / "tuned_scores.jsonl").read_text().splitlines()]
    assert [row["answer"] for row in scored] == list(facts.values())
    assert {row["finish_reason"] for row in scored} == {"stop"}  # it has learnt to end its turn


@pytest.mark.parametrize(
    "method",
    [
        {"kind": "lora", "rank": 4, "dora": True},
        {"kind": "lora", "rank": 4, "rslora": True, "dropout": 0.1},
        {"kind": "lora", "rank": 4, "init": "gaussian"},
        {"kind": "lora", "rank": 4, "init": "pissa"},
        {"kind": "lora", "rank": 4, "init": "pissa", "rslora": True},
        {"kind": "lora", "rank": 4, "init": "olora"},
        {"kind": "lora", "rank": 4, "init": "orthogonal"},
        {"kind": "lora", "rank": 4, "target_modules": ["q_proj", "v_proj"]},
    ],
    ids=lambda m: "-".join(str(v) for v in m.values()),
)
def test_every_kind_of_lora_serves_what_it_trained(method: dict[str, Any], make_job: MakeJob) -> None:
    # That the artifact, loaded again, gives the trained model's logits is checked by the run itself, which would raise.
    job = make_job(method=method)
    report = run.train(job)
    assert report.curve[-1].loss < report.curve[0].loss
    config = json.loads((job / "artifacts/adapter_config.json").read_text())
    # An init that takes part of the base away is converted, so that any server can load the adapter on the plain base.
    assert config["init_lora_weights"] not in ("pissa", "olora")


def test_target_modules_decide_where_the_adapter_goes(make_job: MakeJob) -> None:
    job = make_job(method={"kind": "lora", "rank": 2, "target_modules": ["q_proj"]}, max_steps=1)
    run.train(job)
    names = load_file(job / "artifacts/adapter_model.safetensors")
    assert names
    assert all("q_proj" in name for name in names)


@pytest.mark.parametrize("targets", [["q_porj"], ["lm_head"]])
def test_a_target_that_cannot_be_is_refused_with_those_that_can(targets: list[str], make_job: MakeJob) -> None:
    job = make_job(method={"kind": "lora", "rank": 2, "target_modules": targets})
    with pytest.raises(SpecError, match=rf"{targets[0]}.*q_proj"):
        run.train(job)


def test_qlora_holds_the_base_in_four_bits_twice_quantised_and_leaves_its_files_alone(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    import bitsandbytes
    import torch
    from torch import nn

    job = make_job(method={"kind": "qlora", "rank": 4}, test=4)
    base = Path(RunConfig.load(job / "config.json").model_path)
    before = sums(base)
    seen: list[Any] = []
    attach = models.attach
    monkeypatch.setattr(models, "attach", lambda *args: seen.append(attach(*args)) or seen[-1])
    report = run.train(job)
    quantised = [m for m in seen[0].modules() if isinstance(m, bitsandbytes.nn.Linear4bit)]
    plain = models.load_base(base)
    linear = [m for m in plain.modules() if isinstance(m, nn.Linear)]
    assert len(quantised) == len(linear) - 1  # all but the head
    assert all(m.weight.dtype == torch.uint8 for m in quantised)
    # Still so after evaluating and training: the scales are quantised too.
    assert all(m.weight.quant_state.nested and m.weight.quant_state.state2 is not None for m in quantised)
    trained = [p for p in seen[0].parameters() if p.requires_grad]
    assert trained
    assert all(p.dtype == torch.float32 for p in trained)
    assert report.curve[-1].loss < report.curve[0].loss
    assert sums(base) == before
    assert isinstance(answer(base, job / "artifacts"), str)


@pytest.mark.parametrize("method", [{"kind": "lora", "rank": 4}, {"kind": "full"}, {"kind": "qlora", "rank": 4}])
def test_bf16_trains_and_serves(method: dict[str, Any], make_job: MakeJob) -> None:
    job = make_job(method=method, precision="bf16", gradient_checkpointing=True, learning_rate=1e-2)
    report = run.train(job)
    assert report.curve[-1].loss < report.curve[0].loss
    if method["kind"] == "full":
        import torch

        tensors = load_file(job / "artifacts/model.safetensors").values()
        assert {t.dtype for t in tensors} == {torch.bfloat16}


def test_the_artifacts_are_listed_with_their_checksums_and_a_model_card(make_job: MakeJob) -> None:
    job = make_job(test=4)
    report = run.train(job)
    for artifact in report.artifacts:
        data = (job / artifact.path).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (artifact.bytes, artifact.sha256)
    card = (job / "artifacts/README.md").read_text()
    config = RunConfig.load(job / "config.json")
    for part in (config.model_path, "| train | 16 | 16 |", "exact_match", "0.02, cosine", "PeftModel.from_pretrained"):
        assert part in card
    stops = json.loads((job / "artifacts/generation_config.json").read_text())["eos_token_id"]
    assert report.test.decoding["stop_token_ids"] == ([stops] if isinstance(stops, int) else stops)


def test_the_report_says_what_it_was_made_with(make_job: MakeJob) -> None:
    report = run.train(make_job(max_length=100_000))
    assert report.provenance.seed == 42
    assert {"python", "torch", "transformers", "peft", "trl", "bitsandbytes", "tuneport"} <= set(
        report.provenance.versions
    )
    assert len(report.provenance.base_fingerprint) == 64
    assert report.provenance.chat_template
    assert report.peak_memory_bytes > 50 * 2**20
    assert report.train_seconds > 0
    assert report.effective["max_length"] < 100_000  # the model's own context is shorter
    assert any("max_length" in warning for warning in report.warnings)


def test_the_ledger_has_every_row_and_the_events_tell_the_story(make_job: MakeJob) -> None:
    job = make_job(validation=4, test=4)
    report = run.train(job)
    assert len((job / "ledger.jsonl").read_text().splitlines()) == 24
    assert {split: t.rows for split, t in report.ledger.items()} == {"train": 16, "validation": 4, "test": 4}
    events = read_events(job)
    metrics = [e.data for e in events if e.type == "metrics"]
    assert [m["step"] for m in metrics if "loss" in m] == [1, 2, 3, 4]
    last = [m for m in metrics if "loss" in m][-1]
    assert {"step", "max_steps", "epoch", "learning_rate", "grad_norm", "tokens", "tokens_per_second"} <= last.keys()
    assert last["tokens"] == report.trained_tokens
    assert any("validation_loss" in m for m in metrics)
    assert any(e.type == "checkpoint" for e in events)
    assert [e.message for e in events if "scoring" in e.message] == [
        "scoring the base model: 4 of 4 test rows",
        "scoring the tuned model: 4 of 4 test rows",
    ]


def test_a_model_with_only_pickled_weights_is_refused(make_job: MakeJob, tmp_path: Path) -> None:
    folder = tmp_path / "pickled"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "pytorch_model.bin").write_bytes(b"not opened")
    with pytest.raises(ModelError, match="safetensors"):
        run.train(make_job(model_path=folder))


def test_a_directory_without_config_is_not_a_model(make_job: MakeJob, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"config\.json"):
        run.train(make_job(model_path=tmp_path))


def test_a_model_that_lacks_weights_is_refused(
    make_job: MakeJob, tiny_model: Callable[[str], Path], tmp_path: Path
) -> None:
    from safetensors.torch import save_file

    folder = tmp_path / "partial"
    shutil.copytree(tiny_model("llama"), folder)
    weights = load_file(folder / "model.safetensors")
    weights.pop("model.layers.0.mlp.up_proj.weight")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks 1 of its weights.*up_proj"):
        run.train(make_job(model_path=folder))


@pytest.mark.parametrize(
    "wrong", [{"method": {"kind": "ia3"}}, {"objective": {"kind": "dpo"}}], ids=lambda w: next(iter(w))
)
def test_what_cannot_be_trained_yet_is_refused(wrong: dict[str, Any], make_job: MakeJob) -> None:
    with pytest.raises(UnsupportedError):
        run.train(make_job(**wrong))


@pytest.mark.parametrize(("family", "said"), [("qwen3_moe", True), ("gpt2", False)])
def test_qlora_says_what_it_cannot_hold_in_four_bits(family: str, said: bool, make_job: MakeJob) -> None:
    report = run.train(make_job(family, method={"kind": "qlora", "rank": 4}, max_steps=1))
    told = [warning for warning in report.warnings if "4 bits" in warning]
    assert bool(told) == said
    # Two layers of four experts, 64 × 32 and 32 × 32 each, and the routers: bitsandbytes quantises linear layers only.
    assert all("24,832 of" in warning and "experts" in warning for warning in told)


def test_weights_of_another_shape_than_the_config_says_are_refused(
    make_job: MakeJob, tmp_path: Path, tiny_model: Callable[[str], Path]
) -> None:
    copy = Path(shutil.copytree(tiny_model("llama"), tmp_path / "other"))
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"intermediate_size": 48}))
    with pytest.raises(ModelError, match=r"do not have the shapes that its config\.json gives"):
        run.train(make_job(model_path=copy))
