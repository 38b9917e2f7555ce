"""A credential for a phone's key: hold a place, read the code after that, note its colour, sign.

The order is what makes it safe: see app.projection.holdings.
"""

import hashlib
from collections.abc import Awaitable, Callable
from datetime import datetime

from msgspec import Struct
from redis.exceptions import RedisError

from app.credentials.bounds import ASK_SECONDS, LIFE
from app.credentials.claims import Claims, PhoneKey, encode_claims, short_name
from app.credentials.keys import IssuerKeys
from app.credentials.statuses import away
from app.process.clock import Clock
from app.projection.holdings import Holdings, TooOften
from app.web.problems import FieldError, Refused, retry_later
from models.codes import Colour, Judgement

ReadCode = Callable[[str], Awaitable[Judgement]]
"""Returns a person's code as it is now in the Redis of the holdings; raises what its caller
answers if no code can be read, or only an old one."""


class Issued(Struct, frozen=True):
    """A credential, and until when it is good."""

    credential: bytes
    valid_until: datetime

    def __repr__(self) -> str:
        return f"Issued({self.valid_until:%Y-%m-%dT%H:%M})"


class Issuer:
    """Issues credentials with `keys`."""

    def __init__(self, holdings: Holdings, keys: IssuerKeys, read: ReadCode, now: Clock) -> None:
        self._holdings = holdings
        self._keys = keys
        self._read = read
        self._now = now

    async def issue(self, asker: str, person: str, name: str, ending: str, key: PhoneKey) -> Issued:
        """Return a credential of `person` for the phone that has `key`.

        `name` is masked already. Raise `Refused`, or what `read` raises.
        """
        try:
            x, y_odd = key.point()
        except ValueError:
            errors = (FieldError("key", "It is no point of P-256."),)
            raise Refused("invalid", "The key is no public key.", errors) from None
        at = self._now()
        try:
            place = await self._holdings.hold(person, asker, x, at, at + LIFE, ASK_SECONDS)
        except TooOften:
            raise retry_later(
                "credentials-too-often", "Use the one that you were just given.", ASK_SECONDS
            ) from None
        except (RedisError, OSError, TimeoutError):
            raise away() from None
        shown = await self._read(person)
        if shown.colour is Colour.NONE:
            raise Refused("no-code", "Who has no code has nothing to show.")
        try:
            await self._holdings.tell(person, place, shown.colour)
        except (RedisError, OSError, TimeoutError):
            raise away() from None
        until = min(at + LIFE, shown.changes_at or at + LIFE)
        claims = Claims(until, x, y_odd, place, shown.colour, short_name(name), ending)
        return Issued(self._keys.sign(encode_claims(claims), {}), until)


def asker_of(session: str) -> str:
    """Return a name for a session, or an own phone, that opens nothing: keys of Redis are in its
    logs."""
    return hashlib.blake2b(session.encode(), digest_size=12).hexdigest()
