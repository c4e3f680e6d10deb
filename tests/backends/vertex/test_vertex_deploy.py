"""A tuned open model's deployment: offered, made once, asked by chat completions, taken down; and what goes wrong."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tuneport.errors import NotDeployedError, RejectedError, SpecError, UnavailableError, UnsupportedError
from tuneport_backends.simulators.vertex import BUCKET, UNLEARNT, Timing
from tuneport_backends.vertex import VertexBackend

Simulate = Any
Prepare = Any
ASK = [{"role": "system", "content": "Count."}, {"role": "user", "content": "What comes after 3?"}]
MACHINE = {"machine_type": "g2-standard-12", "accelerator_type": "NVIDIA_L4", "accelerator_count": 1}


@pytest.fixture
def tuned(backend: VertexBackend, prepare: Prepare) -> Any:
    """`tuned(simulator)` gives the ref of an open model's job that succeeded."""

    def make(simulator: Any, **settings: Any) -> Any:
        ref = backend.submit(prepare(backend, **{"model": "gemma-3-27b-it", **settings}))
        simulator.clock.advance(1000)
        backend.snapshots([ref])
        return ref

    return make


def test_offered_made_once_asked_and_taken_down(
    simulate: Simulate, backend: VertexBackend, tuned: Any, samples: SimpleNamespace
) -> None:
    simulator = simulate()
    ref = tuned(simulator)
    model = backend.result(ref).model.model
    session = backend.open_model(model)
    offered = backend.deployment_offer(ref, MACHINE)
    assert (offered.name, offered.kind, offered.status) == (model, "endpoint", "offered")
    assert (offered.per_hour, offered.per_month) == (None, None)
    assert "1 × g2-standard-12 with 1 NVIDIA_L4, billed by the hour, asked or not" in offered.detail
    assert "not in the catalog" in offered.detail
    assert simulator.requests("endpoints.deploy") == []
    with pytest.raises(NotDeployedError, match="tuneport deploy ID"):
        session.chat(ASK)

    made = backend.deploy(ref, MACHINE)
    assert (made.name, made.status, made.model) == (model, "creating", model)
    (sent,) = simulator.requests("endpoints.deploy")
    assert sent.path.startswith("/v1beta1/")
    assert sent.body == {
        "customModel": {"gcsUri": f"gs://{BUCKET}/tuneport/{samples.tag}/output/postprocess/node-0/checkpoints/final"},
        "modelConfig": {"modelDisplayName": samples.tag, "modelUserId": samples.tag},
        "endpointConfig": {
            "endpointDisplayName": samples.tag,
            "endpointUserId": samples.tag,
            "dedicatedEndpointDisabled": True,
        },
        "deployConfig": {
            "dedicatedResources": {
                "minReplicaCount": 1,
                "maxReplicaCount": 1,
                "machineSpec": {
                    "machineType": "g2-standard-12",
                    "acceleratorType": "NVIDIA_L4",
                    "acceleratorCount": 1,
                },
            }
        },
    }
    assert [one.status for one in backend.deployments(ref)] == ["creating"]
    assert backend.deploy(ref, MACHINE).status == "creating"
    with pytest.raises(NotDeployedError):
        session.chat(ASK)
    with pytest.raises(RejectedError, match="still being deployed"):
        backend.undeploy(ref)
    simulator.clock.advance(600)
    (standing,) = backend.deployments(ref)
    assert (standing.status, standing.name) == ("active", model)
    assert backend.deploy(ref, MACHINE) == standing
    assert len(simulator.requests("endpoints.deploy")) == 1
    said = session.chat(ASK, seed=4)
    assert (said.content, said.finish_reason) == ("After 3 comes 4.", "stop")
    assert said.completion_tokens
    assert session.chat([{"role": "user", "content": "else"}]).content == UNLEARNT
    assert session.chat(ASK, max_tokens=2).finish_reason == "length"
    assert simulator.requests("complete")[-1].body["max_tokens"] == 2

    assert backend.undeploy(ref) == [model]
    assert backend.deployments(ref) == []
    assert backend.undeploy(ref) == []
    with pytest.raises(NotDeployedError):
        session.chat(ASK)


