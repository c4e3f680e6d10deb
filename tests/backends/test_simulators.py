"""What all simulators do alike: no credential of yours reaches one, a fault script says what it means, and the guide runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast, get_args

import pytest

from tuneport import catalog, registry
from tuneport.errors import BackendError, SpecError
from tuneport_backends import openai_service, vertex_service
from tuneport_backends.openai import AzureBackend, BedrockOpenAIBackend, OpenAIBackend
from tuneport_backends.simulators.bedrock import BedrockSimulator
from tuneport_backends.simulators.faults import TAKES, Does, Faults
from tuneport_backends.simulators.openai import OpenAISimulator
from tuneport_backends.simulators.vertex import VertexSimulator

GUIDE = (Path(__file__).parents[2] / "docs" / "simulators.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
TODAY = "2026-10-01"
KINDS: Sequence[Any] = (OpenAISimulator, BedrockSimulator, VertexSimulator)
Make = Callable[..., Any]


# No credential of yours


class Recorder(ThreadingHTTPServer):
    """Refuses every request, and keeps all of it: what a stand-in would be shown."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Recording)
        self.shown: list[str] = []


class Recording(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(size).decode("utf-8", "replace")
        assert isinstance(self.server, Recorder)
        self.server.shown.append(f"{self.requestline}\n{self.headers}\n{body}")
        self.send_response(404)
        self.send_header("Content-Length", "2")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(b"{}")

    do_POST = do_PUT = do_HEAD = do_DELETE = do_GET

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    with Recorder() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


# The variables in which a user's own credentials may stand, and some that would lead a client elsewhere.
YOURS = {
    "OPENAI_API_KEY": "planted-openai-key",
    "OPENAI_ADMIN_KEY": "planted-admin-key",
    "OPENAI_ORG_ID": "planted-organisation",
    "OPENAI_PROJECT_ID": "planted-project",
    "OPENAI_CUSTOM_HEADERS": "X-Gateway-Key: planted-header",
    "AZURE_OPENAI_API_KEY": "planted-azure-key",
    "AZURE_OPENAI_AD_TOKEN": "planted-entra-token",
    "AWS_ACCESS_KEY_ID": "planted-access-key",
    "AWS_SECRET_ACCESS_KEY": "planted-secret-key",
    "AWS_SESSION_TOKEN": "planted-session-token",
    "AWS_SECURITY_TOKEN": "planted-security-token",
    "AWS_BEARER_TOKEN_BEDROCK": "planted-bearer-token",
    "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9/planted",
    "AWS_ENDPOINT_URL_STS": "http://127.0.0.1:9/planted",
    "AWS_ENDPOINT_URL_BEDROCK": "http://127.0.0.1:9/planted",
    "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": "http://127.0.0.1:9/planted",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
    "AWS_REGION": "eu-planted-1",
    "GOOGLE_APPLICATION_CREDENTIALS": "/planted/credentials.json",
    "GOOGLE_API_KEY": "planted-google-key",
    "GEMINI_API_KEY": "planted-gemini-key",
}


def by_tuneport(name: str, **options: Any) -> Callable[[], object]:
    def ask() -> None:
        where = {"bucket": "b", "prefix": "", "region": "us-east-1"} if name == "bedrock" else {}
        ref = {
            "provider_id": "projects/p/locations/l/tuningJobs/1",
            "tag": "t",
            "directory": "/none",
            "options": options,
        }
        registry.get(name).snapshots([{**ref, **where}])

    return ask


def by_openai(kind: str, **given: Any) -> Callable[[], object]:
    def ask() -> None:
        import openai

        with getattr(openai, kind)(max_retries=0, **given) as client:
            client.models.list()

    return ask


def by_boto3(service: str, call: str, **given: Any) -> Callable[[], object]:
    def ask() -> None:
        import boto3

        getattr(boto3.Session().client(service), call)(**given)

    return ask


DATED = "2025-04-01-preview"
ASKED: Mapping[str, tuple[Make, Sequence[Callable[[], object]]]] = {
    "openai": (OpenAISimulator, [by_tuneport("openai"), by_openai("OpenAI")]),
    "azure": (
        lambda **given: OpenAISimulator(service="azure", **given),
        [by_tuneport("azure"), by_tuneport("azure", api_version=DATED), by_openai("AzureOpenAI", api_version=DATED)],
    ),
    "bedrock-openai": (
        lambda **given: OpenAISimulator(service="bedrock-openai", **given),
        [by_tuneport("bedrock-openai"), by_openai("BedrockOpenAI")],
    ),
    "bedrock": (
        BedrockSimulator,
        [
            by_tuneport("bedrock"),
            by_boto3("bedrock", "list_model_customization_jobs"),
            by_boto3("bedrock-runtime", "converse", modelId="m", messages=[]),
            by_boto3("s3", "get_object", Bucket="b", Key="k"),
            by_boto3("sts", "get_caller_identity"),
        ],
    ),
    "vertex": (VertexSimulator, [by_tuneport("vertex")]),
}


@pytest.mark.parametrize("name", ASKED)
def test_no_credential_of_yours_reaches_it(name: str, recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in YOURS.items():
        monkeypatch.setenv(variable, value)
    before = dict(os.environ)
    make, asks = ASKED[name]
    simulator = make(port=recorder.server_port)  # never started: the recorder answers in its place
    with simulator.pointed():
        for number, ask in enumerate(asks):
            with suppress(Exception):  # whatever the client makes of a 404
                ask()
            assert len(recorder.shown) == number + 1, f"{name}: the request {number} did not come here"
    assert dict(os.environ) == before
    for variable, value in simulator.environment().items():
        monkeypatch.setenv(variable, value)
    with pytest.raises(BackendError):
        asks[0]()
    assert len(recorder.shown) > len(asks)
    assert [shown for shown in recorder.shown if "planted" in shown] == []
    openai_service.close()
    vertex_service.close()


def test_a_google_login_of_yours_is_not_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import google.auth
    from google.auth.exceptions import DefaultCredentialsError

    login = tmp_path / "login.json"
    login.write_text('{"type": "authorized_user", "client_id": "i", "client_secret": "s", "refresh_token": "planted"}')
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(login))
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "no-gcloud"))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    assert google.auth.default()[0].refresh_token == "planted"
    with VertexSimulator().pointed(), pytest.raises(DefaultCredentialsError):
        google.auth.default()


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_set_is_not_blanked(kind: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty variable is a token to some SDKs."""
    simulator = kind()
    for name in simulator.blank:
        monkeypatch.delenv(name, raising=False)
    assert "" not in simulator.environment().values()
    first, *_ = simulator.blank
    monkeypatch.setenv(first, "mine")
    assert simulator.environment()[first] == ""


# Fault scripts


@pytest.mark.parametrize("kind", KINDS)
def test_an_operation_that_it_does_not_have_is_refused(kind: Make) -> None:
    with pytest.raises(SpecError, match=r"'jobs\.crate'.*did you mean 'jobs\.create'\?.*jobs\.list"):
        kind(faults=[{"on": "jobs.crate", "do": "lose-reply"}])
    simulator = kind()
    with pytest.raises(SpecError, match="'unknown'"):
        simulator.faults.add({"on": "unknown", "do": "lose-reply"})
    assert simulator.faults.meet("unknown") == []
    simulator.faults.add({"on": "*", "do": "lose-reply"})
    assert len(simulator.faults.meet("jobs.create")) == 1


def test_a_script_from_a_file_is_held_against_the_simulator_too(tmp_path: Path) -> None:
    from tuneport_backends.simulators import serving

    script = tmp_path / "faults.yaml"
    script.write_text("- {on: files.put, do: lose-reply}\n")
    with pytest.raises(SpecError, match=r"files\.put"):
        serving.openai(port=0, faults=script, speed=1.0)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"do": "lose-reply", "status": 500}, "lose-reply takes no status"),
        ({"do": "status", "seconds": 1.0}, "body and retry_after and status"),
        ({"do": "field"}, "which"),
        ({"do": "field", "value": 3}, "which"),
        ({"do": "cut", "value": "half"}, "bytes"),
        ({"do": "cut", "value": -1}, "bytes"),
        ({"do": "fail", "on": "jobs.list"}, r"jobs\.create"),
        ({"do": "never-ends", "on": "chat"}, r"jobs\.create"),
        ({"do": "vanish"}, "vanish"),
        ({"do": "delay", "second": 1.0}, "seconds"),
    ],
)
def test_a_fault_that_would_do_nothing_is_refused(fault: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        Faults([{"on": "jobs.create", **fault}])


def test_a_scripted_status_of_sts_is_sent() -> None:
    import boto3
    from botocore.exceptions import ClientError

    fault = {"on": "sts", "do": "status", "status": 403, "times": 1}
    with BedrockSimulator(faults=[fault]) as simulator, simulator.pointed():
        client = boto3.Session().client("sts")
        with pytest.raises(ClientError, match="AccessDenied"):
            client.get_caller_identity()
        assert client.get_caller_identity()["Account"]


def test_a_falsified_answer_leaves_what_is_held_as_it_is(launch: Make) -> None:
    """Also where the field is within an object, which the answer shares with what is held."""
    import httpx2

    wrong = {"on": "jobs.retrieve", "do": "field", "field": "hyperparameters.n_epochs", "value": None, "times": 1}
    simulator = launch(OpenAISimulator, faults=[wrong])
    row = b'{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}\n' * 12
    with httpx2.Client(
        headers={"Authorization": "Bearer sk-tuneport-simulator"}, base_url=f"{simulator.url}/"
    ) as client:
        file = client.post("files", data={"purpose": "fine-tune"}, files={"file": ("rows.jsonl", row)}).json()["id"]
        body = {"model": "gpt-4.1-mini-2025-04-14", "training_file": file, "hyperparameters": {"n_epochs": 2}}
        job = client.post("fine_tuning/jobs", json=body).json()["id"]
        told = [client.get(f"fine_tuning/jobs/{job}").json()["hyperparameters"]["n_epochs"] for _ in range(2)]
    assert told == [None, 2]


# What the catalog has


@pytest.mark.parametrize("backend", [OpenAIBackend, AzureBackend, BedrockOpenAIBackend])
def test_every_model_of_the_catalog_can_be_tuned(
    backend: Make, launch: Make, prepare: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNEPORT_NOW", TODAY)
    made = backend()
    simulator = launch(OpenAISimulator, service=made.name)
    grader = {"type": "lambda", "lambda": {"function": "arn:aws:lambda:us-west-2:123456789012:function:reward"}}
    if made.name != "bedrock-openai":
        grader = {"type": "string_check", "name": "x", "operation": "eq", "input": "{{sample.output_text}}"} | {
            "reference": "{{item.reference_answer}}"
        }
    asked = [(entry.id, kind) for entry in catalog.entries(made.name) for kind in entry.objectives]
    for number, (model, kind) in enumerate(asked):
        objective = {"kind": kind, **({"grader": grader} if kind == "reinforcement" else {})}
        made.submit(prepare(made, model=model, objective=objective, tag=f"tp-{number:026d}"))
    assert [job["model"] for job in simulator.jobs] == [model for model, _ in asked]
    assert asked
    openai_service.close()


# Clients


KEPT = """
import atexit
kept = []
atexit.register(lambda: print([one() for one in kept]))  # before ours is registered, and so after it is run
from tuneport_backends import openai_service
service = openai_service.{service}
kept.append(openai_service.connect(service, {{}}).is_closed)
assert not kept[0]()
"""


@pytest.mark.parametrize("service", ["OPENAI", "AZURE", "BEDROCK"])
def test_no_client_is_left_open_at_the_end_of_a_program(service: str, tmp_path: Path) -> None:
    made = OpenAISimulator(service=cast("Any", getattr(openai_service, service).name))
    with made, made.pointed():
        assert run(["-c", KEPT.format(service=service)], tmp_path).stdout.strip() == "[True]"


# The guide


def run(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    ours = {"TUNEPORT_HOME": str(folder / "home"), "TUNEPORT_NOW": TODAY, "TUNEPORT_POLL_SECONDS": "0.02"}
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={**os.environ, **ours},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.mark.parametrize("code", BLOCKS, ids=range(len(BLOCKS)))
def test_the_guides_examples_run(code: str, tmp_path: Path) -> None:
    file = tmp_path / "test_example.py"
    file.write_text(code, encoding="utf-8")
    if "def test_" in code:
        assert (
            "1 passed"
            in run(
                ["-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={tmp_path}", str(file)], tmp_path
            ).stdout
        )
    else:
        run([str(file)], tmp_path)


def test_the_guides_fault_script_is_one(tmp_path: Path) -> None:
    (script,) = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
    (tmp_path / "faults.yaml").write_text(script)
    for kind in KINDS:
        simulator: Any = kind(faults=Faults.load(tmp_path / "faults.yaml"))
        assert [fault.do for fault in simulator.faults.meet("jobs.create")] == ["status"]
        assert [fault.do for fault in simulator.faults.meet("jobs.create")] == ["lose-reply"]
        assert simulator.faults.meet("jobs.create") == []


def test_the_guide_names_every_operation_and_fault_and_no_other() -> None:
    sections = re.split(r"\| operations of ", GUIDE)[1:]
    assert len(sections) == len(KINDS)
    for kind, section in zip(KINDS, sections, strict=True):
        rows = "\n".join(line for line in section.splitlines()[1:] if line.startswith("|"))
        assert set(re.findall(r"`([^`]+)`", rows)) == kind.operations
        assert all(f"`{name}`" in GUIDE for name in kind.blank)
    table = GUIDE[GUIDE.index("| `do` |") : GUIDE.index("Each fault has")]
    lines = {
        found[1]: line
        for line in table.splitlines()
        if (found := re.match(r"\| `([\w-]+)` \|", line)) and found[1] != "do"
    }
    assert set(lines) == set(get_args(Does)) == set(TAKES)
    for do, line in lines.items():
        last = line.split("|")[3]
        assert all(f"`{name}`" in last for name in TAKES[do])


def test_the_command_points_to_the_guide(tmp_path: Path) -> None:
    assert "docs/simulators.md" in run(["-m", "tuneport.cli", "simulate", "--help"], tmp_path).stdout
