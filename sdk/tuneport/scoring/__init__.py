"""Metrics on answers and paired statistics on their differences. No torch, no numpy."""
