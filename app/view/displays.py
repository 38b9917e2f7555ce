"""The token in a resident's QR, and the QR.

The token is sealed: whoever reads or photographs the QR learns neither the person key nor anything
else, and cannot make another token. It holds the person key, the second at which it was made, and
what a guard holds against the document: the masked name and the end of its number. They come from
the session, since the read model has nobody's name. It holds no colour: at the gate the terminal
asks the view for that. Every token has the same length, so that not even a name's length shows.
"""

import base64
import io
from datetime import UTC, datetime
from functools import lru_cache

import segno
from msgspec import Struct
from nacl.exceptions import CryptoError

from app.login.names import ENDING_LENGTH
from app.login.seal import Boxes, Secrets
from app.process.clock import Clock, now
from app.view.limits import CLOCK_SECONDS, DISPLAY_SECONDS
from models.codes import Colour

TOKEN_LENGTH_MAX = 128

NAME_BYTES_MAX = 24
"""Of a masked name in UTF-8: six Chinese characters with their asterisks, or as many letters. What
is longer is cut at a character, and ends in `CUT`. More would need a larger QR."""

CUT = "…"

FORMAT = 2
"""The first byte of what is sealed. A token of before begins with a zero byte, the highest of its
seconds, and has no name. One may still be shown for a minute after the view was replaced."""

HOLDERS_MAX = 150_000
"""Whose lasting part of a token is remembered, as many as phones (app.view.hot_path); 50 MB."""

QR_VERSION, QR_ERROR, QR_MASK = 8, "m", 4
"""They are fixed, since choosing them costs five times as much as drawing. Version 8 with M takes
152 bytes; a token has 128, which version 7 does not take. A page draws the same (static/qr.js),
which has the numbers of this version in a table."""

DARK = {Colour.RED: "#b00f1b", Colour.GREEN: "#0b6b2e"}
"""The same as in the page's design (static/tokens.css); the contrast on white is above 6 to 1."""


_FORMAT = bytes([FORMAT])
_DIGITS = str.maketrans("abcdefghijklmnopqrstuvwxyz234567", "0123456789abcdefghijklmnopqrstuv")
_DIGEST_BYTES = 20


class InvalidDisplay(Exception):
    """The text is not a token that this key made."""


class Display(Struct, frozen=True):
    """Whose code was shown, and when the token was made.

    `name` is masked, and may be cut; `ending` is the end of the document number. Both are empty in
    a token of before, and where a session has none. It is good for `good_seconds`.
    """

    person: str
    made_at: datetime
    name: str = ""
    ending: str = ""
    good_seconds: float = DISPLAY_SECONDS

    def was_good(self, at: datetime) -> bool:
        """Say whether the token was good at `at`."""
        age = (at - self.made_at).total_seconds()
        return -CLOCK_SECONDS <= age <= self.good_seconds

    def __repr__(self) -> str:
        # A log that shows it by mistake must not name anyone.
        return f"Display({self.made_at:%Y-%m-%dT%H:%M:%S})"


class Displays:
    """Makes, reads and draws display tokens. `now` gives the instant."""

    def __init__(self, key: Secrets, now: Clock = now) -> None:
        self._now = now
        # The label keeps this use of the key apart from any other.
        self._boxes = Boxes(key, b"yuekang display")

    def token(self, person: str, name: str, ending: str) -> str:
        """Return a token that is good from now on; `name` is masked already."""
        made_at = int(self._now().timestamp())
        plain = _FORMAT + made_at.to_bytes(5, "big") + _holder(person, name, ending)
        return base64.urlsafe_b64encode(self._boxes.close(plain)).decode().rstrip("=")

    def read(self, token: str) -> Display:
        """Return what a token says, however old it is; raise `InvalidDisplay`."""
        if len(token) > TOKEN_LENGTH_MAX:
            raise InvalidDisplay
        try:
            sealed = base64.b64decode(token + "=" * (-len(token) % 4), b"-_", validate=True)
            plain = self._boxes.open(sealed)
        except (CryptoError, ValueError, TypeError):
            raise InvalidDisplay from None
        plain, texts = (plain[1:28], plain[28:]) if plain[0] == FORMAT else (plain, b"")
        digest = base64.b32encode(plain[7:]).decode().lower()
        return Display(
            f"p{int.from_bytes(plain[5:7], 'big')}-{digest}",
            datetime.fromtimestamp(int.from_bytes(plain[:5], "big"), UTC),
            name=_text(texts[ENDING_LENGTH:]),
            ending=_text(texts[:ENDING_LENGTH]),
        )

    def qr_svg(self, person: str, name: str, ending: str, colour: Colour) -> str:
        """Draw a fresh token as an SVG element, with its quiet zone."""
        qr = segno.make(
            self.token(person, name, ending),
            version=QR_VERSION,
            error=QR_ERROR,
            mask=QR_MASK,
            boost_error=False,
            micro=False,
        )
        out = io.BytesIO()
        qr.save(
            out,
            kind="svg",
            dark=DARK[colour],
            light="#ffffff",
            border=4,
            omitsize=True,
            xmldecl=False,
            nl=False,
        )
        return out.getvalue().decode()


@lru_cache(HOLDERS_MAX)
def _holder(person: str, name: str, ending: str) -> bytes:
    """Return what a token says of whose it is, the same in all of theirs."""
    version, _, digest = person.removeprefix("p").partition("-")
    return (
        int(version).to_bytes(2, "big")
        # A person key's letters as digits to the base of 32; base64.b32decode takes 2 µs.
        + int(digest.translate(_DIGITS), 32).to_bytes(_DIGEST_BYTES, "big")
        + _padded(ending, ENDING_LENGTH)
        + _padded(name, NAME_BYTES_MAX)
    )


def _padded(text: str, size: int) -> bytes:
    """Return UTF-8 of exactly `size` bytes, cut at a character or filled up with zeros."""
    encoded = text.encode()
    if len(encoded) > size:
        whole = encoded[: size - len(CUT.encode())].decode(errors="ignore")
        encoded = (whole + CUT).encode()
    return encoded.ljust(size, b"\0")


def _text(padded: bytes) -> str:
    return padded.rstrip(b"\0").decode()
