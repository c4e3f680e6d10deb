"""What a run says of general text: measured as transformers would, a warning where it rose, silence where it did not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tuneport.scoring import probe
from tuneport_local import config as files
from tuneport_local import forgetting, models, run
from tuneport_local.config import RunConfig
from tuneport_local.data import load_chat_tokenizer
from tuneport_local.forgetting import GeneralLoss, compare
from tuneport_local.layout import STARTER

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
MakeJob = Callable[..., Path]
EVEN = (3.0, 3.2, 2.9, 3.1, 3.4, 2.8, 3.3, 3.0, 3.1, 2.9)


def test_the_loss_is_that_of_each_shipped_english_paragraph() -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, chat = models.load_for_inference(STARTER), load_chat_tokenizer(STARTER)
    found = forgetting.general_loss(model, chat, bf16=False)
    reference = AutoModelForCausalLM.from_pretrained(STARTER, dtype="float32", local_files_only=True).eval()
    tokenizer = AutoTokenizer.from_pretrained(STARTER, local_files_only=True)
    english = [one.text for one in probe.texts() if one.kind == "english"]
    assert len(found.losses) == len(english) == 24
    for loss, text in list(zip(found.losses, english, strict=True))[::6]:
        ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
        assert loss == pytest.approx(float(reference(ids, labels=ids).loss.detach()), rel=1e-4)


def test_a_run_records_it_for_base_and_tuned_and_the_base_is_what_it_was_before(make_job: MakeJob) -> None:
    job = make_job("qwen3", max_steps=2)
    report = run.train(job)
    path = Path(RunConfig.load(job / "config.json").model_path)
    chat = load_chat_tokenizer(path)
    base = forgetting.general_loss(models.load_for_inference(path), chat, bf16=False)
    tuned = forgetting.general_loss(models.load_for_inference(path, job / files.ARTIFACTS), chat, bf16=False)
    assert report.metrics["general_loss_base"] == pytest.approx(base.mean, rel=1e-4)
    assert report.metrics["general_loss_tuned"] == pytest.approx(tuned.mean, rel=1e-4)
    assert base.mean != pytest.approx(tuned.mean, rel=1e-6)


def test_a_run_says_that_a_base_without_english_has_none_to_forget(make_job: MakeJob) -> None:
    job = make_job(model_path=STARTER, train=4, batch_size=4, micro_batch_size=4, max_steps=2)
    report = run.train(job)
    assert not [one for one in report.warnings if "forgetting" in one]
    assert [e.level for e in files.read_events(job) if "has not learnt general English" in e.message] == ["info"]


def test_a_rise_is_a_warning_with_its_figures_and_what_helps() -> None:
    found = compare(GeneralLoss(EVEN), GeneralLoss(tuple(x + 0.4 + x / 50 for x in EVEN)), 32_000)
    assert found.metrics == {"general_loss_base": pytest.approx(3.07), "general_loss_tuned": pytest.approx(3.5314)}
    assert found.warning.startswith("forgetting: the loss on general English text rose from 3.07 to 3.53")
    assert "10 paragraphs" in found.warning
    assert "mix general rows in" in found.warning


@pytest.mark.parametrize(
    "tuned",
    [
        EVEN,
        tuple(x - 0.5 for x in EVEN),
        tuple(x + 0.01 for x in EVEN),  # certain, and too little to matter
        tuple(x + (0.9 if i % 2 else -0.7) for i, x in enumerate(EVEN)),  # a tenth more on average, and it may be luck
    ],
)
def test_no_warning_without_a_rise_that_matters_and_is_no_luck(tuned: tuple[float, ...]) -> None:
    found = compare(GeneralLoss(EVEN), GeneralLoss(tuned), 32_000)
    assert (found.warning, found.note) == ("", "")
    assert set(found.metrics) == {"general_loss_base", "general_loss_tuned"}


def test_a_loss_that_is_no_number_is_said() -> None:
    found = compare(GeneralLoss(EVEN), GeneralLoss((float("nan"), *EVEN[1:])), 32_000)
    assert found.metrics == {}
    assert "not a number" in found.warning


def test_what_would_take_long_is_left_out_and_said(monkeypatch: pytest.MonkeyPatch, make_job: MakeJob) -> None:
    monkeypatch.setattr(forgetting, "_OPERATIONS", 1e8)
    job = make_job(model_path=STARTER, train=4, batch_size=4, micro_batch_size=4, max_steps=1)
    report = run.train(job)
    assert not {"general_loss_base", "general_loss_tuned"} & set(report.metrics)
    assert [e for e in files.read_events(job) if "is not measured: 2,164,416 parameters on a cpu" in e.message]
