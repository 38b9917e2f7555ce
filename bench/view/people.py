"""Who is asked for: 100,000 people with codes, their sessions, and what their answers must say.

Three in a hundred are red, one each by another province, by a listing as a close contact, and by a
positive test. Every second person changes again and again, red for some seconds by the word of
another province: those changes flow while codes are shown.
"""

import asyncio
import re
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from hashlib import blake2b
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
from aiokafka import AIOKafkaProducer

from app.login.sessions import Sessions
from app.process.kafka import Brokers
from app.process.settings import Settings
from app.view.displays import Displays, InvalidDisplay
from bench.records import Record, headers_of, person_key
from bench.stack import record_of
from models.events import (
    ContactListed,
    ContactListedData,
    DocumentType,
    Event,
    IdentityData,
    IdentityVerified,
    NatResultData,
    NatResultReported,
    ProvincialCodeData,
    ProvincialCodeReported,
    ProvincialColour,
    Result,
)

PEOPLE = 100_000
NAME, ENDING = "样*甲", "123X"
ADULT_FROM = date(2008, 1, 1)
WAITING_MAX = 20_000
"""Records that Kafka has not confirmed yet."""

CHANGING = 2
"""One person in so many changes again and again: at 500 changes a second each does every 200 s.
Where one in ten did, rows grew as nobody's do, and after minutes a fold cost twice as much."""

REDS_MAX = 1_000
"""So many of those are red at a time, one in a hundred people."""

TOGETHER_SECONDS = 0.05
"""Changes are published in batches, as a source has them. One at a time they took a fifth of a core
of the generator."""

PROVINCES = ("11", "12", "13", "21", "31", "32", "33", "34", "35", "36", "37", "41", "42", "43",
             "45", "46", "50", "51", "52", "53", "61", "62", "63", "64", "65")  # fmt: skip
"""The changes are spread over them, since an hour has room for 50,000 reds of one."""


def person(number: int) -> str:
    """Return the key of a person."""
    return person_key(blake2b(b"view:%d" % number, digest_size=20).digest())


def colour(number: int) -> str | None:
    """Return the colour of a person's code, or None of one that changes again and again."""
    if number % CHANGING == CHANGING - 1:
        return None
    return "red" if number % 100 in RED else "green"


# What is published


async def codes(people: int) -> AsyncIterator[Record]:
    """Yield what gives people their codes."""
    at = datetime.now(UTC) - timedelta(hours=1)
    for number in range(people):
        yield record_of(_verified(number, at))
    for number in range(people):
        if opened := RED.get(number % 100):
            yield record_of(opened(number, at))


def _attributes(number: int, what: str, at: datetime, sequence: int = 0) -> dict[str, Any]:
    # As most sources name their events. Long decimal numbers are looked at closely: one might be a
    # phone's.
    known_by = b"%s:%d:%d" % (what.encode(), number, sequence)
    return {
        "specversion": "1.0",
        "id": str(UUID(bytes=blake2b(known_by, digest_size=16).digest())),
        "time": at,
        "partitionkey": person(number),
        "sequence": str(sequence),
    }


def _verified(number: int, at: datetime) -> Event:
    return IdentityVerified(
        **_attributes(number, "identity", at),
        source="/identity-providers/view",
        data=IdentityData(at, DocumentType.RESIDENT_IDENTITY_CARD, "440100"),
    )


