"""Azure's deployments, by the control plane: offered, made once, asked, taken down; and what goes wrong there."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tuneport import FineTuneJob
from tuneport.backend import Deploys
from tuneport.errors import (
    AccessDeniedError,
    CredentialsError,
    JobError,
    NotDeployedError,
    RateLimitedError,
    RejectedError,
    RemoteNotFoundError,
    SpecError,
    UnavailableError,
)
from tuneport_backends.openai import AzureBackend
from tuneport_backends.openai_control import Control, place
from tuneport_backends.simulators.openai import Timing

Simulate = Any
Prepare = Any
ASK = [{"role": "user", "content": "What comes after 3?"}]


@pytest.fixture
def tuned(azure: AzureBackend, prepare: Prepare) -> Any:
    """`tuned(simulator)` gives the ref of a job that succeeded."""

    def make(simulator: Any, **settings: Any) -> Any:
        ref = azure.submit(prepare(azure, hyperparameters={"epochs": 1}, **settings))
        simulator.clock.advance(1000)
        return ref

    return make


def test_offered_made_once_asked_and_taken_down(simulate: Simulate, azure: AzureBackend, tuned: Any) -> None:
    simulator = simulate(service="azure")
    ref = tuned(simulator)
    assert isinstance(azure, Deploys)
    assert azure.capabilities().features["deploy"] is None
    model = azure.result(ref).model.model
    session = azure.open_model(model)
    offered = azure.deployment_offer(ref, {})
    assert (offered.name, offered.kind, offered.status, offered.per_hour) == (model, "Standard", "offered", 1.7)
    assert offered.per_month == pytest.approx(1.7 * 730)
    assert "by the hour, asked or not" in offered.detail
    assert "unconfirmed" in offered.detail, "where the price is from"
    assert simulator.requests("deployments.create") == []
    with pytest.raises(NotDeployedError):
        session.chat(ASK)

    made = azure.deploy(ref, {})
    assert (made.name, made.status, made.model, made.per_hour) == (model, "creating", model, 1.7)
    (create,) = simulator.requests("deployments.create")
    assert create.body == {
        "sku": {"name": "Standard", "capacity": 50},
        "properties": {"model": {"format": "OpenAI", "name": model, "version": "1"}},
    }
    with pytest.raises(NotDeployedError, match="moment ago"):
        session.chat(ASK)
    simulator.clock.advance(60)
    (standing,) = azure.deployments(ref)
    assert standing.status == "active"
    assert session.chat(ASK).content == "After 3 comes 4.", "by the model's own name"
    assert azure.deploy(ref, {}) == standing
    assert len(simulator.requests("deployments.create")) == 1
    with pytest.raises(RejectedError, match="tuneport undeploy"):
        azure.clean_up(ref)
    assert azure.undeploy(ref) == [model]
    assert azure.deployments(ref) == []
    assert azure.undeploy(ref) == []
    with pytest.raises(NotDeployedError):
        session.chat(ASK)
    assert azure.clean_up(ref)


def test_a_long_name_is_cut_and_still_answers(simulate: Simulate, azure: AzureBackend, tuned: Any) -> None:
    simulator = simulate(service="azure", timing=Timing(deploying=0))
    ref = tuned(simulator, options={"suffix": "of-the-northern-branch-and-more"})
    model = azure.result(ref).model.model
    assert len(model) > 64
    made = azure.deploy(ref, {})
    assert len(made.name) <= 64
    for name in (model, made.model):
        assert azure.open_model(name).chat(ASK).content == "After 3 comes 4."


def test_what_may_be_chosen(simulate: Simulate, azure: AzureBackend, tuned: Any) -> None:
    simulator = simulate(service="azure")
    ref = tuned(simulator, options={"deployment": "triage"})
    assert azure.deployment_offer(ref, {}).name == "triage", "as the job was told"
    free = azure.deployment_offer(ref, {"kind": "developer-tier", "capacity": "5"})
    assert (free.kind, free.per_hour, free.per_month) == ("DeveloperTier", 0.0, 0.0)
    assert "24 hours" in free.detail
    dear = azure.deployment_offer(ref, {"kind": "ProvisionedManaged", "capacity": 25})
    assert (dear.per_hour, dear.per_month) == (None, None)
    assert "not in the catalog" in dear.detail
    for options, said in (
        ({"units": 1}, "unknown option 'units'"),
        ({"kind": "cheap"}, "GlobalStandard"),
        ({"kind": "ProvisionedManaged"}, "capacity is None"),
        ({"capacity": 0}, "capacity is 0"),
        ({"capacity": "many"}, "capacity is 'many'"),
        ({"name": "a/b"}, "name is 'a/b'"),
        ({"name": "x" * 65}, "2 to 64"),
    ):
        with pytest.raises(SpecError, match=said):
            azure.deploy(ref, options)
    assert simulator.requests("deployments.create") == []
    assert azure.deploy(ref, {"kind": "developertier", "name": "trial"}).name == "trial"
    simulator.clock.advance(100)
    assert azure.open_model("trial").chat(ASK).content == "After 3 comes 4."
    simulator.clock.advance(86_400)
    assert azure.deployments(ref) == [], "Azure has taken it down"


def test_another_models_deployment_is_never_replaced(simulate: Simulate, azure: AzureBackend, tuned: Any) -> None:
    simulator = simulate(service="azure")
    ref = tuned(simulator)
    simulator.deploy("production", "gpt-4.1-mini-2025-04-14")
    with pytest.raises(RejectedError, match=r"production is a deployment of gpt-4\.1-mini"):
        azure.deploy(ref, {"name": "production"})
    assert simulator.requests("deployments.create") == []


def test_a_lost_reply_to_a_deployment_makes_no_second(simulate: Simulate, azure: AzureBackend, tuned: Any) -> None:
    simulator = simulate(service="azure", faults=[{"on": "deployments.create", "do": "lose-reply", "times": 1}])
    ref = tuned(simulator)
    with pytest.raises(UnavailableError):
        azure.deploy(ref, {})
    (standing,) = azure.deployments(ref)
    assert azure.deploy(ref, {}).name == standing.name
    assert len(simulator.requests("deployments.create")) == 1


def test_the_account_is_remembered(
    simulate: Simulate, azure: AzureBackend, tuned: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who deployed with options must be able to take it down without them."""
    simulator = simulate(service="azure", timing=Timing(deploying=0))
    ref = tuned(simulator)
    told = dict(vars(place({}, {})))
    for variable in ("AZURE_SUBSCRIPTION_ID", "AZURE_RESOURCE_GROUP", "AZURE_OPENAI_ACCOUNT"):
        monkeypatch.delenv(variable)
    with pytest.raises(SpecError, match=r"subscription \(or AZURE_SUBSCRIPTION_ID\), resource_group .*, account"):
        azure.deploy(ref, {})
    made = azure.deploy(ref, told)
    assert azure.undeploy(ref) == [made.name]
    assert json.loads((Path(ref["directory"]) / "deployment.json").read_text()) == told


