"""Datasets: read, recognise the dialect, check, split, hash. Light: no torch, pandas or datasets is ever imported here."""

from tuneport.dataset.core import Dataset
from tuneport.dataset.issues import Issue

__all__ = ["Dataset", "Issue"]
