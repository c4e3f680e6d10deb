"""What a run minimises, one file each, with no base class between them: each can be read from top to bottom."""
