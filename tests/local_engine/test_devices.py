"""Devices and their leases, between real processes."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tuneport.errors import DeviceBusyError, SpecError
from tuneport.spec import Resources
from tuneport_local.devices import DeviceInfo, Lease, WaitStopped, choose, detect, lease, queue_position

HOLD = (
    "import sys; from pathlib import Path; from tuneport_local.devices import lease\n"
    "with lease(Path(sys.argv[1]), sys.argv[3:], who=sys.argv[2]):\n"
    "    print('held', flush=True)\n"
    "    sys.stdin.read()\n"
)
GPUS = [
    DeviceInfo("cpu", "cpu", "8 cores", 2**34, cores=8),
    *(DeviceInfo(f"cuda:{n}", "cuda", "a GPU", 2**36, index=n) for n in range(3)),
]


def holder(home: Path, who: str, *devices: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLD, str(home), who, *devices]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def held(process: subprocess.Popen[str]) -> bool:
    assert process.stdout is not None
    return process.stdout.readline() == "held\n"


def let_go(process: subprocess.Popen[str]) -> None:
    process.communicate("")


def until(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_busy_device_names_its_holder(tmp_path: Path) -> None:
    other = holder(tmp_path, "tp-other", "cuda:0", "cuda:1")
    assert held(other)
    message = rf"cuda:1, cuda:2 is busy: 'tp-other' \(pid {other.pid}\) has it since 20.* UTC; wait for it, cancel it"
    with pytest.raises(DeviceBusyError, match=message), lease(tmp_path, ["cuda:2", "cuda:1"], who="me", wait=False):
        pass
    with lease(tmp_path, ["cuda:2"], who="me", wait=False):
        pass
    let_go(other)
    with lease(tmp_path, ["cuda:1"], who="me", wait=False) as devices:
        assert devices == ["cuda:1"]


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    other = holder(tmp_path, "tp-other", "cpu")
    assert held(other)
    other.kill()
    let_go(other)
    with lease(tmp_path, ["cpu"], who="me", wait=False) as devices:
        assert devices == ["cpu"]


def test_a_child_does_not_inherit_the_lease(tmp_path: Path) -> None:
    with lease(tmp_path, ["cpu"], who="me"):
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, text=True, close_fds=False)
    with lease(tmp_path, ["cpu"], who="me", wait=False):
        let_go(child)


def test_first_come_first_served_and_the_dead_are_passed_over(tmp_path: Path) -> None:
    first = holder(tmp_path, "first", "cpu")
    assert held(first)
    waiters = []
    for n, who in enumerate(("second", "third", "fourth"), 1):
        waiters.append(holder(tmp_path, who, "cpu"))
        until(lambda who=who, n=n: queue_position(tmp_path, who) == n)
    second, third, fourth = waiters
    second.kill()
    let_go(second)
    until(lambda: queue_position(tmp_path, "third") == 1)
    assert queue_position(tmp_path, "fourth") == 2
    assert queue_position(tmp_path, "second") is None
    let_go(first)
    assert held(third)
    assert queue_position(tmp_path, "fourth") == 1
    let_go(third)
    assert held(fourth)
    let_go(fourth)
    assert list((tmp_path / "devices" / "queue").iterdir()) == []


def test_nobody_takes_a_device_that_somebody_waits_for_longer(tmp_path: Path) -> None:
    first = holder(tmp_path, "first", "cuda:0")
    assert held(first)
    both = holder(tmp_path, "both", "cuda:0", "cuda:1")
    until(lambda: queue_position(tmp_path, "both") == 1)
    with pytest.raises(DeviceBusyError, match="'both'"), lease(tmp_path, ["cuda:1"], who="late", wait=False):
        pass
    let_go(first)
    assert held(both)
    let_go(both)


def test_a_wait_can_be_stopped_and_says_how_many_are_ahead(tmp_path: Path) -> None:
    other = holder(tmp_path, "other", "cpu")
    assert held(other)
    told: list[int] = []
    with Lease(tmp_path, ["cpu"], who="me") as place:
        assert queue_position(tmp_path, "me") == 1
        with pytest.raises(WaitStopped):
            place.acquire(should_stop=lambda: bool(told), on_wait=told.append)
    assert told == [1]
    assert queue_position(tmp_path, "me") is None
    let_go(other)


def test_no_queue_no_position(tmp_path: Path) -> None:
    assert queue_position(tmp_path, "me") is None
    assert list(tmp_path.iterdir()) == []


def test_detect_always_finds_the_cpu() -> None:
    cpu = detect()[0]
    assert (cpu.name, cpu.kind) == ("cpu", "cpu")
    assert cpu.cores
    assert cpu.memory_bytes > 2**20


@pytest.fixture
def nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program of that name which prints what the real one prints for this query."""
    program = tmp_path / "nvidia-smi"
    program.write_text(
        "#!/bin/sh\n"
        "echo '0, GPU-aaaa-1, NVIDIA H200, 143771'\n"
        "echo '1, GPU-bbbb-2, NVIDIA H200, 143771'\n"
        "echo '2, GPU-cccc-3, NVIDIA GB10, [N/A]'\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.usefixtures("nvidia_smi")
@pytest.mark.parametrize(
    ("mask", "names"),
    [(None, [0, 1, 2]), ("1,2", [1, 2]), ("GPU-aaaa", [0]), ("", []), ("-1", [])],
)
def test_detect_reads_nvidia_smi_within_the_mask(
    mask: str | None, names: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    if mask is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", mask)
    gpus = [device for device in detect() if device.kind == "cuda"]
    assert [gpu.name for gpu in gpus] == [f"cuda:{n}" for n in names]
    assert all(gpu.memory_bytes for gpu in gpus)
    if 0 in names:
        assert (gpus[0].model, gpus[0].memory_bytes) == ("NVIDIA H200", 143771 * 2**20)


@pytest.mark.parametrize(
    ("devices", "chosen"),
    [("auto", ["cuda:0"]), ("cpu", ["cpu"]), (2, ["cuda:0", "cuda:1"]), ([2, 0], ["cuda:2", "cuda:0"])],
)
def test_choose(devices: object, chosen: list[str]) -> None:
    assert choose(Resources.parse({"devices": devices}), GPUS) == chosen


def test_choose_falls_back_to_the_cpu_only_where_asked_to() -> None:
    assert choose(Resources(), GPUS[:1]) == ["cpu"]
    with pytest.raises(
        SpecError, match=r"devices is 1, but this machine has no GPU that nvidia-smi lists; use .*'cpu'"
    ):
        choose(Resources(devices=1), GPUS[:1])
    with pytest.raises(
        SpecError, match=r"devices is \[0, 7\], but this machine has cuda:0, cuda:1, cuda:2; leave out \[7\]"
    ):
        choose(Resources(devices=[0, 7]), GPUS)
