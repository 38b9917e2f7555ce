"""Who is given person keys, of what, and how many: as topics.yaml says for each authority, and the
register for a source of its own.

A person key opens nothing by itself. With sight of Kafka or Redis it is the code of a known
document number, and numbers can be enumerated. So a source gets keys only if it writes to Kafka
itself, of what it writes about, and no more than its work takes.
"""

from datetime import UTC, datetime

from limits import RateLimitItemPerDay, RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from app.topics.catalogue import CATALOGUE, Catalogue, KeyLimit
from app.web.problems import Refused


class KeyLimits:
    """Counts the keys of each source. Belongs to one event loop.

    A sliding window of two counters counts them, so a source costs the same however much it asks.
    They are in memory, since the gateway is one process.
    """

    def __init__(self, catalogue: Catalogue = CATALOGUE) -> None:
        self._catalogue = catalogue
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    def limit_of(self, source: str) -> KeyLimit:
        """Return what `source` may ask for; raise `Refused` (403) if that is nothing."""
        limit = self._catalogue.key_limit(source)
        if limit is None:
            raise Refused(
                "no-keys",
                f"{source} is given no person keys. Send events with the document itself "
                "(data.document): the gateway puts the key in its place.",
            )
        return limit

    async def spend(self, source: str, count: int, own_day: int | None = None) -> None:
        """Count `count` keys for `source`, or raise `Refused` (403, 429).

        `own_day` is how many the register gives it in a day. The lesser of the two days is the one
        limit of a day, and it is asked last: what is refused costs nothing of the day.
        """
        limit = self.limit_of(source)
        day = limit.day if own_day is None else min(limit.day, own_day)
        for item in (RateLimitItemPerMinute(limit.minute), RateLimitItemPerDay(day)):
            if not await self._limiter.hit(item, source, cost=count):
                fewer = f" Ask for at most {item.amount} at once." if count > item.amount else ""
                window = await self._limiter.get_window_stats(item, source)
                seconds = max(1, round(window.reset_time - datetime.now(UTC).timestamp()))
                raise Refused(
                    "too-often",
                    f"{source} gets {item.amount} person keys a {item.GRANULARITY.name}; "
                    f"{window.remaining} are left for now.{fewer}",
                    headers={"Retry-After": str(seconds)},
                )
