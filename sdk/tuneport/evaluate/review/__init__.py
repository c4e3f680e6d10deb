"""Blind judgement by people: which answers are laid side by side (`tasks`), what was said (`votes`), the page (`server`), and
what it comes to (`summary`). The browser never learns who answered."""
