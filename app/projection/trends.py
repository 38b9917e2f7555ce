"""How many codes changed when, in the codes' Redis: what was usual, and what just happened.

    yk:minute:<n>   changes of the n-th minute of the epoch, for an hour
    yk:slot:<n>     changes of the n-th ten minutes, for eight days

Both are hashes of the same fields. `red`, `green`, `none`: what changes turned to; `same`: the
colour stayed, the reasons changed. `first`: green from no code, so a login and
no news. Of those that
turned red there is more: `red:city:440100` (or `-`), `red:reason:3` (one change may have several),
`red:source:/cdc/440100` (or `-`, if time turned it). A change counts by when it happened.

At most 200 sources have a field of their own in a hash; codes.lua counts further ones under
`OTHER_SOURCES`, and the 200 in the field `sources`. So 8 days are at most 40 MB.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec
from msgspec import Struct
from redis.asyncio import Redis

from app.projection.changes import PublicChange
from models.codes import Colour

MINUTE, MINUTE_S, MINUTES_KEPT = "yk:minute:", 60, 60
SLOT, SLOT_S, SLOTS_KEPT = "yk:slot:", 600, 8 * 144
EXPIRY_SLACK = 2
"""Minutes or slots that a key is kept longer than it is read."""

OTHER_SOURCES = "other"
"""What stands in the place of a source there."""


_encode = msgspec.msgpack.Encoder().encode


class Trend(Struct, frozen=True):
    """How many to add to one field of one key, and when that key expires (s since 1970)."""

    key: str
    expires: int
    field: str
    more: int


class ChangesWithin(Struct, frozen=True):
    """The fields of the changes within the minute or slot that begins at `start` (s since 1970)."""

    start: int
    fields: dict[str, int]


def trends_of(changes: Iterable[PublicChange], now: float) -> list[Trend]:
    """Return what these changes add to the minutes and slots that are still kept at `now`."""
    alike: dict[bytes, list[PublicChange]] = {}
    for change in changes:
        # Most are of a few kinds: each is looked at once.
        minute = int(change.at.timestamp() // MINUTE_S)
        kind = _encode((minute, change.before, change.after, change.cause, change.city))
        alike.setdefault(kind, []).append(change)
    found: Counter[tuple[str, int, str]] = Counter()
    for of_kind in alike.values():
        at = of_kind[0].at.timestamp()
        for prefix, length, kept in (
            (MINUTE, MINUTE_S, MINUTES_KEPT),
            (SLOT, SLOT_S, SLOTS_KEPT),
        ):
            number = int(at // length)
            if number >= int(now // length) - kept:
                key, expires = f"{prefix}{number}", (number + kept + EXPIRY_SLACK) * length
                for field in _fields(of_kind[0]):
                    found[key, expires, field] += len(of_kind)
    return [Trend(*of, more) for of, more in found.items()]


def _fields(change: PublicChange) -> Iterable[str]:
    before, after = change.before.colour, change.after.colour
    yield "same" if before is after else after.value
    if before is Colour.NONE and after is Colour.GREEN:
        yield "first"
    if after is Colour.RED and before is not Colour.RED:
        yield f"red:city:{'-' if change.city is None else change.city[:4] + '00'}"
        yield f"red:source:{change.cause.source or '-'}"
        for reason in change.after.reasons:
            yield f"red:reason:{int(reason)}"


async def read_minutes(redis: Redis, now: float) -> list[ChangesWithin]:
    """Return the last hour, oldest minute first."""
    last = int(now // MINUTE_S)
    return await _read(redis, MINUTE, MINUTE_S, range(last - MINUTES_KEPT + 1, last + 1))


async def read_slots(redis: Redis, numbers: Sequence[int]) -> list[ChangesWithin]:
    """Return the ten minutes of these numbers, in their order."""
    return await _read(redis, SLOT, SLOT_S, numbers)


async def _read(
    redis: Redis, prefix: str, length: int, numbers: Sequence[int]
) -> list[ChangesWithin]:
    async with redis.pipeline(transaction=False) as pipe:
        for number in numbers:
            pipe.hgetall(f"{prefix}{number}")
        found = await pipe.execute()
    return [
        ChangesWithin(number * length, {k.decode(): int(n) for k, n in fields.items()})
        for number, fields in zip(numbers, found, strict=True)
    ]
