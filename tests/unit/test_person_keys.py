"""Person keys and tokens: what they hold fast, and what they do not give away."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.gateway.person_keys import PersonKeys
from app.web.tokens import TOKEN_LENGTH_MAX, InvalidToken, Tokens
from models.documents import Document
from models.events import PERSON_KEY, DocumentType

SECRET = bytes(range(32))
PERMIT = Document(DocumentType.MAINLAND_TRAVEL_PERMIT, "H12345678")
CARD = Document(DocumentType.RESIDENT_IDENTITY_CARD, "11010519491231002X")
LABORATORY = "/laboratories/440100-001"


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


def test_a_token_is_of_its_source_alone() -> None:
    tokens = Tokens(SECRET)
    token = tokens.token_for(LABORATORY)
    assert tokens.source_of(token) == LABORATORY
    with pytest.raises(InvalidToken):
        tokens.source_of(token.replace("-001", "-002"))


def test_another_key_or_version_makes_old_tokens_worthless() -> None:
    token = Tokens(SECRET).token_for(LABORATORY)
    for other in (Tokens(b"\x01" * 32), Tokens(SECRET, 2)):
        with pytest.raises(InvalidToken):
            other.source_of(token)


def test_the_longest_source_has_a_token_that_is_taken() -> None:
    tokens = Tokens(SECRET, 9_999)
    source = "/" + "a" * 95
    assert len(tokens.token_for(source)) <= TOKEN_LENGTH_MAX
    assert tokens.source_of(tokens.token_for(source)) == source


@pytest.mark.parametrize(
    "source", ["", "laboratories", "/A", "/a/", "/a.b", "/" + "a" * 96, "/a\n"]
)
def test_what_is_no_source_gets_no_token(source: str) -> None:
    with pytest.raises(ValueError, match="no source"):
        Tokens(SECRET).token_for(source)


def test_a_short_token_key_is_refused() -> None:
    with pytest.raises(ValueError, match="least"):
        Tokens(b"short")


@given(st.one_of(st.text(), st.from_regex(re.compile(r"\Ayk1\./[a-z/-]{1,20}\.[a-z2-7]{52}\Z"))))
def test_no_made_up_token_is_taken(token: str) -> None:
    with pytest.raises(InvalidToken):
        Tokens(SECRET).source_of(token)


@given(st.integers(0, 200), st.characters())
def test_no_token_with_one_character_changed_is_taken(place: int, other: str) -> None:
    tokens = Tokens(SECRET)
    token = tokens.token_for(LABORATORY)
    place %= len(token)
    changed = token[:place] + other + token[place + 1 :]
    if changed != token:
        with pytest.raises(InvalidToken):
            tokens.source_of(changed)
