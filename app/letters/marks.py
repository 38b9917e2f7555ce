"""Which letters were sent again: a mark for each, written in the transaction that sent it.

A mark lies on `resent`, in the letter's own partition, with its topic and offset as the key. The
topic keeps marks for twice as long as any letter is kept, so a letter never outlives its mark.
"""

from collections.abc import Mapping

from app.process.kafka import Brokers
from app.topics.catalogue import CATALOGUE, named
from app.topics.reading import Range, reading
from app.topics.records import KafkaPlace

RESENT = named("resent")


def mark_of(letter: KafkaPlace) -> bytes:
    """Return the key of a letter's mark."""
    return f"{letter.topic}/{letter.offset}".encode()


class Marks:
    """The marks of a topic's letters: a bit for each offset that is kept."""

    def __init__(self, topic: str, ranges: Mapping[int, Range]) -> None:
        self._topic = topic
        self._ranges = ranges
        self._bits = {
            number: bytearray((found.end - found.begin + 7) // 8)
            for number, found in ranges.items()
        }

    def __contains__(self, letter: KafkaPlace) -> bool:
        """Say whether a letter was sent again."""
        at = letter.offset - self._ranges[letter.partition].begin
        return bool(self._bits[letter.partition][at // 8] >> at % 8 & 1)

    def add(self, key: bytes, partition: int) -> None:
        """Take note of a mark, unless its letter is of another topic or no longer kept."""
        topic, _, offset = key.decode().rpartition("/")
        found = self._ranges[partition]
        if topic == self._topic and found.begin <= int(offset) < found.end:
            at = int(offset) - found.begin
            self._bits[partition][at // 8] |= 1 << at % 8


async def marks_of(brokers: Brokers, topic: str, ranges: Mapping[int, Range]) -> Marks:
    """Read all marks of the letters in `ranges`."""
    marks = Marks(topic, ranges)
    async with reading(brokers, RESENT, CATALOGUE.topics[RESENT].partitions) as reader:
        async for record in reader.records():
            marks.add(record.key or b"", record.partition)
    return marks
