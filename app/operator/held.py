"""What is held of a person: events above the limit of their source, which count nowhere yet.

They are in no row, so the view cannot tell of them. They lie on the topic `held`, which is empty on
most days and is read whole.
"""

import asyncio
from collections.abc import Container, Iterable, Iterator
from datetime import datetime

import msgspec
from msgspec import Struct

from app.process.kafka import Brokers
from app.topics.catalogue import CATALOGUE, ON_HOLD
from app.topics.letters import Letter, letter_in
from app.topics.openings import decode_opening
from app.topics.reading import reading

SECONDS_MAX = 20.0
"""How long is read. After that nothing is said of what is held."""


class HeldEvent(Struct, frozen=True):
    """An event that is held: since when, and the reason that it would open (its slug)."""

    since: datetime
    reason: str
    source: str
    id: str
    type: str


class _Said(Struct, frozen=True):
    id: str
    type: str


_decode = msgspec.json.Decoder(_Said).decode


async def held_about(
    brokers: Brokers, person: str, known: Container[tuple[str, str]]
) -> list[HeldEvent]:
    """Return what is held of `person`, apart from what went on: `known` has the source and id of
    all that is in their row. Raise `KafkaError`, `OSError` or `TimeoutError`."""
    partitions = CATALOGUE.topics[ON_HOLD].partitions
    async with asyncio.timeout(SECONDS_MAX), reading(brokers, ON_HOLD, partitions) as reader:
        letters = [
            letter_in(record) async for record in reader.records() if record.key == person.encode()
        ]
    return list(still_held(letters, known))


def still_held(letters: Iterable[Letter], known: Container[tuple[str, str]]) -> Iterator[HeldEvent]:
    """Yield each event of these letters once that is not `known`."""
    told = set[tuple[str, str]]()
    for letter in letters:
        said, source = _decode(decode_opening(letter.value or b"").event), letter.source or ""
        event = source, said.id
        if event not in told and event not in known:
            told.add(event)
            yield HeldEvent(letter.at, letter.reason, source, said.id, said.type)
