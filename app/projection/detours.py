"""Until when what goes round by another topic is back, and applied too.

An event that may open a reason is taken off its input, written to openings, and comes back to its
input (agents.quotas). While it is on its way it counts as unread. Three things follow one another,
and each is known at an asking only of what the one before had brought about by then:

1. at an asking `a` all that was appended to the input before `u` was taken off it. So what of that
   goes round had been written to openings by `a`;
2. at a later asking `b` all that was written to openings before `a` was counted. So it was back in
   its input by `b`, or held;
3. at a later asking `c` all that was appended to the input before `b` was applied.

At `c`, then, all that was appended before `u` is applied, or held. Each asking costs a step, some
2 s in all; so where nothing went round since `b`, what is known of the input holds at once.
"""

from collections import deque

KEPT_MAX = 60
"""Askings that are kept of each step. Who is behind for longer comes on in longer steps."""

Known = tuple[float, float]
"""When it was asked, and until when what was asked about is so (s since 1970)."""


class Detour:
    """The topic by which events go round, as all its partitions together were seen."""

    def __init__(self) -> None:
        self.settled_at: float | None = None
        """The earliest asking since when nothing was written there, and at which all was counted;
        None while something is on its way."""
        self._ends: dict[object, int] = {}

    def saw(self, at: float, ends: dict[object, int], until: float | None) -> None:
        """Take in where it ended at `at`, and until when all of it was counted by then."""
        if ends != self._ends or until is None or until < at:
            self.settled_at = None
        if self.settled_at is None and until == at:
            self.settled_at = at
        self._ends = ends


class Round:
    """One partition of the input. Some of what lies there goes round."""

    def __init__(self) -> None:
        self.until: float | None = None
        """Until when all that was appended is applied, or held (s since 1970)."""
        self._taken = deque[Known]()
        self._back = deque[Known]()

    def saw(
        self, at: float, taken: float | None, counted: float | None, settled_at: float | None
    ) -> None:
        """Take in what was known at `at`: until when the input was taken, until when openings were
        counted, and since when nothing goes round."""
        if taken is None:
            return
        _keep(self._taken, (at, taken))
        if counted is not None and (newest := _newest(self._taken, counted)) is not None:
            _keep(self._back, (at, newest))
        found = _newest(self._back, taken)
        if settled_at is not None and settled_at <= taken:
            found = taken
        if found is not None:
            self.until = max(found, self.until or found)


def _keep(known: deque[Known], newest: Known) -> None:
    """Keep what is known; if full, in place of the newest. The oldest is what the next step
    waits for: whoever dropped it would wait for ever."""
    if len(known) == KEPT_MAX:
        known.pop()
    known.append(newest)


def _newest(known: deque[Known], asked_until: float) -> float | None:
    """Return until when is known by the last asking at `asked_until` or before; forget those of
    before that."""
    while len(known) > 1 and known[1][0] <= asked_until:
        known.popleft()
    return known[0][1] if known and known[0][0] <= asked_until else None
