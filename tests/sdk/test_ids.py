import os
import re
from datetime import UTC, datetime, timedelta

from ulid import ULID

from tuneport.ids import new_job_id

START = datetime(2026, 3, 1, 12, 0, 0, 1000, tzinfo=UTC)


def test_an_id_is_legal_wherever_it_is_written() -> None:
    job_id = new_job_id()
    assert re.fullmatch(r"tp-[0-9a-hjkmnp-tv-z]{26}", job_id)
    assert re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9+\-.])*", job_id)  # Bedrock: jobName, at most 63
    assert re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9])*", job_id)  # Bedrock: clientRequestToken
    assert re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", job_id)  # Google: a label's key, which is stricter than its value


def test_ids_sort_by_the_millisecond_in_which_they_were_made() -> None:
    times = [START + timedelta(milliseconds=n) for n in (0, 1, 2, 999, 1000, 10**6, 10**10)]
    clock = iter(times)
    ids = [new_job_id(lambda: next(clock)) for _ in times]
    assert ids == sorted(ids)
    assert [ULID.from_str(job_id.removeprefix("tp-").upper()).datetime for job_id in ids] == times


def test_ids_of_one_moment_differ_also_across_a_fork() -> None:
    new_job_id(lambda: START)
    read, write = os.pipe()
    children = []
    for _ in range(4):
        pid = os.fork()
        if pid == 0:
            os.write(write, new_job_id(lambda: START).encode() + b"\n")
            os._exit(0)
        children.append(pid)
    os.close(write)
    for pid in children:
        os.waitpid(pid, 0)
    with os.fdopen(read) as pipe:
        assert len(set(pipe)) == 4
    assert len({new_job_id(lambda: START) for _ in range(1000)}) == 1000
