"""What an operator is told of a person's events that are held, and what is sent of them."""

from datetime import UTC, datetime

import msgspec
import pytest

from app.letters.mend import NotSentError, mend
from app.operator.held import still_held
from app.process.macs import MAC
from app.topics.catalogue import CATALOGUE, DEAD_LETTERS, ON_HOLD, OPENINGS, partition_of
from app.topics.codec import encode
from app.topics.letters import Letter, LetterFilter
from app.topics.openings import RESENT_FROM, Opening, encode_opening
from app.topics.records import KafkaPlace
from models.codes import Reason
from support import builders as b
from support.macs import KEYS

NOW = datetime(2022, 3, 20, tzinfo=UTC)
SOURCE = "/cdc/440100"


def held(id: str, at: datetime = NOW) -> Letter:
    event = b.contact(b.day(2), id=id, source=SOURCE)
    opening = Opening(
        "contact-listings", 1, 7, 0, Reason.CLOSE_CONTACT, b.PERSON, msgspec.Raw(encode(event))
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
        opening_mac=b"1 /yuekang 00",
    )


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
    assert sending.headers == ((MAC, b"1 /yuekang 00"), (RESENT_FROM, b"held/1/3"))


def test_the_letter_to_its_source_is_nothing_to_send() -> None:
    told = msgspec.structs.replace(
        held("one"), place=KafkaPlace(DEAD_LETTERS, 1, 3), reason="held", opening_mac=None
    )
    with pytest.raises(NotSentError, match="yuekang held approve /cdc/440100"):
        mend(told, KEYS, NOW)


def test_only_what_was_held_by_an_instant_is_wanted() -> None:
    wanted = LetterFilter(until=NOW)
    assert wanted.takes(held("one"))
    assert not wanted.takes(held("one", NOW.replace(hour=1)))
