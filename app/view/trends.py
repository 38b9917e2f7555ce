"""Reds over the last hour and day, by reason, city and source; and where they are unusual.

What is usual for ten minutes is what the same ten minutes of the last seven days had, and each ten
minutes of the hour before: 13 figures. Above their median by more than five, and by more than four
times their median absolute deviation, is unusual. A single case at night is not; 51 in ten
minutes where there were two is.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from itertools import chain
from statistics import median

from msgspec import Struct
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.process.clock import Clock
from app.projection.trends import (
    MINUTE_S,
    OTHER_SOURCES,
    SLOT_S,
    ChangesWithin,
    read_minutes,
    read_slots,
)
from app.view.limits import RETRY_STORE_SECONDS
from app.view.reading import Unavailable
from models.codes import Colour
from models.policy import ZONE

KEPT_SECONDS = 5.0
"""How long what was read answers everybody who asks: reading it takes 10 ms of the process."""

DAY_SLOTS, HOUR_SLOTS, DAYS = 144, 6, 7
LAST_MINUTES = 10
LEAST, DEVIATIONS = 5, 4
"""How far above the usual is unusual: by more than both, in cases and in deviations."""

BY = ("city", "reason", "source")
"""What reds are told apart by."""


class Series(Struct, frozen=True):
    """Changes one after another, each within `step_s` seconds, the first from `start` on.

    `lifted` turned green from red, `first` from no code. `by` has of BY each key's reds.
    """

    start: datetime
    step_s: int
    red: tuple[int, ...]
    lifted: tuple[int, ...]
    first: tuple[int, ...]
    by: Mapping[str, Mapping[str, tuple[int, ...]]]


class Mark(Struct, frozen=True):
    """Where the reds of the last ten minutes are out of their usual.

    `by` is empty for all reds, or one of BY; `key` is then a city, a reason's rank, or a source.
    """

    by: str
    key: str
    count: int
    usual: float


class Trends(Struct, frozen=True):
    """What happened, read at `at`. `last` is how many turned red in the last ten minutes."""

    at: datetime
    last: int
    marks: tuple[Mark, ...]
    hour: Series
    day: Series


def unusual(count: int, usual: Sequence[int]) -> bool:
    """Say whether `count` is above what is usual, as this module says."""
    middle = median(usual)
    deviation = median(abs(each - middle) for each in usual)
    return count > middle + max(LEAST, DEVIATIONS * deviation)


def trends_at(
    at: datetime,
    minutes: Sequence[ChangesWithin],
    slots: Sequence[ChangesWithin],
    days_before: Sequence[ChangesWithin],
) -> Trends:
    """Return the trends of an hour of minutes, a day of slots, and the same slot of former days.

    All are in order, the oldest first; the last slot is the one that `at` is in.
    """
    last = _summed(minutes[-LAST_MINUTES:])
    # The slot before may have some of the last ten minutes, so the hour ends before it.
    hour_before = slots[-2 - HOUR_SLOTS : -2]
    usual = [each.fields for each in chain(days_before, hour_before)]
    marks = [
        Mark(*_named(field), count, median(before))
        for field, count in sorted(last.items(), key=lambda item: (-item[1], item[0]))
        if field == Colour.RED or field.startswith("red:")
        if unusual(count, before := [fields.get(field, 0) for fields in usual])
    ]
    # What is unusual for all comes first.
    marks.sort(key=lambda mark: mark.by != "")
    return Trends(
        at, last[Colour.RED], tuple(marks), _series(minutes, MINUTE_S), _series(slots, SLOT_S)
    )


def _summed(parts: Sequence[ChangesWithin]) -> Counter[str]:
    found = Counter[str]()
    for part in parts:
        found.update(part.fields)
    return found


def _named(field: str) -> tuple[str, str]:
    _, by, key = [*field.split(":", 2), "", ""][:3]
    return by, key


def _series(parts: Sequence[ChangesWithin], step_s: int) -> Series:
    def of(*fields: str) -> tuple[int, ...]:
        return tuple(sum(part.fields.get(field, 0) for field in fields) for part in parts)

    keys = sorted({field for part in parts for field in part.fields if field.startswith("red:")})
    by: dict[str, dict[str, tuple[int, ...]]] = {each: {} for each in BY}
    for field in keys:
        kind, key = _named(field)
        by[kind][key] = of(field)
    green, first = of(Colour.GREEN), of("first")
    return Series(
        datetime.fromtimestamp(parts[0].start, ZONE),
        step_s,
        of(Colour.RED),
        tuple(g - f for g, f in zip(green, first, strict=True)),
        first,
        by,
    )


class TrendReader:
    """Reads the trends, for everybody who asks within `KEPT_SECONDS` once."""

    def __init__(
        self, redis: Redis, now: Clock, elapsed: Callable[[], float] = time.monotonic
    ) -> None:
        self._redis = redis
        self._now = now
        self._elapsed = elapsed
        self._lock = asyncio.Lock()
        self._kept: tuple[float, Trends] | None = None

    async def trends(self) -> Trends:
        """Return the trends, at most `KEPT_SECONDS` old; raise `Unavailable`."""
        async with self._lock:
            if self._kept is None or self._elapsed() - self._kept[0] >= KEPT_SECONDS:
                self._kept = self._elapsed(), await self._read()
            return self._kept[1]

    async def _read(self) -> Trends:
        at = self._now()
        slot = int(at.timestamp() // SLOT_S)
        days = [slot - DAY_SLOTS * day for day in range(DAYS, 0, -1)]
        try:
            minutes = await read_minutes(self._redis, at.timestamp())
            slots = await read_slots(self._redis, [*days, *range(slot - DAY_SLOTS + 1, slot + 1)])
        except (RedisError, OSError, TimeoutError):
            raise Unavailable("store", RETRY_STORE_SECONDS) from None
        return trends_at(at, minutes, slots[DAYS:], slots[:DAYS])


def sources_of(trends: Trends) -> list[str]:
    """Return the sources that turned somebody red within the day, by name."""
    found = {*trends.day.by["source"], *trends.hour.by["source"]}
    return sorted(found - {"-", OTHER_SOURCES})
