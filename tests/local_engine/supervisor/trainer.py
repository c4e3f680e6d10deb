"""A trainer that trains nothing: `python trainer.py MODE JOB --attempt N --parent-fd FD`. Standard library only.

It shows itself in <job>/pids, and "train" goes on until <job>/go exists; each mode is one way for a trainer to live or end.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

mode, job = sys.argv[1], Path(sys.argv[2])
parent_fd = int(sys.argv[sys.argv.index("--parent-fd") + 1])
REPORT = {
    "kind": "adapter", "metrics": {}, "curve": [], "checkpoints": [], "ledger": {}, "trained_tokens": 1, "steps": 1,
    "artifacts": [], "train_seconds": 0.1, "provenance": {},
}  # fmt: skip


def trace(word: str) -> None:
    with (job.parent / "trace").open("a") as file:
        file.write(f"{word} {job.name}\n")


def watch_parent() -> None:
    os.read(parent_fd, 1)
    (job / "orphaned").touch()
    os._exit(9)


def checkpoint_and_end(*_: object) -> None:
    (job / "checkpoints" / "step-00000001").mkdir(parents=True)
    sys.exit(0)


def report() -> None:
    (job / "report.json").write_text(json.dumps(REPORT))


def show(*pids: int) -> None:
    (job / ".pids").write_text(json.dumps([os.getpid(), *pids]))
    (job / ".pids").rename(job / "pids")


threading.Thread(target=watch_parent, daemon=True).start()
trace("start")
if mode == "train":
    signal.signal(signal.SIGTERM, checkpoint_and_end)
    show()
    while not (job / "go").exists():
        time.sleep(0.02)
    report()
elif mode == "quick":
    time.sleep(0.2)
    report()
elif mode == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a child inherits what is ignored
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    show(subprocess.Popen(sleep).pid, subprocess.Popen(sleep, start_new_session=True).pid)
    time.sleep(600)
elif mode == "leaves-a-child":
    show(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid)
    report()
elif mode == "deaf":  # does not watch its parent
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.closerange(parent_fd, parent_fd + 1)
    show()
    time.sleep(600)
elif mode == "no-report":
    sys.stdout.write("I forgot something\n")
elif mode == "bad-report":
    (job / "report.json").write_text("{")
elif mode in {"gives-up", "refuses"}:
    failure: dict[str, object] = {"error": "RuntimeError", "message": "loss is nan at step 3"}
    failure |= {"user_error": mode == "refuses", "resumable": mode != "refuses"}
    (job / "failure.json").write_text(json.dumps(failure))
    sys.exit(1)
elif mode == "crashes":
    sys.stdout.write("something odd happened\n")
    sys.exit(3)
elif mode == "segfault":
    os.kill(os.getpid(), signal.SIGSEGV)
elif mode == "eats":
    show()
    eaten = []
    while True:
        eaten.append(bytearray(os.urandom(2**20)))
elif mode == "fills":
    report()
    with (job / "filler").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
trace("end")