def test_tools_are_said_in_openais_words(simulate: Simulate, backend: VertexBackend, tuned: Any) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
    simulator = simulate(answer=lambda model, turns: {"tool_calls": [call]}, timing=Timing(deploying=0))
    ref = tuned(simulator)
    made = backend.deploy(ref, {})
    said = backend.open_model(made.model).chat(ASK, tools=[tool])
    assert (said.content, said.tool_calls) == ("", [call])
    assert simulator.requests("complete")[-1].body["tools"] == [tool]


def test_everything_is_removed(
    simulate: Simulate, backend: VertexBackend, tuned: Any, samples: SimpleNamespace
) -> None:
    simulator = simulate(timing=Timing(deploying=0))
    ref = tuned(simulator)
    backend.deploy(ref, {})
    assert len(backend.deployments(ref)) == 1
    made = backend.made(ref)
    assert f"endpoint {simulator.parent}/endpoints/{samples.tag}" in made
    assert f"model {simulator.parent}/models/{samples.tag}" in made
    backend.clean_up(ref)
    assert backend.deployments(ref) == []
    backend.clean_up(ref)
    assert backend.made(ref) == []
    assert simulator.objects == {}


def test_a_deployment_that_fails_says_why_and_can_be_tried_again(
    simulate: Simulate, backend: VertexBackend, tuned: Any
) -> None:
    fault = {"on": "endpoints.deploy", "do": "status", "status": 429, "retry_after": 3, "times": 1}
    simulator = simulate(timing=Timing(deploying=0), faults=[fault])
    ref = tuned(simulator)
    with pytest.raises(Exception, match="429") as caught:
        backend.deploy(ref, {})
    assert getattr(caught.value, "retry_after", None) == 3
    for uri in [uri for uri in simulator.objects if uri.endswith(".safetensors")]:
        bucket, _, name = uri.removeprefix("gs://").partition("/")
        simulator._state.objects.delete(bucket, name)
    backend.deploy(ref, {})
    (failed,) = backend.deployments(ref)
    assert (failed.status, failed.per_hour) == ("failed", None)
    assert "safetensors are required" in failed.detail
    simulator._state.objects.put(bucket, name, b"{}")
    backend.deploy(ref, {})
    assert [one.status for one in backend.deployments(ref)] == ["active"]


def test_a_lost_reply_to_a_deployment_makes_no_second(simulate: Simulate, backend: VertexBackend, tuned: Any) -> None:
    simulator = simulate(faults=[{"on": "endpoints.deploy", "do": "lose-reply", "times": 1}])
    ref = tuned(simulator)
    with pytest.raises(UnavailableError):
        backend.deploy(ref, {})
    assert backend.deploy(ref, {}).status == "creating"
    simulator.clock.advance(600)
    assert [one.status for one in backend.deployments(ref)] == ["active"]
    assert len(simulator.requests("endpoints.deploy")) == 1


def test_weights_that_are_gone(simulate: Simulate, backend: VertexBackend, tuned: Any) -> None:
    simulator = simulate()
    ref = tuned(simulator)
    for uri in list(simulator.objects):
        if "/output/" in uri:
            bucket, _, name = uri.removeprefix("gs://").partition("/")
            simulator._state.objects.delete(bucket, name)
    with pytest.raises(RejectedError, match=r"no weights below gs://"):
        backend.deploy(ref, {})
    assert simulator.requests("endpoints.deploy") == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"kind": "cheap"}, "unknown option 'kind'"),
        ({"machine_type": "a3"}, "without accelerator_type, accelerator_count"),
        ({**MACHINE, "accelerator_count": "some"}, "accelerator_count is 'some'"),
        ({"replicas": 0}, "replicas is 0"),
    ],
)
def test_options_of_a_deployment(
    simulate: Simulate, backend: VertexBackend, tuned: Any, options: dict[str, Any], said: str
) -> None:
    simulator = simulate()
    ref = tuned(simulator)
    for ask in (backend.deployment_offer, backend.deploy):
        with pytest.raises(SpecError, match=said):
            ask(ref, options)


def test_a_gemini_is_not_deployed_twice(simulate: Simulate, backend: VertexBackend, tuned: Any) -> None:
    simulator = simulate()
    ref = tuned(simulator, model="gemini-3.5-flash")
    with pytest.raises(SpecError, match="comes deployed"):
        backend.deploy(ref, MACHINE)
    backend.undeploy(ref)
    with pytest.raises(UnsupportedError, match="model registry"):
        backend.deploy(ref, {})
