"""A word to a URL when a job has ended, sent by whichever process sees the end: at least once, so it may come twice.

The wire is that of Standard Webhooks (standardwebhooks.com), which OpenAI's own webhooks follow too: `webhook-id` (the same
each time the same end is told, to know a repetition by), `webhook-timestamp`, and `webhook-signature`, an HMAC-SHA256 by the
secret in `TUNEPORT_WEBHOOK_SECRET`; without a secret there is no signature. A URL that is itself a secret is given as
`env:NAME`, the name of the variable that holds it, so that the store never does.

`deliver` asks once and never raises for a receiver that fails: the next process that looks at the job tries again, once the
pause that the failures so far ask for is over. Answers of 2xx count as delivered, 410 as "no more, please".
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import os
from collections.abc import Mapping
from datetime import datetime, timedelta
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from tuneport.errors import BackendError, CredentialsError, NotInstalledError, SpecError, UnavailableError
from tuneport.status import utcnow

if TYPE_CHECKING:
    from tuneport.store import JobRecord, Store

SECRET = "TUNEPORT_WEBHOOK_SECRET"  # noqa: S105  (the variable's name)
KEY = "webhook"  # in the record's metadata: what was sent, when, and when to try again
TOLERANCE = 300  # seconds that a signed message may be old, or early
_PREFIX = "whsec_"
_BY_NAME = "env:"
_SECONDS = 10.0  # for the receiver to answer; it should take the message and do its work later
_FIRST, _MOST = timedelta(seconds=5), timedelta(hours=1)  # pauses between tries


def problem(url: str) -> str | None:
    """What is wrong with a job's `webhook`, in a sentence with the fix; None where it can be used. Sends nothing."""
    if url.startswith(_BY_NAME):
        name = url.removeprefix(_BY_NAME)
        if not name.isidentifier():
            return f"webhook {url!r} names no variable: write env:NAME, as in env:DEPLOY_HOOK_URL."
        if not os.environ.get(name):
            return f"webhook {url!r}: the variable {name} is not set here, nor can it be used from here."
        url = os.environ[name]
    elif "@" in urlsplit(url).netloc:
        return "the webhook holds a password: put the URL into a variable and name that: webhook='env:DEPLOY_HOOK_URL'."
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return "the webhook is not an http:// or https:// URL."
    if find_spec("httpx2") is None:
        return "a webhook needs the httpx2 package, which is not installed: pip install 'tuneport[webhook]'"
    return None


def due(record: JobRecord, now: datetime | None = None) -> bool:
    """Whether this job's end is still to be told, and now: a pure look at the record."""
    url = record.spec.get("webhook")
    if not url or not record.status.terminal:
        return False
    kept = _kept(record)
    if kept.get("id") != message_id(record):
        return True
    if kept.get("delivered"):
        return False
    again = kept.get("again")
    return again is None or datetime.fromisoformat(again) <= (now or utcnow())


def message_id(record: JobRecord) -> str:
    """The same for the same end of the same attempt, whoever tells it."""
    return f"{record.id}.{record.attempt}.{record.status.value}"


def message(record: JobRecord) -> dict[str, Any]:
    """What is told: enough to know which job ended how. The whole result is asked for by its id."""
    result: Mapping[str, Any] = record.result or {}
    tuned: Mapping[str, Any] = result.get("model") or {}
    return {
        "type": f"fine_tune_job.{record.status.value}",
        "timestamp": record.updated_at.isoformat(),
        "data": {
            "id": record.id,
            "name": record.name,
            "status": record.status.value,
            "backend": record.backend,
            "base_model": f"{record.backend}:{record.model}",
            "provider_id": (record.ref or {}).get("provider_id"),
            "attempt": record.attempt,
            "error": record.error,
            "resumable": record.resumable,
            "model": f"{tuned['backend']}:{tuned['model']}" if tuned else None,
            "metrics": result.get("metrics") or {},
        },
    }


