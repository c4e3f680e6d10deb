"""The command line: the only room that prints."""

from __future__ import annotations


def main() -> None:
    """Entry point of `tuneport`."""
    from tuneport.cli.app import run

    run()


__all__ = ["main"]
