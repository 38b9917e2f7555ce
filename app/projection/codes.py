"""The read model in Redis: what the view reads, and how the projection writes it.

    yk:state           how far the log is projected (app.projection.state)
    yk:code:<person>   a head line of what is counted, then the HealthCode as on the log
    yk:counts          people by colour, by reason, by city; held:<partition>, how many events that
                       may open a reason are held there
    yk:changes         the latest changes, without the person, numbered without a gap
    yk:minute:<n>, yk:slot:<n>   how many changes there were when (app.projection.trends)

A batch is one script (codes.lua). Codes, counts, changes and the state with the new positions are
written together, through the state's gate. A code also carries its version, and an older one never
replaces a newer.

The counts are of the codes that lie here, by the status that each tells. A code that changes moves
from one count to the other in the same script.

The database is the model's alone: it is emptied when the model is built again.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from redis.asyncio import Redis

from app.engine.store import DUE, HELD_NOW
from app.process import metrics
from app.process.consumer import LogRecord
from app.projection.changes import PublicChange, PublicChanged
from app.projection.state import STATE, State, StateGate, decode_state
from app.projection.trends import trends_of
from app.topics.catalogue import HEALTH_CODES, changelog_of
from models.codes import Colour, HealthCode, Reason, StatusChange, StatusChanged

COUNTS = "yk:counts"
CHANGES = "yk:changes"
CODE = "yk:code:"
HELD_IN = "held:"
"""What the count of what is held begins with; the partition follows."""

QUOTAS_CHANGELOG = changelog_of("quotas")

CHANGES_KEPT = 50_000
"""Changes that a client can resume over: 100 s at 500 changes/s, an ordinary day many times over;
some 15 MB."""

LEAP_MAX = 1_000_000
"""More than a code changes between two records. A version that leaps further is left out."""

PAGE = 1_000
"""Changes that one read returns."""

_APPLY = Path(__file__).with_suffix(".lua").read_text()


class CodeBatch(Struct):
    """What is written at once: all codes (None: deleted) in the order of the log, all changes.

    No code takes the place of another in a batch. Whether one is newer, or leapt, is told only by
    what lies in Redis, or in the replica, when its turn comes.

    `corrections` are the changes that a correction brought about, with their person. They are
    measured, not written (app.projection.corrections).
    """

    codes: list[tuple[str, bytes | None]] = []
    changes: list[PublicChange] = []
    corrections: list[StatusChange] = []
    held: dict[int, int] = {}
    """How many events are held (agents.quotas), by partition."""

    @property
    def size(self) -> int:
        """How many keys and entries it writes."""
        return len(self.codes) + len(self.changes) + len(self.held)

    @property
    def changes_told(self) -> int:
        """How many changes it adds to those that are numbered."""
        return len(self.changes)


class _Head(Struct, frozen=True):
    """The fields of a HealthCode that its head line needs."""

    person: str
    version: int
    colour: Colour = Colour.NONE
    reasons: tuple[Reason, ...] = ()
    city: str | None = None


_pack = msgspec.msgpack.Encoder().encode
_encode_change = msgspec.json.Encoder().encode
_decode_change = msgspec.json.Decoder(PublicChange).decode
_decode_head = msgspec.json.Decoder(_Head).decode
_decode_code = msgspec.json.Decoder(HealthCode).decode
_decode_held = msgspec.msgpack.Decoder(dict[int, int]).decode
_decode_changed = msgspec.json.Decoder(StatusChanged).decode
_decode_public = msgspec.json.Decoder(PublicChanged).decode

CORRECTS = b'"corrects":'
"""What the record of a change has that a correction brought about."""


def stored(value: bytes, partition: int) -> bytes:
    """Return a HealthCode's JSON, of a record in `partition`, as it lies in Redis.

    Raise `msgspec.DecodeError` if `value` holds no HealthCode.
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


