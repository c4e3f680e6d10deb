"""The life of a job from any terminal: list, show, follow, cancel, resume, remove."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from tuneport.backend import Deployment
from tuneport.cli.output import (
    Follower,
    console,
    duration,
    job_data,
    json_option,
    print_json,
    print_result,
    quiet_option,
    styled,
    table,
)
from tuneport.cli.run import follow as follow_job
from tuneport.cli.run import pair, write_job_report
from tuneport.errors import BackendError, JobError, NotInstalledError, SpecError, UnsupportedError
from tuneport.job import FineTuneJob
from tuneport.status import JobStatus, utcnow


@click.command(epilog="Example: tuneport jobs --status running")
@click.option("--backend", default=None, help="Only this backend's.")
@click.option(
    "--status", type=click.Choice([s.value for s in JobStatus]), default=None, help="Only those in this state."
)
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True)
@json_option
def jobs(backend: str | None, status: str | None, limit: int, as_json: bool) -> int:
    """The newest jobs, each as it stands now."""
    found = FineTuneJob.list(backend=backend, status=status, limit=limit)
    if as_json:
        print_json([job_data(job) for job in found])
        return 0
    if not found:
        console.print("No jobs yet. Begin with: tuneport demo")
        return 0
    shown = table("id", "name", "status", "model", "created")
    for job in found:
        age = duration((utcnow() - job.record.created_at).total_seconds())
        shown.add_row(job.id, job.name or "", styled(job.record.status), job.model, f"{age} ago")
    console.print(shown)
    for job in found:
        if job.stale is not None:
            console.print(f"{job.id}: as it was last seen; {job.stale}", style="yellow", soft_wrap=True)
    return 0


@click.command(epilog="Example: tuneport show tp-01j… --report report.html")
@click.argument("job_id", metavar="ID")
@click.option("--report", type=click.Path(dir_okay=False), default=None, help="Write the HTML report here.")
@json_option
def show(job_id: str, report: str | None, as_json: bool) -> int:
    """One job: how it stands, and its result once it has one."""
    job = FineTuneJob.get(job_id)
    done = job.status is JobStatus.SUCCEEDED
    if report is not None:
        write_job_report(job, Path(report))
    standing_now: Sequence[Deployment] = []
    unseen: str | None = None
    if done:
        standing_now, unseen = _standing(job)
    if as_json:
        data = job_data(job)
        data["result"] = job.result().model_dump(mode="json") if done else None
        data["deployments"] = [asdict(one) for one in standing_now] if unseen is None else None
        print_json(data)
        return 0
    record = job.record
    console.print(f"{job.id}  {styled(record.status)}" + (f"  ({job.name})" if job.name else ""))
    console.print(f"{job.model}, {record.spec.get('objective', {}).get('kind', '')}", markup=False)
    attempt = f", attempt {record.attempt}" if record.attempt > 1 else ""
    console.print(f"created {record.created_at:%Y-%m-%d %H:%M:%S} UTC on {record.host}{attempt}", style="dim")
    if record.error:
        console.print(record.error, markup=False, soft_wrap=True)
    if record.resumable and record.status.terminal and not done:
        console.print(f"Go on from its last checkpoint: tuneport resume {job.id}")
    if done:
        print_result(job.result())
    else:
        last = [event for event in job.events() if event.type == "metrics"]
        if last:
            data = {key: value for key, value in last[-1].data.items() if value is not None}
            words = (f"{k} {v:.5g}" if isinstance(v, float) else f"{k} {v}" for k, v in data.items())
            console.print("last metrics: " + ", ".join(words), markup=False, soft_wrap=True)
    for one in standing_now:
        line = f"stands: {one.name} ({one.kind}, {one.status}), at {standing(one)}; tuneport undeploy {job.id} ends it"
        console.print(line, markup=False, soft_wrap=True)
    if unseen is not None:
        console.print(f"what stands deployed could not be seen: {unseen}", style="yellow", markup=False, soft_wrap=True)
    if record.directory:
        console.print(f"files: {record.directory}", markup=False, soft_wrap=True)
    if report is not None:
        console.print(f"report: {report}", markup=False, soft_wrap=True)
    return 0


def _standing(job: FineTuneJob) -> tuple[Sequence[Deployment], str | None]:
    """What stands deployed, where the backend deploys at all; or why that could not be seen."""
    try:
        return job.deployments(), None
    except UnsupportedError:
        return [], None
    except (BackendError, NotInstalledError) as error:
        return [], str(error)


@click.command(epilog="Example: tuneport events tp-01j… --follow")
@click.argument("job_id", metavar="ID")
@click.option("-f", "--follow", is_flag=True, help="Go on until the job ends. Ctrl-C only stops looking.")
@json_option
def events(job_id: str, follow: bool, as_json: bool) -> int:
    """What happened to a job. With --json, one event a line."""
    job = FineTuneJob.get(job_id)
    try:
        if as_json:
            for event in job.events(follow=follow):
                click.echo(event.model_dump_json())
        elif follow and console.is_terminal:
            with Follower() as follower:
                for event in job.events(follow=True):
                    follower(event)
        else:
            for event in job.events(follow=follow):
                numbers = (
                    f"{k}={v:.5g}" if isinstance(v, float) else f"{k}={v}"
                    for k, v in event.data.items()
                    if v is not None
                )
                text = event.message or " ".join(numbers)
                console.print(f"{event.at:%H:%M:%S} {event.type:<10} {text}", markup=False, soft_wrap=True)
    except KeyboardInterrupt:
        click.echo(f"\nStopped looking; {job.id} is {job.status.value}.", err=True)
        return 130
    status = job.status
    if follow and not as_json:
        console.print(f"{job.id} {styled(status)}" + (f": {job.error}" if job.error else ""), soft_wrap=True)
    return 1 if follow and status.terminal and status is not JobStatus.SUCCEEDED else 0


@click.command(epilog="Example: tuneport cancel tp-01j…")
@click.argument("job_id", metavar="ID")
@json_option
def cancel(job_id: str, as_json: bool) -> int:
    """End a job. Its last whole checkpoint stays, so that a local job can be resumed."""
    job = FineTuneJob.get(job_id)
    before = job.status
    job.cancel()
    if as_json:
        print_json(job_data(job))
    elif before.terminal:
        console.print(f"{job.id} had ended already: {styled(before)}.")
    else:
        later = f" To go on later: tuneport resume {job.id}" if job.goes_on else ""
        console.print(f"{job.id} is {styled(job.status)}.{later}")
    return 0


@click.command(epilog="Example: tuneport resume tp-01j… --detach")
@click.argument("job_id", metavar="ID")
@click.option("--detach", is_flag=True, help="Return at once.")
@quiet_option
@json_option
def resume(job_id: str, detach: bool, quiet: bool, as_json: bool) -> int:
    """Go on from the last whole checkpoint, as a new attempt of the same job."""
    job = FineTuneJob.get(job_id).resume()
    if detach:
        if as_json:
            print_json(job_data(job))
        else:
            console.print(f"{job.id} is {styled(job.status)}, attempt {job.attempt}.")
        return 0
    return follow_job(job, quiet=quiet or as_json, as_json=as_json)


@click.command(epilog="Example: tuneport rm tp-01j…")
@click.argument("job_id", metavar="ID")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@json_option
def rm(job_id: str, yes: bool, as_json: bool) -> int:
    """Remove a job and every file that it made, each named first."""
    job = FineTuneJob.get(job_id)
    if not job.status.terminal and job.record.ref is not None:
        raise JobError(f"{job.id} is {job.status.value}: cancel it first: tuneport cancel {job.id}", job_id=job.id)
    if not yes and not sys.stdin.isatty():
        raise SpecError(f"rm asks before it removes {job.id}, and there is no terminal to ask on: give --yes.")
    if not yes:
        for thing in job.made():
            click.echo(f"  {thing}", err=True)
        click.confirm(f"Remove {job.id} and all of this?", abort=True, err=True)
    removed = job.delete()
    if as_json:
        print_json({"id": job.id, "removed": list(removed)})
    else:
        console.print("removed: " + (", ".join(removed) or "the record only"), markup=False, soft_wrap=True)
    return 0


@click.command(epilog="Example: tuneport pause tp-01j…")
@click.argument("job_id", metavar="ID")
@json_option
def pause(job_id: str, as_json: bool) -> int:
    """Pause a job where its provider can; `resume` goes on."""
    job = FineTuneJob.get(job_id)
    before = job.status
    job.pause()
    if as_json:
        print_json(job_data(job))
    elif before.terminal:
        console.print(f"{job.id} had ended already: {styled(before)}.")
    else:
        console.print(f"{job.id} is {styled(job.status)}. To go on: tuneport resume {job.id}")
    return 0


@click.command(epilog="Example: tuneport deploy tp-01j… --set kind=provisioned --set units=1")
@click.argument("job_id", metavar="ID")
@click.option(
    "--set", "sets", multiple=True, metavar="KEY=VALUE", help="The backend's own: kind, units, machine_type, …"
)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@json_option
def deploy(job_id: str, sets: tuple[str, ...], yes: bool, as_json: bool) -> int:
    """Deploy a tuned model. Says first what it costs while it stands, used or not."""
    job = FineTuneJob.get(job_id)
    options = dict(pair(text, "--set") for text in sets)
    offer = job.deployment_offer(**options)
    if not yes:
        if not sys.stdin.isatty():
            raise SpecError(
                f"deploying {job.id} costs {standing(offer)}, and there is no terminal to ask on: give --yes."
            )
        click.confirm(f"Deploy {offer.name} ({offer.kind}) at {standing(offer)}?", abort=True, err=True)
    made = job.deploy(**options)
    if as_json:
        print_json(asdict(made))
    else:
        console.print(
            f"{made.name} is {made.status}, at {standing(made)}. To take it down: tuneport undeploy {job.id}",
            soft_wrap=True,
        )
    return 0


@click.command(epilog="Example: tuneport undeploy tp-01j…")
@click.argument("job_id", metavar="ID")
@json_option
def undeploy(job_id: str, as_json: bool) -> int:
    """Take down what stands of a job's tuned model, so that it costs no more."""
    job = FineTuneJob.get(job_id)
    gone = job.undeploy()
    if as_json:
        print_json({"id": job.id, "undeployed": list(gone)})
    else:
        console.print("taken down: " + (", ".join(gone) or "nothing stood"), markup=False, soft_wrap=True)
    return 0


def standing(offer: Deployment) -> str:
    """The standing cost in words."""
    if offer.per_hour is None and offer.per_month is None:
        return "a price that is unknown (put yours into catalog.yaml)"
    month = f"{offer.per_month:,.2f} {offer.currency} a month" if offer.per_month is not None else ""
    hour = f"{offer.per_hour:,.2f} {offer.currency} an hour" if offer.per_hour is not None else ""
    return ", ".join(part for part in (hour, month) if part)
