"""Known keys are put everywhere a credential may stand; then everything that comes out is read for them."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path
from typing import Any

import pytest
from tests.contract.case import Faulty
from tests.contract.cases import CASES, PLUGIN
from tests.contract.world import World, running

from tuneport import FineTuneJob
from tuneport.errors import TuneportError

pytestmark = [pytest.mark.slow, pytest.mark.behaviour("secrets")]
# What else an account's environment holds, beside what its own backend is given.
PLANTED = {
    name: f"planted-{number:02d}-7Qz9XvKpW3sLmT"
    for number, name in enumerate(
        (
            "OPENAI_API_KEY OPENAI_ADMIN_KEY AZURE_OPENAI_API_KEY AZURE_OPENAI_AD_TOKEN AWS_SECRET_ACCESS_KEY "
            "AWS_SESSION_TOKEN AWS_BEARER_TOKEN_BEDROCK GOOGLE_API_KEY GEMINI_API_KEY HF_TOKEN WANDB_API_KEY "
            "TUNEPORT_WEBHOOK_SECRET AZURE_MANAGEMENT_TOKEN"
        ).split()
    )
}
# What its SDK would take in place of the account's own.
IN_THE_WAY = {"azure": ("AZURE_OPENAI_AD_TOKEN",), "bedrock": ("AWS_BEARER_TOKEN_BEDROCK",)}
# What the simulators take as the account's own.
KEYS = {
    "openai": {"OPENAI_API_KEY": "sk-planted-own-openai-4Rt6"},
    "azure": {"AZURE_OPENAI_API_KEY": "planted-own-azure-8Yu2"},
    "bedrock-openai": {"AWS_BEARER_TOKEN_BEDROCK": "planted-own-bearer-5Gh1"},
    "bedrock": {
        "AWS_SECRET_ACCESS_KEY": "planted-own-secret-1Kl0/abcdefghijklmnop",
        "AWS_SESSION_TOKEN": "planted-own-session-2",
    },
}


@pytest.fixture(scope="module", params=[*CASES, PLUGIN])
def world(request: pytest.FixtureRequest, registered: None, tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in PLANTED.items():
            if name not in IN_THE_WAY.get(request.param, ()):
                patch.setenv(name, value)
        with (
            running(request.param, tmp_path_factory.mktemp(request.param)) as made,
            pytest.MonkeyPatch.context() as own,
        ):
            for name, value in KEYS.get(request.param, {}).items():
                own.setenv(name, value)
            if request.param in {"openai", "azure", "bedrock-openai"}:
                (key,) = KEYS[request.param].values()
                made.case.simulator._server.key = key
            yield made


def secrets(world: World) -> list[str]:
    return [*PLANTED.values(), *KEYS.get(world.name, {}).values()]


def leaked(world: World, *texts: str) -> list[str]:
    """The names of what was found, and where; never the values alone."""
    found = [f"in words: {text[:200]!r}" for text in texts for secret in secrets(world) if secret in text]
    home = world.data.parent / "home"
    for path in home.rglob("*"):
        if path.is_file():
            held = path.read_bytes()
            found += [str(path) for secret in secrets(world) if secret.encode() in held]
    return found


def test_no_credential_comes_out(
    world: World, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    job = world.create(name="secrets")
    world.finish(job)
    said = [event.model_dump_json() for event in job.events()]
    said += [job.record.model_dump_json(), repr(job), str(job.result())]
    for words in (
        ["show", "secrets"],
        ["jobs"],
        ["events", "secrets"],
        ["doctor"],
        ["models", "--backend", world.name],
    ):
        said.append(str(command(world, *words)))
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("tuneport")]
    out, err = capfd.readouterr()
    assert leaked(world, *said, *ours, out, err) == []


def command(world: World, *words: str) -> str:
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-m", "tuneport.cli", *words, "--json"],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500])
def test_nor_in_an_error(world: World, status: int) -> None:
    if not isinstance(world.case, Faulty):
        pytest.skip("it keeps no log of requests")
    for look in world.case.looks:
        world.case.fault(on=look, do="status", status=status, retry_after=0.01, times=12)
    job = world.create()
    with pytest.raises(TuneportError) as caught:
        FineTuneJob.get(job.id)
    said = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + repr(caught.value.__reduce__())
    shown = command(world, "show", job.id)
    assert leaked(world, said, shown) == []


def test_nor_when_the_key_is_wrong(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in KEYS.get(world.name, {}):
        monkeypatch.setenv(name, PLANTED.get(name, "planted-wrong"))
    try:
        world.create(name="wrong-key").cancel()
    except TuneportError as error:
        said = "".join(traceback.format_exception(error)) + str(error)
    else:
        said = ""
    assert leaked(world, said, command(world, "show", "wrong-key")) == []
