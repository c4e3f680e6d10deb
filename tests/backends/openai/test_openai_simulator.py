"""The stand-in itself: its own row rules, its clock, its lists, its faults, its credentials."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import openai
import pytest

from tuneport_backends.simulators.clock import Clock
from tuneport_backends.simulators.faults import Faults
from tuneport_backends.simulators.openai import KEY, OpenAISimulator, Timing
from tuneport_backends.simulators.openai_rows import Refused, read

Simulate = Callable[..., OpenAISimulator]
Row = dict[str, Any]
CHAT: list[Row] = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
CALL: Row = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
IMAGE: Row = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}


def content(row: Any, count: int = 10) -> bytes:
    lines = [json.dumps(row)] * count if not isinstance(row, bytes) else [row.decode()] * count
    return "\n".join(lines).encode()


@pytest.mark.parametrize(
    ("row", "word"),
    [
        (b"not json", "is not a dictionary"),
        (b"[1]", "is not a dictionary"),
        (b'{"messages": NaN}', "is not a dictionary"),
        ({"messages": CHAT, "extra": 1}, "unexpected key: extra"),
        ({"messages": []}, "non-empty list"),
        ({"messages": "hello"}, "non-empty list"),
        ({"messages": [1]}, "is not a dictionary"),
        ({"messages": [{"content": "a"}]}, "missing the key role"),
        ({"messages": [{"role": "narrator", "content": "a"}]}, "unknown role"),
        ({"messages": [{"role": ["user"], "content": "a"}]}, "unknown role"),
        ({"messages": [{"role": "user"}]}, "missing the key content"),
        ({"messages": [{"role": "user", "content": 3}]}, "neither a string nor a list"),
        ({"messages": [{**CHAT[0], "extra": 1}, CHAT[1]]}, "unexpected key: extra"),
        ({"messages": [CHAT[0]]}, "last message must be from the assistant"),
        ({"messages": [CHAT[0], {**CHAT[1], "weight": 0}]}, "weight of 1"),
        ({"messages": [CHAT[0], {**CHAT[1], "weight": 0.5}]}, "is 0 or 1"),
        ({"messages": [{**CHAT[0], "weight": 1}, CHAT[1]]}, "only a message from the assistant"),
        ({"messages": [{"role": "user", "content": "<|im_start|>"}, CHAT[1]]}, "invalid token: <|im_start|>"),
        ({"messages": [{"role": "user", "content": [IMAGE]}, CHAT[1]]}, "cannot be fine-tuned on images"),
        ({"messages": [{"role": "user", "content": [{"type": "video"}]}, CHAT[1]]}, "unsupported type"),
        ({"messages": [CHAT[0], {"role": "assistant", "tool_calls": [{}]}]}, "without an id"),
        ({"messages": [{"role": "tool", "content": "x", "tool_call_id": "c9"}, CHAT[1]]}, "no message before"),
        (
            {"messages": [CHAT[0], {"role": "assistant", "tool_calls": [CALL]}, CHAT[0], CHAT[1]]},
            "must answer the tool calls",
        ),
        (
            {
                "messages": [
                    CHAT[0],
                    {
                        "role": "assistant",
                        "tool_calls": [{**CALL, "function": {"name": "f", "arguments": "{"}}],
                    },
                ]
            },
            "arguments that are not JSON",
        ),
        ({"messages": CHAT, "tools": [{"type": "function", "function": {"name": "two words"}}]}, "valid name"),
    ],
)
def test_a_wrong_row_is_refused(row: Any, word: str) -> None:
    with pytest.raises(Refused, match=word.replace("|", r"\|")) as caught:
        read(content(row), "supervised", vision=False)
    assert caught.value.code == "invalid_file_format"


@pytest.mark.parametrize(
    "row",
    [
        {"messages": CHAT},
        {"messages": [{"role": "system", "content": "s"}, *CHAT], "parallel_tool_calls": False},
        {"messages": [*CHAT, CHAT[0], {**CHAT[1], "weight": 0}, CHAT[0], {**CHAT[1], "weight": 1}]},
        {
            "messages": [
                CHAT[0],
                {"role": "assistant", "content": None, "tool_calls": [CALL]},
                {"role": "tool", "tool_call_id": "c1", "content": "x"},
                CHAT[1],
            ],
            "tools": [{"type": "function", "function": {"name": "f"}}],
        },
        {"messages": [CHAT[0], {"role": "assistant", "tool_calls": [CALL]}]},
    ],
)
def test_a_right_row_is_taken(row: Row) -> None:
    assert len(read(content(row), "supervised", vision=False)) == 10


def test_images_are_for_users_and_some_models() -> None:
    right = {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, IMAGE]}, CHAT[1]]}
    assert read(content(right), "supervised", vision=True)
    many = {"messages": [{"role": "user", "content": [IMAGE] * 11}, CHAT[1]]}
    with pytest.raises(Refused, match="11 images"):
        read(content(many), "supervised", vision=True)
    answer = {"messages": [CHAT[0], {"role": "assistant", "content": [IMAGE]}]}
    with pytest.raises(Refused, match="only messages from the user"):
        read(content(answer), "supervised", vision=True)
    local = {**IMAGE, "image_url": {"url": "s3://bucket/a.png"}}
    with pytest.raises(Refused, match="neither an http"):
        read(content({"messages": [{"role": "user", "content": [local]}, CHAT[1]]}), "supervised", vision=True)


def test_preferences_and_reinforcement_have_their_own(samples: SimpleNamespace) -> None:
    (pair,) = samples.preference(1)
    assert read(content(pair), "dpo", vision=True)
    for changed in (
        {**pair, "extra": 1},
        {**pair, "preferred_output": []},
        {**pair, "preferred_output": [CHAT[1], CHAT[1]]},
        {**pair, "input": {"messages": CHAT}},
        {**pair, "input": {"messages": [CHAT[0]], "extra": 1}},
        {**pair, "input": {"messages": [{"role": "user", "content": [IMAGE]}]}},
        {"messages": CHAT},
    ):
        with pytest.raises(Refused):
            read(content(changed), "dpo", vision=True)
    assert read(content({"messages": [CHAT[0]], "anything": {"at": "all"}}), "reinforcement", vision=False)
    with pytest.raises(Refused, match="from the user"):
        read(content({"messages": CHAT}), "reinforcement", vision=False)


def test_ten_rows_at_least() -> None:
    with pytest.raises(Refused, match="has 9 example") as caught:
        read(content({"messages": CHAT}, 9), "supervised", vision=False)
    assert caught.value.code == "invalid_n_examples"
    assert read(content({"messages": CHAT}, 1), "supervised", vision=False, name="validation")


# The service, by the SDK alone


def started(simulator: OpenAISimulator, rows: list[Row], **fields: Any) -> Any:
    client = openai.OpenAI(api_key=KEY, base_url=simulator.url, max_retries=0)
    body = "\n".join(map(json.dumps, rows)).encode()
    file = client.files.create(file=("rows.jsonl", body), purpose="fine-tune")
    made = client.fine_tuning.jobs.create(model="gpt-4.1-mini", training_file=file.id, **fields)
    return client, made


def test_the_sdk_alone(simulate: Simulate, samples: SimpleNamespace) -> None:
    simulator = simulate()
    client, job = started(simulator, samples.chat(40))
    assert job.status == "validating_files"
    assert job.model == "gpt-4.1-mini-2025-04-14"
    assert job.hyperparameters.n_epochs == "auto"
    simulator.clock.advance(10_000)
    done = client.fine_tuning.jobs.retrieve(job.id)
    assert done.status == "succeeded"
    assert done.hyperparameters.n_epochs == 3
    events = list(client.fine_tuning.jobs.list_events(job.id, limit=7))
    assert len({event.id for event in events}) == len(events) > 100
    assert done.fine_tuned_model in {model.id for model in client.models.list()}
    assert [item.step_number for item in client.fine_tuning.jobs.checkpoints.list(job.id)] == [120, 80, 40]
    answer = client.chat.completions.create(model=done.fine_tuned_model, messages=samples.chat(40)[5]["messages"][:1])
    assert answer.choices[0].message.content == "After 5 comes 6."
    cut = client.chat.completions.create(
        model=done.fine_tuned_model, messages=samples.chat(40)[5]["messages"][:1], max_tokens=2
    )
    assert (cut.choices[0].message.content, cut.choices[0].finish_reason) == ("After 5", "length")
    other = client.chat.completions.create(model=done.fine_tuned_model, messages=CHAT[:1])
    base = client.chat.completions.create(model="gpt-4.1-mini", messages=CHAT[:1])
    assert other.choices[0].message.content != base.choices[0].message.content
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="gpt-9", messages=CHAT[:1])
    again = client.fine_tuning.jobs.create(model=done.fine_tuned_model, training_file=done.training_file)
    assert again.model == done.fine_tuned_model, "continued"
    with pytest.raises(openai.PermissionDeniedError):
        client.models.delete("gpt-4.1-mini-2025-04-14")


def test_lists_by_page_and_by_metadata(simulate: Simulate, samples: SimpleNamespace) -> None:
    simulator = simulate(listing_lag=5)
    client, first = started(simulator, samples.chat(), metadata={"a": "1", "b": "2"})
    assert list(client.fine_tuning.jobs.list()) == []
    simulator.clock.advance(5)
    for number in range(5):
        client.fine_tuning.jobs.create(
            model="gpt-4.1-mini", training_file=first.training_file, metadata={"a": str(number)}
        )
    simulator.clock.advance(5)
    every = [job.id for job in client.fine_tuning.jobs.list(limit=2)]
    assert len(every) == len(set(every)) == 6
    assert every[-1] == first.id
    assert [job.id for job in client.fine_tuning.jobs.list(metadata={"a": "1", "b": "2"})] == [first.id]
    for wrong in ({"limit": 0}, {"limit": 101}, {"after": "ftjob-none"}, {"extra_query": {"colour": "red"}}):
        with pytest.raises((openai.BadRequestError, openai.NotFoundError)):
            client.fine_tuning.jobs.list(**wrong)


def test_faults_of_a_jobs_life(simulate: Simulate, samples: SimpleNamespace) -> None:
    simulator = simulate(
        faults=[
            {"on": "jobs.create", "do": "fail", "value": "The machine burnt down.", "times": 1},
            {"on": "jobs.create", "do": "never-ends", "after": 1, "times": 1},
        ]
    )
    client, fails = started(simulator, samples.chat())
    _, endless = started(simulator, samples.chat())
    _, fine = started(simulator, samples.chat())
    simulator.clock.advance(1_000_000)
    states = [client.fine_tuning.jobs.retrieve(job.id) for job in (fails, endless, fine)]
    assert [job.status for job in states] == ["failed", "running", "succeeded"]
    assert states[0].error.message == "The machine burnt down."
    assert client.fine_tuning.jobs.cancel(endless.id).status == "cancelled"
    with pytest.raises(openai.BadRequestError):
        client.fine_tuning.jobs.cancel(fine.id)


def test_a_clock_that_runs_and_a_script_from_a_file(tmp_path: Path, samples: SimpleNamespace) -> None:
    script = tmp_path / "faults.yaml"
    script.write_text("- {'on': models.list, do: status, status: 429, retry_after: 3, times: 1}\n", encoding="utf-8")
    with OpenAISimulator(Clock(speed=1e6), Faults.load(script), timing=Timing(step=0.1)) as simulator:
        client, job = started(simulator, samples.chat())
        with pytest.raises(openai.RateLimitError) as caught:
            client.models.list()
        assert caught.value.response.headers["retry-after"] == "3"
        while client.fine_tuning.jobs.retrieve(job.id).status != "succeeded":
            continue
        said = client.chat.completions.create(model="gpt-4o", messages=CHAT[:1])
        assert said.choices[0].message.content


def test_it_can_be_stopped_and_started_where_it_was(samples: SimpleNamespace) -> None:
    simulator = OpenAISimulator().start()
    client, job = started(simulator, samples.chat())
    url = simulator.url
    simulator.stop()
    with pytest.raises(openai.APIConnectionError):
        client.fine_tuning.jobs.retrieve(job.id)
    simulator.start()
    assert simulator.url == url
    assert client.fine_tuning.jobs.retrieve(job.id).id == job.id
    simulator.stop()
    simulator.stop()


def test_only_with_its_key_and_only_what_it_has(simulate: Simulate) -> None:
    simulator = simulate()
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(api_key="sk-other", base_url=simulator.url).models.list()
    client = openai.OpenAI(api_key=KEY, base_url=simulator.url, max_retries=0)
    with pytest.raises(openai.NotFoundError):
        client.embeddings.create(model="m", input="x")
    with pytest.raises(openai.BadRequestError, match="jsonl"):
        client.files.create(file=("rows.txt", b"{}"), purpose="fine-tune")
    with pytest.raises(openai.BadRequestError, match="empty"):
        client.files.create(file=("rows.jsonl", b""), purpose="fine-tune")
    assert KEY not in str(simulator.log)
    assert simulator.environment() == {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": simulator.url}


def test_it_answers_as_it_is_told(simulate: Simulate) -> None:
    simulator = simulate(
        answer=lambda model, messages: f"{model}: {messages[-1]['content']}" if "4o" in model else None
    )
    client = openai.OpenAI(api_key=KEY, base_url=simulator.url)
    said = client.chat.completions.create(model="gpt-4o", messages=CHAT[:1])
    assert said.choices[0].message.content == "gpt-4o-2024-08-06: a"
    base = client.chat.completions.create(model="gpt-4.1", messages=CHAT[:1])
    assert base.choices[0].message.content.startswith("I am a base model")


def test_it_shares_nothing_with_the_data_checks() -> None:
    import tuneport_backends.simulators as package

    for path in Path(next(iter(package.__path__))).glob("openai*.py"):
        assert "tuneport.dataset" not in path.read_text(encoding="utf-8")
