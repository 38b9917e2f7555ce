"""The display token: what it says, for how long, and that it always fits its QR."""

import base64
import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.secret import SecretBox

from app.login.names import mask
from app.view.displays import NAME_BYTES_MAX, TOKEN_LENGTH_MAX, Display, Displays, InvalidDisplay
from app.view.limits import CLOCK_SECONDS, DISPLAY_SECONDS
from models.codes import Colour

KEY = bytes(range(32))
PERSON = "p1-abcdefghijklmnopqrstuvwxyz234567"
LONGEST = "p9999-k7x2m5q3w6r4t2y7u3i5o4p6a2s7d3fg"
SHOWN = (PERSON, "样*甲", "1234")


def test_a_token_says_who_showed_it_and_when() -> None:
    display = Displays(KEY).read(Displays(KEY).token(*SHOWN))
    assert (display.person, display.name, display.ending) == SHOWN
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
    display = Displays(KEY).read(Displays(KEY).token(*SHOWN))
    assert display.was_good(display.made_at + timedelta(seconds=seconds)) is good


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        PERSON,
        Displays(KEY).token(*SHOWN)[:-1],
        "A" + Displays(KEY).token(*SHOWN),
        Displays(bytes(32)).token(*SHOWN),
        "x" * (TOKEN_LENGTH_MAX + 1),
    ],
    ids=["empty", "short", "a person key", "cut", "longer", "of another key", "too long"],
)
def test_what_this_key_did_not_make_is_no_token(token: str) -> None:
    with pytest.raises(InvalidDisplay):
        Displays(KEY).read(token)


def test_a_token_of_before_is_read_as_one_without_a_name() -> None:
    box = SecretBox(hashlib.blake2b(KEY, digest_size=32, person=b"yuekang display").digest())
    digest = base64.b32decode(PERSON.partition("-")[2].upper())
    plain = (1_669_284_007).to_bytes(5, "big") + (1).to_bytes(2, "big") + digest
    token = base64.urlsafe_b64encode(box.encrypt(plain)).decode().rstrip("=")
    made_at = datetime(2022, 11, 24, 10, 0, 7, tzinfo=UTC)
    assert Displays(KEY).read(token) == Display(PERSON, made_at, "", "")


NAMES = ["", "李*", "陈*明", "买**提·艾*力", "A** R***", "K" + "*" * 99, "陈" + "*" * 98 + "明"]


@pytest.mark.parametrize("person", [PERSON, LONGEST])
@pytest.mark.parametrize("colour", [Colour.RED, Colour.GREEN])
@pytest.mark.parametrize("name", NAMES)
def test_every_token_fits_the_fixed_qr(person: str, colour: Colour, name: str) -> None:
    displays = Displays(KEY)
    assert len(displays.token(person, name, "123X")) == TOKEN_LENGTH_MAX
    svg = displays.qr_svg(person, name, "123X", colour)
    assert svg.startswith("<svg xmlns=")
    assert 'fill="#fff"' in svg  # the quiet zone is light on any background
    assert person not in svg


@given(st.text(max_size=120).map(mask))
def test_a_name_is_read_as_it_was_or_cut_and_says_so(name: str) -> None:
    read = Displays(KEY).read(Displays(KEY).token(PERSON, name, "")).name
    if len(name.encode()) <= NAME_BYTES_MAX:
        assert read == name
    else:
        assert read.endswith("…")
        assert name.startswith(read.removesuffix("…"))
        assert NAME_BYTES_MAX - 6 < len(read.encode()) <= NAME_BYTES_MAX


def test_a_display_names_nobody_in_a_log() -> None:
    shown = repr(Displays(KEY).read(Displays(KEY).token(*SHOWN)))
    assert all(text not in shown for text in SHOWN)


def test_a_token_tells_its_reader_nothing() -> None:
    token = Displays(KEY).token(*SHOWN)
    sealed = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    digest = base64.b32decode(PERSON.partition("-")[2].upper())
    assert digest not in sealed
    assert all(text.encode() not in sealed for text in SHOWN)
    assert Displays(KEY).token(*SHOWN) != token
