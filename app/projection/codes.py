"""The read model in Redis: what the view reads, and how the projection writes it.

    yk:state           how far the log is projected; the only key that decides anything
    yk:code:<person>   a head line of what is counted, then the HealthCode as on the log
    yk:counts          people by colour, by reason, by city
    yk:changes         the latest changes, without the person, numbered without a gap
    yk:minute:<n>      changes of the n-th minute of the epoch, for an hour

A batch is one script (codes.lua): codes, counts, changes and the state with the new positions
are written together, and only if the state is still the one that the batch began from. So a
batch is applied once or not at all: a projection that dies, repeats itself, wakes up late or
meets an emptied Redis changes nothing that it should not, and finds out. A code also carries its
version, and an older one never replaces a newer.

The counts are of the codes that lie here, by the status that each tells; a code that changes
moves from the one to the other in the same script.

The database is the model's alone: it is emptied when the model is built anew.

The numbers of the changes belong to an `epoch`, which is new whenever Redis was begun anew or is
not the server it was: a number from another epoch means nothing, and its holder has missed
something.
"""

import secrets
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from redis.asyncio import Redis

from models.codes import Colour, HealthCode, Reason, Status, StatusChange

STATE = "yk:state"
COUNTS = "yk:counts"
CHANGES = "yk:changes"
CODE = "yk:code:"
MINUTE = "yk:minute:"

FORMAT = 3
"""Of all the above, and of app.projection.rows; a model of another format is built anew."""

CHANGES_KEPT = 50_000
"""Changes that a client can resume over: 100 s at 500 changes/s, an ordinary day many times over;
some 15 MB."""

MINUTES_KEPT = 60
EXPIRY_SLACK_MINUTES = 2

PAGE = 1_000
"""Changes of one read."""

_APPLY = Path(__file__).with_suffix(".lua").read_text()

FOREIGN = "FOREIGN"
"""How the error begins that Redis gives where the database holds keys of somebody else."""

_BEGIN = """
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then
  return 0
end
local key = redis.call('RANDOMKEY')
if key and string.sub(key, 1, 3) ~= 'yk:' then
  return redis.error_reply('FOREIGN the read model needs a database of its own')
end
redis.call('FLUSHDB', 'ASYNC')
redis.call('SET', KEYS[1], ARGV[2])
return 1
"""
"""All at once: a sweep that goes on while another projection has begun would harm it unseen."""


class Position(Struct, frozen=True):
    """Where a partition of the log stands in the model.

    `offset` is of the next record to apply. `as_of` (s since 1970) is the instant up to which
    everything appended is here: the last time the end was seen if the end is reached, else the
    time of the newest record applied; None before the first.
    """

    offset: int
    as_of: float | None = None
    judged_until: float | None = None
    """Of health-codes: the instant up to which the worker had judged its input when all it told
    until then was here; None before there was a worker."""

    @property
    def known_until(self) -> float | None:
        """The instant up to which everything appended to the input is here (s since 1970)."""
        if self.as_of is None or self.judged_until is None:
            return self.as_of
        return min(self.as_of, self.judged_until)


def oldest(positions: Sequence[Position]) -> float | None:
    """Return the instant up to which all of them are known; None where one of them is not."""
    known = [p.known_until for p in positions if p.known_until is not None]
    return min(known) if len(known) == len(positions) else None


class State(Struct, frozen=True):
    """How far the model is. Equal bytes mean that nothing was written in between."""

    log: str
    """The cluster and generation of topics that the positions are of."""
    format: int
    epoch: str
    server: str
    """The run of the Redis server that it was written on."""
    writer: str
    at: float
    """When the projection last wrote (s since 1970)."""
    built: bool
    """Whether the end of the log was reached since the epoch began, or before."""
    changes: int
    """Number of the newest change; the first is 1."""
    positions: dict[str, tuple[Position, ...]]


class Told(Struct, frozen=True):
    """What a change's `Status` is to others than its person."""

    colour: Colour
    reasons: tuple[Reason, ...] = ()


class ToldCause(Struct, frozen=True, omit_defaults=True):
    """Who brought a change about and by what; neither if time did."""

    source: str | None = None
    type: str | None = None


