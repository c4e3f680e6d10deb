"""Datasets with exactly one defect each, and clean ones: how many problems `validate` finds, and how often it cries wolf.

Nothing here knows how a check works: each defect is planted in rows that are otherwise sound, with the row and the path that a
report must name. `python -m tests.corpus` prints the table.
"""
