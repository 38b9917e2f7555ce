"""How long each partition stood still, from what was seen of it."""

from collections.abc import Sequence
from itertools import pairwise

from msgspec import Struct

BEFORE_SECONDS = 2.0
"""Whoever ends as soon as an act begins is not seen in it, but so shortly before. Who is not seen
for so long at its end holds it no more."""


class Pause(Struct, frozen=True):
    """The longest time without a commit to a partition in an act. `holders`: how many processes
    held it; nobody at the end counts as one."""

    partition: int
    seconds: float
    holders: int

    @property
    def stayed(self) -> bool:
        """Say whether one process held it all the time."""
        return self.holders == 1


class Seen:
    """What was seen from outside, in seconds of the clock: commits, and who held what."""

    def __init__(self, partitions: int) -> None:
        self.commits: list[list[float]] = [[] for _ in range(partitions)]
        self.holders: list[tuple[float, int, int]] = []
        """When, the partition, the process."""

    def pauses(self, begun: float, ended: float) -> list[Pause]:
        """Return the pause of each partition between two instants."""
        return [
            Pause(
                partition,
                round(longest_pause(commits, begun, ended), 3),
                len(self._held(partition, begun - BEFORE_SECONDS, ended))
                + (not self._held(partition, ended - BEFORE_SECONDS, ended)),
            )
            for partition, commits in enumerate(self.commits)
        ]

    def _held(self, partition: int, since: float, until: float) -> set[int]:
        """Return the processes that were seen to hold a partition in that time."""
        return {pid for at, p, pid in self.holders if p == partition and since < at <= until}


def longest_pause(commits: Sequence[float], begun: float, ended: float) -> float:
    """Return the longest time without a commit of those that touch the time from `begun` to
    `ended`; one that is not over then counts up to there."""
    before = max((at for at in commits if at <= begun), default=begun)
    within = [at for at in commits if begun < at <= ended]
    return max(later - earlier for earlier, later in pairwise([before, *within, ended]))
