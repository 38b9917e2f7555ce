"""How far a read model in Redis is, and the gate that every write of one goes through.

    yk:state    how far the log is projected; the only key that decides anything

A write brings two states: the one that it began from and the one that it leads to. It happens only
if the first is still there. So a batch is applied once or not at all: a projection that dies,
repeats itself, wakes up late or meets an emptied Redis changes nothing that it should not, and
finds out.

The numbers of changes belong to an `epoch`. The epoch is new whenever Redis was begun again or is
not the server it was. A number of another epoch means nothing, and its holder has missed something.
"""

import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
from msgspec import Struct, field
from redis.asyncio import Redis

STATE = "yk:state"

FORMAT = 3
"""Of what lies in Redis (app.projection.codes, app.projection.rows). A model of another format is
built again from the log."""

FOREIGN = "FOREIGN"
"""How Redis' error begins if the database holds keys of somebody else."""

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
"""One script: a sweep that goes on while another projection has begun would harm it unseen."""


class Position(Struct, frozen=True):
    """Where a partition of the log stands in the model.

    `offset` is of the next record to apply. `as_of` (s since 1970) is the instant up to which
    everything appended is here. If the end is reached, that is the last time the end was seen;
    otherwise it is the time of the newest record applied. It is None before the first.
    """

    offset: int
    as_of: float | None = None
    applied_until: float | None = field(default=None, name="judged_until")
    """The instant up to which a worker had applied its input, once all that it told until then was
    here; None until that is known."""

    @property
    def known_until(self) -> float | None:
        """The instant up to which everything appended to the input is here (s since 1970); None if
        it is not known of the log or of the worker."""
        if self.as_of is None or self.applied_until is None:
            return None
        return min(self.as_of, self.applied_until)


def oldest(positions: Sequence[Position]) -> float | None:
    """Return the instant up to which all of them are known; None if one of them is not known."""
    known = [p.known_until for p in positions if p.known_until is not None]
    return min(known) if len(known) == len(positions) else None


class State(Struct, frozen=True):
    """How far the model is. Equal bytes mean that nothing was written in between."""

    log: str
    """The cluster and generation of topics that the positions are of."""
    format: int
    epoch: str
    server: str
    """The run of the Redis server on which it was written."""
    writer: str
    at: float
    """When the projection last wrote (s since 1970)."""
    built: bool
    """Whether the end of the log was reached since the epoch began, or before."""
    changes: int
    """Number of the newest change; the first is 1."""
    positions: dict[str, tuple[Position, ...]]


encode_state = msgspec.json.Encoder().encode
_decode_state = msgspec.json.Decoder(State).decode


def decode_state(raw: bytes | None) -> State | None:
    """Return a state; None if `raw` holds no state of this format, so that no model can be read."""
    try:
        state = None if raw is None else _decode_state(raw)
    except msgspec.DecodeError:
        return None
    return state if state is not None and state.format == FORMAT else None


def new_epoch() -> str:
    """Return a name that no epoch has had."""
    return secrets.token_hex(4)


async def read_state(redis: Redis) -> State | None:
    """Return the state; None if no model can be read."""
    raw: Any = await redis.get(STATE)
    return decode_state(raw)


class StateGate:
    """The state as its writer `id` left it. `log` names the log that the positions are of."""

    def __init__(self, redis: Redis, log: str, id: str) -> None:
        self._id = id
        self._redis = redis
        self._log = log
        self._begin = redis.register_script(_BEGIN)
        self._last = b""
        self.building_since = 0.0
        """When the model was begun here, or found unfinished (s since 1970); 0 if it was
        complete."""

    async def load(self) -> State | None:
        """Return the state if it is of this log and format; the next write begins from it."""
        raw: Any = await self._redis.get(STATE)
        self._last = raw or b""
        state = decode_state(raw)
        if state is None or state.log != self._log:
            return None
        if not state.built:
            self.building_since = time.time()
        return state

    async def begin_again(self, state: State) -> bool:
        """Empty the database and write `state`; return False if Redis has moved on.

        Raise `redis.ResponseError` if somebody else's keys are there.
        """
        self.building_since = time.time()
        return await self.swap(state, lambda last, to: self._begin(keys=[STATE], args=[last, to]))

    async def swap(self, state: State, write: Callable[[bytes, bytes], Awaitable[Any]]) -> bool:
        """Have `write` replace the last state by `state`; return False if Redis has moved on.

        `write` gets both as bytes and answers whether it found the first one. After an error it is
        not known whether anything was written: `load` tells.
        """
        encoded = encode_state(state)
        written = bool(await write(self._last, encoded))
        if written:
            self._last = encoded
        return written

    async def server(self) -> str:
        """Return the run of the Redis server; it is another one after every restart."""
        return str((await self._redis.info("server"))["run_id"])

    def new_state(self, server: str, positions: dict[str, tuple[Position, ...]]) -> State:
        """Return the state of an empty model."""
        return State(self._log, FORMAT, new_epoch(), server, self._id, 0.0, False, 0, positions)