class PublicChange(Struct, frozen=True):
    """A change of somebody's status, without the person and without the event's id."""

    at: datetime
    before: Told
    after: Told
    cause: ToldCause
    city: str | None


class Minute(Struct, frozen=True):
    """Changes within the minute that begins at `start` (s since 1970), by what they turned to."""

    start: int
    counts: dict[str, int]


class Batch(Struct):
    """What one script writes: the newest code of each person (None: deleted), all changes.

    `corrections` are those of the changes that are measured (app.projection.corrections), with
    their person; they are not written.
    """

    codes: dict[str, bytes | None]
    changes: list[PublicChange]
    corrections: list[StatusChange] = []

    @property
    def size(self) -> int:
        """How many keys and entries it writes."""
        return len(self.codes) + len(self.changes)


class _Head(Struct, frozen=True):
    """The fields of a HealthCode that its head line needs."""

    person: str
    version: int
    colour: Colour = Colour.NONE
    reasons: tuple[Reason, ...] = ()
    city: str | None = None


encode_state = msgspec.json.Encoder().encode
_decode_state = msgspec.json.Decoder(State).decode
_encode_change = msgspec.json.Encoder().encode
_decode_change = msgspec.json.Decoder(PublicChange).decode
_decode_head = msgspec.json.Decoder(_Head).decode
_decode_code = msgspec.json.Decoder(HealthCode).decode


def decode_state(raw: bytes | None) -> State | None:
    """Return a state; None if there is none of this format, so no model to be read."""
    try:
        state = None if raw is None else _decode_state(raw)
    except msgspec.DecodeError:
        return None
    return state if state is not None and state.format == FORMAT else None


def stored(value: bytes, partition: int) -> bytes:
    """Return a HealthCode's JSON, of a record in `partition`, as it lies in Redis.

    Raise `msgspec.DecodeError` if it is none.
    """
    head = _decode_head(value)
    reasons = "".join(str(int(reason)) for reason in head.reasons) or "-"
    city = "-" if head.city is None else head.city[:4] + "00"
    return f"{head.version} {partition} {head.colour} {reasons} {city}\n".encode() + value


def version_of(code: bytes) -> int:
    """Return the version of a code as `stored` gave it."""
    return int(code[: code.index(b" ")])


def colour_of(code: bytes) -> Colour:
    """Return the colour that a code as `stored` gave it tells."""
    return Colour(code.split(b" ", 3)[2].decode())


def read_code(code: bytes) -> tuple[int, HealthCode]:
    """Return the partition of a code as `stored` gave it, and the code."""
    head, _, value = code.partition(b"\n")
    return int(head.split(b" ", 2)[1]), _decode_code(value)


def public(change: StatusChange) -> PublicChange:
    """Return what others than the person may see of a change."""
    return PublicChange(
        change.at,
        _told(change.before),
        _told(change.after),
        ToldCause(change.cause.source, change.cause.type),
        change.city,
    )


def _told(status: Status) -> Told:
    return Told(status.colour, status.reasons)


