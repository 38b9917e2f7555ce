"""The token in a resident's QR, and the QR.

The token is signed and holds the person key and the second at which it was made, no colour: what
it is worth is asked of the view at the gate. It costs an HMAC, not a signature of 43 µs.
"""

import hashlib
import io
from datetime import UTC, datetime

import segno
from itsdangerous import BadData, URLSafeTimedSerializer
from msgspec import Struct

from app.view.limits import CLOCK_SECONDS, DISPLAY_SECONDS
from models.codes import Colour

TOKEN_LENGTH_MAX = 128

QR_VERSION, QR_ERROR, QR_MASK = 6, "m", 4
"""Fixed, since choosing them costs five times as much as drawing. Version 6 with M takes 106
bytes; the longest token has 105."""

DARK = {Colour.RED: "#b00f1b", Colour.GREEN: "#0b6b2e"}
"""As the page's own tokens (static/tokens.css); on white above 6 to 1."""


class InvalidDisplay(Exception):
    """Not a token that this key made."""


class Display(Struct, frozen=True):
    """Whose code was shown, and when the token was made."""

    person: str
    made_at: datetime

    def was_good(self, at: datetime) -> bool:
        """Say whether the token was good at `at`."""
        age = (at - self.made_at).total_seconds()
        return -CLOCK_SECONDS <= age <= DISPLAY_SECONDS


class Displays:
    """Makes, reads and draws display tokens of one key."""

    def __init__(self, key: bytes) -> None:
        # The salt keeps this use of the key apart from any other.
        self._serializer = URLSafeTimedSerializer(
            key, salt="yuekang display", signer_kwargs={"digest_method": hashlib.sha256}
        )

    def token(self, person: str) -> str:
        """Return a token that is good from now on."""
        return str(self._serializer.dumps(person))

    def read(self, token: str) -> Display:
        """Return what a token says, however old it is; raise `InvalidDisplay`."""
        if len(token) > TOKEN_LENGTH_MAX:
            raise InvalidDisplay
        try:
            person, made_at = self._serializer.loads(token, return_timestamp=True)
        except BadData:
            raise InvalidDisplay from None
        return Display(person, made_at.replace(tzinfo=UTC))

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
