"""kill -9 of the process that creates a job and waits for it, at any point from plan to result, for every backend.

The provider keeps running, in this process. Afterwards there is one job there or none, by its own books; the store opens and
is whole; the next `get` says how the job stands; `resume` goes on from there, and there are never two jobs. Some points
kill the process that resumes, too. Points are random delays (the seed is printed), and exact ones: as the provider has
just done each of its operations, with its reply lost, and while a request is on its way.

`TUNEPORT_KILLS` is the number of random points for each backend: 12 unless set; `make kills` runs 200 and more in all.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
import psutil
import pytest
from pydantic import BaseModel
from tests.contract.case import Faulty
from tests.contract.killing import Nursery
from tests.contract.world import World

from tuneport import FineTuneJob, claims
from tuneport.result import FineTuneResult
from tuneport.status import JobStatus, utcnow

pytestmark = [pytest.mark.slow, pytest.mark.behaviour("kill")]
POINTS = int(os.environ.get("TUNEPORT_KILLS", "12"))
SEED = int(os.environ.get("TUNEPORT_KILL_SEED", str(random.randrange(10**6))))


def test_a_process_that_nobody_has_reaped_is_dead() -> None:
    """As in a container whose first process reaps nobody: what it had claimed is free at once."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(200)"])
    process = psutil.Process(child.pid)
    owner = f"{process.create_time()}:{child.pid}:any:{socket.gethostname()}"
    assert not claims._died_here(owner)
    child.kill()
    while process.status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.001)
    assert claims._died_here(owner)
    child.wait()