class Writer:
    """The projection's side. `id` names this writer in the state."""

    def __init__(self, redis: Redis, log: str, id: str) -> None:
        self._id = id
        self._redis = redis
        self._log = log
        self._apply = redis.register_script(_APPLY)
        self._begin = redis.register_script(_BEGIN)
        self._last = b""

    async def load(self) -> State | None:
        """Return the state if it is of this log and format; the next batch begins from it."""
        raw: Any = await self._redis.get(STATE)
        self._last = raw or b""
        state = decode_state(raw)
        return state if state is not None and state.log == self._log else None

    async def begin_anew(self, state: State) -> bool:
        """Empty the database and write `state`; return False if Redis has moved on.

        Raise `redis.ResponseError` if somebody else's keys are there.
        """
        encoded = encode_state(state)
        begun = await self._begin(keys=[STATE], args=[self._last, encoded])
        if begun:
            self._last = encoded
        return bool(begun)

    async def codes(self, people: Sequence[str]) -> Sequence[bytes | None]:
        """Return the codes of `people` as they lie there now, None for one that does not."""
        found: Any = await self._redis.mget([CODE + person for person in people])
        return list(found)

    async def server(self) -> str:
        """Return the run of the Redis server: another one after every restart."""
        return str((await self._redis.info("server"))["run_id"])

    def new_state(self, server: str, positions: dict[str, tuple[Position, ...]]) -> State:
        """Return the state of an empty model."""
        return State(self._log, FORMAT, new_epoch(), server, self._id, 0.0, False, 0, positions)

    async def apply(self, batch: Batch, state: State) -> bool:
        """Write a batch and `state`; return False, with nothing written, if Redis has moved on.

        After an error it is not known whether the batch was written: `load` tells.
        """
        encoded = encode_state(state)
        codes = list(batch.codes.items())
        minutes = list(_minutes(batch.changes, state.at))
        written = await self._apply(
            keys=[
                STATE,
                COUNTS,
                CHANGES,
                *(CODE + person for person, _ in codes),
                *(f"{MINUTE}{minute}" for minute, _, _ in minutes),
            ],
            args=[
                self._last,
                encoded,
                CHANGES_KEPT,
                state.changes - len(batch.changes) + 1,
                len(codes),
                len(batch.changes),
                *(code or b"" for _, code in codes),
                *(_encode_change(change) for change in batch.changes),
                *(
                    value
                    for minute, field, more in minutes
                    for value in (
                        (minute + MINUTES_KEPT + EXPIRY_SLACK_MINUTES) * 60,
                        field,
                        more,
                    )
                ),
            ],
        )
        if written:
            self._last = encoded
        return bool(written)


def new_epoch() -> str:
    """Return a name that no epoch has had."""
    return secrets.token_hex(4)


def _minutes(changes: Iterable[PublicChange], now: float) -> Iterable[tuple[int, str, int]]:
    """Yield minute, field and count of the changes within what is kept."""
    found: dict[tuple[int, str], int] = {}
    oldest = int(now // 60) - MINUTES_KEPT
    for change in changes:
        minute = int(change.at.timestamp() // 60)
        if minute >= oldest:
            turned = change.after.colour if change.after.colour != change.before.colour else "same"
            found[minute, turned] = found.get((minute, turned), 0) + 1
    for (minute, field), more in found.items():
        yield minute, field, more


async def read_counts(redis: Redis) -> tuple[State | None, dict[str, int]]:
    """Return the state and the counts at one instant: `red`, `reason:3`, `city:440100:red`."""
    async with redis.pipeline(transaction=True) as pipe:
        pipe.get(STATE)
        pipe.hgetall(COUNTS)
        state, counts = await pipe.execute()
    return decode_state(state), {k.decode(): int(n) for k, n in counts.items()}


async def read_state(redis: Redis) -> State | None:
    """Return the state; None if there is no model to be read."""
    raw: Any = await redis.get(STATE)
    return decode_state(raw)


async def read_minutes(redis: Redis, now: float) -> list[Minute]:
    """Return the last hour, oldest minute first."""
    last = int(now // 60)
    minutes = range(last - MINUTES_KEPT + 1, last + 1)
    async with redis.pipeline(transaction=False) as pipe:
        for minute in minutes:
            pipe.hgetall(f"{MINUTE}{minute}")
        found = await pipe.execute()
    return [
        Minute(minute * 60, {k.decode(): int(n) for k, n in counts.items()})
        for minute, counts in zip(minutes, found, strict=True)
    ]


async def read_changes(
    redis: Redis, after: int, most: int = PAGE
) -> tuple[State | None, list[tuple[int, PublicChange]]]:
    """Return the state and up to `most` changes numbered higher than `after`, at one instant."""
    async with redis.pipeline(transaction=True) as pipe:
        pipe.get(STATE)
        pipe.xrange(CHANGES, min=f"({after}-0", count=most)
        state, entries = await pipe.execute()
    return decode_state(state), [
        (int(number[: number.index(b"-")]), _decode_change(fields[b"c"]))
        for number, fields in entries
    ]


async def wait_for_change(redis: Redis, after: int, milliseconds: int) -> None:
    """Return when there may be a change numbered higher than `after`, at the latest in time."""
    await redis.xread({CHANGES: f"{after}-0"}, count=1, block=milliseconds)
