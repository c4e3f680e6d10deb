"""Which devices there are, and whose turn it is: leases that are OS file locks, and a queue beside them.

    <home>/devices/
        guard.lock                held for the milliseconds in which somebody looks at or changes what is below
        cpu.lock  cuda-0.lock     held for as long as the lease
        cpu.json  cuda-0.json     `Claim`: who holds it; means nothing while the lock beside it is free
        queue/00000003            `Claim`: somebody waiting, first come first; dead where nobody holds its lock

A lease takes all of its devices at once or none, so two that overlap cannot block each other for good; and nobody takes a
device while somebody who came earlier waits for it, so nobody starves. Those who want other devices pass.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, Self

import psutil
from pydantic import BaseModel, ConfigDict

from tuneport.errors import BackendError, DeviceBusyError, SpecError
from tuneport.spec import Resources
from tuneport.status import utcnow
from tuneport_local.config import write_atomic
from tuneport_local.process import is_locked, locked, try_lock

_POLL_SECONDS = 0.1


class Claim(BaseModel):
    """Who holds or wants which devices."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    who: str
    pid: int
    since: datetime
    devices: list[str]


class WaitStopped(Exception):
    """The wait for a lease ended because `should_stop` said so."""


class Lease:
    """A place in the queue from entering on, and the devices themselves after `acquire`. Leaving gives both back."""

    def __init__(self, home: Path, devices: Sequence[str], *, who: str) -> None:
        if not devices:
            raise SpecError("a lease names at least one device, such as 'cpu' or 'cuda:0'")
        self._room = home / "devices"
        self._claim = Claim(who=who, pid=os.getpid(), since=utcnow(), devices=sorted(set(devices)))
        self._ticket: Path | None = None
        self._ticket_lock: int | None = None
        self._held: dict[str, int] = {}

    def __enter__(self) -> Self:
        (self._room / "queue").mkdir(parents=True, exist_ok=True)
        with locked(self._room / "guard.lock"):
            # One more than the last that waits: an order that no clock can turn around.
            last = max((int(path.name) for path, _ in _waiting(self._room)), default=0)
            self._ticket = self._room / "queue" / f"{last + 1:08d}"
            write_atomic(self._ticket, self._claim.model_dump_json().encode())
            self._ticket_lock = try_lock(self._ticket, patience=10.0)
            if self._ticket_lock is None:
                raise BackendError(f"{self._ticket} is locked by another program; end it, or remove the file")
        return self

    def __exit__(self, *_: object) -> None:
        with locked(self._room / "guard.lock"):
            self._leave_queue()
            for device, handle in self._held.items():
                _side(self._room, device).unlink(missing_ok=True)
                os.close(handle)
            self._held.clear()

    def acquire(
        self,
        *,
        wait: bool = True,
        should_stop: Callable[[], bool] = lambda: False,
        on_wait: Callable[[int], None] | None = None,
    ) -> list[str]:
        """Take the devices when it is our turn, and return them in order.

        `on_wait` is told how many are ahead, at first and whenever that changes; `should_stop` is asked about ten times
        a second. Raises DeviceBusyError where `wait` is False and the devices are not free, WaitStopped where told to.
        """
        told = -1
        while True:
            if should_stop():
                raise WaitStopped
            with locked(self._room / "guard.lock"):
                ahead = self._ahead()
                if not ahead and self._take():
                    return list(self._held)
            if not wait:
                raise DeviceBusyError(_busy(self._claim, ahead))
            if on_wait is not None and ahead and len(ahead) != told:
                told = len(ahead)
                on_wait(told)
            time.sleep(_POLL_SECONDS)

    def _ahead(self) -> list[Claim]:
        earlier = [claim for path, claim in _waiting(self._room) if self._ticket is None or path < self._ticket]
        return _in_the_way(self._room, self._claim, earlier)

    def _take(self) -> bool:
        try:
            for device in self._claim.devices:
                handle = try_lock(_lock(self._room, device))
                if handle is None:  # held, though its holder has not said who it is
                    self._drop()
                    return False
                self._held[device] = handle
            for device in self._held:
                write_atomic(_side(self._room, device), self._claim.model_dump_json().encode())
        except BaseException:
            self._drop()
            raise
        self._leave_queue()
        return True

    def _drop(self) -> None:
        for handle in self._held.values():
            os.close(handle)
        self._held.clear()

    def _leave_queue(self) -> None:
        if self._ticket is not None:
            self._ticket.unlink(missing_ok=True)
            self._ticket = None
        if self._ticket_lock is not None:
            os.close(self._ticket_lock)
            self._ticket_lock = None


@contextmanager
def lease(
    home: Path,
    devices: Sequence[str],
    *,
    who: str,
    wait: bool = True,
    should_stop: Callable[[], bool] = lambda: False,
    on_wait: Callable[[int], None] | None = None,
) -> Generator[list[str]]:
    """Hold `devices` for the length of the block; see `Lease.acquire`. `who` is what others are told: a job's id."""
    with Lease(home, devices, who=who) as place:
        yield place.acquire(wait=wait, should_stop=should_stop, on_wait=on_wait)


