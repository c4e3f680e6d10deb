"""Where tuneport keeps its state: `$TUNEPORT_HOME`, by default the platform's data directory for the user."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import platformdirs

from tuneport.errors import StoreError

# 9p is absent on purpose: it is also the root file system of some sandboxes, where locks do work, and where they do not
# (Windows drives under WSL) SQLite's WAL fails at once and loudly.
NETWORK_FILE_SYSTEMS = {
    *("afpfs", "afs", "beegfs", "ceph", "cifs", "davfs", "glusterfs", "gpfs", "lustre", "nfs", "nfs4", "panfs", "smb3"),
    *("smbfs", "webdav", "wekafs", "fuse.ceph", "fuse.gcsfuse", "fuse.glusterfs", "fuse.mount-s3", "fuse.rclone"),
    *("fuse.s3fs", "fuse.sshfs"),
}


def home() -> Path:
    """The absolute path of tuneport's home, created for its owner alone (0700) where it is missing."""
    text = os.environ.get("TUNEPORT_HOME")
    path = Path(text).expanduser().absolute() if text else platformdirs.user_data_path("tuneport", appauthor=False)
    return _made(path)


def jobs_dir() -> Path:
    """The folder that holds one directory for each job."""
    return _made(home() / "jobs")


def _made(path: Path) -> Path:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"{path} cannot be used as tuneport's home: {error.strerror}. Set TUNEPORT_HOME to a folder you can write"
        ) from error
    return path


def refuse_network_file_system(path: Path, mounts: str | None = None) -> None:
    """Raise `StoreError` where `path` is on a network file system: SQLite's WAL needs memory that its users share.

    `mounts` is a mount table as text (/proc/mounts on Linux, what `mount` prints on macOS), by default this machine's.
    """
    kind = file_system_type(path, _mounts() if mounts is None else mounts)
    if kind in NETWORK_FILE_SYSTEMS:
        raise StoreError(
            f"{path} is on a network file system ({kind}), where SQLite's locks and shared memory do not hold and the "
            "job database could be corrupted. Set TUNEPORT_HOME to a local disk, or TUNEPORT_DATABASE_URL to PostgreSQL"
        )


def file_system_type(path: Path, mounts: str) -> str | None:
    """The file system type under `path` by the mount table `mounts`, or None where the table does not say."""
    target = path.resolve()
    depth, kind = -1, None
    for line in mounts.splitlines():
        if linux := re.match(r"\S+ (/\S*) (\S+) ", line):  # "server:/x /mnt/x nfs4 rw,relatime 0 0"
            point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), linux[1])
            found = linux[2]
        elif macos := re.match(r".+ on (/.*) \((\w+)[,)]", line):  # "//me@nas/x on /Volumes/x (smbfs, nodev)"
            point, found = macos[1], macos[2]
        else:
            continue
        parts = len(Path(point).parts)
        if target.is_relative_to(point) and parts >= depth:  # a later mount on the same point hides the earlier
            depth, kind = parts, found
    return kind


def _mounts() -> str:
    try:
        if sys.platform == "darwin":
            return subprocess.run(["mount"], capture_output=True, text=True, check=True, timeout=10).stdout
        return Path("/proc/mounts").read_text(encoding="utf-8", errors="surrogateescape")
    except (OSError, subprocess.SubprocessError):
        return ""  # no mount table to ask (a BSD, a bare container): nothing is known, so nothing is refused
