"""One suite over every backend. `python -m tests.contract` runs it and prints the table; `--write` keeps it in the docs."""
