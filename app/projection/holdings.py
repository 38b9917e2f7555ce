"""Which credentials are out, and which of them are turned off; in a database of their own.

    yk:state             how far the log is followed here (app.projection.state)
    yk:chunk:<chunk>     one bit a place: 1 if the credential there is turned off
    yk:holders:<chunk>   place → person, of every place that was taken and that the person holds, or
                         lost with a change of the code: a gate that asks us is told the new one
    yk:taken:<chunk>     how many places were taken, whatever became of them
    yk:held:<person>     chunk:place → until when (s since 1970), phone, asker, the version of the
                         code that it tells ("unread" at first); of those not turned off
    yk:chunks            the chunks, by when they go
    yk:filling           the chunk in which places are taken now
    yk:asked:<asker>     there while an asker takes no other place: some seconds after it took one,
                         or `ENDED_SECONDS` after its end

What people make here must not fill the Redis of the codes, so it lies in another, and a follower
of the log of its own turns off: with each code all places of its person that tell an older version
of it, or none yet. How far it came stands in `yk:state`, which the same script writes. So a list
knows its own age, and a follower that is late makes old lists and no wrong ones.

It is the version and not the colour, since a page that shows a code asks for nothing but its list
(static/code.js): whatever changes on the page has to turn off what the page goes by.

A place is taken before the code is read that a credential tells, and the version is noted after
that. The code has to be read from a model that had come as far as the follower had when the place
was taken (`Held.offsets`). So whichever change there is, no credential of a former code stays on:
what the follower had passed by then is in the code, and what it passes after that turns the place
off.

A session or an own phone that ends turns off the places that it took (`Holdings.end`).

A chunk is of random places and has a random name, and no place is taken twice. So neither tells who
has it, and two credentials of one person have nothing in common. When half of a chunk is taken the
next one begins: until then one random place of two is free.

What is built again from the log begins with none of this (app.projection.state). Then no
chunk of before is known, so nothing of before can be verified, and phones ask again.

A place is numbered as a status list numbers it, from the lowest bit of a byte. Redis numbers from
the highest: of each eight, `place ^ 7`.
"""

import asyncio
import hashlib
import secrets
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from msgspec import Struct
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.process.tasks import CANCEL_AGAIN_SECONDS, end
from app.projection.codes import CodeBatch, version_of
from app.projection.state import STATE, State, StateGate, decode_state, oldest, read_state
from app.topics.catalogue import HEALTH_CODES

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

SHORT_BYTES = 4
"""Of the names of phones and askers: enough to tell those of one person apart."""

NAMES_MAX = 4
"""Names that are tried for a next chunk. One is there already once in millions of chunks."""

TRIES = 16
"""Random places that are tried. With half of them free, all are taken once in 65,536 times; then
the next chunk begins a little early."""

CHUNK_SLACK_SECONDS = 3_600
"""A chunk is kept for so long after its last credential ended."""

EPOCH_SECONDS = 1.0
"""How old the epoch may be that a view tells."""

ENDED_SECONDS = 3
"""How long an asker that has ended takes no place. A view may have let it in a moment before, and
has heard of the end before that time is over, or lets nobody in (app.login.ended). An own phone
that logs in again waits as long."""

_HOLD = Path(__file__).with_suffix(".lua").read_text()

_TELL = """
local told = redis.call('HGET', KEYS[1], ARGV[1])
if told then
  redis.call('HSET', KEYS[1], ARGV[1], (string.gsub(told, '%S+$', ARGV[2])))
end
"""
"""KEYS: held of the person. ARGV: chunk:place, the version that its credential tells. A place that
was turned off meanwhile stays so."""

_END = """
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  if string.match(all[i + 1], '^%d+ %x+ (%x+) ') == ARGV[1] then
    local chunk, place = string.match(all[i], '^(%x+):(%d+)$')
    if redis.call('EXISTS', 'yk:chunk:' .. chunk) == 1 then
      redis.call('SETBIT', 'yk:chunk:' .. chunk, bit.bxor(tonumber(place), 7), 1)
    end
    redis.call('HDEL', 'yk:holders:' .. chunk, place)
    redis.call('HDEL', KEYS[1], all[i])
  end
end
redis.call('SET', KEYS[2], 1, 'EX', ARGV[2])
"""
"""KEYS: held of the person, asked. ARGV: the asker's short name, for how long it takes none."""

_TURN_OFF = """
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then
  return 0
end
for i = 2, #KEYS do
  local all = redis.call('HGETALL', KEYS[i])
  for j = 1, #all, 2 do
    local told, version = tonumber(string.match(all[j + 1], '%S+$')), tonumber(ARGV[i + 1])
    if not told or not version or told < version then
      local chunk, place = string.match(all[j], '^(%x+):(%d+)$')
      if redis.call('EXISTS', 'yk:chunk:' .. chunk) == 1 then
        redis.call('SETBIT', 'yk:chunk:' .. chunk, bit.bxor(tonumber(place), 7), 1)
      end
      redis.call('HDEL', KEYS[i], all[j])
    end
  end
end
redis.call('SET', KEYS[1], ARGV[2])
return 1
"""
"""KEYS: state, held of each person. ARGV: state as it must be ("" for none), state as it is to be,
the version of each person's code, "" of one that was deleted. Returns 0 for nothing done."""


class Place(Struct, frozen=True):
    """Where the status of a credential is: a chunk's name, and the number within it."""

    chunk: str
    index: int