def test_the_account_is_in_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_OPENAI_ACCOUNT", raising=False)
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "https://contoso.openai.azure.com/")
    given = {"subscription": "s", "resource_group": "g"}
    assert place(given, {}).account == "contoso"
    assert place(given, {"base_url": "https://other.services.ai.azure.com/openai/v1"}).account == "other"
    assert place({**given, "account": "mine"}, {}).account == "mine"


@pytest.mark.parametrize(
    ("fault", "kind", "said"),
    [
        ({"status": 401}, CredentialsError, "AZURE_MANAGEMENT_TOKEN"),
        ({"status": 403}, AccessDeniedError, "deployments/write"),
        ({"status": 404}, RemoteNotFoundError, "AZURE_RESOURCE_GROUP"),
        ({"status": 409}, UnavailableError, "409"),
        ({"status": 429, "retry_after": 7}, RateLimitedError, "429"),
        ({"status": 503}, UnavailableError, "503"),
        (
            {"status": 400, "body": {"error": {"code": "InsufficientQuota", "message": "No quota."}}},
            RejectedError,
            "No quota.",
        ),
        ({"status": 400, "body": {"error": "odd"}}, RejectedError, "no reason"),
    ],
)
def test_errors_are_ours(
    simulate: Simulate, azure: AzureBackend, tuned: Any, fault: dict[str, Any], kind: type[Exception], said: str
) -> None:
    simulator = simulate(service="azure")
    ref = tuned(simulator)
    simulator.faults.add({"on": "deployments.create", "do": "status", **fault})
    with pytest.raises(kind, match=said) as caught:
        azure.deploy(ref, {})
    assert "tuneport-simulator-management-token" not in str(caught.value)
    assert getattr(caught.value, "retry_after", None) == fault.get("retry_after")


