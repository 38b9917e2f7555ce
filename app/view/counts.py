"""How many people have which code, and what changed in the last hour."""

import math
import time
from collections.abc import Mapping
from datetime import UTC, datetime

from msgspec import Struct
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.process.clock import Clock
from app.projection.codes import HELD_IN, QUOTAS_CHANGELOG, read_counts
from app.projection.state import State, oldest
from app.projection.trends import ChangesWithin, read_minutes
from app.topics.catalogue import HEALTH_CODES
from app.view.limits import REFUSE_SECONDS, RETRY_STALE_SECONDS, RETRY_STORE_SECONDS
from app.view.reading import ChangesOfMinute, CityCount, Counts, PartitionLag, Unavailable
from models.codes import Colour, Reason
from models.policy import ZONE

MINUTES_SECONDS = 1.0


class Counting:
    """Reads the counts of the read model."""

    def __init__(self, redis: Redis, now: Clock) -> None:
        self._redis = redis
        self._now = now
        self._minutes: tuple[float, list[ChangesOfMinute]] = -math.inf, []

    async def counts(self) -> Counts:
        """Return the counts; raise `Unavailable` if they are not whole, or too old."""
        try:
            state, counts = await read_counts(self._redis)
        except (RedisError, OSError, TimeoutError):
            raise Unavailable("store", RETRY_STORE_SECONDS) from None
        if state is None or not state.built:
            raise Unavailable("store", RETRY_STALE_SECONDS)
        at = self._now()
        lags = lags_of(state, at)
        if any(lag.lag_s is None or lag.lag_s > REFUSE_SECONDS for lag in lags):
            raise Unavailable("stale", RETRY_STALE_SECONDS)
        return Counts(
            at,
            {colour: counts.get(colour.value, 0) for colour in Colour},
            {reason: counts.get(f"reason:{int(reason)}", 0) for reason in Reason},
            _cities(counts),
            lags,
            state.epoch,
            state.changes,
            sum(n for field, n in counts.items() if field.startswith(HELD_IN)),
        )

    async def minutes(self) -> list[ChangesOfMinute]:
        """Return the last 60 minutes, oldest first; raise `Unavailable`.

        They are read once a second, however many ask.
        """
        read_at, minutes = self._minutes
        if time.monotonic() - read_at < MINUTES_SECONDS:
            return minutes
        try:
            found = await read_minutes(self._redis, self._now().timestamp())
        except (RedisError, OSError, TimeoutError):
            raise Unavailable("store", RETRY_STORE_SECONDS) from None
        minutes = [_of_minute(minute) for minute in found]
        self._minutes = time.monotonic(), minutes
        return minutes


def _of_minute(minute: ChangesWithin) -> ChangesOfMinute:
    red, *other = (minute.fields.get(to, 0) for to in (Colour.RED, Colour.GREEN, "none", "same"))
    return ChangesOfMinute(datetime.fromtimestamp(minute.start, ZONE), red, sum(other))


def lags_of(state: State, at: datetime) -> list[PartitionLag]:
    """Return how far each partition of health-codes is behind at `at`.

    What is still to be counted against the limit of a source may be about anybody, so the figures
    of every partition lack it.
    """
    counted = oldest(state.positions[QUOTAS_CHANGELOG])
    return [
        PartitionLag(number, None, None)
        if counted is None or (known := position.known_until) is None
        else PartitionLag(
            number,
            datetime.fromtimestamp(until := min(known, counted), ZONE),
            round(max(0.0, at.timestamp() - until), 3),
        )
        for number, position in enumerate(state.positions[HEALTH_CODES])
    ]


def _cities(counts: Mapping[str, int]) -> dict[str, CityCount]:
    cities = sorted({field.split(":")[1] for field in counts if field.startswith("city:")})
    return {
        city: CityCount(counts.get(f"city:{city}:red", 0), counts.get(f"city:{city}:green", 0))
        for city in cities
    }


class MinuteAnswer(Struct, frozen=True):
    """Changes within the minute that begins at `start`."""

    start: datetime
    to_red: int
    other: int


class CountsAnswer(Struct, frozen=True):
    """People by colour, by reason (one may have several) and by city; changes per minute.

    A person counts by what status-changes last told of them. `lags` says how far each partition of
    the log is counted. `held` are events above the limit of their source, which count nowhere yet.
    """

    at: datetime
    colours: dict[str, int]
    reasons: dict[str, int]
    cities: dict[str, CityCount]
    lags: list[PartitionLag]
    minutes: list[MinuteAnswer]
    held: int


def counts_answer(counts: Counts, minutes: list[ChangesOfMinute]) -> CountsAnswer:
    """Return the counts as they are said over HTTP."""
    return CountsAnswer(
        counts.at,
        {colour.value: count for colour, count in counts.colours.items()},
        {r.slug: count for r, count in counts.reasons.items()},
        dict(counts.cities),
        list(counts.lags),
        [MinuteAnswer(m.start.astimezone(UTC), m.to_red, m.other) for m in minutes],
        counts.held,
    )
