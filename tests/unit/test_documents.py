"""Which document numbers can exist, and what is said of those that cannot."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum.iso7064 import mod_11_2

from models.documents import Document, DocumentError, parse_document
from models.events import DocumentType

TODAY = date(2022, 3, 1)
CARD = DocumentType.RESIDENT_IDENTITY_CARD
PERMIT = DocumentType.MAINLAND_TRAVEL_PERMIT


def card(region: str = "440100", birthday: str = "19900101", order: str = "001") -> str:
    """A card's number with the right check digit."""
    body = region + birthday + order
    return body + mod_11_2.calc_check_digit(body)


def refused(document_type: str, number: str) -> DocumentError:
    with pytest.raises(DocumentError) as caught:
        parse_document(document_type, number, TODAY)
    return caught.value


def test_the_example_of_the_standard() -> None:
    """GB 11643-1999 itself shows 11010519491231002X."""
    assert parse_document(CARD, "11010519491231002X", TODAY).number == "11010519491231002X"


@pytest.mark.parametrize("region", ["440100", "440103", "110000", "650102", "710000"])
def test_cards_of_any_place_in_a_province(region: str) -> None:
    assert parse_document(CARD, card(region), TODAY) == Document(CARD, card(region))


@pytest.mark.parametrize("region", ["810000", "820000", "830000"])
def test_residence_permits_of_hong_kong_macao_and_taiwan(region: str) -> None:
    assert parse_document(CARD, card(region), TODAY).number == card(region)


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (card(region="100000"), "region"),
        (card(region="910000"), "region"),
        (card(region="810001"), "region"),
        (card(birthday="19900230"), "birthday"),
        (card(birthday="19901301"), "birthday"),
        (card(birthday="00000101"), "birthday"),
        (card(birthday="20220302"), "birthday"),
        (card(birthday="18910101"), "birthday"),
        ("11010519491231002x", "lower-case-x"),
        ("110105194912310021", "check-digit"),
        ("", "form"),
        ("44010019900101", "form"),
        ("440100900101001", "form"),
        (f" {card()}", "form"),
        (f"{card()}\n", "form"),
        ("１１０１０５19491231002X", "form"),
        ("1101051949123100XX", "form"),
        ("9" * 10_000, "form"),
    ],
)
def test_a_card_that_cannot_exist_is_refused_by_name(number: str, code: str) -> None:
    error = refused(CARD, number)
    assert (error.field, error.code) == ("number", code)
    assert error.detail.endswith(".")
    assert error.expected.endswith(".")


def test_born_today_is_no_fault() -> None:
    assert parse_document(CARD, card(birthday="20220301"), TODAY)


def test_lower_case_x_is_told_to_be_a_capital() -> None:
    assert refused(CARD, "11010519491231002x").expected == "Write X."


def test_a_renewed_permit_is_of_the_same_holder() -> None:
    """公安部 2010: the first nine characters stay, the last two count renewals."""
    assert (
        parse_document(PERMIT, "H12345678", TODAY)
        == parse_document(PERMIT, "H1234567800", TODAY)
        == parse_document(PERMIT, "H1234567801", TODAY)
        != parse_document(PERMIT, "M12345678", TODAY)
    )


@pytest.mark.parametrize(
    "number",
    ["K1234567", "h12345678", "H1234567", "H123456789", "H123456789012", "12345678", "C12345678"],
)
def test_a_permit_of_the_wrong_form_is_refused(number: str) -> None:
    error = refused(PERMIT, number)
    assert error.code == "form"
    assert "H or M" in error.expected


def test_an_unknown_type_names_the_known_ones() -> None:
    error = refused("passport", "E12345678")
    assert error.field == "type"
    assert all(known in error.expected for known in DocumentType)


def test_neither_document_nor_error_shows_the_number() -> None:
    document = parse_document(PERMIT, "H12345678", TODAY)
    assert "12345678" not in f"{document!r} {document}"


@given(st.sampled_from(DocumentType), st.text(max_size=24))
def test_whatever_is_written_gives_a_document_or_a_named_error(
    document_type: DocumentType, number: str
) -> None:
    try:
        said = repr(parse_document(document_type, number, TODAY))
    except DocumentError as error:
        said = str(error)
    words = not any(character.isdigit() for character in number)  # "numb" is in what is said
    assert words or len(number) < 4 or number not in said


@given(
    st.sampled_from(["440100", "810000", "110105"]),
    st.dates(date(1900, 1, 1), TODAY),
    st.integers(0, 999),
    st.integers(0, 17),
    st.integers(1, 9),
)
def test_every_slip_of_one_digit_is_found(
    region: str, birthday: date, order: int, place: int, by: int
) -> None:
    number = card(region, f"{birthday:%Y%m%d}", f"{order:03d}")
    assert parse_document(CARD, number, TODAY).number == number
    if number[place] != "X":
        slip = f"{number[:place]}{(int(number[place]) + by) % 10}{number[place + 1 :]}"
        refused(CARD, slip)