def test_a_list_that_leads_elsewhere_is_not_followed(simulate: Simulate, azure: AzureBackend, tuned: Any) -> None:
    simulator = simulate(service="azure")
    ref = tuned(simulator)
    azure.deploy(ref, {})
    simulator.faults.add(
        {"on": "deployments.list", "do": "field", "field": "nextLink", "value": "https://example.com/next"}
    )
    with pytest.raises(RejectedError, match="another address"):
        azure.deployments(ref)


def test_the_places_that_are_not_there(simulate: Simulate, azure: AzureBackend, tuned: Any) -> None:
    simulator = simulate(service="azure")
    ref = tuned(simulator)
    for name in ("subscription", "resource_group", "account"):
        with pytest.raises(RemoteNotFoundError, match="nowhere"):
            azure.deploy(ref, {name: "nowhere"})
    assert not any(entry.status == 201 for entry in simulator.log)


def test_an_unfinished_job_has_nothing_to_deploy(simulate: Simulate, azure: AzureBackend, prepare: Prepare) -> None:
    simulate(service="azure")
    ref = azure.submit(prepare(azure))
    with pytest.raises(JobError, match="no tuned model"):
        azure.deployment_offer(ref, {})


def test_no_credentials_for_the_control_plane(
    simulate: Simulate, azure: AzureBackend, tuned: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key of the resource tunes, and may not deploy."""
    simulator = simulate(service="azure")
    ref = tuned(simulator)
    monkeypatch.setenv("AZURE_MANAGEMENT_TOKEN", "expired")
    with pytest.raises(CredentialsError, match="not taken"):
        azure.deploy(ref, {})
    monkeypatch.delenv("AZURE_MANAGEMENT_TOKEN")
    monkeypatch.setitem(sys.modules, "azure.identity", None)  # as where it is not installed
    with pytest.raises(CredentialsError, match="pip install azure-identity"):
        azure.deploy(ref, {})
    assert simulator.requests("deployments.create") == []


def test_an_az_login_is_found(
    simulate: Simulate, azure: AzureBackend, tuned: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the real azure-identity, which asks the az program: ours prints what Azure's would."""
    pytest.importorskip("azure.identity")
    simulator = simulate(service="azure")
    ref = tuned(simulator)
    token = simulator.environment()["AZURE_MANAGEMENT_TOKEN"]
    said = {
        "accessToken": token,
        "expiresOn": "2999-01-01 00:00:00.000000",
        "expires_on": 32472144000,
        "subscription": "s",
    }
    program = tmp_path / "bin" / "az"
    program.parent.mkdir()
    program.write_text(f"#!{shutil.which('sh')}\ncat <<'END'\n{json.dumps(said)}\nEND\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/bin:/usr/bin")
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "AzureCliCredential")
    monkeypatch.delenv("AZURE_MANAGEMENT_TOKEN")
    assert azure.deploy(ref, {}).status == "creating"


def test_a_job_by_the_job_layer(
    simulate: Simulate, tmp_path: Path, samples: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNEPORT_HOME", str(tmp_path / "home"))
    simulator = simulate(service="azure")
    job = FineTuneJob.create("azure:gpt-4.1-mini-2025-04-14", samples.chat(12))
    simulator.clock.advance(1000)
    result = job.wait()
    job.deploy()
    simulator.clock.advance(60)
    found = FineTuneJob.get(job.id)
    assert [one.status for one in found.deployments()] == ["active"]
    question = samples.chat(12)[3]["messages"][:-1]
    assert result.model.chat(question).content == samples.chat(12)[3]["messages"][-1]["content"]
    assert found.undeploy()


def test_the_list_is_read_to_its_end(simulate: Simulate, azure: AzureBackend, tuned: Any) -> None:
    simulator = simulate(service="azure")
    tuned(simulator)
    for number in range(7):
        simulator.deploy(f"one-{number}", "gpt-4.1-mini-2025-04-14")
    assert {item["name"] for item in Control(place({}, {})).listed()} == {f"one-{number}" for number in range(7)}
    assert len(simulator.requests("deployments.list")) > 1, "by pages"
