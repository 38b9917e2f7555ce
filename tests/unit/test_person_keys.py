"""Person keys: what they hold fast, and what they do not give away."""

import pytest

from app.gateway.person_keys import PersonKeys
from models.documents import Document
from models.events import PERSON_KEY, DocumentType

SECRET = bytes(range(32))
PERMIT = Document(DocumentType.MAINLAND_TRAVEL_PERMIT, "H12345678")
CARD = Document(DocumentType.RESIDENT_IDENTITY_CARD, "11010519491231002X")


def test_the_key_of_a_document_never_changes() -> None:
    """A change here would make everybody another person."""
    assert PersonKeys(SECRET, 1).key(CARD) == "p1-nupjpskdlcm4z3qyo32iwubv6heqpqnw"


def test_the_key_is_one_that_events_take() -> None:
    for version in (1, 9_999):
        assert PERSON_KEY.fullmatch(PersonKeys(SECRET, version).key(CARD))


def test_secret_type_and_number_each_make_another_key() -> None:
    keys = PersonKeys(SECRET, 1)
    same_number = Document(DocumentType.RESIDENT_IDENTITY_CARD, PERMIT.number)
    assert (
        len({keys.key(PERMIT), keys.key(CARD), keys.key(same_number)})
        == len({keys.key(CARD), PersonKeys(b"\x01" * 32, 1).key(CARD), "another"})
        == 3
    )


@pytest.mark.parametrize(("secret", "version"), [(b"short", 1), (SECRET, 0), (SECRET, 10_000)])
def test_a_weak_secret_or_an_impossible_version_is_refused(secret: bytes, version: int) -> None:
    with pytest.raises(ValueError, match=r"least|from 1 to"):
        PersonKeys(secret, version)
