"""Who is parked now, where, since when and why.

The workers know who is parked: it stands in their tallies (models.parking). Since when and why says
the dead letter of the record that reached the limit.
"""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from app.letters.workers import ask_workers
from app.process.kafka import Brokers
from app.process.terminal import escaped
from app.topics.catalogue import CATALOGUE, DEAD_LETTERS
from app.topics.letters import PARKED_PATH, Letter, ParkedSource, letter_in
from app.topics.reading import reading
from app.topics.records import KafkaPlace
from models.policy import ZONE


class Parking(Struct, frozen=True):
    """Where a source is parked: since when, by which reason and detail of the record that reached
    the limit. These three are None if its dead letter is no longer kept."""

    source: str
    topic: str
    partition: int
    offset: int
    since: datetime | None
    reason: str | None
    detail: str | None

    def __str__(self) -> str:
        """Return a line for the operator."""
        since = "-" if self.since is None else f"{self.since.astimezone(ZONE):%Y-%m-%d %H:%M:%S}"
        why = "its dead letter is no longer kept"
        if self.reason is not None:
            why = f"{self.reason}: {self.detail}"
        place = KafkaPlace(self.topic, self.partition, self.offset)
        return escaped(f"{self.source}  {place}  since {since}  {why}")


class NotParkedError(Exception):
    """Nothing of that name is parked, or that is not known; the message says which."""


async def parked_now(addresses: Sequence[str]) -> tuple[list[ParkedSource], list[str]]:
    """Return who is parked, by name; and a sentence for each worker that does not answer."""
    found, silent = await ask_workers(addresses, PARKED_PATH, ParkedSource)
    return sorted(found, key=lambda one: (one.source, one.topic, one.partition)), silent


async def check_parked(source: str, addresses: Sequence[str]) -> None:
    """Raise `NotParkedError` unless a worker says that `source` is parked."""
    found, silent = await parked_now(addresses)
    names = list(dict.fromkeys(one.source for one in found))
    if source in names:
        return
    if silent:
        raise NotParkedError(
            "\n".join(
                [f"Whether {source} is parked is not known, so nothing is released.", *silent]
            )
        )
    others = f" Parked are: {', '.join(names)}." if names else " Nobody is."
    raise NotParkedError(f"{source} is not parked; nothing is released.{others}")


async def parkings(brokers: Brokers, found: Sequence[ParkedSource]) -> list[Parking]:
    """Return since when and why each is parked, in their order."""
    places = {KafkaPlace(one.topic, one.partition, one.offset) for one in found}
    letters: dict[KafkaPlace, Letter] = {}
    if places:
        partitions = CATALOGUE.topics[DEAD_LETTERS].partitions
        async with reading(brokers, DEAD_LETTERS, partitions) as reader:
            async for record in reader.records():
                letter = letter_in(record)
                if letter.came_from in places:
                    letters[letter.came_from] = letter
                    if len(letters) == len(places):
                        break
    return [_parking(one, letters) for one in found]


def _parking(one: ParkedSource, letters: dict[KafkaPlace, Letter]) -> Parking:
    letter = letters.get(KafkaPlace(one.topic, one.partition, one.offset))
    where = one.source, one.topic, one.partition, one.offset
    if letter is None:
        return Parking(*where, None, None, None)
    return Parking(*where, letter.at, letter.reason, letter.detail)
