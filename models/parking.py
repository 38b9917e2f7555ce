"""Which sources are parked: what they send goes aside until an operator releases them.

An invalid event changes no code. But a source that sends little else is broken, and its valid
events are not to be trusted either. Whether a source is parked is a function of two things: the log
of one topic partition, in its order, and the releases. It does not depend on the clock, on chunks
or on restarts.

Counting begins at an invalid record, so a clean source costs nothing. Invalid means wrong with a
record by itself. What the fold objects to depends on other topics and is not counted.
"""

from enum import Enum, auto

from msgspec import Struct


class Limit(Struct, frozen=True):
    """Reached by `in_a_row` invalid records in a row, or by more than `percent` of `records`."""

    in_a_row: int
    percent: int
    records: int


SOURCE_LIMIT = Limit(in_a_row=100, percent=1, records=1_000)
"""100 in a row, or above 1% of 1,000: at these numbers Arroyo, Sentry's library for consumers, no
longer believes that single records are at fault (its dead-letter limits)."""

COUNTED_MAX = 1_000
"""Sources counted at once in a topic partition. For one more, the source heard of longest ago is
forgotten: its count begins again at its next invalid record (own decision: with `PARKED_MAX` this
keeps a tally below 256 KB, also when each source has the longest of names)."""

PARKED_MAX = 1_000
"""Sources parked at once in a topic partition; none of them is ever forgotten. A further one that
reaches its limit is not parked. Its count begins again, and its invalid events are dead letters as
before (own decision)."""

LEFT_ASIDE_MAX = 100
"""Records of a topic partition that wait to be left aside. Where so many cannot be folded, the fold
is at fault and not they (own decision)."""


class Verdict(Enum):
    """What a record does to its source, from the next record on."""

    NOTHING = auto()
    PARKED = auto()
    NOT_PARKED = auto()  # it would be, were `PARKED_MAX` not reached


class Count(Struct, array_like=True):
    """Records since `since`, the offset of an invalid one, and how many invalid ones came in a row
    up to now."""

    since: int
    records: int = 0
    invalid: int = 0
    in_a_row: int = 0
    row_since: int = 0

    def add(self, invalid: bool, offset: int) -> None:
        """Count one more."""
        self.records += 1
        if not invalid:
            self.in_a_row = 0
            return
        if not self.in_a_row:
            self.row_since = offset
        self.invalid += 1
        self.in_a_row += 1

    def reaches(self, limit: Limit) -> bool:
        """Say whether the limit is reached."""
        return self.in_a_row >= limit.in_a_row or (
            self.records >= limit.records and self.invalid * 100 > limit.percent * self.records
        )

    def rest(self, limit: Limit) -> "Count | None":
        """Return what goes on being counted. At the window's end that is a row of invalid records
        that is not over."""
        if self.records < limit.records:
            return self
        if not self.in_a_row:
            return None
        row = self.in_a_row
        return Count(self.row_since, row, row, row, self.row_since)


class Tally(Struct, array_like=True):
    """The counts of one topic partition. Bounded by `COUNTED_MAX` and `PARKED_MAX`.

    `counting` has the source heard of longest ago first; `parked` has the offset of the record
    that reached the limit, after which the source's records are put aside. `left_aside` has the
    offsets of single records that an operator leaves aside, and why; at most `LEFT_ASIDE_MAX`.
    """

    counting: dict[str, Count] = {}
    parked: dict[str, int] = {}
    left_aside: dict[int, str] = {}

    def __bool__(self) -> bool:
        """Say whether anything is counted, parked or left aside."""
        return bool(self.counting or self.parked or self.left_aside)

    def add(self, source: str, invalid: bool, offset: int) -> Verdict:
        """Count the record of `source` at `offset`."""
        if source in self.parked:
            return Verdict.NOTHING
        count = self.counting.pop(source, None)
        if count is None:
            if not invalid:
                return Verdict.NOTHING
            count = Count(offset)
        count.add(invalid, offset)
        if count.reaches(SOURCE_LIMIT):
            if len(self.parked) >= PARKED_MAX:
                return Verdict.NOT_PARKED
            self.parked[source] = offset
            return Verdict.PARKED
        if (rest := count.rest(SOURCE_LIMIT)) is not None:
            if len(self.counting) >= COUNTED_MAX:
                del self.counting[next(iter(self.counting))]
            self.counting[source] = rest  # at the end: heard of last
        return Verdict.NOTHING

    def release(self, source: str) -> None:
        """Forget all about a source; its next records are applied."""
        self.parked.pop(source, None)
        self.counting.pop(source, None)

    def leave_aside(self, offset: int, reason: str) -> bool:
        """Leave the record at `offset` aside when it comes. Return False if it is not, since
        `LEFT_ASIDE_MAX` others wait for that."""
        if len(self.left_aside) == LEFT_ASIDE_MAX and offset not in self.left_aside:
            return False
        self.left_aside[offset] = reason
        return True
