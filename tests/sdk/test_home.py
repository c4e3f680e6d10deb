import stat
from pathlib import Path

import platformdirs
import pytest

import tuneport.home
from tuneport.errors import StoreError
from tuneport.home import file_system_type, jobs_dir, refuse_network_file_system

LINUX = """\
/dev/vda / ext4 rw,relatime 0 0
server:/export /mnt/nfs nfs4 rw,vers=4.2 0 0
/dev/sdb /mnt/nfs/local xfs rw 0 0
//nas/share /mnt/my\\040share cifs rw 0 0
autofs /auto autofs rw 0 0
server:/home /auto nfs rw 0 0
me@host:/ /mnt/ssh fuse.sshfs rw 0 0
"""
MACOS = """\
/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)
map auto_home on /System/Volumes/Data/home (autofs, automounted, nobrowse)
//me@nas._smb._tcp.local/share on /Volumes/my share (smbfs, nodev, nosuid, mounted by me)
server:/x on /Volumes/x (nfs)
"""


def test_the_home_is_what_the_environment_says(home: Path) -> None:
    assert tuneport.home.home() == home
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert jobs_dir() == home / "jobs"
    assert stat.S_IMODE(jobs_dir().stat().st_mode) == 0o700


def test_the_home_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TUNEPORT_HOME", "here")
    assert tuneport.home.home() == tmp_path / "here"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TUNEPORT_HOME", "~/there")
    assert tuneport.home.home() == tmp_path / "there"


def test_the_home_is_the_platforms_data_directory_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TUNEPORT_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert tuneport.home.home() == Path(platformdirs.user_data_dir("tuneport"))
    assert tmp_path in tuneport.home.home().parents


def test_a_home_that_cannot_be_made_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        monkeypatch.setenv("TUNEPORT_HOME", str(path))
        with pytest.raises(StoreError, match=f"{path} cannot be used as tuneport's home: .* Set TUNEPORT_HOME"):
            tuneport.home.home()


@pytest.mark.parametrize(
    ("table", "path", "kind"),
    [
        (LINUX, "/home/me", "ext4"),
        (LINUX, "/mnt/nfs/x/y", "nfs4"),
        (LINUX, "/mnt/nfs2", "ext4"),
        (LINUX, "/mnt/nfs/local/x", "xfs"),
        (LINUX, "/mnt/my share/x", "cifs"),
        (LINUX, "/auto/me", "nfs"),
        (LINUX, "/mnt/ssh", "fuse.sshfs"),
        (MACOS, "/Users/me", "apfs"),
        (MACOS, "/Volumes/my share/x", "smbfs"),
        (MACOS, "/Volumes/x", "nfs"),
        ("", "/home/me", None),
        ("nonsense\n", "/home/me", None),
    ],
)
def test_a_network_file_system_is_known_and_refused(table: str, path: str, kind: str | None) -> None:
    assert file_system_type(Path(path), table) == kind
    if kind in {"ext4", "xfs", "apfs", None}:
        refuse_network_file_system(Path(path), table)
        return
    with pytest.raises(
        StoreError, match=rf"{path} is on a network file system \({kind}\).*TUNEPORT_HOME to a local disk"
    ):
        refuse_network_file_system(Path(path), table)


def test_this_machines_own_table_is_read(tmp_path: Path) -> None:
    refuse_network_file_system(tmp_path)
