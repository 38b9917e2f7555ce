"""The token in a resident's QR, and the QR.

The token is sealed: whoever reads or photographs the QR learns neither the person key nor anything
else, and cannot make another token. It holds the person key and the second at which it was made. It
holds no colour: at the gate the terminal asks the view for that.
"""

import base64
import hashlib
import io
from datetime import UTC, datetime

import segno
from msgspec import Struct
from nacl.exceptions import CryptoError
from nacl.secret import SecretBox

from app.view.limits import CLOCK_SECONDS, DISPLAY_SECONDS
from models.codes import Colour

TOKEN_LENGTH_MAX = 128

QR_VERSION, QR_ERROR, QR_MASK = 6, "m", 4
"""They are fixed, since choosing them costs five times as much as drawing. Version 6 with M takes
106 bytes; the longest token has 104. A page draws the same (static/qr.js), which has the numbers of
this version in a table."""

DARK = {Colour.RED: "#b00f1b", Colour.GREEN: "#0b6b2e"}
"""The same as in the page's design (static/tokens.css); the contrast on white is above 6 to 1."""


class InvalidDisplay(Exception):
    """The text is not a token that this key made."""


class Display(Struct, frozen=True):
    """Whose code was shown, and when the token was made."""

    person: str
    made_at: datetime

    def was_good(self, at: datetime) -> bool:
        """Say whether the token was good at `at`."""
        age = (at - self.made_at).total_seconds()
        return -CLOCK_SECONDS <= age <= DISPLAY_SECONDS


class Displays:
    """Makes, reads and draws display tokens with one key."""

    def __init__(self, key: bytes) -> None:
        # The label keeps this use of the key apart from any other.
        self._box = SecretBox(
            hashlib.blake2b(key, digest_size=32, person=b"yuekang display").digest()
        )

    def token(self, person: str) -> str:
        """Return a token that is good from now on."""
        made_at = int(datetime.now(UTC).timestamp())
        version, _, digest = person.removeprefix("p").partition("-")
        plain = (
            made_at.to_bytes(5, "big")
            + int(version).to_bytes(2, "big")
            + base64.b32decode(digest.upper())
        )
        return base64.urlsafe_b64encode(self._box.encrypt(plain)).decode().rstrip("=")

    def read(self, token: str) -> Display:
        """Return what a token says, however old it is; raise `InvalidDisplay`."""
        if len(token) > TOKEN_LENGTH_MAX:
            raise InvalidDisplay
        try:
            sealed = base64.b64decode(token + "=" * (-len(token) % 4), b"-_", validate=True)
            plain = self._box.decrypt(sealed)
        except (CryptoError, ValueError, TypeError):
            raise InvalidDisplay from None
        digest = base64.b32encode(plain[7:]).decode().lower()
        return Display(
            f"p{int.from_bytes(plain[5:7], 'big')}-{digest}",
            datetime.fromtimestamp(int.from_bytes(plain[:5], "big"), UTC),
        )

    def qr_svg(self, person: str, colour: Colour) -> str:
        """Draw a fresh token as an SVG element, with its quiet zone."""
        qr = segno.make(
            self.token(person),
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
