"""The display token: what it says, for how long, and that it always fits its QR."""

import base64
from datetime import UTC, datetime, timedelta

import pytest

from app.view.displays import TOKEN_LENGTH_MAX, Displays, InvalidDisplay
from app.view.limits import CLOCK_SECONDS, DISPLAY_SECONDS
from models.codes import Colour

KEY = bytes(range(32))
PERSON = "p1-abcdefghijklmnopqrstuvwxyz234567"
LONGEST = "p9999-k7x2m5q3w6r4t2y7u3i5o4p6a2s7d3fg"


def test_a_token_says_who_showed_it_and_when() -> None:
    display = Displays(KEY).read(Displays(KEY).token(PERSON))
    assert display.person == PERSON
    assert abs((datetime.now(UTC) - display.made_at).total_seconds()) < 5


@pytest.mark.parametrize(
    ("seconds", "good"),
    [
        (-CLOCK_SECONDS - 1, False),
        (-CLOCK_SECONDS, True),
        (0, True),
        (DISPLAY_SECONDS, True),
        (DISPLAY_SECONDS + 1, False),
    ],
)
def test_a_token_is_good_for_a_while(seconds: int, good: bool) -> None:
    display = Displays(KEY).read(Displays(KEY).token(PERSON))
    assert display.was_good(display.made_at + timedelta(seconds=seconds)) is good


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        PERSON,
        Displays(KEY).token(PERSON)[:-1],
        "A" + Displays(KEY).token(PERSON),
        Displays(bytes(32)).token(PERSON),
        "x" * (TOKEN_LENGTH_MAX + 1),
    ],
    ids=["empty", "short", "a person key", "cut", "longer", "of another key", "too long"],
)
def test_what_this_key_did_not_make_is_no_token(token: str) -> None:
    with pytest.raises(InvalidDisplay):
        Displays(KEY).read(token)


@pytest.mark.parametrize("person", [PERSON, LONGEST])
@pytest.mark.parametrize("colour", [Colour.RED, Colour.GREEN])
def test_every_token_fits_the_fixed_qr(person: str, colour: Colour) -> None:
    displays = Displays(KEY)
    assert len(displays.token(person)) <= 105
    svg = displays.qr_svg(person, colour)
    assert svg.startswith("<svg xmlns=")
    assert 'fill="#fff"' in svg  # the quiet zone is light on any background
    assert person not in svg


def test_a_token_tells_its_reader_nothing() -> None:
    token = Displays(KEY).token(PERSON)
    sealed = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    digest = base64.b32decode(PERSON.partition("-")[2].upper())
    assert digest not in sealed
    assert PERSON.encode() not in sealed
    assert Displays(KEY).token(PERSON) != token
