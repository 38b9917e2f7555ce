"""Which phone numbers can exist, and what is said of those that cannot."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.gateway.person_keys import PersonKeys
from models.documents import Document
from models.events import PERSON_KEY, DocumentType
from models.phones import (
    MOBILE_PHONE_NUMBER,
    Phone,
    PhoneError,
    parse_phone,
    without_phone_numbers,
)

KEYS = PersonKeys(bytes(range(32)), 1)


@pytest.mark.parametrize(
    "written",
    [
        "13800138000",
        "+8613800138000",
        "+86 138 0013 8000",
        "+86 138-0013-8000",
        "+86-138-0013-8000",
        "138 0013 8000",
    ],
)
def test_however_it_is_written_it_is_one_phone(written: str) -> None:
    assert parse_phone(written) == Phone("13800138000")


@pytest.mark.parametrize("network", ["130", "147", "153", "162", "178", "189", "192", "199"])
def test_every_network_number_from_13_to_19(network: str) -> None:
    """工信部, 网号分配情况, lists each of these; 192 was first given out after 2017."""
    assert parse_phone(f"{network}00138000").number == f"{network}00138000"


@pytest.mark.parametrize(
    "written",
    [
        "",
        "1380013800",
        "138001380001",
        "12800138000",
        "10086",
        "02087654321",
        "+85291234567",
        "+8512300138000",
        "008613800138000",
        "8613800138000",
        "１３８００１３８０００",
        " 13800138000",
        "13800138000\n",
        "138 001 38000",
        "138  0013 8000",
        "138001380OO",
        "1" * 10_000,
    ],
)
def test_what_no_mobile_phone_has_is_refused(written: str) -> None:
    with pytest.raises(PhoneError) as caught:
        parse_phone(written)
    assert "13 to 19" in caught.value.expected


@given(st.text(max_size=24))
def test_whatever_is_written_gives_a_phone_or_an_error_that_does_not_repeat_it(text: str) -> None:
    try:
        said = repr(parse_phone(text))
    except PhoneError as error:
        said = str(error)
    digits = any(character.isdigit() for character in text)
    assert not digits or len(text) < 6 or text not in said


def test_a_phone_shows_itself_only_in_part() -> None:
    phone = parse_phone("13800138000")
    assert phone.masked == "138****8000"
    assert "138" not in f"{phone!r} {phone}"


def test_a_phone_key_has_the_form_of_a_person_key_and_is_none() -> None:
    key = KEYS.key(parse_phone("13800138000"))
    assert PERSON_KEY.fullmatch(key)
    assert key == KEYS.key(parse_phone("+86 138 0013 8000"))
    same_number = (Document(kind, "13800138000") for kind in DocumentType)
    assert key not in {KEYS.key(document) for document in same_number}
    assert MOBILE_PHONE_NUMBER not in set(DocumentType)
    assert key != PersonKeys(bytes(range(32)), 2).key(parse_phone("13800138000"))


@pytest.mark.parametrize(
    ("text", "without"),
    [
        ("13800138000", "…"),
        ("+8613800138000", "+…"),
        ("008613800138000", "…"),
        ("call 13800138000, please", "call …, please"),
        ("V-13800138000-1", "V-…-1"),
        ("12800138000", "12800138000"),
        ("213800138000", "213800138000"),
        ("138001380001", "138001380001"),
        ("159-2022-0310", "159-2022-0310"),
        ("2022-03-10T13:00:00.138001+08:00", "2022-03-10T13:00:00.138001+08:00"),
        ("", ""),
    ],
)
def test_a_text_without_phone_numbers(text: str, without: str) -> None:
    assert without_phone_numbers(text) == without