class Killer:
    """Children of one backend, killed and looked after."""

    def __init__(self, world: World, nursery: Nursery, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.world = world
        self._nursery = nursery
        self._folder = folder
        self._patch = patch
        self._homes = 0
        self.found: list[str] = []

    def fresh(self) -> Path:
        self._homes += 1
        home = self._folder / f"home-{self._homes}"
        self._patch.setenv("TUNEPORT_HOME", str(home))
        return home

    def life(self, home: Path, until: Callable[[int], None], resume: str | None = None) -> int:
        fields = {key: plain(value) for key, value in self.world.case.fields.items()}
        with self.world.passing():
            return self._nursery.run(home, fields, until, resume)

    def look(self, home: Path, before: int, *, again: float | None = None) -> None:
        """What must hold after a death. `again`: the process that resumes is killed too, after so many seconds."""
        self.quiet()
        made = self.world.case.made() - before
        jobs = FineTuneJob.list()
        assert made <= 1, "two jobs"
        assert len(jobs) <= 1
        whole(home)
        if not jobs:
            assert made == 0, "a job that nobody knows of"
            self.found.append("nothing")
            return None
        job = FineTuneJob.get(jobs[0].id)
        assert self.world.case.jobs(job.record.tag) == made
        if made:
            assert job.record.ref is not None, "it is adopted"
            assert job.status in {*self.world.case.states, JobStatus.SUCCEEDED}
            self.found.append("a job")
        else:
            assert (job.status, job.resumable) == (JobStatus.INTERRUPTED, True)
            self.found.append("an intent")
        later(job)
        if again is not None and not job.status.terminal | (job.status is JobStatus.INTERRUPTED):
            again = None
        if again is not None and job.status is JobStatus.INTERRUPTED:
            self.life(home, after(again), resume=job.id)
            return self.look(home, before)
        if job.status is JobStatus.INTERRUPTED:
            job.resume()
        self.end(job)
        assert self.world.case.made() - before == 1, "there are never two"
        assert self.world.case.jobs(job.record.tag) == 1
        whole(home)
        return None

    def end(self, job: FineTuneJob) -> None:
        if self.world.name == "local":  # its training is proved elsewhere
            job.cancel()
            self.world.reach(job, JobStatus.CANCELLED, JobStatus.SUCCEEDED)
            return
        result = self.world.finish(job)
        assert result == FineTuneJob.get(job.id).result()
        assert result.provider_id == job.provider_id
        assert isinstance(result, FineTuneResult)
        numbers = [event.seq for event in job.events()]
        assert numbers == sorted(set(numbers))
        said = [event.key for event in job.events() if event.key is not None]
        assert len(said) == len(set(said)), "no event twice"

    def quiet(self) -> None:
        """Until the provider has done what it was asked before the process died."""
        case = self.world.case
        if not isinstance(case, Faulty):
            time.sleep(0.3 if self.world.name == "local" else 0.0)
            return
        seen = -1
        while (now := len(case.log())) != seen:
            seen = now
            time.sleep(0.06)


def plain(value: Any) -> Any:
    """What was set, as JSON."""
    if not isinstance(value, BaseModel):
        return value
    kind = getattr(value, "kind", None)
    return value.model_dump(mode="json", exclude_unset=True) | ({"kind": kind} if kind else {})


def later(job: FineTuneJob) -> None:
    """As if the listing had had its time: whoever resumes does so an hour after the create was sent."""
    mark = job.directory / "submitting.json"
    if mark.exists():
        mark.write_text(json.dumps({"at": (utcnow() - timedelta(hours=1)).isoformat()}))


def whole(home: Path) -> None:
    for path in home.rglob("*.db"):
        with sqlite3.connect(path) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        connection.close()
    assert not list((home / "jobs").glob("tp-*/.*.tmp"))


def after(seconds: float) -> Callable[[int], None]:
    def wait(pid: int) -> None:
        time.sleep(seconds)
        kill(pid)

    return wait


def kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return  # it had ended


@pytest.fixture(scope="module")
def killer(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killer]:
    with pytest.MonkeyPatch.context() as patch, Nursery(world.case.model, world.data) as nursery:
        yield Killer(world, nursery, tmp_path_factory.mktemp("homes"), patch)


@pytest.fixture(scope="module")
def usual(killer: Killer) -> tuple[float, float, list[str]]:
    """A life that nobody disturbs: how long until its job is there, until its end, and the operations that it asks for."""
    home = killer.fresh()
    case = killer.world.case
    before = len(case.log()) if isinstance(case, Faulty) else 0
    jobs, begun = case.made(), time.monotonic()
    sent = 0.0

    def until(pid: int) -> None:
        nonlocal sent
        while case.made() == jobs and psutil.pid_exists(pid):
            time.sleep(0.001)
        sent = time.monotonic() - begun

    assert killer.life(home, until) == 0
    taken = time.monotonic() - begun
    (job,) = FineTuneJob.list()
    assert job.status is JobStatus.SUCCEEDED
    return sent, taken, list(case.log()[before:]) if isinstance(case, Faulty) else []


def test_killed_at_random_points(
    killer: Killer, usual: tuple[float, float, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    sent, taken, _ = usual
    chance = random.Random(f"{SEED}:{killer.world.name}")
    killer.found.clear()
    for point in range(POINTS):
        delay = chance.uniform(0, sent * 1.1 if point % 2 else taken * 1.02)  # most can be lost before the job is there
        again = chance.uniform(0, taken) if point % 3 == 0 else None
        home, before = killer.fresh(), killer.world.case.made()
        killer.life(home, after(delay))
        try:
            killer.look(home, before, again=again)
        except BaseException as error:
            error.add_note(
                f"{killer.world.name}, point {point}: killed after {delay:.4f} s, again {again}, seed {SEED}"
            )
            raise
    with capsys.disabled():
        found = {word: killer.found.count(word) for word in ("nothing", "an intent", "a job")}
        click.echo(
            f"\n  {killer.world.name}: {POINTS} random kills in lives of {taken:.2f} s, seed {SEED}; left behind: {found}"
        )


def test_killed_as_each_operation_is_done(killer: Killer, usual: tuple[float, float, list[str]]) -> None:
    case = killer.world.case
    if not isinstance(case, Faulty):
        pytest.skip("it keeps no log of requests")
    for operation in dict.fromkeys(usual[2]):
        home, before, seen = killer.fresh(), case.made(), len(case.log())

        def until(pid: int, seen: int = seen, operation: str = operation) -> None:
            while operation not in case.log()[seen:]:
                time.sleep(0.0005)
            kill(pid)

        killer.life(home, until)
        try:
            killer.look(home, before)
        except BaseException as error:
            error.add_note(f"{killer.world.name}: killed as {operation} was done")
            raise


LOST: list[dict[str, Any]] = [
    {"do": "lose-reply"},
    {"do": "delay", "seconds": 0.4},
    {"do": "status", "status": 500},
    {"do": "status", "status": 503, "retry_after": 1},
]


@pytest.mark.parametrize("fault", LOST, ids=lambda fault: "-".join(str(value) for value in fault.values()))
@pytest.mark.parametrize("dies", [True, False], ids=["killed", "alive"])
def test_the_create_itself(
    killer: Killer, usual: tuple[float, float, list[str]], fault: dict[str, Any], dies: bool
) -> None:
    case = killer.world.case
    if not isinstance(case, Faulty):
        pytest.skip("it keeps no log of requests")
    home, before, seen = killer.fresh(), case.made(), len(case.log())
    case.fault(on=case.create, times=1, **fault)
    ahead = usual[2].index(case.create)
    if not dies and fault["do"] == "status":
        pytest.skip("it waits for the listing's whole window: see test_faults")

    def until(pid: int) -> None:
        if not dies:
            return
        # A request that is delayed is on its way once everything before it was answered.
        wanted = ahead if fault["do"] == "delay" else ahead + 1
        while len(case.log()) - seen < wanted:
            time.sleep(0.0005)
        time.sleep(0.05 if fault["do"] == "delay" else 0)
        kill(pid)

    status = killer.life(home, until)
    if fault["do"] == "delay":
        time.sleep(fault["seconds"])
    assert status == (-signal.SIGKILL if dies else 0)
    killer.look(home, before)
