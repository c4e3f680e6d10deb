"""`FineTuneJob`: create a job, find it again, follow it, end it. The only place that polls, waits and follows.

Looking at a job (`get`, `list`, `status`, `events`) adopts what exists and never spends; only `create` and `resume` submit.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tuneport import claims, preflight, registry
from tuneport import webhook as webhooks
from tuneport.backend import (
    Backend,
    CleansUp,
    Deployment,
    Deploys,
    HasCheckpoints,
    Pauses,
    Prepared,
    Ref,
    Resolved,
    Resumes,
    Snapshot,
)
from tuneport.dataset.read import iter_lines
from tuneport.directory import compile_into, last_sent, sending_now, splits
from tuneport.errors import (
    BackendError,
    JobCancelledError,
    JobError,
    JobFailedError,
    JobInterruptedError,
    JobNotFinishedError,
    NotInstalledError,
    RateLimitedError,
    SubmitUnknownError,
    TuneportError,
    UnavailableError,
    UnsupportedError,
    WaitTimeoutError,
)
from tuneport.ids import new_job_id
from tuneport.methods import Method
from tuneport.objectives import Objective
from tuneport.pace import Pace
from tuneport.result import Checkpoint, FineTuneResult
from tuneport.spec import FineTuneSpec, Hyperparameters, Mix, Resources
from tuneport.status import Event, JobStatus, utcnow

if TYPE_CHECKING:
    from tuneport.store import JobRecord, Store

_PATIENCE = 30  # failed looks in a row that a wait bears with
_SUBMITS = 4  # tries of one submit, where the provider is busy before it has created anything
_LONGEST_PAUSE = 60.0  # seconds between two of them
_NOTHING_LISTED = "Nothing with this job's tag has appeared at the provider since."
_NEVER_SUBMITTED = Snapshot(
    status=JobStatus.INTERRUPTED,
    reason="the process that created it ended before the job was submitted; nothing was started",
    resumable=True,
)


class FineTuneJob:
    """One job, on any backend. Made by `create`, `get` and `list`, never by hand."""

    def __init__(self, store: Store, record: JobRecord) -> None:
        self._store = store
        self._record = record
        self._failures = 0  # looks in a row
        self._told_to_wait = 0.0  # seconds, by the provider's last answer
        self.stale: str | None = None  # why the last look failed; the status is then the one before

    # Making and finding

    @classmethod
    def create(
        cls,
        model: str,
        dataset: Any,
        *,
        objective: Objective | None = None,
        method: Method | None = None,
        hyperparameters: Hyperparameters | None = None,
        validation: Any = None,
        test: Any = None,
        mix: Mix | None = None,
        resources: Resources | None = None,
        options: dict[str, Any] | None = None,
        privacy: str | None = None,
        budget_usd: float | None = None,
        name: str | None = None,
        seed: int | None = None,
        metadata: dict[str, str] | None = None,
        integrations: list[dict[str, Any]] | None = None,
        group_by: str | None = None,
        webhook: str | None = None,
    ) -> FineTuneJob:
        """Check everything, store the intent, submit. Returns at once; the job outlives this process.

        Raises SpecError for what is wrong in the arguments, PlanError (with every problem) for what is wrong in the data or
        refused by the backend, NameTakenError where `name` has a job already.
        """
        spec = preflight.build_spec(
            model,
            dataset,
            objective=objective,
            method=method,
            hyperparameters=hyperparameters,
            validation=validation,
            test=test,
            mix=mix,
            resources=resources,
            options=options,
            privacy=privacy,
            budget_usd=budget_usd,
            name=name,
            seed=seed,
            metadata=metadata,
            integrations=integrations,
            group_by=group_by,
            webhook=webhook,
        )
        return cls.submit(spec, dataset, validation, test)

    @classmethod
    def submit(cls, spec: FineTuneSpec, dataset: Any, validation: Any = None, test: Any = None) -> FineTuneJob:
        """`create` for a spec that exists already (a job.yaml's, say)."""
        from tuneport.home import home
        from tuneport.store import JobRecord, Store

        ready = preflight.prepare(spec, dataset, validation, test)
        resolved = ready.demand()
        store = Store.open()
        job_id = new_job_id()
        directory = home() / "jobs" / job_id
        created = utcnow()
        record = JobRecord(
            id=job_id,
            tag=job_id,
            name=spec.name,
            backend=spec.model_id.backend,
            model=spec.model_id.model,
            status=JobStatus.PREPARING,
            created_at=created,
            updated_at=created,
            spec=spec.to_store(),
            plan=ready.plan.model_dump(mode="json"),
            ref=None,
            host=socket.gethostname(),
            home=str(home()),
            directory=str(directory),
            attempt=1,
            error=None,
            resumable=False,
            result=None,
        )
        compile_into(directory, ready)
        try:
            store.insert(record, owner=(owner := claims.new_owner()), seconds=claims.SECONDS)
        except TuneportError:
            shutil.rmtree(directory, ignore_errors=True)  # nothing refers to it
            raise
        job = cls(store, record)
        job._submit(resolved, owner)
        return job

    def _submit(self, resolved: Resolved, owner: str) -> None:
        with self._claimed(owner):
            self._send(resolved)

    def _send(self, resolved: Resolved) -> None:
        """Upload and create. The caller holds the claim, and has seen under it that nobody has submitted meanwhile."""
        directory = self.directory
        prepared = Prepared(
            job_id=self.id,
            tag=self._record.tag,
            spec=self.spec,
            resolved=resolved,
            directory=directory,
            splits=splits(directory),
        )
        for split in prepared.splits:  # here, so that a resumed intent has them too
            hashes = [str(row["hash"]) for row in iter_lines(directory / f"{split}.jsonl")]
            self._store.add_row_hashes(self.id, split, hashes)
        ref = None
        try:
            sending_now(directory)
            ref = self._submitted(prepared)
        except SubmitUnknownError as error:
            ref = self._adopt_within_window()
            if ref is None:
                self._record = self._store.update(
                    self.id, status=JobStatus.INTERRUPTED, error=f"{error} {_NOTHING_LISTED}", resumable=True
                )
                raise
        except TuneportError as error:
            self._record = self._store.update(self.id, status=JobStatus.FAILED, error=str(error), resumable=True)
            again = f"Nothing was started. Once that is mended: tuneport resume {self.id}"
            raise error.reworded(f"{error} {again}") from error
        self._record = self._store.update(self.id, ref=dict(ref), status=JobStatus.QUEUED, error=None)

    def _submitted(self, prepared: Prepared) -> Ref:
        """Submit; where the provider is busy or away before anything was created, again after a pause."""
        pace = Pace(self._backend.capabilities().polling)
        for _ in range(_SUBMITS - 1):
            try:
                return self._backend.submit(prepared)
            except (RateLimitedError, UnavailableError) as error:
                told = error.retry_after if isinstance(error, RateLimitedError) else None
                if told is not None and told > _LONGEST_PAUSE:
                    raise
                time.sleep(max(pace.next(), told or 0.0))
        return self._backend.submit(prepared)

    def _adopt_within_window(self) -> Ref | None:
        """What a create whose reply was lost has made; looked for until the provider's listing must show it. Never spends."""
        polling = self._backend.capabilities().polling
        pace = Pace(polling)
        end = last_sent(self.directory) + polling.window
        while True:
            try:
                ref = self._backend.adopt(self._record.tag, self.directory)
            except (RateLimitedError, UnavailableError):
                ref = None  # nothing is known yet: look again
            left = end - time.time()
            if ref is not None or left <= 0:
                return ref
            time.sleep(min(pace.next(), left))

    def _claimed(self, owner: str) -> AbstractContextManager[None]:
        return claims.held(self._store, self.id, owner)

    @classmethod
    def get(cls, id_or_name: str) -> FineTuneJob:
        """The job of this id, name, or unique beginning of an id. JobNotFoundError where there is none."""
        from tuneport.store import Store

        store = Store.open()
        job = cls(store, store.get(id_or_name))
        job.refresh()
        return job

    @classmethod
    def list(
        cls, backend: str | None = None, status: JobStatus | str | None = None, limit: int = 50
    ) -> Sequence[FineTuneJob]:
        """The newest jobs first, each brought up to date. `status` filters on the state as it is now."""
        from tuneport.store import Store

        store = Store.open()
        wanted = JobStatus(status) if status is not None else None
        found = [cls(store, r) for r in store.list(backend=backend, status=None, limit=10_000 if wanted else limit)]
        cls._look_together(found)
        return [job for job in found if wanted is None or job.record.status is wanted][:limit]

    @classmethod
    def _look_together(cls, jobs: Sequence[FineTuneJob]) -> None:
        """Bring jobs up to date with one question to each backend; one that does not answer leaves its jobs as they were."""
        asked: dict[str, list[FineTuneJob]] = {}
        for job in jobs:
            if job._record.ref is None:
                try:
                    job.refresh()
                except (BackendError, NotInstalledError) as error:
                    job.stale = str(error)
            elif not job._record.status.terminal and job._here:
                asked.setdefault(job.backend, []).append(job)
        for name, several in asked.items():
            try:
                snapshots = registry.get(name).snapshots([job._record.ref or {} for job in several])
            except (BackendError, NotInstalledError) as error:
                for job in several:
                    job.stale = str(error)
                continue
            for job, snapshot in zip(several, snapshots, strict=True):
                job._keep(snapshot)

    # What it is

    @property
    def id(self) -> str:
        return self._record.id

    @property
    def name(self) -> str | None:
        return self._record.name

    @property
    def backend(self) -> str:
        return self._record.backend

    @property
    def model(self) -> str:
        """The base model, as `"<backend>:<model>"`."""
        return f"{self._record.backend}:{self._record.model}"

    @property
    def provider_id(self) -> str | None:
        """The provider's own id of the job; None for a local one, or before it is known."""
        ref = self._record.ref or {}
        value = ref.get("provider_id")
        return str(value) if value else None

    @property
    def status(self) -> JobStatus:
        """As it is now. A job that ended is not asked again."""
        self.refresh()
        return self._record.status

    @property
    def error(self) -> str | None:
        """Why it failed, was interrupted or could not be asked."""
        return self._record.error

    @property
    def resumable(self) -> bool:
        return self._record.resumable

    @property
    def attempt(self) -> int:
        return self._record.attempt

    @property
    def record(self) -> JobRecord:
        return self._record

    @property
    def spec(self) -> FineTuneSpec:
        return FineTuneSpec.from_stored(self._record.spec)

    @property
    def directory(self) -> Path:
        """Where its rows, logs, checkpoints and artifacts are."""
        if self._record.directory is None:
            raise JobError(f"{self.id} keeps no files on this machine", job_id=self.id)
        return Path(self._record.directory)

    def __repr__(self) -> str:
        return f"FineTuneJob({self.id!r}, {self.model!r}, {self._record.status.value})"

    @property
    def _backend(self) -> Backend:
        return registry.get(self._record.backend)

    @property
    def _here(self) -> bool:
        return self._record.backend != "local" or self._record.host == socket.gethostname()

    def refresh(self) -> Self:
        """Ask the backend how the job stands and keep the answer. Adopts a submit whose reply was lost; never spends."""
        record = self._record
        unsubmitted = record.ref is None and record.status in {JobStatus.PREPARING, JobStatus.INTERRUPTED}
        if not self._here or (record.status.terminal and not unsubmitted):
            return self._tell_end()
        if record.ref is None:
            ref = self._backend.adopt(record.tag, self.directory)
            if ref is None:
                return self._close_intent()
            record = self._record = self._store.update(self.id, ref=dict(ref))
        (snapshot,) = self._backend.snapshots([record.ref or {}])
        self.stale = None
        return self._keep(snapshot)

    def _close_intent(self) -> Self:
        """An intent that no living process is about to submit will wait for ever: say so, that nobody waits for it."""
        owner = claims.new_owner()
        if self._record.status.terminal or not claims.take(self._store, self.id, owner):
            return self
        try:
            self._record = record = self._store.get(self.id)  # it may have been submitted before we held the claim
            if record.ref is None and self._backend.adopt(record.tag, self.directory) is None:
                self._keep(_NEVER_SUBMITTED)
        finally:
            self._store.release(self.id, owner)
        return self

    def _keep(self, snapshot: Snapshot) -> Self:
        record = self._record
        if snapshot.status is JobStatus.SUCCEEDED and record.result is None:
            self._store.set_result(self.id, self._backend.result(record.ref or {}).model_dump(mode="json"))
        if snapshot.status is not record.status and self._kept_events:
            if snapshot.status.terminal and record.ref is not None:
                try:
                    self._fetch_events(record.ref)  # what led to the end is told before it
                except BackendError as error:
                    self.stale = str(error)  # the end itself is known, and is kept
            said = f": {snapshot.reason}" if snapshot.reason else ""
            raw = f" ({snapshot.raw})" if snapshot.raw and snapshot.raw != snapshot.status.value else ""
            event = Event(
                seq=0,
                type="status",
                level="error" if snapshot.status is JobStatus.FAILED else "info",
                message=f"{snapshot.status.value}{raw}{said}",
                attempt=snapshot.attempt,
                data={"status": snapshot.status.value, "raw": snapshot.raw},
                key=f"tuneport:{snapshot.attempt}:{snapshot.status.value}:{snapshot.raw}",
            )
            self._store.add_events(self.id, [event])
        now = (snapshot.status, snapshot.reason, snapshot.attempt, snapshot.resumable)
        if now != (record.status, record.error, record.attempt, record.resumable) or snapshot.status.terminal:
            self._record = self._store.update(
                self.id,
                status=snapshot.status,
                error=snapshot.reason,
                attempt=snapshot.attempt,
                resumable=snapshot.resumable,
            )
        return self._tell_end()

    def _tell_end(self) -> Self:
        """Whoever sees the end first tells the job's webhook; where that failed, whoever looks next."""
        if self._record.spec.get("webhook") and webhooks.due(self._record):
            self._record = webhooks.deliver(self._store, self._record)
        return self

    # Following it

    def events(self, follow: bool = False, after: int = 0) -> Iterator[Event]:
        """What happened, in order. With `follow`, until the job has ended; leaving the loop does not touch the job."""
        pace = self._pace()
        while True:
            before = self._record.status
            ended = (
                self._look() if follow else self.refresh()
            ).record.status.terminal  # before: the end's are then there
            for event in self._new_events(after):
                after = event.seq
                yield event
            if not follow or ended:
                return
            time.sleep(self._pause(pace, before))

    def _new_events(self, after: int) -> Sequence[Event]:
        ref = self._record.ref
        if ref is None or not self._here:
            return []
        if not self._kept_events:
            return self._backend.events(ref, after)
        self._fetch_events(ref)
        return self._store.events(self.id, after)

    def _fetch_events(self, ref: Ref) -> None:
        try:
            self._store.add_events(self.id, self._backend.events(ref, 0))
        except (RateLimitedError, UnavailableError) as error:
            self.stale = str(error)  # those that are kept can be told all the same

    @property
    def _kept_events(self) -> bool:
        return self._backend.capabilities().events == "provider"

    def _pace(self) -> Pace:
        return Pace(self._backend.capabilities().polling)

    def _pause(self, pace: Pace, before: JobStatus) -> float:
        """Seconds until the next look: by the pace, and never sooner than the provider has asked for."""
        return max(pace.next(changed=self._record.status is not before), self._told_to_wait)

    def _look(self) -> Self:
        """`refresh` for somebody who waits: a provider that cannot be reached for a while is borne with."""
        self._told_to_wait = 0.0
        try:
            self.refresh()
            self._failures = 0
        except (RateLimitedError, UnavailableError) as error:
            self._failures = self._failures + 1
            self.stale = str(error)
            if isinstance(error, RateLimitedError):
                self._told_to_wait = error.retry_after or 0.0
            if self._failures >= _PATIENCE:
                raise
        return self

    def wait(self, timeout: float | None = None, on_event: Callable[[Event], None] | None = None) -> FineTuneResult:
        """Wait for the end. Raises the job's own error where it is not a success, WaitTimeoutError after `timeout` seconds.

        Ctrl-C (KeyboardInterrupt) leaves the job running.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        seen, pace = 0, self._pace()
        while True:
            before = self._record.status
            ended = self._look().record.status.terminal
            if on_event is not None:
                for event in self._new_events(seen):
                    seen = event.seq
                    on_event(event)
            if ended:
                return self.result()
            if deadline is not None and time.monotonic() >= deadline:
                raise WaitTimeoutError(
                    f"{self.id} is still {self._record.status.value} after {timeout:g} s; it goes on. "
                    f"Wait again, or end it: tuneport cancel {self.id}"
                )
            pause = self._pause(pace, before)
            time.sleep(pause if deadline is None else min(pause, max(0.0, deadline - time.monotonic())))

    def result(self) -> FineTuneResult:
        """The result of a job that succeeded; otherwise the error that fits its state, with the metrics so far."""
        status = self.status
        if status is JobStatus.SUCCEEDED and self._record.result is not None:
            return FineTuneResult.model_validate(self._record.result)
        metrics = [event.data for event in self.events() if event.type == "metrics"]
        reason = f": {self._record.error}" if self._record.error else "."
        how = "Submit it" if self._record.ref is None else "Go on from its last checkpoint"
        again = f" {how}: tuneport resume {self.id}" if self._record.resumable else ""
        if status is JobStatus.FAILED:
            raise JobFailedError(
                f"{self.id} failed{reason}{again}", job_id=self.id, metrics=metrics, resumable=self._record.resumable
            )
        if status is JobStatus.INTERRUPTED:
            raise JobInterruptedError(
                f"{self.id} was interrupted{reason}{again}", job_id=self.id, metrics=metrics, resumable=True
            )
        if status is JobStatus.CANCELLED:
            raise JobCancelledError(
                f"{self.id} was cancelled.{again}", job_id=self.id, metrics=metrics, resumable=self._record.resumable
            )
        raise JobNotFinishedError(
            f"{self.id} is {status.value}: it has no result yet. Follow it: tuneport events {self.id} --follow",
            job_id=self.id,
            metrics=metrics,
        )

    def checkpoints(self) -> Sequence[Checkpoint]:
        """Whole checkpoints, oldest first."""
        backend = self._backend
        if not isinstance(backend, HasCheckpoints):
            raise UnsupportedError(f"the {self.backend} backend has no checkpoints", feature="checkpoints")
        self._demand_here("list checkpoints of")
        return backend.checkpoints(self._record.ref or {})

    # Changing it

    def cancel(self) -> Self:
        """Ask the job to end. It is `cancelling` until it has; its last whole checkpoint stays."""
        self.refresh()
        if self._record.status.terminal:
            return self
        self._demand_here("cancel")
        if self._record.ref is None:
            with self._claimed(
                claims.new_owner()
            ):  # else whoever is submitting it would start what was called cancelled
                self._record = record = self._store.get(self.id)
                ref = record.ref or self._backend.adopt(record.tag, self.directory)
                if ref is None:
                    self._record = self._store.update(self.id, status=JobStatus.CANCELLED, resumable=True)
                    return self
                self._record = self._store.update(self.id, ref=dict(ref))
        self._backend.cancel(self._record.ref or {})
        return self.refresh()

    def pause(self) -> Self:
        """Pause, where the backend can; `resume` goes on. A local job: cancel it, and resume it later."""
        self._demand_here("pause")
        backend = self._backend
        if not isinstance(backend, Pauses):
            support = backend.capabilities().features.get("pause")
            reason = support.reason if support is not None else "it is not available"
            raise UnsupportedError(
                f"the {self.backend} backend cannot pause a job: {reason}", feature="pause", reason=reason
            )
        if not self.status.terminal and self._record.ref is not None:
            backend.pause(self._record.ref)
        return self.refresh()

    def resume(self) -> Self:
        """Go on from the last whole checkpoint, as a new attempt of the same job. Submits what was never submitted."""
        status = self.status
        self._demand_here("resume")
        if status is JobStatus.SUCCEEDED:
            raise JobError(f"{self.id} has succeeded already: there is nothing to resume.", job_id=self.id)
        if not status.terminal and self._record.ref is not None:
            if status in {JobStatus.PAUSED, JobStatus.PAUSING} and isinstance(self._backend, Pauses):
                self._backend.unpause(self._record.ref)
                return self.refresh()
            return self  # it is on its way
        if not self._record.resumable and status.terminal:
            reason = f" ({self._record.error})" if self._record.error else ""
            raise JobError(
                f"{self.id} cannot be resumed{reason}: {self._no_resume or 'it would fail again'}. Create a new job, with the "
                "cause corrected where it failed.",
                job_id=self.id,
            )
        if self._record.ref is None:
            with self._claimed(
                claims.new_owner()
            ):  # one claim over looking and sending: who comes after sees what was sent
                self._record = self._store.get(self.id)
                if self._record.ref is not None:
                    return self  # somebody else has resumed it
                # A create may have been sent just before its process died: its job must have had time to be listed.
                ref = self._adopt_within_window()
                if ref is None:
                    self._send(self._backend.resolve(self.spec, splits(self.directory)))
                    return self
                self._record = self._store.update(
                    self.id, ref=dict(ref), status=JobStatus.QUEUED, error=None, resumable=False
                )
            return self.refresh()
        backend = self._backend
        if not isinstance(backend, Resumes):
            raise UnsupportedError(f"the {self.backend} backend cannot resume a job", feature="resume")
        with self._claimed(claims.new_owner()):
            before, self._record = self._record.attempt, self._store.get(self.id)
            if self._record.attempt != before or not self._record.status.terminal:
                return self  # somebody else has resumed it
            attempt = before + 1
            ref = backend.resume(self._record.ref or {}, attempt)
            self._record = self._store.update(
                self.id, ref=dict(ref), status=JobStatus.QUEUED, attempt=attempt, error=None, resumable=False
            )
        return self

    # A tuned model that has to be deployed before it answers, and costs while it is

    def deployment_offer(self, **options: Any) -> Deployment:
        """What `deploy` would make and cost by the hour and the month. Spends nothing."""
        return self._deploying().deployment_offer(self._record.ref or {}, options)

    def deploy(self, **options: Any) -> Deployment:
        """Deploy the tuned model; it costs from now on, used or not: `deployment_offer` says how much."""
        return self._deploying().deploy(self._record.ref or {}, options)

    def deployments(self) -> Sequence[Deployment]:
        return self._deploying().deployments(self._record.ref or {})

    def undeploy(self) -> Sequence[str]:
        """Take down everything that `deployments` names."""
        return self._deploying().undeploy(self._record.ref or {})

    def _deploying(self) -> Deploys:
        backend = self._backend
        if not isinstance(backend, Deploys):
            support = backend.capabilities().features.get("deploy")
            reason = support.reason if support is not None else "it has no deployments"
            raise UnsupportedError(
                f"the {self.backend} backend does not deploy: {reason}", feature="deploy", reason=reason
            )
        if self.status is not JobStatus.SUCCEEDED:
            raise JobNotFinishedError(
                f"{self.id} is {self.status.value}: only a tuned model can be deployed.", job_id=self.id
            )
        return backend

    @property
    def _no_resume(self) -> str:
        """Why the backend resumes no job that has ended; "" where it does."""
        support = self._backend.capabilities().features.get("resume")
        return support.reason if support is not None else ""

    @property
    def goes_on(self) -> bool:
        """Whether a job of this backend can be resumed after it was cancelled or interrupted."""
        return not self._no_resume

    def delete(self) -> Sequence[str]:
        """Remove the job and every file that it made; returns the paths removed. Refused while it runs."""
        if not self.status.terminal and self._record.ref is not None:
            raise JobError(f"{self.id} is {self._record.status.value}: cancel it first.", job_id=self.id)
        self._demand_here("remove")
        removed: list[str] = []
        backend = self._backend
        if isinstance(backend, CleansUp) and self._record.ref is not None:
            made = backend.made(self._record.ref)
            gone = backend.clean_up(self._record.ref)
            # Another account or endpoint answers "not found" to everything: what was not removed is said.
            removed += [*gone, *(f"not found at the provider: {thing}" for thing in made if thing not in gone)]
        if self._record.directory is not None and Path(self._record.directory).exists():
            shutil.rmtree(self._record.directory)
            removed.append(self._record.directory)
        self._store.delete(self.id)
        return removed

    def made(self) -> Sequence[str]:
        """What `delete` would remove: files here, and what the job has left at its provider."""
        backend = self._backend
        remote = (
            backend.made(self._record.ref) if isinstance(backend, CleansUp) and self._record.ref is not None else []
        )
        return [*remote, *([self._record.directory] if self._record.directory else [])]

    def _demand_here(self, what: str) -> None:
        if not self._here:
            raise JobError(
                f"{self.id} lives on {self._record.host} (in {self._record.home}): {what} it there.", job_id=self.id
            )

    # The async twins: the same calls on a thread, since backends are sync

    @classmethod
    async def acreate(cls, model: str, dataset: Any, **fields: Any) -> FineTuneJob:
        return await asyncio.to_thread(cls.create, model, dataset, **fields)

    async def await_result(
        self, timeout: float | None = None, on_event: Callable[[Event], None] | None = None
    ) -> FineTuneResult:
        """`wait`, leaving the event loop free. Cancelling the task leaves the job running."""
        deadline = None if timeout is None else time.monotonic() + timeout
        seen, pace = 0, self._pace()
        while True:
            before = self._record.status
            ended = (await asyncio.to_thread(self._look)).record.status.terminal
            if on_event is not None:
                for event in await asyncio.to_thread(self._new_events, seen):
                    seen = event.seq
                    on_event(event)
            if ended:
                return await asyncio.to_thread(self.result)
            if deadline is not None and time.monotonic() >= deadline:
                raise WaitTimeoutError(
                    f"{self.id} is still {self._record.status.value} after {timeout:g} s; it goes on."
                )
            await asyncio.sleep(self._pause(pace, before))

    async def aevents(self, follow: bool = True, after: int = 0) -> AsyncIterator[Event]:
        pace = self._pace()
        while True:
            before = self._record.status
            ended = (await asyncio.to_thread(self._look)).record.status.terminal
            for event in await asyncio.to_thread(self._new_events, after):
                after = event.seq
                yield event
            if not follow or ended:
                return
            await asyncio.sleep(self._pause(pace, before))
