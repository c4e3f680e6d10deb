"""What every backend does alike, from create to the tuned model's answer."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from tests.contract.case import Faulty
from tests.contract.cases import AzureCase, Hosted
from tests.contract.world import World

from tuneport import FineTuneJob, Hyperparameters, registry
from tuneport.backend import FEATURES, CleansUp, Deploys, Pauses
from tuneport.errors import (
    CredentialsError,
    JobCancelledError,
    JobFailedError,
    JobNotFinishedError,
    NotDeployedError,
    PlanError,
    UnsupportedError,
)
from tuneport.methods import METHODS
from tuneport.objectives import OBJECTIVES, ORPO
from tuneport.result import FineTuneResult
from tuneport.status import TERMINAL, Event, JobStatus
from tuneport.store import Store

pytestmark = pytest.mark.slow
behaviour = pytest.mark.behaviour


@behaviour("create")
def test_create_stores_the_intent_makes_one_job_and_names_it(world: World) -> None:
    before = world.case.made()
    job = world.create(name="first", seed=7)
    assert not job.record.status.terminal
    assert world.case.jobs(job.record.tag) == 1
    assert world.case.made() == before + 1
    assert job.provider_id is not None or world.name == "local"
    kept = Store.open().get(job.id)
    assert kept.ref is not None
    assert kept.tag == job.id
    assert kept.spec["seed"] == 7
    assert FineTuneJob.get("first").id == job.id
    assert Store.open().owner(job.id) is None, "the claim is given back"
    assert len(Store.open().row_hashes(job.id, "train")) == len(world.case.rows)
    job.cancel()
    world.reach(job, JobStatus.CANCELLED)


@behaviour("refuse")
def test_every_kind_of_thing_has_a_yes_or_a_no(world: World) -> None:
    capabilities = registry.get(world.name).capabilities()
    assert set(capabilities.objectives) == set(OBJECTIVES)
    assert set(capabilities.methods) == set(METHODS)
    assert set(capabilities.features) == set(FEATURES)
    for table in (capabilities.objectives, capabilities.methods, capabilities.features):
        for kind, support in table.items():
            assert support is None or (support.reason and support.until), kind


@behaviour("refuse")
def test_what_cannot_be_done_is_refused_before_anything_is_sent(world: World) -> None:
    sent = world.case.log() if isinstance(world.case, Faulty) else []
    made = world.case.made()
    with pytest.raises(PlanError) as caught:
        world.create(objective=ORPO(), options={"no_such_option": 1})
    said = "\n".join(caught.value.problems)
    assert "orpo" in said
    assert "no_such_option" in said, "all problems at once"
    wrong = {"max_length": 10_000} if world.name == "local" else {"eval_steps": 7}
    with pytest.raises(PlanError, match=next(iter(wrong))):
        world.create(**{**world.case.fields, "hyperparameters": Hyperparameters(**wrong)})
    assert world.case.made() == made
    assert (world.case.log() if isinstance(world.case, Faulty) else []) == sent


@behaviour("refuse")
def test_missing_credentials_are_named_before_anything_is_sent(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    if not world.case.credentials:
        pytest.skip("it needs no credentials of its own")
    made = world.case.made()
    for name in world.case.credentials:
        monkeypatch.delenv(name, raising=False)
    # Nor in a file, nor by asking the machine that a cloud runs it on.
    for name, value in {
        "HOME": str(world.data.parent),
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_GCE_CHECK": "true",
    }.items():
        monkeypatch.setenv(name, value)
    with pytest.raises((PlanError, CredentialsError)) as caught:
        world.create()
    assert world.case.credentials[0] in str(caught.value)
    assert world.case.made() == made


@behaviour("follow")
def test_events_come_once_each_in_order_and_from_any_point_on(world: World) -> None:
    job = world.create()
    with pytest.raises(JobNotFinishedError):
        job.result()
    with pytest.raises(TimeoutError, match="it goes on"):
        job.wait(timeout=0)
    seen: list[Event] = []
    with world.passing():
        seen += job.events(follow=True)
    numbers = [event.seq for event in seen]
    assert numbers == sorted(set(numbers))
    assert len(numbers) >= 2
    assert job.record.status is JobStatus.SUCCEEDED
    assert [event.seq for event in job.events()] == numbers, "told again, they are the same"
    middle = numbers[len(numbers) // 2]
    assert [event.seq for event in job.events(after=middle)] == [n for n in numbers if n > middle]
    other = FineTuneJob.get(job.id)
    assert [event.model_dump() for event in other.events()] == [event.model_dump() for event in job.events()]


@behaviour("follow")
def test_the_states_it_passes_are_the_declared_ones_in_order(world: World) -> None:
    if world.name == "local":
        pytest.skip("a free device may take it before anybody looks")
    job = world.create()
    seen: list[JobStatus] = []
    for _ in range(3000):
        status = job.status
        if not seen or seen[-1] is not status:
            seen.append(status)
        if status.terminal:
            break
        world.case.step()
    assert seen[-1] is JobStatus.SUCCEEDED
    assert seen[:-1] == list(world.case.states)


@behaviour("async")
def test_the_async_twins(world: World) -> None:
    async def life() -> tuple[FineTuneJob, FineTuneResult, list[int]]:
        job = await FineTuneJob.acreate(world.case.model, str(world.data), **world.case.fields)
        waiting = asyncio.create_task(job.await_result())
        await asyncio.sleep(0)
        waiting.cancel()  # a web request that is dropped leaves the job running
        with pytest.raises(asyncio.CancelledError):
            await waiting
        numbers = [event.seq async for event in job.aevents(follow=True)]
        return job, await job.await_result(timeout=200), numbers

    with world.passing():
        job, result, numbers = asyncio.run(life())
    assert result.job_id == job.id
    assert numbers == [event.seq for event in job.events()]
    assert world.case.jobs(job.record.tag) == 1


@behaviour("cancel")
@pytest.mark.parametrize("when", [JobStatus.PREPARING, JobStatus.VALIDATING, JobStatus.QUEUED, JobStatus.RUNNING])
def test_cancel_in_each_state(world: World, when: JobStatus) -> None:
    if when not in world.case.states:
        pytest.skip("it has no such state")
    job = world.create(**({"hyperparameters": Hyperparameters(max_steps=400)} if world.name == "local" else {}))
    if not (world.name == "local" and when is JobStatus.QUEUED):  # there it may be gone before anybody looks
        world.reach(job, when)
    job.cancel()
    assert job.record.status in {JobStatus.CANCELLING, JobStatus.CANCELLED}
    job.cancel()  # a second time is nothing
    world.reach(job, JobStatus.CANCELLED)
    with pytest.raises(JobCancelledError):
        job.result()
    assert job.cancel().record.status is JobStatus.CANCELLED
    assert FineTuneJob.get(job.id).status is JobStatus.CANCELLED
    world.case.step()
    assert FineTuneJob.get(job.id).status is JobStatus.CANCELLED


@behaviour("cancel")
def test_cancel_after_success_changes_nothing(world: World, done: FineTuneJob) -> None:
    assert done.cancel().record.status is JobStatus.SUCCEEDED
    assert done.result().job_id == done.id


@behaviour("fail")
def test_a_job_that_fails_there_fails_here_with_its_reason(world: World) -> None:
    reason = "the moon was in the wrong quarter"
    fields = world.case.fail(reason)
    try:
        job = world.create(**fields)
        with pytest.raises(JobFailedError) as caught, world.passing():
            job.wait(timeout=280)
    finally:
        world.case.fail(None)
    assert (reason if not fields else "training rows") in str(caught.value)
    assert job.status is JobStatus.FAILED
    assert job.error is not None
    assert FineTuneJob.get(job.id).error == job.error
    assert job.cancel().record.status is JobStatus.FAILED
    events = list(job.events())
    assert (
        any(event.level == "error" for event in events) or registry.get(world.name).capabilities().events != "provider"
    )


@behaviour("pause")
def test_pause_and_go_on(world: World) -> None:
    job = world.create()
    backend = registry.get(world.name)
    if not isinstance(backend, Pauses) or backend.capabilities().features["pause"] is not None:
        with pytest.raises(UnsupportedError):
            job.pause()
        job.cancel()
        world.reach(job, JobStatus.CANCELLED)
        world.declared("pause")
    world.reach(job, JobStatus.RUNNING)
    job.pause()
    world.reach(job, JobStatus.PAUSED)
    for _ in range(20):
        world.case.step()
    assert FineTuneJob.get(job.id).status is JobStatus.PAUSED
    FineTuneJob.get(job.id).resume()
    assert world.finish(job).job_id == job.id
    assert world.case.jobs(job.record.tag) == 1


@behaviour("pause")
def test_a_paused_job_is_cancelled(world: World) -> None:
    world.declared("pause")
    job = world.create()
    world.reach(job, JobStatus.RUNNING)
    job.pause()
    world.reach(job, JobStatus.PAUSED)
    job.cancel()
    world.reach(job, JobStatus.CANCELLED)


@behaviour("process")
def test_another_process_sees_the_same_at_each_step(world: World) -> None:
    job = world.create(name="elsewhere")
    reached = [status for status in world.case.states if world.name != "local"]
    for status in [*reached, JobStatus.SUCCEEDED]:
        world.reach(job, status)
        shown = world.command("show", "elsewhere")
        assert shown["status"] == status.value
        assert shown["id"] == job.id
        assert shown["ref"] == json.loads(json.dumps(dict(job.record.ref or {})))
        assert (shown["result"] is not None) is (status is JobStatus.SUCCEEDED)
    assert FineTuneResult.model_validate(shown["result"]) == job.result()
    events = world.command("events", job.id)
    assert events == [json.loads(event.model_dump_json()) for event in job.events()]
    assert world.command("resume", job.id, status=1)["error"]["type"] == "JobError", "a success is not resumed"
    assert world.case.jobs(job.record.tag) == 1


@behaviour("list")
def test_list_and_filter(world: World, done: FineTuneJob) -> None:
    ids = [job.id for job in FineTuneJob.list(limit=500)]
    assert done.id in ids
    assert ids == sorted(ids, reverse=True), "the newest first"
    assert done.id in [job.id for job in FineTuneJob.list(backend=world.name, status="succeeded", limit=500)]
    assert done.id not in [job.id for job in FineTuneJob.list(status=JobStatus.FAILED, limit=500)]
    assert FineTuneJob.list(backend="no-such-backend") == []
    assert done.id in [row["id"] for row in world.command("jobs", "--limit", "500")]


@behaviour("list")
def test_many_jobs_are_asked_after_together(world: World) -> None:
    if not isinstance(world.case, Faulty):
        pytest.skip("it keeps no log of requests")
    jobs = [world.create() for _ in range(8)]
    before = len(world.case.log())
    found = {job.id: job.record.status for job in FineTuneJob.list(limit=500)}
    asked = len(world.case.log()) - before
    assert all(not found[job.id].terminal for job in jobs)
    assert asked < len(jobs), f"{asked} requests for {len(jobs)} jobs"
    for job in jobs:
        job.cancel()
        world.reach(job, JobStatus.CANCELLED)


@behaviour("result")
def test_the_result_is_one_schema_and_the_same_after_a_reload(world: World, done: FineTuneJob) -> None:
    result = done.result()
    assert result.job_id == done.id
    assert result.backend == world.name
    assert result.provider_id == done.provider_id
    assert result.base_model == world.case.model
    assert result.model.backend == world.name
    assert result.model.model
    assert result.dataset.splits["train"] == len(world.case.rows)
    assert result.dataset.fingerprint
    ledger = result.dataset.ledger["train"]
    assert ledger.used + ledger.truncated + ledger.dropped == ledger.rows == len(world.case.rows)
    assert result.objective["kind"] == done.spec.objective.kind
    for note in result.hyperparameters:
        assert note.requested is None or note.requested == note.effective or note.reason, note.name
    assert world.name == "local" or result.raw, "the provider's own payload"
    assert FineTuneResult.model_validate_json(result.model_dump_json()) == result
    assert FineTuneResult.model_validate({**result.model_dump(mode="json"), "a_key_of_tomorrow": 1}) == result
    assert FineTuneJob.get("done").result() == result
    assert set(result.model_dump()) == set(FineTuneResult.model_fields)
    metrics = [point for point in result.curve if point.loss is not None]
    assert metrics or world.name == "acme" or done.spec.objective.kind == "reinforcement"
    assert [point.step for point in metrics] == sorted({point.step for point in metrics})


@behaviour("chat")
def test_the_tuned_model_answers_as_it_was_taught(world: World, done: FineTuneJob) -> None:
    world.declared("chat")
    backend, model = registry.get(world.name), done.result().model
    messages = [{"role": "user", "content": world.case.question}]
    deploying = isinstance(backend, Deploys) and backend.capabilities().features["deploy"] is None
    if deploying:
        stood = [one.name for one in done.deployments()]
        if not stood:
            with pytest.raises(NotDeployedError):
                model.chat(messages)
        assert done.deployment_offer().name
        assert [one.name for one in done.deployments()] == stood, "an offer deploys nothing"
        made = done.deploy()
        for _ in range(200):
            standing = list(done.deployments())
            if {one.status for one in standing} == {"active"}:
                break
            world.case.step()
        assert {one.status for one in standing} == {"active"}
        assert made.name in {one.name for one in standing}
        assert done.deploy().name == made.name, "a second time is the same one"
        model = model.model_copy(update={"model": next(one.model for one in standing if one.name == made.name)})
    answer = model.chat(messages, max_tokens=32)
    assert world.case.answer is None or answer.content == world.case.answer
    again = FineTuneJob.get("done").result().model if not deploying else model
    assert again.chat(messages, max_tokens=32).content == answer.content, "the same after a reload"
    if deploying:
        assert made.name in "\n".join(done.undeploy())
        for _ in range(200):
            if not done.deployments():
                break
            world.case.step()
        assert done.deployments() == []


TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@behaviour("chat")
def test_a_call_of_a_tool_is_one_and_its_result_goes_back(world: World) -> None:
    world.declared("chat")
    case = world.case
    if not isinstance(case, Hosted):
        pytest.skip("its model cannot be told to call a tool")
    if isinstance(case, AzureCase):
        case.simulator.deploy(case.model.partition(":")[2], case.model.partition(":")[2])
    session = registry.open_model(case.model)
    turns: list[dict[str, Any]] = [{"role": "user", "content": "How is the weather in Rome?"}]
    case.says = case.calls({"id": "call_1", "name": "weather", "arguments": {"city": "Rome"}})
    called = session.chat(turns, tools=[TOOL])
    (call,) = called.tool_calls
    assert (called.content, called.finish_reason, call["type"]) == ("", "stop", "function")
    assert call["id"]
    assert (call["function"]["name"], json.loads(call["function"]["arguments"])) == ("weather", {"city": "Rome"})
    turns.append({"role": "assistant", "content": None, "tool_calls": called.tool_calls})
    turns.append({"role": "tool", "tool_call_id": call["id"], "content": "sunny"})
    case.says = "It is sunny."
    said = session.chat(turns, tools=[TOOL])
    assert (said.content, said.tool_calls) == ("It is sunny.", [])


@behaviour("remove")
def test_what_it_made_is_named_then_removed(world: World) -> None:
    job = world.create()
    if isinstance(registry.get(world.name), CleansUp):
        world.finish(job)
    else:
        job.cancel()
        world.reach(job, JobStatus.CANCELLED)
    named = list(job.made())
    assert str(job.directory) in named
    if isinstance(registry.get(world.name), CleansUp):
        assert len(named) > 1, "also what is at the provider"
    removed = list(job.delete())
    assert set(removed) == set(named)
    assert not job.directory.exists()
    with pytest.raises(LookupError):
        FineTuneJob.get(job.id)


def test_every_end_is_one_of_ours() -> None:
    assert {status for status in JobStatus if status.terminal} == TERMINAL