def queue_position(home: Path, who: str) -> int | None:
    """How many are ahead of `who`, those that hold its devices included; None where it does not wait."""
    room = home / "devices"
    if not (room / "guard.lock").exists():
        return None
    with locked(room / "guard.lock"):
        earlier: list[Claim] = []
        for _, claim in _waiting(room):
            if claim.who == who:
                return len(_in_the_way(room, claim, earlier))
            earlier.append(claim)
    return None


def _lock(room: Path, device: str) -> Path:
    return room / f"{device.replace(':', '-')}.lock"


def _side(room: Path, device: str) -> Path:
    return room / f"{device.replace(':', '-')}.json"


def _waiting(room: Path) -> list[tuple[Path, Claim]]:
    """The living tickets in order; dead ones are removed. Under the guard, where no ticket is without its lock."""
    living: list[tuple[Path, Claim]] = []
    for path in sorted((room / "queue").glob("[0-9]*")):
        if is_locked(path):
            living.append((path, Claim.model_validate_json(path.read_bytes())))
        else:
            path.unlink(missing_ok=True)
    return living


def _in_the_way(room: Path, claim: Claim, earlier: Sequence[Claim]) -> list[Claim]:
    """Who must be done before `claim` has its turn: the holders of its devices, then those who wait for them longer."""
    holders: list[Claim] = []
    for device in claim.devices:
        if is_locked(_lock(room, device)) and _side(room, device).exists():
            holder = Claim.model_validate_json(_side(room, device).read_bytes())
            if holder not in holders:
                holders.append(holder)
    return holders + [other for other in earlier if set(other.devices) & set(claim.devices)]


def _busy(claim: Claim, ahead: Sequence[Claim]) -> str:
    wanted = ", ".join(claim.devices)
    if not ahead:
        return f"{wanted} is held by a process that has not said who it is; try again"
    first = ahead[0]
    more = f", and {len(ahead) - 1} more wait for it" if len(ahead) > 1 else ""
    return (
        f"{wanted} is busy: {first.who!r} (pid {first.pid}) has it since {first.since:%Y-%m-%d %H:%M:%S} UTC{more}; "
        f"wait for it, cancel it, or use another device"
    )


@dataclass(frozen=True)
class DeviceInfo:
    """One device: `name` is what a lease takes ("cpu", "cuda:0"), `index` the GPU's in PCI order, as nvidia-smi counts."""

    name: str
    kind: Literal["cpu", "cuda"]
    model: str
    memory_bytes: int
    cores: int | None = None
    index: int | None = None


def detect() -> list[DeviceInfo]:
    """The CPU, then every NVIDIA GPU that nvidia-smi lists; without torch, whose import costs seconds."""
    cores = psutil.cpu_count() or 1
    memory = psutil.virtual_memory().total
    return [DeviceInfo("cpu", "cpu", f"{cores} cores", memory, cores=cores), *_gpus()]


def _gpus() -> list[DeviceInfo]:
    query = ["nvidia-smi", "--query-gpu=index,uuid,name,memory.total", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):  # no driver, or one that does not answer: no GPU that could train
        return []
    mask = os.environ.get("CUDA_VISIBLE_DEVICES")
    found: list[DeviceInfo] = []
    for line in answer.stdout.splitlines():
        index, uuid, name, mebibytes = (part.strip() for part in line.split(",", 3))
        if not _visible(index, uuid, mask):
            continue
        # Where the GPU shares the CPU's memory, nvidia-smi has no size to give.
        size = int(mebibytes) * 2**20 if mebibytes.isdigit() else psutil.virtual_memory().total
        found.append(DeviceInfo(f"cuda:{index}", "cuda", name, size, index=int(index)))
    return found


def _visible(index: str, uuid: str, mask: str | None) -> bool:
    """nvidia-smi lists every GPU; whoever set CUDA_VISIBLE_DEVICES (a scheduler, as a rule) gave us only those in it."""
    if mask is None:
        return True
    return any(part == index or (part and uuid.startswith(part)) for part in mask.replace(" ", "").split(","))


def choose(resources: Resources, available: Sequence[DeviceInfo] | None = None) -> list[str]:
    """The devices that `resources` asks for, by name. Raises SpecError where this machine does not have them."""
    names = [device.name for device in (detect() if available is None else available) if device.kind == "cuda"]
    wanted = resources.devices
    if wanted == "cpu":
        return ["cpu"]
    if wanted == "auto":
        return names[:1] or ["cpu"]
    has = f"this machine has {', '.join(names)}" if names else "this machine has no GPU that nvidia-smi lists"
    if isinstance(wanted, int):
        if wanted > len(names):
            raise SpecError(f"resources.devices is {wanted}, but {has}; use a smaller count or devices='cpu'")
        return names[:wanted]
    missing = [index for index in wanted if f"cuda:{index}" not in names]
    if missing:
        raise SpecError(f"resources.devices is {wanted}, but {has}; leave out {missing} or use devices='cpu'")
    return [f"cuda:{index}" for index in wanted]
