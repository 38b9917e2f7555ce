"""A credential for a phone's key: hold a place, read the code after that, note its version, sign.

The code is read again for a second while its model is behind what turns credentials off.

The order is what makes it safe: see app.projection.holdings.
"""

import asyncio
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
from app.projection.holdings import Held, Holdings, NotFollowed, TooOften
from app.web.problems import FieldError, Refused, retry_later
from models.codes import Colour, Judgement


class CodeRead(Struct, frozen=True):
    """A code, and the offsets up to which it tells the partitions of health-codes."""

    version: int
    shown: Judgement
    offsets: tuple[int, ...]


ReadCode = Callable[[str], Awaitable[CodeRead]]
"""Returns a person's code as it is now; raises what its caller answers if no code can be read, or
only one that is old or may lack something."""

READS, READ_AGAIN_SECONDS = 10, 0.1
"""A projection writes what it fetches within a quarter of a second."""


class Issued(Struct, frozen=True):
    """A credential, until when it is good, and the code that it tells, with its version."""

    credential: bytes
    valid_until: datetime
    colour: Colour
    version: int

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
        await self._read(person)  # where it refuses, no place is taken
        at = self._now()
        try:
            held = await self._holdings.hold(person, asker, x, at, at + LIFE, ASK_SECONDS)
        except TooOften:
            raise retry_later(
                "credentials-too-often", "Use the one that you were just given.", ASK_SECONDS
            ) from None
        except (NotFollowed, RedisError, OSError, TimeoutError):
            raise away() from None
        place, found = held.place, await self._read_after(person, held)
        shown = found.shown
        if shown.colour is Colour.NONE:
            raise Refused("no-code", "Who has no code has nothing to show.")
        try:
            await self._holdings.tell(person, place, found.version)
        except (RedisError, OSError, TimeoutError):
            raise away() from None
        until = min(at + LIFE, shown.changes_at or at + LIFE)
        claims = Claims(until, x, y_odd, place, shown.colour, short_name(name), ending)
        credential = self._keys.sign(encode_claims(claims), {})
        return Issued(credential, until, shown.colour, found.version)

    async def end(self, person: str, session: str) -> None:
        """Turn off the credentials of a session, or an own phone, that has ended.

        Raise what Redis raises: then they are on, and it must be done again.
        """
        await self._holdings.end(person, asker_of(session))

    async def _read_after(self, person: str, held: Held) -> CodeRead:
        """Return the code by all that was followed when the place was taken; raise `Refused`."""
        for _ in range(READS):
            found = await self._read(person)
            if all(at >= least for at, least in zip(found.offsets, held.offsets, strict=True)):
                return found
            await asyncio.sleep(READ_AGAIN_SECONDS)
        raise away()


def asker_of(session: str) -> str:
    """Return a name for a session, or an own phone, that opens nothing: keys of Redis are in its
    logs."""
    return hashlib.blake2b(session.encode(), digest_size=12).hexdigest()