def _by_province(number: int, at: datetime, *, red: bool = True, sequence: int = 0) -> Event:
    province = PROVINCES[(number // CHANGING + number // 100) % len(PROVINCES)]
    told = ProvincialColour.RED if red else ProvincialColour.GREEN
    return ProvincialCodeReported(
        **_attributes(number, "province", at, sequence),
        source=f"/provinces/{province}",
        data=ProvincialCodeData(province, told, at),
    )


def _listed(number: int, at: datetime) -> Event:
    return ContactListed(
        **_attributes(number, "contact", at),
        source="/cdc/440100",
        data=ContactListedData(f"view-{number}", at - timedelta(days=2), at),
    )


def _positive(number: int, at: datetime) -> Event:
    return NatResultReported(
        **_attributes(number, "result", at),
        source="/laboratories/view",
        data=NatResultData(at - timedelta(hours=6), at, Result.POSITIVE, "View"),
    )


RED: dict[int, Callable[[int, datetime], Event]] = {0: _by_province, 2: _listed, 4: _positive}
"""Of each hundred who is red, and by what."""


async def changes(people: int, rate: int, numbers: Iterator[int]) -> AsyncIterator[Record]:
    """Yield changes of codes without end, each when it is due, to `TOGETHER_SECONDS`: one person
    turns red, and whoever did so `REDS_MAX` people before turns green. `numbers` says which change
    is next; another call goes on with them."""
    who = range(CHANGING - 1, people, CHANGING)
    reds = min(REDS_MAX, len(who) // 2)
    begun, first = time.monotonic(), time.time_ns() // 1_000
    for done, number in enumerate(numbers):
        early = begun + done / rate - time.monotonic()
        if early > 0:
            await asyncio.sleep(max(early, TOGETHER_SECONDS))
        pair, lifts = divmod(number, 2)
        place = (pair - reds * lifts) % len(who)
        at, sequence = datetime.now(UTC), first + done
        yield record_of(_by_province(who[place], at, red=not lifts, sequence=sequence))


def red(number: int, at: datetime) -> Record:
    """Return a report that turns a person red."""
    return record_of(_by_province(number, at, sequence=time.time_ns() // 1_000))


async def publish(brokers: Brokers, records: AsyncIterator[Record]) -> int:
    """Publish records and return how many; each partition keeps their order. Raise a `KafkaError`
    where Kafka does not take one."""
    sent: deque[asyncio.Future[Any]] = deque()
    number = 0
    producer = AIOKafkaProducer(
        **brokers.client, acks="all", enable_idempotence=True, linger_ms=5, max_batch_size=2**18
    )
    try:
        await producer.start()
        async for record in records:
            sent.append(
                await producer.send(
                    record.topic, record.value, record.key, headers=headers_of(record)
                )
            )
            number += 1
            while len(sent) > WAITING_MAX or (sent and sent[0].done()):
                await sent.popleft()
        for each in sent:
            await each
    finally:
        await producer.stop()
    return number


# Who asks


def write_cookies(settings: Settings, path: Path, people: int, used_ago: timedelta) -> None:
    """Write a session for each of the people, used last `used_ago`; the value of a cookie a line.

    Each call makes other sessions, which no view has seen.
    """
    sessions = Sessions(settings.session_keys, lambda: datetime.now(UTC) - used_ago)
    with path.open("w") as file:
        for number in range(people):
            begun = sessions.begin(
                person(number), NAME, ADULT_FROM, DocumentType.RESIDENT_IDENTITY_CARD, ENDING
            )
            file.write(f"{sessions.cookie(begun).value}\n")


# What they are told


class Reader:
    """Reads an answer of 200, and says what is wrong with it."""

    def __init__(self, settings: Settings) -> None:
        self._displays = Displays(settings.display_keys)

    def fault(self, number: int, body: bytes) -> str | None:
        """Return what is wrong with the answer to a person, None if nothing is."""
        said = self._page(body) if body.startswith(b"<!") else self._json(body)
        if said is None:
            return "it says no person and colour"
        who, shown = said
        if who != person(number):
            return "it is another person's"
        if shown not in ("red", "green"):
            return f"it has the colour {shown}"
        if colour(number) not in (None, shown):
            return f"it is {shown}, and should be {colour(number)}"
        return None

    def _json(self, body: bytes) -> tuple[str, str] | None:
        try:
            answer = msgspec.json.decode(body)
        except msgspec.DecodeError:
            return None
        if not isinstance(answer, dict):
            return None
        code = answer.get("code", answer)
        who = code.get("person") or self._of_token(answer.get("token", ""))
        return (who, code["colour"]) if who and "colour" in code else None

    def _page(self, body: bytes) -> tuple[str, str] | None:
        state = re.search(rb'id="state"[^>]* data-state="(\w+)"', body)
        token = re.search(rb'data-token="([\w-]+)"', body)
        if state is None or token is None:
            return None
        who = self._of_token(token[1].decode())
        return (who, state[1].decode()) if who else None

    def _of_token(self, token: str) -> str | None:
        try:
            return self._displays.read(token).person
        except InvalidDisplay:
            return None
