"""What is counted of each source, and which of their records are refused or put aside for it."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import msgspec

from app.engine.store import DUE, TALLY
from app.process.consumer import LogRecord
from app.topics.authentic import NotAuthentic
from app.topics.codec import Refusal
from models.operators import AnyRelease, PartitionReleased, SourceReleased
from models.parking import Tally
from oracle.found import Differences
from oracle.layout import INPUTS, is_misplaced, mark_in, tables_of
from oracle.letters import Letter, Letters
from support.macs import KEYS

_decode_tally = msgspec.msgpack.Decoder(Tally).decode
_decode_release = msgspec.json.Decoder(AnyRelease).decode


class Sources:
    """The tallies of every input partition; what they put aside is expected among `letters`."""

    def __init__(self, letters: Letters) -> None:
        self._letters = letters
        self._tallies: dict[tuple[str, int], Tally] = defaultdict(Tally)

    def goes_on(
        self, record: LogRecord, event: Any, refusal: Refusal | None, found: Differences
    ) -> bool:
        """Count a record of its source; say whether it is neither refused nor put aside, nor lies
        where it does not belong."""
        place = record.topic, record.partition, record.offset
        tally = self._tallies[record.topic, record.partition]
        if tally.left_aside.pop(record.offset, None) is not None:
            self._letters.expect(Letter("dead-letters", place, "left-aside", True, None))
            return False
        try:
            source = KEYS.author(record)
        except NotAuthentic:
            self._letters.expect(Letter("dead-letters", place, "not-authentic", True, None))
            return False
        if mark_in(record) is not None and refusal is None:
            return True  # it was taken when it first came
        parked = source in tally.parked
        if refusal is not None or parked:
            reason = "parked" if refusal is None else str(refusal.code)
            topic = "parked" if parked else "dead-letters"
            letter = Letter(topic, place, reason, refusal is not None, None)
            self._letters.expect(letter)
        tally.add(source, refusal is not None, record.offset)
        if refusal is not None or parked:
            return False
        if is_misplaced(record):
            self._letters.expect_forwarded(place)
            return False
        return True

    def release(self, table: str, record: LogRecord) -> None:
        """Let a source go on, or a partition of the table, as the record says."""
        event = _decode_release(record.value or b"")
        tallies = {
            topic: self._tallies[topic, record.partition]
            for topic in INPUTS
            if tables_of(topic) == (table,)
        }
        for topic, tally in tallies.items():
            match event:
                case SourceReleased(data=data):
                    tally.release(data.source)
                case PartitionReleased(data=data):
                    here = (data.table, data.partition) == (table, record.partition)
                    if here and data.topic == topic and data.offset is not None:
                        tally.leave_aside(data.offset, data.reason)

    def compare(
        self, table: str, number: int, meta: Mapping[bytes, bytes], found: Differences
    ) -> None:
        """Compare what is counted of sources with the replay's."""
        for topic in INPUTS:
            if table in tables_of(topic):
                tally = self._tallies[topic, number]
                raw = meta.get(TALLY + topic.encode())
                there = Tally() if raw is None else _decode_tally(raw[DUE.size :])
                if there != tally and topic != "source-releases":
                    found.add("tallies", f"{topic}[{number}]: {there}, not {tally}")
                    self._tallies[topic, number] = there
