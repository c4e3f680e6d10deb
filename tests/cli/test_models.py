"""`tuneport models`: the catalog as a table that fits a terminal, one model in full, and JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from tuneport import catalog, clock
from tuneport.cli import models as command
from tuneport.cli.app import run

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cli(home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.delenv("TUNEPORT_CATALOG", raising=False)

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(command, "console", Console(width=120, highlight=False))
        with pytest.raises(SystemExit) as ended:
            run(list(words))
        out, err = capsys.readouterr()
        code = ended.value.code
        return (code if isinstance(code, int) else 0), out, err

    return call


def test_the_table_fits_120_columns_and_names_every_model(cli: Cli) -> None:
    code, out, _ = cli("models")
    assert code == 0
    assert max(len(line) for line in out.splitlines()) <= 120
    for item in catalog.entries():
        assert item.id in out, "an id is never broken: it is there to be copied"
    line = next(line for line in out.splitlines() if line.startswith("gpt-4.1-mini-2025"))
    assert line.split() == ["gpt-4.1-mini-2025-04-14", "sft,", "dpo", "10–…", "5.00", "0", "2027-01-06*", "2027-01-14"]
    nova = next(line for line in out.splitlines() if line.startswith("amazon.nova-lite"))
    assert nova.split() == ["amazon.nova-lite-v1:0:300k", "sft", "8–20k", "unknown", "unknown"]


def test_one_backend_alone(cli: Cli) -> None:
    _, out, _ = cli("models", "--backend", "vertex")
    assert "gemini-3.5-flash" in out
    assert "gpt-4.1" not in out


def test_what_backends_declare_stays(cli: Cli) -> None:
    for words in (("--support",), ("--backend", "local")):
        code, out, _ = cli("models", *words)
        assert code == 0
        assert "objective  sft" in out
        assert "plain text is not packed yet" in out or "cpt" in out


def test_one_model_in_full_with_every_source(cli: Cli) -> None:
    with clock.at("2026-11-25"):
        code, out, _ = cli("models", "openai:gpt-4.1-mini")
    assert code == 0
    for text in (
        "openai:gpt-4.1-mini-2025-04-14",
        "5.00 USD per 1M tokens",
        "1 to 50",
        "n_epochs",
        "OpenAI's pricing page",
    ):
        assert text in out
    assert "takes no new fine-tuning jobs from 2027-01-06 on, 42 days from now" in out
    with clock.at("2027-01-06"):
        _, out, _ = cli("models", "openai:gpt-4.1-mini")
    assert "error" in out
    assert "takes no new fine-tuning jobs since 2027-01-06" in out


def test_json_holds_everything(cli: Cli) -> None:
    with clock.at("2027-01-06"):
        _, out, _ = cli("models", "--json")
    told = json.loads(out)
    assert told["as_of"] == "2027-01-06"
    assert told["user_catalog"] is None
    mini = next(item for item in told["models"] if item["ref"] == "openai:gpt-4.1-mini-2025-04-14")
    assert mini["price"]["training"]["value"] == 5
    assert mini["price"]["training"]["source"]["date"] == "2025-10-06"
    assert {notice["severity"] for notice in mini["notices"]} == {"error", "warning"}
    assert {row["backend"] for row in told["support"]} >= {"local"}
    _, one, _ = cli("models", "bedrock:nova-lite", "--json")
    assert [item["name"] for item in json.loads(one)["models"]] == ["Nova Lite"]


def test_a_catalog_of_ones_own_is_named(cli: Cli, home: Path) -> None:
    home.mkdir(exist_ok=True)
    (home / "catalog.yaml").write_text("models: {'bedrock:amazon.nova-lite-v1:0:300k': {price: {training: 1.5}}}")
    code, out, _ = cli("models", "--backend", "bedrock")
    assert code == 0
    assert "1.50" in next(line for line in out.splitlines() if line.startswith("amazon.nova-lite"))
    assert "catalog.yaml" in out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("openai:gpt-4.1-minni",), "did you mean 'openai:gpt-4.1-mini'?"),
        (("gpt-4.1-mini",), "write '<backend>:gpt-4.1-mini'"),
        (("--backend", "opnai"), "did you mean 'openai'?"),
    ],
)
def test_a_name_that_is_not_there_is_one_sentence(cli: Cli, words: tuple[str, ...], says: str) -> None:
    code, _, err = cli("models", *words)
    assert code == 2
    assert says in err
    assert err.count("\n") == 1


def test_a_mistake_in_ones_own_catalog_is_said(cli: Cli, home: Path) -> None:
    home.mkdir(exist_ok=True)
    (home / "catalog.yaml").write_text("models: {'bedrock:x': {nam: X}}")
    code, _, err = cli("models")
    assert code == 2
    assert "catalog.yaml: models.bedrock:x" in err
    assert "unknown field 'nam': did you mean 'name'?" in err
