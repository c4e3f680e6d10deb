"""Contenders side by side on held-out rows, and the report that shows it. Its pictures and pages load nothing from outside."""
