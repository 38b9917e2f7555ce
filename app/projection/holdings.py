"""Which credentials are out, and which of them are turned off; beside the codes in their Redis.

    yk:chunk:<chunk>     one bit a place: 1 if the credential there is turned off
    yk:holders:<chunk>   place → person, of every place that was taken and that the person holds, or
                         lost with a change of the code: a gate that asks us is told the new one
    yk:taken:<chunk>     how many places were taken, whatever became of them
    yk:held:<person>     chunk:place → until when (s since 1970), phone, the colour that it tells
                         ("unread" at first); of those not turned off
    yk:chunks            the chunks, by when they go
    yk:filling           the chunk in which places are taken now
    yk:asked:<asker>     there for a few seconds after an asker took a place

A place is taken before the code is read that a credential tells, and the colour is noted after
that. codes.lua, in the script that writes a code, turns off all places of its person that do not
tell its colour, or none yet. So whichever comes first, no credential of a former colour stays on:
it was either read after the change, or is turned off by it. No second follower of the log is
needed, and none can be late.

A chunk is of random places and has a random name, and no place is taken twice. So neither tells who
has it, and two credentials of one person have nothing in common. When half of a chunk is taken the
next one begins: until then one random place of two is free.

The model that is built again from the log begins with none of this (app.projection.state). Then no
chunk of before is known, so nothing of before can be verified, and phones ask again.

A place is numbered as a status list numbers it, from the lowest bit of a byte. Redis numbers from
the highest: of each eight, `place ^ 7`.
"""

import hashlib
import secrets
from datetime import datetime
from pathlib import Path
from typing import Any

from msgspec import Struct
from redis.asyncio import Redis

from app.projection.state import STATE, decode_state, oldest
from app.topics.catalogue import HEALTH_CODES
from models.codes import Colour

CHUNK = "yk:chunk:"
HOLDERS = "yk:holders:"
TAKEN = "yk:taken:"
HELD = "yk:held:"
CHUNKS = "yk:chunks"
FILLING = "yk:filling"
ASKED = "yk:asked:"

CHUNK_BITS = 1 << 17
"""Places of a chunk: 16 KiB, some 1 KB compressed while one in a hundred is turned off. Half of
them are taken by 65,536 credentials, so that nobody is known by the list that a terminal asks
for."""

CHUNK_NAME_BYTES = 3

HELD_MAX = 8
"""Credentials of one person that are on, of all their phones. The ninth turns off the oldest of its
own phone, which has no use for it any more, or else the oldest of all."""

PHONE_NAME_BYTES = 4
"""Enough to tell the phones of one person apart."""

NAMES_MAX = 4
"""Names that are tried for a next chunk. One is there already once in millions of chunks."""

TRIES = 16
"""Random places that are tried. With half of them free, all are taken once in 65,536 times; then
the next chunk begins a little early."""

CHUNK_SLACK_SECONDS = 3_600
"""A chunk is kept for so long after its last credential ended."""

_HOLD = Path(__file__).with_suffix(".lua").read_text()

_TELL = """
local told = redis.call('HGET', KEYS[1], ARGV[1])
if told then
  redis.call('HSET', KEYS[1], ARGV[1], (string.gsub(told, '%S+$', ARGV[2])))
end
"""
"""KEYS: held of the person. ARGV: chunk:place, the colour that its credential tells. A place that
was turned off meanwhile stays so."""


class Place(Struct, frozen=True):
    """Where the status of a credential is: a chunk's name, and the number within it."""

    chunk: str
    index: int


class TooOften(Exception):
    """The asker took a place a moment ago."""


class StatusBits(Struct, frozen=True):
    """A chunk at one instant: by all that was appended until `as_of` (s since 1970)."""

    as_of: float
    bits: bytes
    """Place 0 is the lowest bit of the first byte."""


class Holdings:
    """Takes places and reads chunks, in the Redis of the codes. Raises what Redis raises."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._hold: Any = redis.register_script(_HOLD)
        self._tell: Any = redis.register_script(_TELL)

    async def hold(
        self,
        person: str,
        asker: str,
        phone: bytes,
        now: datetime,
        until: datetime,
        ask_seconds: int,
    ) -> Place:
        """Take a place for `person` until `until`; raise `TooOften`, and `RuntimeError` if no name
        for a next chunk is free.

        Read the code after that, and `tell` its colour. An asker takes one place in `ask_seconds`.
        `phone` is its public key.
        """
        for _ in range(NAMES_MAX):
            found = await self._hold(
                keys=[FILLING, CHUNKS, HELD + person, ASKED + asker],
                args=[
                    person,
                    secrets.token_hex(CHUNK_NAME_BYTES),
                    int(now.timestamp()),
                    int(until.timestamp()),
                    CHUNK_SLACK_SECONDS,
                    HELD_MAX,
                    CHUNK_BITS,
                    ask_seconds,
                    hashlib.blake2b(phone, digest_size=PHONE_NAME_BYTES).hexdigest(),
                    *(secrets.randbelow(CHUNK_BITS) for _ in range(TRIES)),
                ],
            )
            match found:
                case [chunk, index]:
                    return Place(chunk.decode(), index)
                case b"often":
                    raise TooOften
                case b"taken":
                    continue
                case _:
                    raise RuntimeError(f"holdings.lua answers {found!r}, which is no answer of it")
        raise RuntimeError(f"{NAMES_MAX} random names for a chunk of places are all taken")

    async def tell(self, person: str, place: Place, colour: Colour) -> None:
        """Note what the credential of a place tells, as read after the place was taken."""
        at = f"{place.chunk}:{place.index}"
        await self._tell(keys=[HELD + person], args=[at, colour.value])

    async def bits(self, chunk: str) -> StatusBits | None:
        """Return a chunk; None if it is unknown, or nobody knows how old it is."""
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.get(STATE)
            pipe.get(CHUNK + chunk)
            raw, bits = await pipe.execute()
        state = decode_state(raw)
        as_of = None if state is None else oldest(state.positions[HEALTH_CODES])
        return None if as_of is None or bits is None else StatusBits(as_of, bits)

    async def chunks(self, now: datetime) -> list[str]:
        """Return the names of all chunks."""
        found: Any = await self._redis.zrange(CHUNKS, int(now.timestamp()), "+inf", byscore=True)
        return [name.decode() for name in found]

    async def holder(self, place: Place) -> str | None:
        """Return whose place this is; None if it is unknown."""
        found: Any = self._redis.hget(HOLDERS + place.chunk, str(place.index))
        person = await found
        return None if person is None else person.decode()
