"""A stand-in for Amazon Bedrock's customization, with the S3 and STS that it needs, on a loopback socket, for the real boto3.

    with BedrockSimulator() as simulator:
        os.environ.update(simulator.environment())
        ...                              # boto3, tuneport, or curl
        simulator.clock.advance(600)     # jobs move through their states

Every request is held against botocore's own service model, and so is every reply. Rows are read by the simulator's own rules:
a wrong one fails the job in validation. A create is idempotent by its clientRequestToken, as the service's is.

Faults (see `faults`) name these operations: jobs.create, jobs.get, jobs.list, jobs.stop, models.get, models.delete,
deployments.create/get/list/delete, provisioned.create/get/list/delete, imports.create/get, converse, sts, s3.put, s3.get,
s3.head, s3.head-bucket, s3.list, s3.delete, s3.post. `state` is met by jobs.get and jobs.list; `fail` and
`never-ends` by jobs.create.

A deployed model has learnt its training rows by heart: asked one of their prompts it gives that row's answer, else a fixed
sentence; a base model gives another. `answer(model, messages)`, where given, speaks first; None leaves it at that.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from tuneport_backends.simulators.bedrock_http import Entry, Server
from tuneport_backends.simulators.bedrock_jobs import Timing
from tuneport_backends.simulators.bedrock_models import BASE, TUNED_ELSE
from tuneport_backends.simulators.bedrock_s3 import S3
from tuneport_backends.simulators.bedrock_state import ACCOUNT, Answer, State
from tuneport_backends.simulators.clock import Clock
from tuneport_backends.simulators.faults import Fault, Faults

KEY = "AKIATUNEPORTSIMULATE"
SECRET = "tuneport-simulator-secret-key"  # noqa: S105  (of the simulator, which takes any signature)
BUCKET = "tuneport-simulated"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/BedrockTuning"
__all__ = ["BASE", "BUCKET", "KEY", "ROLE", "SECRET", "TUNED_ELSE", "BedrockSimulator", "Entry", "Timing"]


class BedrockSimulator:
    """`listing_lag`: seconds before a new job is in the list. `buckets`: each with its region; one more is always there.
    `unassumable`: ARNs of roles that Bedrock may not take."""

    def __init__(
        self,
        clock: Clock | None = None,
        faults: Faults | Sequence[Fault | Mapping[str, Any]] = (),
        *,
        access_key: str = KEY,
        host: str = "127.0.0.1",
        port: int = 0,
        region: str = "us-east-1",
        listing_lag: float = 0.0,
        timing: Timing | None = None,
        buckets: Mapping[str, str] | None = None,
        unassumable: Iterable[str] = (),
        answer: Answer | None = None,
    ) -> None:
        self.clock = clock or Clock()
        self.faults = faults if isinstance(faults, Faults) else Faults(faults)
        self.region = region
        self.s3 = S3({BUCKET: region, **(buckets or {})})
        self._address = (host, port)
        self._key = access_key
        self._state = State(
            clock=self.clock,
            faults=self.faults,
            timing=timing or Timing(),
            s3=self.s3,
            listing_lag=listing_lag,
            answer=answer,
            unassumable=frozenset(unassumable),
        )
        self._server: Server | None = None
        self._log: list[Entry] = []

    def start(self) -> Self:
        if self._server is None:
            self._server = Server(*self._address, self._state, self._key)
            self._server.log = self._log
            self._address = (self._address[0], self._server.server_port)  # started again, it is where it was
            threading.Thread(
                target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, name="bedrock-simulator", daemon=True
            ).start()
        return self

    def stop(self) -> None:
        """Closes the port and every connection. What it holds stays, for a later start."""
        server, self._server = self._server, None
        if server is None:
            return
        server.shutdown()
        with server.noted:
            open_connections = list(server.connections)
        for connection in open_connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # closed by its client meanwhile
        server.server_close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f"http://{self._address[0]}:{self._address[1]}"

    def environment(self) -> dict[str, str]:
        """The variables that point boto3, and tuneport, at this simulator."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": self._key,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": self.region,
            "TUNEPORT_BEDROCK_BUCKET": f"s3://{BUCKET}/ft",
            "TUNEPORT_BEDROCK_ROLE": ROLE,
        }

    def expire(self, expired: bool = True) -> None:
        """From now on the credentials are refused as expired, or taken again."""
        if self._server is not None:
            self._server.expired = expired

    @property
    def log(self) -> list[Entry]:
        """Every request so far, oldest first."""
        return list(self._log)

    def requests(self, operation: str) -> list[Entry]:
        """Those of one operation."""
        return [entry for entry in self.log if entry.operation == operation]

    @property
    def jobs(self) -> list[dict[str, Any]]:
        """Every job that was ever created, oldest first, as the service would show it now; `asked`: the request."""
        with self._state.lock:
            self._state.tick()
            return [{**job.payload(self._state.now), "asked": job.asked} for job in self._state.jobs]

    def object(self, bucket: str, key: str) -> bytes:
        """KeyError where there is none."""
        with self._state.lock:
            self._state.tick()
            return self.s3.objects[bucket, key].body
