"""Until when an input is applied to which another group copies, with what is not copied yet.

What agencies submit on Kafka is copied to its input (agents.submissions), in the partition of the
same number. Until it is applied there it counts as unread. It is learned in two steps:

1. at an asking `a` all that was submitted before `u` was taken, so its copies lay in the input;
2. at a later asking all that was appended to the input before `a` was applied.

Then all that was submitted before `u` is applied. The second step comes a second after the first.
Where nothing was submitted since `a` there is no need of it: what is known of the input holds,
up to the newest asking: what was submitted after that nobody has seen, however much later the input
was asked about.
"""

from collections import deque

KEPT_MAX = 60
"""Askings that are kept, as ends are (app.projection.freshness)."""


class Upstream:
    """What is known of one partition of submissions: until when it was taken, asking by asking."""

    def __init__(self) -> None:
        self._taken = deque[tuple[float, float]]()
        self._reached = -1
        self._quiet_since: float | None = None
        self._asked_at = 0.0

    def saw(self, at: float, taken_until: float, reached: int) -> None:
        """Take in until when it was taken as of an asking at `at`, up to the offset `reached`."""
        if len(self._taken) == KEPT_MAX:
            self._taken.pop()  # the oldest is what is waited for: it stays
        self._taken.append((at, taken_until))
        if reached != self._reached or taken_until < at:
            self._quiet_since = None
        if self._quiet_since is None and taken_until == at:
            self._quiet_since = at
        self._reached = reached
        self._asked_at = at

    def until(self, applied: float) -> float | None:
        """Return until when all that was submitted is applied, where the input is applied up to
        `applied`; None if that is not known."""
        if self._quiet_since is not None and self._quiet_since <= applied:
            return min(applied, self._asked_at)
        while len(self._taken) > 1 and self._taken[1][0] <= applied:
            self._taken.popleft()
        known = self._taken and self._taken[0][0] <= applied
        return min(self._taken[0][1], applied) if known else None
