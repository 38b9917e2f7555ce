"""Who is let in by the register of sources, and how much each may send.

While the register is not read nobody is: a source that was closed must not slip in with a start.
Once it is read, the tokens of who is closed are not taken (`app.web.tokens`). One that is not
registered is let in where `registered_only` is false, and where the register is empty, so that
nobody is shut out before anybody is registered.
"""

from datetime import UTC, datetime

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from app.process.clock import Clock, now
from app.sources.register import Register
from app.topics.catalogue import CATALOGUE
from app.web.problems import Refused, retry_later
from models.register import RegisteredSource

RETRY_SECONDS = 2

UNREGISTERED = frozenset({"portal", "identity-provider", "operator"})
"""Authorities whose sources need no entry: a register without them must not stop logins, nor the
operator who mends it."""


class SourceGate:
    """Lets sources in. Belongs to one event loop. Without a register everybody is let in.

    Counts are in memory, since the gateway is one process.
    """

    def __init__(
        self, register: Register | None, registered_only: bool = False, now: Clock = now
    ) -> None:
        self._register = register
        self._registered_only = registered_only
        self._now = now
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    def check(self, source: str) -> None:
        """Raise `Refused` (403, 503) unless a source is let in."""
        register = self._register
        if register is None:
            return
        if not register.complete:
            raise retry_later(
                "register-unread",
                "Who is let in is not known yet: the register of sources is not read. Send the "
                "same again.",
                RETRY_SECONDS,
            )
        needed = self._registered_only and CATALOGUE.authority_of(source) not in UNREGISTERED
        if needed and len(register) and register.of(source) is None:
            raise Refused(
                "source-unregistered",
                f"{source} is not in the register of sources. Ask the operator, who adds it with "
                "`yuekang sources load`.",
            )

    def takes_key(self, source: str, key_id: str) -> bool:
        """Say whether a key may sign a source's requests now. Where the register names keys of the
        source, only these may, each in its time."""
        entry = self._entry(source)
        if entry is None or not entry.keys:
            return True
        at = self._now()
        return any(key.id == key_id and key.is_valid(at) for key in entry.keys)

    async def spend_events(self, source: str, count: int) -> None:
        """Count events that a source sends; raise `Refused` (429) above its own limit."""
        entry = self._entry(source)
        most = None if entry is None else entry.limits.events_per_minute
        if most is None:
            return
        limit = RateLimitItemPerMinute(most)
        if await self._limiter.hit(limit, source, cost=count):
            return
        fewer = f" Ask with at most {most} at once." if count > most else ""
        window = await self._limiter.get_window_stats(limit, source)
        seconds = max(1, round(window.reset_time - datetime.now(UTC).timestamp()))
        raise Refused(
            "too-often",
            f"{source} has {most} events a minute, by the register of sources; "
            f"{window.remaining} are left for now.{fewer}",
            headers={"Retry-After": str(seconds)},
        )

    def keys_a_day(self, source: str) -> int | None:
        """Return how many person keys a source may ask for in a day; None if the register does not
        say."""
        entry = self._entry(source)
        return None if entry is None else entry.limits.person_keys_per_day

    def _entry(self, source: str) -> RegisteredSource | None:
        return None if self._register is None else self._register.of(source)
