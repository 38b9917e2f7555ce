"""Which records must lie among dead letters and parked ones, and which do."""

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Mapping
from typing import NamedTuple

import msgspec

from app.process.consumer import LogRecord
from app.topics.codec import Code
from app.topics.openings import COUNTED, decode_opening
from models.notices import Notice
from oracle.found import Differences
from oracle.inputs import Place
from oracle.layout import FORWARDED_FROM, is_misplaced

At = tuple[str, int, int]
"""Topic, partition and offset, as a letter names where a record came from."""


class Letter(NamedTuple):
    """What a dead letter, or a parked record, is told by."""

    topic: str
    place: tuple[str, int, int] | None
    reason: str
    refused: bool
    event: tuple[str, str] | None


class Letters:
    """Expected and found, since the last comparison."""

    def __init__(self) -> None:
        self.count = 0
        self._expected: Counter[Letter] = Counter()
        self._found: Counter[Letter] = Counter()
        self._bytes: list[tuple[At, bytes]] = []
        self._inputs: defaultdict[At, list[bytes]] = defaultdict(list)

    def expect(self, letter: Letter) -> None:
        """A letter must be there."""
        self._expected[letter] += 1

    def expect_forwarded(self, place: At) -> None:
        """A record that lay in a wrong partition must be told of, and be forwarded."""
        self.expect(Letter("dead-letters", place, str(Code.WRONG_PARTITION), False, None))
        self.expect(_forwarded(place))

    def expect_notices(self, notices: Iterable[Notice], place: At | None) -> None:
        """What a fold had to say must be there."""
        for notice in notices:
            event = notice.event.source, notice.event.id
            self.expect(Letter("dead-letters", place, str(notice.objection), notice.refused, event))

    def take_input(self, record: LogRecord) -> None:
        """Keep the bytes of an input record; note that it was forwarded, was sent to be counted, or
        comes back, if it is so."""
        if record.topic == "openings":
            told = decode_opening(record.value or b"")
            place = told.topic, told.partition, told.offset
            self._found[Letter("openings", place, "sent", False, None)] += 1
            return
        if (mark := dict(record.headers).get(COUNTED)) is not None and record.value is None:
            place = record.topic, record.partition, int(mark.split(b" ")[0].split(b"-")[1])
            self._found[Letter(record.topic, place, "held", False, None)] += 1
        elif mark is not None:
            said = msgspec.json.decode(record.value or b"")
            event = said["source"], said["id"]
            self._found[Letter(record.topic, None, "counted", False, event)] += 1
        self._inputs[record.topic, record.partition, record.offset].append(record.value or b"")
        forwarded = dict(record.headers).get(FORWARDED_FROM)
        if forwarded is not None and not is_misplaced(record):
            topic, number, offset = forwarded.decode().split("/")
            self._found[_forwarded((topic, int(number), int(offset)))] += 1

    def take(self, record: LogRecord) -> None:
        """Note a record of dead-letters, parked or held."""
        self.count += 1
        said = {name: raw.decode() for name, raw in record.headers if name.startswith("yk_")}
        place = None
        if "yk_topic" in said:
            place = said["yk_topic"], int(said["yk_partition"]), int(said["yk_offset"])
        raw, event = record.value or b"", None
        by_fold = said["yk_reason"] not in {*Code, "parked"} and record.topic != "held"
        if by_fold:
            event = said["yk_source"], said["yk_id"]
        refused = said["yk_refused"] == "true"
        as_it_came = refused or record.topic == "parked"
        if as_it_came and not by_fold and not {"yk_sealed", "yk_bytes"} & said.keys() and place:
            self._bytes.append((place, raw))
        letter = Letter(record.topic, place, said["yk_reason"], refused, event)
        self._found[letter] += 1

    def all_found(self) -> bool:
        """Say whether what was found is what was expected."""
        return self._expected == self._found

    def compare(
        self, found: Differences, poison: Mapping[Place, str], gone: Container[Place]
    ) -> None:
        """Compare what was found with what was expected, and with what whoever sent it knows to be
        refused (`poison`), unless it is `gone`; then forget both."""
        for letter, count in (self._expected - self._found).items():
            found.add("dead-letters", f"{letter}: missing, {count}")
        for letter, count in (self._found - self._expected).items():
            found.add("dead-letters", f"{letter}: {count} too many")
        reasons = defaultdict[At | None, set[str]](set)
        for letter in self._found:
            if letter.refused:
                reasons[letter.place].add(letter.reason)
        for appended, code in poison.items():
            at = appended[:3]
            if code not in reasons[at] and appended not in gone:
                found.add("dead-letters", f"{at}: {reasons[at]}, sent as {code}")
        for place, raw in self._bytes:
            if raw not in self._inputs[place]:
                found.add("dead-letters", f"{place}: not the bytes that were refused")
        self._expected.clear()
        self._found.clear()
        self._bytes.clear()
        self._inputs.clear()


def _forwarded(place: tuple[str, int, int]) -> Letter:
    """Return what stands among letters for the record that was forwarded from `place`."""
    return Letter(place[0], place, "forwarded", False, None)
