"""What every test may use: a fresh home, a real PostgreSQL, and one way to say that a part is absent.

`TUNEPORT_REQUIRE=postgres,browser,node` names the parts that must be there: their tests then fail where they would skip.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

PASSWORD = "hunter2-s3cret"


def absent(part: str, why: str) -> NoReturn:
    if part in os.environ.get("TUNEPORT_REQUIRE", "").replace(" ", "").split(","):
        pytest.fail(f"TUNEPORT_REQUIRE names {part!r}, but {why}", pytrace=False)
    pytest.skip(f"{part}: {why}")


@pytest.fixture(scope="session")
def require() -> Callable[[str, str | Path | None, str], str]:
    """`require("node", shutil.which("node"), "no node on PATH")` gives what was found, or skips, or fails if required."""

    def required(part: str, found: str | Path | None, why: str) -> str:
        return str(found) if found else absent(part, why)

    return required


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A TUNEPORT_HOME of the test's own, with the default database."""
    path = tmp_path / "home"
    monkeypatch.setenv("TUNEPORT_HOME", str(path))
    monkeypatch.delenv("TUNEPORT_DATABASE_URL", raising=False)
    return path


def _program(name: str) -> str | None:
    if found := shutil.which(name):
        return found
    if config := shutil.which("pg_config"):
        folder = subprocess.run([config, "--bindir"], capture_output=True, text=True, check=True).stdout.strip()
        return shutil.which(name, path=folder)
    return None


@pytest.fixture(scope="session")
def postgres_url(require: Callable[..., str]) -> Iterator[str]:
    """A PostgreSQL server on a socket of its own, with a password, for the whole session."""
    why = "no PostgreSQL server programs (initdb, pg_ctl) on PATH or where pg_config points; install postgresql"
    initdb, pg_ctl = (require("postgres", _program(name), why) for name in ("initdb", "pg_ctl"))
    folder = Path(tempfile.mkdtemp(prefix="tuneport-pg-"))  # short, as a socket's path must be below 108 bytes
    as_user: dict[str, Any] = {"cwd": folder, "stdout": subprocess.DEVNULL}
    try:
        password = folder / "password"
        password.write_text(PASSWORD)
        if os.geteuid() == 0:  # the server refuses to run as root
            users = {user.pw_name: user for user in pwd.getpwall()}
            user = users.get("postgres") or users["nobody"]
            os.chown(folder, user.pw_uid, user.pw_gid)
            os.chown(password, user.pw_uid, user.pw_gid)
            as_user |= {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        data, log = folder / "data", folder / "log"
        settings = ("-A", "scram-sha-256", f"--pwfile={password}", "--no-sync", "--encoding=UTF8", "--locale=C")
        subprocess.run([initdb, "-D", data, "-U", "tuneport", *settings], check=True, **as_user)
        # Its data is thrown away, so it need not reach the disk.
        options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off -c full_page_writes=off"
        try:
            subprocess.run(
                [pg_ctl, "-D", data, "-l", log, "-w", "-t", "60", "-o", options, "start"], check=True, **as_user
            )
        except subprocess.CalledProcessError:
            pytest.fail(f"PostgreSQL did not start: {log.read_text() if log.exists() else 'it wrote no log'}")
        try:
            yield f"postgresql://tuneport:{PASSWORD}@/postgres?host={folder}"
        finally:
            subprocess.run([pg_ctl, "-D", data, "-w", "-m", "immediate", "stop"], check=True, **as_user)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
