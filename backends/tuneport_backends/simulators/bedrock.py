"""A stand-in for Amazon Bedrock's customization, with the S3 and STS that it needs, on a loopback socket, for the real boto3.

    with BedrockSimulator() as simulator, simulator.pointed():
        ...                              # boto3, tuneport, or curl
        simulator.clock.advance(600)     # jobs move through their states

Every request is held against botocore's own service model, and so is every reply. Rows are read by the simulator's own rules:
a wrong one fails the job in validation. A create is idempotent by its clientRequestToken, as the service's is.

Fault scripts and the log name its requests as `BedrockSimulator.operations` does; docs/simulators.md says more of both.

A deployed model has learnt its training rows by heart: asked one of their prompts it gives that row's answer, else a fixed
sentence; a base model gives another. `answer(model, messages)`, where given, speaks first; None leaves it at that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tuneport_backends.simulators.base import Simulator
from tuneport_backends.simulators.bedrock_http import OPERATIONS, Server
from tuneport_backends.simulators.bedrock_jobs import Timing
from tuneport_backends.simulators.bedrock_models import BASE, TUNED_ELSE
from tuneport_backends.simulators.bedrock_s3 import S3
from tuneport_backends.simulators.bedrock_state import ACCOUNT, Answer, State
from tuneport_backends.simulators.clock import Clock
from tuneport_backends.simulators.faults import Fault, Faults
from tuneport_backends.simulators.wire import Entry

KEY = "AKIATUNEPORTSIMULATE"
SECRET = "tuneport-simulator-secret-key"  # noqa: S105  (of the simulator, which takes any signature)
BUCKET = "tuneport-simulated"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/BedrockTuning"
__all__ = ["BASE", "BUCKET", "KEY", "ROLE", "SECRET", "TUNED_ELSE", "BedrockSimulator", "Entry", "Timing"]


class BedrockSimulator(Simulator):
    """`listing_lag`: seconds before a new job is in the list. `buckets`: each with its region; one more is always there.
    `unassumable`: ARNs of roles that Bedrock may not take."""

    name = "bedrock"
    operations = OPERATIONS
    blank = ("AWS_BEARER_TOKEN_BEDROCK", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN", "AWS_REGION")

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
        super().__init__(clock, faults, (host, port))
        self.region = region
        self.s3 = S3({BUCKET: region, **(buckets or {})})
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
        self._expired = False

    def _serve(self, address: tuple[str, int]) -> Server:
        return Server(address, self._log, self.faults, self._state, self._key, expired=self._expired)

    def _variables(self) -> Mapping[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.url,
            **{f"AWS_ENDPOINT_URL_{name}": self.url for name in ("S3", "STS", "BEDROCK", "BEDROCK_RUNTIME")},
            "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "false",
            "AWS_ACCESS_KEY_ID": self._key,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": self.region,
            "TUNEPORT_BEDROCK_BUCKET": f"s3://{BUCKET}/ft",
            "TUNEPORT_BEDROCK_ROLE": ROLE,
        }

    def expire(self, expired: bool = True) -> None:
        """From now on the credentials are refused as expired, or taken again."""
        self._expired = expired
        if isinstance(self._server, Server):
            self._server.expired = expired

    @property
    def jobs(self) -> list[dict[str, Any]]:
        """With the request, as `asked`."""
        with self._state.lock:
            self._state.tick()
            return [{**job.payload(self._state.now), "asked": job.asked} for job in self._state.jobs]

    def object(self, bucket: str, key: str) -> bytes:
        """KeyError where there is none."""
        with self._state.lock:
            self._state.tick()
            return self.s3.objects[bucket, key].body
