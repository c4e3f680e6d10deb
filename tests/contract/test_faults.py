"""What goes wrong between us and a provider: lost replies, windows, limits, errors, states and nulls that nobody knows.

Sleeping is the simulator's time here (`slept`): the job layer's pauses and windows pass at once, and the provider sees it.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from typing import Any

import pytest
from tests.contract.case import Faulty
from tests.contract.cases import CASES, PLUGIN, Hosted, known
from tests.contract.world import World

from tuneport import FineTuneJob, job, registry
from tuneport.errors import (
    JobError,
    RateLimitedError,
    SubmitUnknownError,
    TuneportError,
    UnavailableError,
)
from tuneport.status import JobStatus

pytestmark = pytest.mark.slow
behaviour = pytest.mark.behaviour


class Slept:
    """The `time` that the job layer sees: what it sleeps passes at the provider, and not here."""

    def __init__(self, case: Faulty) -> None:
        self._case = case
        self.slept = 0.0

    def sleep(self, seconds: float) -> None:
        self.slept += seconds
        self._case.advance(seconds)

    def time(self) -> float:
        return time.time() + self.slept

    def monotonic(self) -> float:
        return time.monotonic() + self.slept


@pytest.fixture
def faulty(world: World) -> Faulty:
    if not isinstance(world.case, Faulty):
        pytest.skip("it runs no fault scripts")
    return world.case


@pytest.fixture
def slept(faulty: Faulty, monkeypatch: pytest.MonkeyPatch) -> Slept:
    made = Slept(faulty)
    monkeypatch.setattr(job, "time", made)
    monkeypatch.delenv("TUNEPORT_POLL_SECONDS")
    return made


def test_every_registered_backend_has_a_case(registered: None) -> None:
    assert set(registry.available()) - {PLUGIN} <= set(known()), "registered, and not covered by the contract suite"
    assert set(CASES) <= set(registry.available())


@behaviour("faults")
def test_a_lost_reply_is_adopted_and_not_repeated(world: World, faulty: Faulty, slept: Slept) -> None:
    faulty.fault(on=faulty.create, do="lose-reply", times=1)
    before = world.case.made()
    made = world.create()
    assert made.record.ref is not None
    assert world.case.made() == before + 1
    made.cancel()


@behaviour("faults")
def test_a_create_that_made_nothing_is_looked_for_through_the_whole_window_then_resumed(
    world: World, faulty: Faulty, slept: Slept
) -> None:
    faulty.fault(on=faulty.create, do="status", status=500, times=1)
    before = world.case.made()
    with pytest.raises(SubmitUnknownError):
        world.create(name="unknown")
    assert slept.slept >= registry.get(world.name).capabilities().polling.window - 1
    found = FineTuneJob.get("unknown")
    assert (found.status, found.resumable) == (JobStatus.INTERRUPTED, True)
    assert world.case.made() == before
    assert found.resume().record.ref is not None
    assert world.case.made() == before + 1
    found.cancel()


@behaviour("faults")
@pytest.mark.parametrize("status", [429, 500, 503])
def test_an_upload_or_a_look_that_fails_for_a_while_is_asked_again(world: World, faulty: Faulty, status: int) -> None:
    made = world.create()
    for look in faulty.looks:
        faulty.fault(on=look, do="status", status=status, retry_after=0.01, times=2)
    before = world.case.made()
    assert world.finish(made).job_id == made.id
    assert world.case.made() == before


@pytest.fixture
def quick(slept: Slept, monkeypatch: pytest.MonkeyPatch) -> None:
    """Left to itself, the job layer would ask again much sooner than the provider says below."""
    monkeypatch.setenv("TUNEPORT_POLL_SECONDS", "0.02")


AFTER = 0.4  # seconds: the SDKs' own tries really wait them


def waited(case: Hosted, *operations: str) -> int:
    """How often one of these was refused with 429 and asked again later: each time, not before the provider had said."""
    entries = [entry for entry in case.simulator.log if entry.operation in operations]
    pauses = [
        later.at - earlier.at
        for earlier, later in itertools.pairwise(entries)
        if earlier.status == 429
        and later.at > earlier.at  # an SDK's own tries are all at once by the simulator's clock
    ]
    assert all(pause >= AFTER - 1e-6 for pause in pauses), pauses
    return len(pauses)


@behaviour("faults")
def test_a_look_is_not_repeated_sooner_than_the_provider_says(world: World, faulty: Faulty, quick: None) -> None:
    if not isinstance(faulty, Hosted):
        pytest.skip("it knows no Retry-After")
    made = world.create()
    met = waited(faulty, *faulty.looks)
    faulty.advance(5000)  # it has ended: the first look that is answered is the last
    for look in faulty.looks:
        faulty.fault(on=look, do="status", status=429, retry_after=AFTER, times=8)
    assert made.wait().job_id == made.id
    assert waited(faulty, *faulty.looks) > met


@behaviour("faults")
def test_an_upload_is_not_repeated_sooner_than_the_provider_says(world: World, faulty: Faulty, quick: None) -> None:
    if not isinstance(faulty, Hosted) or faulty.upload is None:
        pytest.skip("no Retry-After of an upload comes to us")
    before, met = world.case.made(), waited(faulty, faulty.upload)
    faulty.fault(on=faulty.upload, do="status", status=429, retry_after=AFTER, times=5)
    made = world.create()
    assert waited(faulty, faulty.upload) > met
    assert world.case.made() == before + 1
    made.cancel()


@behaviour("faults")
def test_a_burst_of_refused_creates_ends_in_one_job(world: World, faulty: Faulty, quick: None) -> None:
    if not isinstance(faulty, Hosted):
        pytest.skip("it knows no Retry-After")
    before, met = world.case.made(), waited(faulty, faulty.create)
    sent = len(faulty.simulator.requests(faulty.create))
    faulty.fault(on=faulty.create, do="status", status=429, retry_after=AFTER, times=2)
    made = world.create()
    *refused, last = faulty.simulator.requests(faulty.create)[sent:]
    assert ([entry.status for entry in refused], last.status in {200, 201}) == ([429, 429], True)
    assert waited(faulty, faulty.create) == met + 2
    assert world.case.made() == before + 1
    assert world.case.jobs(made.record.tag) == 1
    made.cancel()


@behaviour("faults")
def test_a_provider_that_stays_away_leaves_the_job_as_it_was(world: World, faulty: Faulty) -> None:
    made = world.create()
    stood = made.status
    for look in faulty.looks:
        faulty.fault(on=look, do="status", status=503, retry_after=0.01, times=12)
    with pytest.raises((UnavailableError, RateLimitedError)):
        FineTuneJob.get(made.id)
    (listed,) = [one for one in FineTuneJob.list(limit=500) if one.id == made.id]
    assert listed.record.status is stood
    assert world.finish(made).job_id == made.id


@behaviour("faults")
def test_a_state_that_nobody_knows_is_unknown_with_its_word_kept(world: World, faulty: Faulty) -> None:
    made = world.create()
    for look in faulty.looks:
        faulty.fault(on=look, do="state", value="JOB_STATE_MELTING", times=1)
    assert made.status is JobStatus.UNKNOWN
    assert any("MELTING" in event.message for event in made.events())
    assert world.finish(made).job_id == made.id, "and it goes on"


@behaviour("faults")
@pytest.mark.parametrize(
    "field", ["error", "created_at", "createTime", "creationTime", "metadata", "labels", "no_such_key"]
)
@pytest.mark.parametrize("value", [None, "of another type", {"a": [1]}])
def test_nulls_and_other_types_in_a_payload_are_borne_with(
    world: World, faulty: Faulty, field: str, value: Any
) -> None:
    made = world.create()
    for look in faulty.looks:
        faulty.fault(on=look, do="field", field=field, value=value, times=3)
    for _ in range(3):
        try:
            made.refresh()
            list(made.events())
        except TuneportError as error:  # the SDK itself may refuse the payload: then it is ours, in words
            assert str(error)
    made.cancel()
    world.reach(made, JobStatus.CANCELLED)


RESUMES = "from tuneport import FineTuneJob; import sys; FineTuneJob.get(sys.argv[1]).resume()"
DIES_BEFORE_SUBMITTING = """
import os, signal, sys, json
from tuneport import FineTuneJob, registry
from tuneport.spec import FineTuneSpec
model, data, fields = sys.argv[1:]
backend = registry.get(model.partition(":")[0])
backend.submit = lambda prepared: os.kill(os.getpid(), signal.SIGKILL)
FineTuneJob.submit(FineTuneSpec.parse({"model": model, "dataset": data, "name": "intent", **json.loads(fields)}), data)
"""


@behaviour("resume")
def test_two_terminals_that_resume_an_intent_start_one_job(world: World) -> None:
    import json

    from tests.contract.test_kill import later, plain

    fields = json.dumps({key: plain(value) for key, value in world.case.fields.items()})
    done = subprocess.run(
        [sys.executable, "-c", DIES_BEFORE_SUBMITTING, world.case.model, str(world.data), fields], check=False
    )
    assert done.returncode == -9
    before = world.case.made()
    found = FineTuneJob.get("intent")
    assert (found.status, found.resumable) == (JobStatus.INTERRUPTED, True)
    assert found.cancel().record.status is JobStatus.INTERRUPTED, "there is nothing to cancel"
    assert world.case.made() == before, "looking spends nothing"
    later(found)
    both = [
        subprocess.Popen([sys.executable, "-c", RESUMES, "intent"], stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    said = [process.communicate(timeout=200)[1] for process in both]
    assert 0 in [process.returncode for process in both], said
    for process, words in zip(both, said, strict=True):
        assert process.returncode == 0 or "being submitted by another process" in words, words
    assert world.case.made() == before + 1
    assert world.case.jobs(found.record.tag) == 1
    world.reach(FineTuneJob.get("intent").cancel(), JobStatus.CANCELLED)


@behaviour("cancel")
def test_cancel_while_another_process_submits_is_honest(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the intent and the create there is nothing to cancel yet: it must not be called cancelled and then run."""
    backend = registry.get(world.name)
    submit = backend.submit

    def meanwhile(prepared: Any) -> Any:
        other = FineTuneJob.get(prepared.job_id)
        with pytest.raises(JobError, match="submitted by another process"):
            other.cancel()
        assert not FineTuneJob.get(prepared.job_id).status.terminal
        return submit(prepared)

    monkeypatch.setattr(backend, "submit", meanwhile)
    made = world.create()
    assert not made.status.terminal
    made.cancel()
    world.reach(made, JobStatus.CANCELLED)
