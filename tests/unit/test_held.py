"""What an operator is told of a person's events that are held, and what is sent of them."""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import msgspec
import pytest

from app.letters import releases
from app.letters.mend import NotSentError, mend
from app.letters.resend import ResendJob
from app.operator.held import still_held
from app.process.consumer import LogRecord
from app.process.macs import MAC
from app.projection.freshness import Group
from app.topics.authentic import OURS
from app.topics.catalogue import (
    CATALOGUE,
    DEAD_LETTERS,
    ON_HOLD,
    OPENINGS,
    PARKED,
    SOURCE_RELEASES,
    partition_of,
)
from app.topics.codec import encode
from app.topics.letters import Letter, LetterFilter
from app.topics.openings import RESENT_FROM, Opening, encode_opening
from app.topics.records import KafkaPlace, Record
from models.codes import Reason
from models.operators import (
    AnyRelease,
    OpeningsApproved,
    OpeningsApprovedData,
    PartitionReleasedData,
    released,
)
from support import builders as b
from support.brokers import NO_BROKERS
from support.macs import KEYS

NOW = datetime(2022, 3, 20, tzinfo=UTC)
SOURCE, CHEN = "/cdc/440100", "/operators/chen"


def held(id: str, at: datetime = NOW, arrived: int = 0) -> Letter:
    event = b.contact(b.day(2), id=id, source=SOURCE)
    opening = Opening(
        "contact-listings",
        1,
        7,
        arrived,
        Reason.CLOSE_CONTACT,
        b.PERSON,
        msgspec.Raw(encode(event)),
    )
    return Letter(
        place=KafkaPlace(ON_HOLD, 1, 3),
        at=at,
        came_from=KafkaPlace("contact-listings", 1, 7),
        reason=Reason.CLOSE_CONTACT.slug,
        detail="",
        source=SOURCE,
        refused=False,
        sealed=False,
        bytes_left_out=0,
        key=b.PERSON.encode(),
        value=encode_opening(opening),
        own_headers=(),
        opening_mac=mac_of(encode_opening(opening)),
    )


def mac_of(value: bytes) -> bytes:
    """The MAC that a worker made for openings."""
    return KEYS.of(OURS).header(OPENINGS, SOURCE.encode(), value, ())[1]


def test_what_is_held_is_told_once_and_what_went_on_is_not() -> None:
    letters = [held("one"), held("two"), held("one")]
    [told] = still_held(letters, {(SOURCE, "two")})
    assert (told.id, told.reason, told.since) == ("one", "close-contact", NOW)
    assert (told.source, told.type) == (SOURCE, "yuekang.contact.listed.v1")


def test_it_goes_back_to_openings_as_it_lay_there() -> None:
    letter = held("one")
    sending = mend(letter, KEYS, NOW)
    assert (sending.topic, sending.key, sending.value) == (OPENINGS, SOURCE.encode(), letter.value)
    assert sending.partition == partition_of(SOURCE.encode(), CATALOGUE.partitions)
    assert sending.headers == (
        (MAC, mac_of(letter.value or b"")),
        (RESENT_FROM, b"held/1/3"),
    )


def test_what_the_workers_would_refuse_is_not_sent() -> None:
    of_before = msgspec.structs.replace(held("one"), opening_mac=b"1 /yuekang 00")
    with pytest.raises(NotSentError, match="YUEKANG_FORMER_MAC_KEY"):
        mend(of_before, KEYS, NOW)


def test_the_letter_to_its_source_is_nothing_to_send() -> None:
    told = msgspec.structs.replace(
        held("one"), place=KafkaPlace(DEAD_LETTERS, 1, 3), reason="held", opening_mac=None
    )
    with pytest.raises(NotSentError, match="yuekang held approve /cdc/440100"):
        mend(told, KEYS, NOW)


def test_what_is_sent_is_what_arrived_by_an_instant_whenever_it_was_held() -> None:
    job = ResendJob(ON_HOLD, None, LetterFilter(), arrived_by=1_000)
    assert job.takes(held("one", NOW.replace(hour=1), arrived=1_000))
    assert not job.takes(held("one", arrived=1_001))


async def test_an_approval_releases_no_parked_source(monkeypatch: pytest.MonkeyPatch) -> None:
    data = OpeningsApprovedData(SOURCE, Reason.CLOSE_CONTACT.slug, NOW, "an outbreak")
    approval = OpeningsApproved(id="a1", time=NOW, source=CHEN, data=data)
    letter = msgspec.structs.replace(held("one"), place=KafkaPlace(PARKED, 1, 3))
    assert (await parked_after(monkeypatch, approval))(letter)
    assert (await parked_after(monkeypatch, released(SOURCE, "r1", NOW, CHEN), OURS))(letter)
    assert not (await parked_after(monkeypatch, released(SOURCE, "r1", NOW, CHEN)))(letter)


async def parked_after(
    monkeypatch: pytest.MonkeyPatch, release: AnyRelease, author: str = CHEN
) -> Callable[[Letter], bool]:
    """Return what says who is still parked, once `author` has written `release`."""
    record = KEYS.signed(
        Record(SOURCE_RELEASES, SOURCE.encode(), msgspec.json.encode(release)), author
    )
    at = int(NOW.timestamp() * 1_000) + 1
    headers = list(record.headers)
    lies = LogRecord(record.topic, 1, 0, at, 0, record.key, record.value, None, 0, 0, headers)

    class Read:
        async def records(self) -> AsyncIterator[LogRecord]:
            yield lies

    @asynccontextmanager
    async def reading(*_: object) -> AsyncIterator[Read]:
        yield Read()

    async def applied(*_: object) -> dict[int, int]:
        return {1: 1}

    monkeypatch.setattr(releases, "reading", reading)
    monkeypatch.setattr(releases, "_applied", applied)
    return await releases.still_parked(NO_BROKERS, KEYS)


@pytest.mark.parametrize("table", ["people", "scans", "submissions", "lists", "quotas"])
async def test_a_released_partition_is_waited_for_in_each_table(
    monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    class Place:
        partition, offset = 2, 5

    async def written(*_: object) -> list[type[Place]]:
        return [Place]

    async def applied(_: object, groups: Iterable[Group]) -> dict[int, int]:
        return {Place.partition: Place.offset + 1} if list(groups) else {}

    async def noted(*_: object) -> None: ...

    for name, stub in (("note_command", noted), ("_write", written), ("_applied", applied)):
        monkeypatch.setattr(releases, name, stub)
    data = PartitionReleasedData(table, Place.partition, "it was mended")
    assert await releases.release_partition(NO_BROKERS, KEYS, data, CHEN, 0.0)
