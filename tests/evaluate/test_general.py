"""Forgetting: the shipped probe and lm-evaluation-harness, on real local models and on a stand-in for a service."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tuneport import registry
from tuneport.errors import BudgetExceededError, DatasetError, NotInstalledError, SpecError
from tuneport.evaluate.comparison import Forgetting
from tuneport.evaluate.general import chosen, general
from tuneport.evaluate.harness import harness
from tuneport.scoring import probe
from tuneport.scoring.harness import measure
from tuneport_backends.simulators.openai import OpenAISimulator
from tuneport_local.layout import STARTER

BASE, TUNED = "openai:gpt-4.1-mini-2025-04-14", "openai:gpt-4.1-nano-2025-04-14"
PROBE = Path(str(probe.files("tuneport"))) / "evaluate" / "probe"


# The items


def test_every_item_is_whole_and_none_stands_twice() -> None:
    questions, texts = probe.questions(), probe.texts()
    assert Counter(one.task for one in questions) == {
        "knowledge": 30,
        "arithmetic": 24,
        "commonsense": 24,
        "reading": 20,
        "instructions": 24,
    }
    assert Counter(one.kind for one in texts) == {"english": 24, "languages": 8, "code": 8}
    assert len({one.asked for one in questions}) == len(questions)
    assert len({one.text for one in texts}) == len(texts)
    assert len({one.id for one in (*questions, *texts)}) == len(questions) + len(texts)
    for one in questions:
        assert bool(one.choices) != bool(one.pattern)
        if one.choices:
            assert len(set(one.choices)) == 4
            assert 0 <= one.answer < 4


def test_the_right_choice_stands_in_every_place_about_as_often() -> None:
    places = Counter(one.answer for one in probe.questions() if one.choices)
    assert min(places.values()) > 98 / 4 * 0.7, places


def test_instructions_tell_an_answer_that_obeys_from_one_that_does_not() -> None:
    written = [json.loads(line) for line in (PROBE / "questions.jsonl").read_text("utf-8").splitlines()]
    by_id = {one.id: one for one in probe.questions()}
    for row in (row for row in written if "pattern" in row):
        assert by_id[row["id"]].obeyed(row["obeys"]), row
        assert by_id[row["id"]].obeyed(row["obeys"] + "\n"), row
        assert not by_id[row["id"]].obeyed(row["fails"]), row


@pytest.mark.parametrize(
    ("said", "number"),
    [
        ("B", 1),
        (" b. ", None),
        ("B.", 1),
        ("(C)", 2),
        ("**D**", 3),
        ("B) a dog", 1),
        ("The answer is C.", 2),
        ("Answer: D", 3),
        ("a dog", 1),
        ("A dog is what it is.", None),
        ("E", None),
        ("none of these", None),
        ("", None),
    ],
)
def test_an_answer_is_read_by_its_letter_or_its_words(said: str, number: int | None) -> None:
    item = probe.ProbeQuestion("x", "t", "Which?", choices=("a cat", "a dog", "a hen", "a cow"))
    assert chosen(said, item) == number


# On this machine


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The starter with a tenth of noise in its weights: it has forgotten much, and still answers."""
    import torch
    from safetensors.torch import load_file, save_file

    folder = tmp_path_factory.mktemp("models") / "broken"
    shutil.copytree(STARTER, folder)
    torch.manual_seed(0)
    weights = load_file(folder / "model.safetensors")
    noisy = {
        name: (w.float() + 0.6 * w.float().std() * torch.randn(w.shape)).to(w.dtype) if w.ndim > 1 else w
        for name, w in weights.items()
    }
    save_file(noisy, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    """A folder of task files, as a user would write them, with their data beside them: no network is needed."""
    folder = tmp_path / "tasks"
    folder.mkdir()
    common = "dataset_path: json\ntest_split: test\ndataset_kwargs:\n  data_files:\n    test: {}\n"
    sums = [{"q": f"{n} + {n}", "choices": [str(2 * n), "no"], "answer": 0} for n in range(12)]
    (folder / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in sums))
    (folder / "sums.yaml").write_text(
        "task: our_sums\noutput_type: multiple_choice\n"
        + common.format("sums.jsonl")
        + 'doc_to_text: "{{q}} ="\ndoc_to_choice: "{{choices}}"\ndoc_to_target: answer\nmetric_list:\n  - metric: acc\n'
    )
    lines = [{"text": f"Order {n} of the lamp is late, and Ann Smith wants her money back."} for n in range(12)]
    (folder / "lines.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lines))
    (folder / "lines.yaml").write_text(
        "task: our_lines\noutput_type: loglikelihood_rolling\n"
        + common.format("lines.jsonl")
        + 'doc_to_text: ""\ndoc_to_target: "{{text}}"\nmetric_list:\n  - metric: bits_per_byte\n  - metric: word_perplexity\n'
    )
    words = [{"q": f"Say {n}.", "a": str(n)} for n in range(12)]
    (folder / "words.jsonl").write_text("".join(json.dumps(row) + "\n" for row in words))
    (folder / "words.yaml").write_text(
        "task: our_words\noutput_type: generate_until\n"
        + common.format("words.jsonl")
        + 'doc_to_text: "{{q}}"\ndoc_to_target: "{{a}}"\ngeneration_kwargs:\n  until: ["\\n"]\n  max_gen_toks: 8\n'
        "metric_list:\n  - metric: exact_match\n"
    )
    return folder


@pytest.mark.slow  # two models, each in a process of its own, over the whole probe
def test_the_probe_shows_a_broken_model_and_spares_a_whole_one(broken: Path, home: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    found = general(f"local:{broken}", "local:starter", limit=16, progress=lambda *told: seen.append(told))
    by_task = {one.task: one for one in found}
    assert [one.rows for one in found] == [16] * 6 + [8, 8]
    english = by_task["English text"]
    assert english.fell
    assert english.metric == "bits_per_byte"
    assert not english.higher_is_better
    assert english.difference is not None
    assert english.tuned == pytest.approx((english.base or 0) + english.difference.estimate)
    assert (english.base_contender, english.contender) == ("local:starter", f"local:{broken}")
    assert seen[-1] == (f"local:{broken}", 112, 112)
    assert {name for name, _, _ in seen} == {"local:starter", f"local:{broken}"}
    same = general("local:starter", "local:starter", limit=2)
    assert all(one.base == one.tuned and not one.fell for one in same)


@pytest.mark.slow  # four processes, each of which loads torch and the harness
def test_the_harness_pairs_local_models_by_document_without_network(
    broken: Path, tasks: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found = harness(f"local:{broken}", "local:starter", tasks=["our_sums", "our_lines"], include_path=tasks)
    by_metric = {(one.task, one.metric): one for one in found}
    assert set(by_metric) == {("our_sums", "acc"), ("our_lines", "bits_per_byte")}
    lines = by_metric["our_lines", "bits_per_byte"]
    assert (lines.rows, lines.fell, lines.higher_is_better) == (12, True, False)
    assert re.fullmatch(r"lm-evaluation-harness \d+\.\d+.*", lines.source)
    session: Any = registry.open_model("local:starter")
    text = json.loads((tasks / "lines.jsonl").read_text().splitlines()[0])["text"]
    nats, _ = session.score_text(text)
    # The harness also predicts the first token, after the end-of-text token; ours has nothing before it.
    assert (lines.base or 0) == pytest.approx(nats / 0.6931 / len(text), rel=0.25)
    with pytest.raises(SpecError, match="no task 'our_sum': did you mean 'our_sums'"):
        harness(f"local:{broken}", "local:starter", tasks=["our_sum"], include_path=tasks)


def test_a_task_whose_documents_are_not_there(tasks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tasks / "lines.jsonl").unlink()
    with pytest.raises(DatasetError, match=r"documents of task 'our_lines' cannot be had.*without network"):
        measure(None, ["our_lines"], include_path=tasks)


def test_without_the_harness_the_extra_that_brings_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lm_eval.evaluator", None)
    with pytest.raises(NotInstalledError, match=r"pip install 'tuneport\[lm-eval\]'"):
        measure(None, ["arc_easy"])


def test_the_application_loads_no_torch_for_any_of_it(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom tuneport.evaluate.general import general\n"
        "found = general('local:starter', 'local:starter', limit=1)\nassert len(found) == 8, found\n"
        "sys.exit(bool({'torch', 'transformers', 'lm_eval'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PATH": "/usr/bin:/bin", "TUNEPORT_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


# Hosted


class Service:
    """Answers as it is told to, model by model, and counts what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.forgets = {TUNED}
        by_text = {one.asked: one for one in probe.questions()}
        self.right = {
            text: str(json.loads(line)["obeys"]) if one.pattern else "ABCD"[one.answer]
            for (text, one), line in zip(
                by_text.items(), (PROBE / "questions.jsonl").read_text("utf-8").splitlines(), strict=True
            )
        }

    def answer(self, model: str, messages: Sequence[Mapping[str, Any]]) -> str:
        text = str(messages[-1]["content"])
        self.asked.append(text)
        if f"openai:{model}" in self.forgets:
            return "I would rather not say."
        plain = text.partition("\nA. ")[0]
        return self.right.get(plain) or text.removeprefix("Say ").removesuffix(".") + "\nand more"


@pytest.fixture
def service(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    told = Service()
    with OpenAISimulator(answer=told.answer) as simulator:
        for name, value in simulator.environment().items():
            monkeypatch.setenv(name, value)
        yield told


def test_hosted_models_are_asked_for_letters_and_what_cannot_be_measured_is_said(service: Service) -> None:
    found = general(TUNED, BASE, limit=6)
    asked = [one for one in found if one.metric == "accuracy"]
    assert [(one.task, one.base, one.tuned, one.rows, one.fell) for one in asked] == [
        (task, 1.0, 0.0, 6, True) for task in ("knowledge", "arithmetic", "commonsense", "reading", "instructions")
    ]
    assert "asked for the letter" in asked[0].note
    for one in found[5:]:
        assert (one.metric, one.base, one.tuned, one.rows, one.fell) == ("bits_per_byte", None, None, 0, False)
        assert f"{BASE} and {TUNED} give no log-probabilities" in one.note
    count = len(service.asked)
    assert count == 2 * 30
    assert general(TUNED, BASE, limit=6) == found
    assert len(service.asked) == count, "what was answered is not asked, and not paid for, again"


def test_a_local_base_and_a_hosted_model_are_asked_in_the_same_way(service: Service) -> None:
    found = general(BASE, "local:starter", limit=1)
    assert found[0].tuned == 1.0
    assert found[0].note.startswith("asked for the letter")
    assert found[-1].note.startswith(f"{BASE} gives no log-probabilities")


def test_what_it_will_cost_is_told_before_and_a_budget_with_an_unknown_price_refuses(service: Service) -> None:
    with pytest.raises(BudgetExceededError, match="is unknown: give the price"):
        general(TUNED, BASE, limit=1, budget_usd=1.0)
    with pytest.raises(BudgetExceededError, match="above budget_usd"):
        general(TUNED, BASE, limit=1, budget_usd=1e-9, prices={TUNED: (1, 1), BASE: (1, 1)})
    assert not service.asked
    told: list[Any] = []
    general(TUNED, BASE, limit=1, before_spending=told.extend)
    assert [(one.name, one.calls) for one in told] == [(BASE, 5), (TUNED, 5)]


@pytest.mark.slow
def test_the_harness_runs_written_tasks_on_a_service_and_refuses_the_others(service: Service, tasks: Path) -> None:
    found = harness(TUNED, BASE, tasks=["our_words", "our_sums"], include_path=tasks, limit=10)
    by_task: dict[str, Forgetting] = {one.task: one for one in found}
    words = by_task["our_words"]
    assert (words.base, words.tuned, words.rows, words.fell) == (1.0, 0.0, 10, True)
    sums = by_task["our_sums"]
    assert (sums.base, sums.rows) == (None, 0)
    assert "its kind is multiple_choice: a chat API does not say how likely" in sums.note
    assert len(service.asked) == 20, "nothing is asked for a task that is refused"


# Bad input


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"model": "local:starter"}, "names no base"),
        ({"model": "local:starter", "base": "local:starter", "limit": 0}, "give 1 or more"),
        ({"model": "few-shot:2:local:starter", "base": "local:starter"}, "needs examples"),
        ({"model": "file:answers.jsonl", "base": "local:starter"}, "recorded answers"),
        ({"model": "nowhere:x", "base": "local:starter"}, "no backend is named 'nowhere'"),
    ],
)
def test_what_cannot_be_measured_is_refused(arguments: dict[str, Any], why: str, home: Path) -> None:
    with pytest.raises(SpecError, match=why):
        general(**arguments)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"tasks": "arc_easy"}, "give a list of names"),
        ({"tasks": []}, "give a list of names"),
        ({"tasks": ["a,b"]}, "give a list of names"),
        ({"tasks": ["a"], "limit": 0}, "give 1 or more documents"),
        ({"tasks": ["a"], "include_path": "/nowhere/at/all"}, "is no folder"),
    ],
)
def test_the_harness_refuses_before_anything_starts(arguments: dict[str, Any], why: str, home: Path) -> None:
    with pytest.raises(SpecError, match=why):
        harness("local:starter", "local:starter", **arguments)
