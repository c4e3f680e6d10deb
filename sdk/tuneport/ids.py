"""Names of our own for jobs: short, sortable by time, and legal wherever a provider lets us write one."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime

from ulid import ULID

from tuneport.status import utcnow

ID_PREFIX = "tp-"


def new_job_id(clock: Callable[[], datetime] = utcnow) -> str:
    """`tp-` and a lowercase ULID: 29 characters that sort by the millisecond in which they were made.

    It is a valid Bedrock job name and client token (letters, digits and hyphens, at most 63) and a valid Google label
    (lowercase letters, digits and hyphens, at most 63).
    """
    milliseconds = int(clock().timestamp() * 1000 + 0.5)
    # The 80 random bits are drawn here: ULID's own provider counts up within a millisecond, so that two processes
    # forked from one would make the same id.
    return ID_PREFIX + str(ULID(milliseconds.to_bytes(6, "big") + os.urandom(10))).lower()