class Held(Struct, frozen=True):
    """A place that was taken. The code for it has to be read from a model that has come as far as
    `offsets`, of the partitions of health-codes."""

    place: Place
    offsets: tuple[int, ...]


class NotFollowed(Exception):
    """Nobody turns off yet what would be taken: the log is not followed to its end."""


class TooOften(Exception):
    """The asker took a place a moment ago, or has ended."""


class StatusBits(Struct, frozen=True):
    """A chunk at one instant: by all that was appended until `as_of` (s since 1970)."""

    as_of: float
    bits: bytes
    """Place 0 is the lowest bit of the first byte."""


class Holdings:
    """Takes places and reads chunks. Raises what Redis raises."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._epoch, self._epoch_asked_at = "", 0.0
        self._epoch_task: asyncio.Task[None] | None = None
        self._hold: Any = redis.register_script(_HOLD)
        self._tell: Any = redis.register_script(_TELL)
        self._end: Any = redis.register_script(_END)

    async def hold(
        self,
        person: str,
        asker: str,
        phone: bytes,
        now: datetime,
        until: datetime,
        ask_seconds: int,
    ) -> Held:
        """Take a place for `person` until `until`; raise `TooOften`, `NotFollowed`, and
        `RuntimeError` if no name for a next chunk is free.

        Read the code after that, as late as `Held` says, and `tell` its version. An asker takes one
        place in `ask_seconds`. `phone` is its public key.
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
                    _short(phone),
                    _short(asker.encode()),
                    *(secrets.randbelow(CHUNK_BITS) for _ in range(TRIES)),
                ],
            )
            match found:
                case [chunk, index, raw]:
                    state = decode_state(raw)
                    if state is None or not state.built:
                        raise NotFollowed
                    offsets = tuple(p.offset for p in state.positions[HEALTH_CODES])
                    return Held(Place(chunk.decode(), index), offsets)
                case b"often":
                    raise TooOften
                case b"taken":
                    continue
                case _:
                    raise RuntimeError(f"holdings.lua answers {found!r}, which is no answer of it")
        raise RuntimeError(f"{NAMES_MAX} random names for a chunk of places are all taken")

    async def tell(self, person: str, place: Place, version: int) -> None:
        """Note which version of the code the credential of a place tells, as read after the place
        was taken."""
        at = f"{place.chunk}:{place.index}"
        await self._tell(keys=[HELD + person], args=[at, version])

    async def end(self, person: str, asker: str) -> None:
        """Turn off all places of `person` that `asker` took, and let it take no other."""
        await self._end(
            keys=[HELD + person, ASKED + asker], args=[_short(asker.encode()), ENDED_SECONDS]
        )

    async def bits(self, chunk: str) -> StatusBits | None:
        """Return a chunk; None if it is unknown, or nobody knows how old it is."""
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.get(STATE)
            pipe.get(CHUNK + chunk)
            raw, bits = await pipe.execute()
        state = decode_state(raw)
        as_of = None if state is None else oldest(state.positions[HEALTH_CODES])
        return None if as_of is None or bits is None else StatusBits(as_of, bits)

    @property
    def epoch(self) -> str:
        """The epoch of what is kept here, as it was a second ago: another one means that nothing
        of before is known. Whoever asks waits for no answer of Redis."""
        if time.monotonic() - self._epoch_asked_at >= EPOCH_SECONDS:
            self._epoch_asked_at = time.monotonic()
            self._epoch_task = asyncio.create_task(self.learn_epoch())
        return self._epoch

    async def learn_epoch(self) -> None:
        """Read the epoch; where Redis is away the last one is kept."""
        with suppress(RedisError, OSError, TimeoutError):
            state = await read_state(self._redis)
            self._epoch = "" if state is None else state.epoch

    async def stop(self) -> None:
        """End what is asked behind a question. It comes before the connections are closed."""
        if self._epoch_task is not None:
            await end(self._epoch_task, again_after=CANCEL_AGAIN_SECONDS)

    async def chunks(self, now: datetime) -> list[str]:
        """Return the names of all chunks."""
        found: Any = await self._redis.zrange(CHUNKS, int(now.timestamp()), "+inf", byscore=True)
        return [name.decode() for name in found]

    async def holder(self, place: Place) -> str | None:
        """Return whose place this is; None if it is unknown."""
        found: Any = self._redis.hget(HOLDERS + place.chunk, str(place.index))
        person = await found
        return None if person is None else person.decode()


class HoldingsWriter:
    """Turns off what no longer tells its person's code, through `gate`."""

    def __init__(self, redis: Redis, gate: StateGate) -> None:
        self.gate = gate
        self._turn_off: Any = redis.register_script(_TURN_OFF)

    async def apply(self, batch: CodeBatch, state: State) -> bool:
        """Turn off by a batch of codes, and write `state`; return False, with nothing done, if
        Redis has moved on.

        A code that comes twice, or after a newer one, turns off nothing that tells the newer.
        """
        keys = [STATE, *(HELD + person for person, _ in batch.codes)]
        versions = ["" if code is None else version_of(code) for _, code in batch.codes]

        async def write(last: bytes, to: bytes) -> Any:
            return await self._turn_off(keys=keys, args=[last, to, *versions])

        return await self.gate.swap(state, write)


def _short(name: bytes) -> str:
    return hashlib.blake2b(name, digest_size=SHORT_BYTES).hexdigest()
