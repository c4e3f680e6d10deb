"""`python -m tests.contract [--write] [pytest's own arguments]`: run the suite, print the table."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import pytest
from tests.contract import table
from tests.contract.cases import CASES, PLUGIN

HERE = Path(__file__).parent


class Printer:
    def __init__(self, *, write: bool) -> None:
        self._write = write

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        text = session.config.stash[table.SEEN].markdown((*CASES, PLUGIN))
        click.echo("\n" + text)
        if self._write:
            table.KEPT.write_text(table.HEAD + text, encoding="utf-8")
        elif table.kept() != text:
            click.echo(f"{table.KEPT.name} says otherwise: run it with --write.")
            session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED


if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if word != "--write"]
    sys.exit(pytest.main([str(HERE), "-q", *words], plugins=[Printer(write="--write" in sys.argv)]))