class CodeWriter:
    """Writes codes and changes, through `gate`."""

    def __init__(self, redis: Redis, gate: StateGate) -> None:
        self.gate = gate
        self._redis = redis
        self._apply = redis.register_script(_APPLY)

    async def codes(self, people: Sequence[str]) -> Sequence[bytes | None]:
        """Return the codes of `people` as they lie there now, None for a missing one."""
        found: Any = await self._redis.mget([CODE + person for person in people])
        return list(found)

    async def apply(self, batch: CodeBatch, state: State) -> bool:
        """Write a batch and `state`; return False, with nothing written, if Redis has moved on.

        After an error it is not known whether the batch was written: `StateGate.load` tells.
        """
        trends = trends_of(batch.changes, state.at)
        keys = [
            STATE,
            COUNTS,
            CHANGES,
            *(CODE + person for person, _ in batch.codes),
            *(trend.key for trend in trends),
        ]
        codes_told = [code or b"" for _, code in batch.codes]
        changes_told = [_encode_change(change) for change in batch.changes]
        # Few and long arguments: the client copies each by itself.
        numbers = _pack(
            (
                CHANGES_KEPT,
                LEAP_MAX,
                state.changes - len(batch.changes) + 1,
                [len(code) for code in codes_told],
                [len(change) for change in changes_told],
                [(trend.expires, trend.field, trend.more) for trend in trends],
                [(f"{HELD_IN}{number}", n) for number, n in batch.held.items()],
            )
        )
        text = b"".join((*codes_told, *changes_told))

        async def write(last: bytes, to: bytes) -> Any:
            answer = await self._apply(keys=keys, args=[last, to, numbers, text])
            metrics.PROJECTION_VERSIONS_LEAPT.inc(max(0, answer - 1))
            return answer

        return await self.gate.swap(state, write)


async def read_counts(redis: Redis) -> tuple[State | None, dict[str, int]]:
    """Return the state and the counts at one instant: `red`, `reason:3`, `city:440100:red`."""
    async with redis.pipeline(transaction=True) as pipe:
        pipe.get(STATE)
        pipe.hgetall(COUNTS)
        state, counts = await pipe.execute()
    return decode_state(state), {k.decode(): int(n) for k, n in counts.items()}


async def read_changes(
    redis: Redis, after: int, most: int = PAGE
) -> tuple[State | None, list[tuple[int, PublicChange]]]:
    """Return the state and up to `most` changes numbered higher than `after`, at one instant."""
    async with redis.pipeline(transaction=True) as pipe:
        pipe.get(STATE)
        pipe.xrange(CHANGES, min=f"({after}-0", count=most)
        state, entries = await pipe.execute()
    return decode_state(state), _numbered(entries)


def _numbered(
    entries: Iterable[tuple[bytes, dict[bytes, bytes]]],
) -> list[tuple[int, PublicChange]]:
    return [
        (int(number[: number.index(b"-")]), _decode_change(fields[b"c"]))
        for number, fields in entries
    ]


async def read_last_changes(
    redis: Redis, before: int | None, most: int
) -> tuple[State | None, list[tuple[int, PublicChange]]]:
    """Return the state and the newest `most` changes at one instant, the newest first.

    With `before` they are the newest of those that are numbered lower.
    """
    async with redis.pipeline(transaction=True) as pipe:
        pipe.get(STATE)
        pipe.xrevrange(CHANGES, max="+" if before is None else f"({before}-0", count=most)
        state, entries = await pipe.execute()
    return decode_state(state), _numbered(entries)


async def wait_for_change(redis: Redis, after: int, milliseconds: int) -> None:
    """Return when there may be a change numbered higher than `after`, or when the time is over."""
    await redis.xread({CHANGES: f"{after}-0"}, count=1, block=milliseconds)


def take_told(batch: CodeBatch, record: LogRecord) -> None:
    """Add a record of health-codes or status-changes, or of the quotas' changelog; raise
    `ValueError` if it is not one.

    A tombstone deletes a code. Of quotas, how much is held is all that is told here.
    """
    if record.topic == HEALTH_CODES:
        _take_code(batch, record)
        return
    if record.topic == QUOTAS_CHANGELOG:
        if record.key == HELD_NOW:
            now = _decode_held((record.value or b"")[DUE.size :])
            batch.held[record.partition] = sum(now.values())
        return
    value = record.value or b""
    change = _decode_public(value).data
    if CORRECTS in value and (whole := _decode_changed(value).data).cause.corrects is not None:
        batch.corrections.append(whole)
    batch.changes.append(change)


def _take_code(batch: CodeBatch, record: LogRecord) -> None:
    if record.key is None:
        raise ValueError("it has no key")
    code = None if record.value is None else stored(record.value, record.partition)
    batch.codes.append((record.key.decode(), code))
