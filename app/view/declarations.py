"""Health declarations (健康申报): four kinds, append-only.

A declaration has the id that its form was given. If it is sent twice, by a double tap or a retry
after a lost connection, it is one declaration: for a day Redis keeps what was first submitted under
an id, so the event is the same byte for byte. A declaration cannot be changed or deleted; the
newest one holds (manual, 四.5).
"""

import math
import time
from datetime import datetime
from typing import Any, cast

import msgspec
from limits.aio.storage import RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter
from msgspec import Struct
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.process.clock import Clock
from app.topics.authentic import SourceKeys
from app.topics.catalogue import PORTAL, named
from app.topics.codec import Refusal, encode, from_mapping
from app.topics.numbers import carries_personal_number
from app.topics.records import Record
from app.topics.writer import Writer
from app.view.limits import DECLARATIONS_MAX, RETRY_STORE_SECONDS
from app.web.problems import FieldError, Refused, retry_later
from models.codes import EventRef, reference_of
from models.events import Celsius, DeclarationKind, Division, EventId, Instant, Name, Symptom

DECLARATIONS_TOPIC = named("declarations")
TYPE = "yuekang.declaration.submitted.v1"

KEPT_SECONDS = 24 * 60 * 60
"""How long a form may be sent again after a failure."""

KEY = "declared:"

COUNTED = "declarations"
"""Prefix of the keys that count."""

REFERRED = "declared-as:"
"""Prefix of the keys that lead from a reference to the id of a declaration."""


class DeclarationRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """What a resident declares. `id` is the form's own, such as a UUID; send it again unchanged.

    `unit` is whom it is made to; a personal declaration has none. `contact` and `travelled` are
    about the 14 days before.
    """

    id: EventId
    kind: DeclarationKind
    city: Division
    celsius: Celsius
    contact: bool
    travelled: bool
    symptoms: tuple[Symptom, ...] = ()
    unit: Name | None = None


class DeclarationAnswer(Struct, frozen=True):
    """A declaration that is on the log; a moment later it is in the list too.

    `reference` is a short name of it, to be read out or written down.
    """

    id: str
    declared_at: Instant
    reference: str


class Declared(Struct, frozen=True):
    """A declaration as it was taken."""

    asked: DeclarationRequest
    declared_at: datetime


_decode_asked = msgspec.json.Decoder(DeclarationRequest).decode


class Declarations:
    """Takes declarations. `redis` is the database of sessions."""

    def __init__(self, redis: Redis, writer: Writer, mac_keys: SourceKeys, now: Clock) -> None:
        self._redis = redis
        self._writer = writer
        self._mac_keys = mac_keys
        self._now = now
        storage = RedisStorage(
            "async+redis://",  # the pool knows where
            implementation="redispy",
            key_prefix=COUNTED,
            connection_pool=cast(Any, redis.connection_pool),  # its hint leaves pools out
        )
        self._windows = MovingWindowRateLimiter(storage)

    async def submit(self, person: str, asked: DeclarationRequest) -> DeclarationAnswer:
        """Write a declaration of `person`; raise `Refused`."""
        asked = msgspec.structs.replace(asked, symptoms=tuple(sorted(set(asked.symptoms))))
        self._record(person, asked, self._now())  # refuses a faulty one before its id is kept
        await self._count(person, asked.id)
        declared_at = await self._first_submitted(person, asked)
        await self._writer.write([self._record(person, asked, declared_at)])
        return DeclarationAnswer(asked.id, declared_at, _reference(asked.id))

    async def taken(self, person: str, reference: str) -> Declared | None:
        """Return what `person` declared under this reference within `KEPT_SECONDS`.

        None if there is no such declaration; raise `Refused` if that cannot be known now.
        """
        id = await self._get(f"{REFERRED}{person}:{reference}")
        kept = await self._get(f"{KEY}{person}:{id}") if id else ""
        instant, _, asked = kept.partition(" ")
        if not asked:
            return None
        return Declared(_decode_asked(asked), datetime.fromisoformat(instant))

    async def _count(self, person: str, id: str) -> None:
        """Count a declaration, however often it is sent; raise `Refused` if it is one too many."""
        if await self._get(f"{KEY}{person}:{id}"):
            return
        try:
            if await self._windows.hit(DECLARATIONS_MAX, person):
                return
            window = await self._windows.get_window_stats(DECLARATIONS_MAX, person)
        except (RedisError, OSError, TimeoutError):
            raise _busy() from None
        seconds = max(1, math.ceil(window.reset_time - time.time()))
        raise retry_later(
            "declared-too-often",
            f"There are at most {DECLARATIONS_MAX.amount} declarations in 24 hours.",
            seconds,
        )

    async def _get(self, key: str) -> str:
        try:
            stored: Any = await self._redis.get(key)
        except (RedisError, OSError, TimeoutError):
            raise _busy() from None
        return (stored or b"").decode()

    async def _first_submitted(self, person: str, asked: DeclarationRequest) -> datetime:
        """Return when this id was first submitted; raise `Refused` if its answers differed then."""
        said = msgspec.json.encode(asked).decode()
        key = f"{KEY}{person}:{asked.id}"
        referred = f"{REFERRED}{person}:{_reference(asked.id)}"
        try:
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.set(key, f"{self._now().isoformat()} {said}", nx=True, ex=KEPT_SECONDS)
                pipe.set(referred, asked.id, ex=KEPT_SECONDS)
                await pipe.execute()
        except (RedisError, OSError, TimeoutError):
            raise _busy() from None
        instant, _, before = (await self._get(key)).partition(" ")
        if before != said:
            raise Refused(
                "append-only",
                "This form was submitted already, with other answers. A declaration is not "
                "changed: submit a new one.",
            )
        return datetime.fromisoformat(instant)

    def _record(self, person: str, asked: DeclarationRequest, at: datetime) -> Record:
        said: dict[str, Any] = msgspec.to_builtins(asked)
        del said["id"]
        if said["unit"] is None:
            del said["unit"]
        mapping = {
            "specversion": "1.0",
            "type": TYPE,
            "id": asked.id,
            "source": PORTAL,
            "time": at.isoformat(),
            "partitionkey": person,
            "sequence": str(int(at.timestamp() * 1_000)),
            "data": {**said, "declared_at": at.isoformat()},
        }
        try:
            value = encode(from_mapping(mapping, at))
        except Refusal as refusal:
            faults = tuple(
                FieldError(fault.field.removeprefix("data."), fault.detail)
                for fault in refusal.faults
            )
            raise Refused("invalid", refusal.detail, faults) from None
        if carries_personal_number(value):
            field = FieldError("unit", "It has the form of a document's or a phone's number.")
            raise Refused("invalid", "No such number may be in a declaration.", (field,))
        return self._mac_keys.signed(Record(DECLARATIONS_TOPIC, person.encode(), value), PORTAL)


def _reference(id: str) -> str:
    return reference_of(EventRef(PORTAL, id))


def _busy() -> Refused:
    return retry_later(
        "busy", "It cannot be taken at this moment. Send the same again.", RETRY_STORE_SECONDS
    )


def refuse_change() -> Refused:
    """Return the refusal of a change or a deletion (manual, 四.5)."""
    return Refused(
        "append-only",
        "A declaration can be neither changed nor deleted. If one is wrong, submit a new one; the "
        "newest is what holds.",
        headers={"Allow": "GET, POST"},
    )
