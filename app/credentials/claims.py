"""What a credential says: a CWT (RFC 8392) of 200 bytes that names no person.

    4        exp      until when it is good, s since 1970
    8        cnf      the phone's public key, P-256, as a COSE_Key (RFC 8747)
    65535    status   its place in a status list (draft-ietf-oauth-status-list-20)
    -65537            [colour (0 red, 1 green), masked name, ending of the document number]

The list's address, `s/` and six hexadecimal digits, is relative to where the issuer's API begins
(`/v1/`): a whole address would not fit into the QR. When it was issued is left out, since that
would tell when somebody last had a network; who issued it is told by the key.
"""

import base64
import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePublicKey,
    EllipticCurvePublicNumbers,
)
from msgspec import Meta, Struct

from app.credentials.bounds import NAME_BYTES_MAX
from app.credentials.cbor import NotCbor, pack, unpack
from app.credentials.cose import KID, Forged, Signed
from app.projection.holdings import CHUNK_BITS, Place
from models.codes import Colour

EXP, CNF, STATUS, SHOWN = 4, 8, 65535, -65537
COSE_KEY = 1
KTY, CRV, X, Y = 1, -1, -2, -3
EC2, P256 = 2, 1
COORDINATE_BYTES = 32

COLOURS = (Colour.RED, Colour.GREEN)
"""A credential has the number of its colour."""

ELLIPSIS = "…"
_LIST = re.compile(r"s/([0-9a-f]{6})")

Coordinate = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9_-]{43}\Z", description="32 bytes in base64url.")
]


class PhoneKey(Struct, frozen=True, forbid_unknown_fields=True):
    """A public key that a phone made, as a JWK (RFC 7518, 6.2)."""

    kty: Literal["EC"]
    crv: Literal["P-256"]
    x: Coordinate
    y: Coordinate

    def point(self) -> tuple[bytes, bool]:
        """Return x, and whether y is odd; raise `ValueError` if that is no point of the curve."""
        x, y = (base64.urlsafe_b64decode(text + "=") for text in (self.x, self.y))
        numbers = EllipticCurvePublicNumbers(
            int.from_bytes(x, "big"), int.from_bytes(y, "big"), SECP256R1()
        )
        numbers.public_key()
        return x, bool(y[-1] & 1)


class Claims(Struct, frozen=True):
    """What a credential says."""

    until: datetime
    x: bytes
    y_odd: bool
    place: Place
    colour: Colour
    name: str
    ending: str

    @property
    def phone_key(self) -> EllipticCurvePublicKey:
        """The phone's key; raise `Forged` if it is no point."""
        point = bytes([2 + self.y_odd]) + self.x
        try:
            return EllipticCurvePublicKey.from_encoded_point(SECP256R1(), point)
        except ValueError:
            raise Forged from None

    def __repr__(self) -> str:
        # A log that shows it by mistake must not name anyone.
        return f"Claims({self.until:%Y-%m-%dT%H:%M})"


def encode_claims(claims: Claims) -> bytes:
    """Return the claims as the payload of a COSE_Sign1."""
    key = {KTY: EC2, CRV: P256, X: claims.x, Y: claims.y_odd}
    place = {"idx": claims.place.index, "uri": list_uri(claims.place.chunk)}
    return pack(
        {
            EXP: int(claims.until.timestamp()),
            CNF: {COSE_KEY: key},
            STATUS: {"status_list": place},
            SHOWN: [COLOURS.index(claims.colour), claims.name, claims.ending],
        }
    )


def list_uri(chunk: str) -> str:
    """Return the address of a status list, relative to the issuer's."""
    return f"s/{chunk}"


def read_claims(signed: Signed) -> Claims:
    """Return the claims of a message that was verified; raise `Forged` if it is no credential."""
    if signed.headers.keys() != {1, KID}:
        raise Forged  # a status list, say, which the same key signs
    try:
        return _claims_of(unpack(signed.payload))
    except NotCbor:
        raise Forged from None


def _claims_of(value: Any) -> Claims:
    match value:
        case {
            4: int() as until,
            8: {1: {1: 2, -1: 1, -2: bytes() as x, -3: bool() as y_odd}},
            65535: {"status_list": {"idx": int() as index, "uri": str() as uri}},
            -65537: [0 | 1 as colour, str() as name, str() as ending],
        }:
            found = _LIST.fullmatch(uri)
            if found and len(x) == COORDINATE_BYTES and 0 <= index < CHUNK_BITS:
                at = datetime.fromtimestamp(until, UTC)
                place = Place(found[1], index)
                return Claims(at, x, y_odd, place, COLOURS[colour], name, ending)
    raise Forged


def short_name(name: str) -> str:
    """Return a masked name that fits, cut where it is too long."""
    if len(name.encode()) <= NAME_BYTES_MAX:
        return name
    cut = name.encode()[: NAME_BYTES_MAX - len(ELLIPSIS.encode())]
    return cut.decode(errors="ignore") + ELLIPSIS
