"""What the local backend refuses before a job exists: each with the value, the rule and the fix."""

from __future__ import annotations

from typing import Any

import pytest

from tuneport.spec import FineTuneSpec
from tuneport_backends.local import LocalBackend


@pytest.mark.parametrize(
    ("option", "value", "rule"),
    [
        ("threads", "two", "whole number of 1 or more"),
        ("threads", 0, "whole number of 1 or more"),
        ("threads", True, "whole number of 1 or more"),
        ("trust_remote_code", "no", "true or false"),  # a text that is not empty would count as yes
        ("trust_remote_code", 1, "true or false"),
    ],
)
def test_an_option_of_another_kind_is_refused(option: str, value: Any, rule: str) -> None:
    spec = FineTuneSpec.parse({"model": "local:starter", "dataset": "rows.jsonl", "options": {option: value}})
    (issue,) = LocalBackend().check(spec)
    assert (issue.code, issue.severity) == ("options.invalid", "error")
    assert issue.message.startswith(f"option {option!r} is {value!r}")
    assert rule in str(issue)


def test_options_that_fit_pass() -> None:
    options = {"threads": 2, "trust_remote_code": False}
    assert not LocalBackend().check(
        FineTuneSpec.parse({"model": "local:starter", "dataset": "rows.jsonl", "options": options})
    )
