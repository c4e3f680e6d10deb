"""What is refused before anything is spent, with the value, the rule and what would work instead."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from tuneport.backend import FEATURES, Prepared, refusals
from tuneport.errors import PlanError
from tuneport.methods import METHODS
from tuneport.objectives import OBJECTIVES
from tuneport.spec import FineTuneSpec
from tuneport_backends import openai as module
from tuneport_backends.openai import AzureBackend, BedrockOpenAIBackend, OpenAIBackend
from tuneport_backends.openai_service import AZURE, BEDROCK, OPENAI, shown
from tuneport_backends.simulators.openai import OpenAISimulator

Simulate = Callable[..., OpenAISimulator]
Prepare = Callable[..., Prepared]
ROWS = {"train": 100}


def spec(backend: OpenAIBackend, model: str = "gpt-4.1-mini-2025-04-14", **fields: Any) -> FineTuneSpec:
    return FineTuneSpec.parse({"model": f"{backend.name}:{model}", "dataset": "rows.jsonl", **fields})


def codes(backend: OpenAIBackend, wanted: FineTuneSpec) -> list[str]:
    return [issue.code for issue in backend.check(wanted) if issue.code != "credentials.missing"]


@pytest.mark.parametrize("kind", [OpenAIBackend, AzureBackend, BedrockOpenAIBackend])
def test_every_yes_and_no_is_declared(kind: type[OpenAIBackend]) -> None:
    backend = kind()
    said = backend.capabilities()
    assert set(said.objectives) == set(OBJECTIVES)
    assert set(said.methods) == set(METHODS)
    assert set(said.features) == set(FEATURES)
    assert said.events == "provider"
    assert (said.polling.first, said.polling.most, said.polling.window) == (5, 60, 60)
    for support in (*said.objectives.values(), *said.methods.values(), *said.features.values()):
        assert support is None or (support.reason and support.until)
    for objective in OBJECTIVES:
        wanted = spec(backend, objective={"kind": objective})
        assert bool(refusals(said, wanted, backend.name)) == (said.objectives[objective] is not None)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"options": {"sufix": "x"}}, "options.unknown"),
        ({"options": {"suffix": "x" * 65}}, "options.invalid"),
        ({"options": {"suffix": 3}}, "options.invalid"),
        ({"options": {"region": "us-east-1"}}, "options.unknown"),
        ({"options": {"base_url": "api.openai.com"}}, "options.invalid"),
        ({"options": {"base_url": "https://me:secret@example.com/v1"}}, "options.secret"),
        ({"options": {"reasoning_effort": "low"}}, "options.not-for-objective"),
        ({"metadata": {"tuneport_tag": "x"}}, "metadata.reserved"),
        ({"metadata": {str(n): "" for n in range(16)}}, "metadata.count"),
        ({"metadata": {"k" * 65: "v"}}, "metadata.length"),
        ({"metadata": {"k": "v" * 513}}, "metadata.length"),
        ({"integrations": [{"type": "wandb"}]}, "integrations.invalid"),
        ({"integrations": [{"type": "mlflow", "mlflow": {}}]}, "integrations.invalid"),
        ({"integrations": [{"type": "wandb", "wandb": {"project": "p", "api_key": "k"}}]}, "integrations.invalid"),
        ({"integrations": [{"type": "wandb", "wandb": {"project": "p"}}] * 6}, "integrations.count"),
        ({"objective": {"kind": "reinforcement"}}, "objective.grader"),
        ({"objective": {"kind": "reinforcement", "grader": {"type": "vibes"}}}, "objective.grader"),
        ({"objective": {"kind": "cpt"}}, "unsupported.objective"),
        ({"method": {"kind": "qlora"}}, "unsupported.method"),
    ],
)
def test_a_wrong_field_is_refused(fields: dict[str, Any], code: str, backend: OpenAIBackend) -> None:
    assert codes(backend, spec(backend, **fields)) == [code]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("compute_multiplier", 11),
        ("compute_multiplier", True),
        ("eval_interval", 0),
        ("eval_samples", 1.5),
        ("reasoning_effort", "extreme"),
        ("reasoning_effort", "auto"),
        ("eval_interval", "often"),
    ],
)
def test_reinforcement_settings_are_options_in_their_ranges(
    option: str, value: Any, backend: OpenAIBackend, samples: SimpleNamespace
) -> None:
    objective = {"kind": "reinforcement", "grader": samples.grader}
    wanted = spec(backend, "o4-mini-2025-04-16", objective=objective, options={option: value})
    assert codes(backend, wanted) == ["hyperparameters.range"]


def test_a_good_spec_raises_no_issue(simulate: Simulate, backend: OpenAIBackend, samples: SimpleNamespace) -> None:
    simulate()
    wanted = spec(
        backend,
        options={"suffix": "triage", "organization": "org-1", "project": "proj-1"},
        metadata={"team": "support"},
        integrations=[{"type": "wandb", "wandb": {"project": "p"}}],
    )
    assert backend.check(wanted) == []


def test_missing_credentials_warn_in_the_plan(backend: OpenAIBackend, azure: AzureBackend) -> None:
    for one, variable in ((backend, "OPENAI_API_KEY"), (azure, "AZURE_OPENAI_API_KEY")):
        (issue,) = one.check(spec(one))
        assert issue.severity == "warning"
        assert variable in issue.message


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"hyperparameters": {"learning_rate": 0.0001}}, "learning_rate_multiplier"),
        ({"hyperparameters": {"epochs": 51}}, "1 to 50"),
        ({"hyperparameters": {"epochs": 1.5}}, "whole number"),
        ({"hyperparameters": {"batch_size": 257}}, "1 to 256"),
        ({"hyperparameters": {"warmup_ratio": 0.1}}, "no such setting"),
        ({"objective": {"kind": "dpo", "loss": "ipo"}, "model": "openai:gpt-4.1-2025-04-14"}, "loss"),
        ({"objective": {"kind": "dpo"}, "model": "openai:gpt-4o-mini-2024-07-18"}, "dpo"),
        ({"model": "openai:gpt-7"}, "not in the catalog"),
    ],
)
def test_what_cannot_be_translated_is_an_error(fields: dict[str, Any], word: str, backend: OpenAIBackend) -> None:
    wanted = FineTuneSpec.parse({"model": "openai:gpt-4.1-mini-2025-04-14", "dataset": "rows.jsonl", **fields})
    with pytest.raises(PlanError, match=word):
        backend.resolve(wanted, ROWS)


def test_dates_end_what_they_end(backend: OpenAIBackend, azure: AzureBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    assert backend.resolve(spec(backend), ROWS).warnings
    monkeypatch.setenv("TUNEPORT_NOW", "2027-02-01")
    with pytest.raises(PlanError, match="azure:…, bedrock:…, vertex:… or local:…"):
        backend.resolve(spec(backend), ROWS)
    assert azure.resolve(spec(azure), ROWS).warnings, "Azure's dates are its own"


def test_requested_and_effective_stand_side_by_side(backend: OpenAIBackend) -> None:
    made = backend.resolve(spec(backend, hyperparameters={"epochs": 4, "learning_rate_multiplier": 0.5}), ROWS)
    assert made.hyperparameters == {"n_epochs": 4, "learning_rate_multiplier": 0.5}
    notes = {note.name: (note.requested, note.effective) for note in made.notes}
    assert notes == {"epochs": (4, 4), "learning_rate_multiplier": (0.5, 0.5), "batch_size": (None, "auto")}


def test_bedrock_has_the_wires_own_hyperparameters(bedrock: BedrockOpenAIBackend, samples: SimpleNamespace) -> None:
    objective = {"kind": "reinforcement", "grader": samples.grader_lambda}
    wanted = spec(
        bedrock, "openai.gpt-oss-20b", objective=objective, hyperparameters={"epochs": 2, "batch_size": 4}, seed=9
    )
    made = bedrock.resolve(wanted, {"train": 200})
    assert made.hyperparameters == {"n_epochs": 2, "batch_size": 4}
    assert any("seed 9 is not sent" in warning for warning in made.warnings)
    refused = {
        "unsupported.objective": {"objective": {"kind": "sft"}},
        "objective.grader": {"objective": {"kind": "reinforcement", "grader": samples.grader}},
        "unsupported.metadata": {"objective": objective, "metadata": {"a": "b"}},
        "unsupported.integrations": {
            "objective": objective,
            "integrations": [{"type": "wandb", "wandb": {"project": "p"}}],
        },
        "options.unknown": {"objective": objective, "options": {"suffix": "x"}},
    }
    for code, fields in refused.items():
        assert codes(bedrock, spec(bedrock, "openai.gpt-oss-20b", **fields)) == [code]


def test_azure_tunes_by_lora(azure: AzureBackend) -> None:
    assert codes(azure, spec(azure, method={"kind": "lora"})) == []
    assert codes(azure, spec(azure, method={"kind": "full"})) == ["unsupported.method"]
    assert codes(azure, spec(azure, options={"api_version": "v", "deployment": "d"})) == []


def test_a_model_of_another_service_needs_its_address(backend: OpenAIBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PlanError, match="base_url"):
        backend.resolve(spec(backend, "llama-9"), ROWS)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    for objective, dialect in (
        ({"kind": "sft"}, "openai"),
        ({"kind": "dpo"}, "openai-preference"),
        ({"kind": "reinforcement"}, "openai-reinforcement"),
    ):
        wanted = spec(backend, "llama-9", objective=objective, hyperparameters={"epochs": 2})
        assert backend.resolve(wanted, ROWS).hyperparameters == {"n_epochs": 2}
        assert backend.target("llama-9", objective["kind"]).dialect == dialect


def test_an_alias_is_sent_as_the_snapshot_that_was_priced(prepare: Prepare, backend: OpenAIBackend) -> None:
    from tuneport_backends.openai_request import body

    def sent(model: str, **options: Any) -> str:
        return str(body(OPENAI, spec(backend, model, options=options), {}, {"train": "file-1"}, "tp-1")["model"])

    assert sent("gpt-4.1-mini") == "gpt-4.1-mini-2025-04-14"
    assert sent("gpt-4.1-mini-2025-04-14") == "gpt-4.1-mini-2025-04-14"
    assert sent("ft:gpt-4.1-mini-2025-04-14:org::abc") == "ft:gpt-4.1-mini-2025-04-14:org::abc"
    assert sent("gpt-4.1-mini", base_url="http://127.0.0.1:1/v1") == "gpt-4.1-mini"


def test_the_doctor_says_names_and_never_values(
    simulate: Simulate, backend: OpenAIBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = backend.diagnose()
    assert [line.ok for line in before] == [True, None]
    simulator = simulate(api_key="sk-planted-9f8e7d6c5b4a")
    monkeypatch.setenv("OPENAI_BASE_URL", simulator.url.replace("http://", "http://me:hunter2@"))
    said = " ".join(line.detail for line in backend.diagnose())
    assert "OPENAI_API_KEY" in said
    assert "sk-planted" not in said
    assert "hunter2" not in said
    assert not simulator.log, "nothing is asked of the service"
    assert shown("https://a:b@example.com:8443/v1?key=x#y") == "https://example.com:8443/v1"


def test_planning_needs_neither_the_sdk_nor_its_import_time() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from tuneport_backends.openai import OpenAIBackend as B; b = B(); b.capabilities(); "
        "b.target('gpt-4.1-2025-04-14', 'sft'); b.diagnose(); "
        "assert 'openai' not in sys.modules and 'httpx2' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_services_differ_only_in_data() -> None:
    assert {backend.service for backend in (OpenAIBackend, AzureBackend, BedrockOpenAIBackend)} == {
        OPENAI,
        AZURE,
        BEDROCK,
    }
    assert {kind.name for kind in (module.OpenAIBackend, module.AzureBackend, module.BedrockOpenAIBackend)} == {
        "openai",
        "azure",
        "bedrock-openai",
    }
