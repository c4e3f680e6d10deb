"""The order in which rows are trained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import Sampler

_GROUPS = 16  # batches sorted by length together: little padding, and still a random order


class LengthGroups(Sampler[int]):
    """Row numbers in a random order in which rows of like length come together, a batch at a time.

    It follows from the seed and the epoch alone. The batch with the longest row comes first of all, so that a run that
    does not fit into memory fails at once.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self.lengths, self.batch_size, self.seed, self.epoch = lengths, batch_size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        order: list[int] = torch.randperm(len(self.lengths), generator=generator).tolist()
        span, size = self.batch_size * _GROUPS, self.batch_size
        batches: list[list[int]] = []
        for start in range(0, len(order), span):
            group = sorted(order[start : start + span], key=lambda row: -self.lengths[row])
            batches += [group[i : i + size] for i in range(0, len(group), size)]
        # A short batch must stay the last one, or every micro-batch after it would straddle two groups.
        short = batches.pop() if len(batches[-1]) < size and len(batches) > 1 else None
        mixed: list[int] = torch.randperm(len(batches), generator=generator).tolist()
        batches = [batches[i] for i in mixed]
        if self.epoch == 0:
            longest = max(range(len(batches)), key=lambda i: max(self.lengths[row] for row in batches[i]))
            batches[0], batches[longest] = batches[longest], batches[0]
        return iter([row for batch in [*batches, *([short] if short else [])] for row in batch])