def sign(body: bytes, identity: str, at: int, secret: str) -> str:
    """`webhook-signature` for one message."""
    signed = f"{identity}.{at}.".encode() + body
    digest = hmac.new(_key(secret), signed, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def verify(body: bytes, headers: Mapping[str, str], secret: str, now: datetime | None = None) -> dict[str, Any]:
    """For the receiver: the message, if its signature is right and it is not old. CredentialsError otherwise.

    Also for what other senders of Standard Webhooks sign, OpenAI among them.
    """
    given = {name.lower(): value for name, value in headers.items()}
    identity, stamp, signatures = (given.get(f"webhook-{part}", "") for part in ("id", "timestamp", "signature"))
    if not stamp.isdecimal():
        raise CredentialsError("the message has no webhook-timestamp: it was not signed.")
    age = (now or utcnow()).timestamp() - int(stamp)
    if abs(age) > TOLERANCE:
        raise CredentialsError(f"the message was signed {age:.0f} s ago: at most {TOLERANCE} s are taken.")
    right = sign(body, identity, int(stamp), secret)
    if not any(hmac.compare_digest(right.encode(), each.encode()) for each in signatures.split()):
        raise CredentialsError("no signature of the message is by this secret.")
    read: dict[str, Any] = json.loads(body)
    return read


def send(url: str, payload: Mapping[str, Any], identity: str, secret: str | None = None) -> int:
    """Post it once; the answer's status. No redirect is followed. UnavailableError where there was no answer."""
    try:
        import httpx2
    except ImportError:
        raise NotInstalledError(
            "a webhook needs the httpx2 package, which is not installed: pip install 'tuneport[webhook]'",
            extra="webhook",
        ) from None
    body = json.dumps(payload, ensure_ascii=False).encode()
    at = int(utcnow().timestamp())
    headers = {"content-type": "application/json", "webhook-id": identity, "webhook-timestamp": str(at)}
    if secret:
        headers["webhook-signature"] = sign(body, identity, at, secret)
    try:
        answer = httpx2.post(url, content=body, headers=headers, timeout=_SECONDS, follow_redirects=False)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        # Its own words may hold the URL, and a URL may be a secret.
        raise UnavailableError(f"the webhook did not answer ({type(error).__name__}).") from None
    return answer.status_code


def deliver(store: Store, record: JobRecord) -> JobRecord:
    """Tell this job's end if it is still to be told; the record with how that went. Never raises for the receiver's sake."""
    if not due(record):
        return record
    now = utcnow()
    identity = message_id(record)
    kept: Mapping[str, Any] = _kept(record)
    if kept.get("id") != identity:
        kept = dict[str, Any]()
    tries = int(kept.get("tries", 0)) + 1
    mark: dict[str, Any] = {"id": identity, "tries": tries, "at": now.isoformat()}
    try:
        status = send(_address(record), message(record), identity, os.environ.get(SECRET))
    except (BackendError, NotInstalledError, SpecError) as error:
        said = error.message
    else:
        said = "" if 200 <= status < 300 else f"the webhook answered {status}."
        mark["delivered"] = not said or status == 410
    if said:
        mark["error"] = said
        mark["again"] = (now + min(_MOST, _FIRST * 2 ** min(tries - 1, 12))).isoformat()
    fresh = store.get(record.id)  # what another process kept meanwhile stays
    return store.update(record.id, metadata={**fresh.metadata, KEY: mark})


def _kept(record: JobRecord) -> Mapping[str, Any]:
    found: Any = record.metadata.get(KEY)
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _address(record: JobRecord) -> str:
    url = str(record.spec["webhook"])
    if said := problem(url):
        raise SpecError(said)
    return os.environ[url.removeprefix(_BY_NAME)] if url.startswith(_BY_NAME) else url


def _key(secret: str) -> bytes:
    if not secret.startswith(_PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        raise CredentialsError(f"{SECRET} begins with {_PREFIX} and is not base64 after it.") from None
