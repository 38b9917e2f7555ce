"""The status lists as they are served: which credentials are turned off, signed, for anybody.

    2      sub          the list's address, as credentials have it
    6      iat          an instant until which everything appended is in it
    4      exp          `LIST_SECONDS_MAX` after that: no terminal believes it for longer
    65534  ttl          after how many seconds to ask again
    65533  status_list  {bits: 1, lst: the bits, compressed by zlib}

A list is the same for everybody in it, so a cache can answer for us. It is read again every
`READ_SECONDS`, and signed again when a bit has changed, or its data have come to the next multiple
of `SIGN_SECONDS`: else it stays the same, byte by byte, from whichever view, and whoever has it is
told so (304). What it tells has been true until `as_of` then, which a header says.

They are status list tokens of draft-ietf-oauth-status-list-20 (5.2) in CBOR: a COSE_Sign1 of the
type `application/statuslist+cwt`. `iat` is the age of the data and not of the signature: a
projection that lags would otherwise make old news look new.
"""

import asyncio
import hashlib
import zlib
from collections import OrderedDict

from msgspec import Struct
from msgspec.structs import replace
from redis.exceptions import RedisError

from app.credentials.bounds import CACHE_SECONDS, LIST_SECONDS_MAX, READ_SECONDS, SIGN_SECONDS
from app.credentials.cbor import pack
from app.credentials.claims import list_uri
from app.credentials.cose import TYP
from app.credentials.keys import IssuerKeys
from app.process.clock import Clock
from app.process.producers import unawaited
from app.process.tasks import CANCEL_AGAIN_SECONDS, end
from app.projection.holdings import Holdings
from app.web.problems import Refused

LIST_TYPE = "application/statuslist+cwt"
STATUS_LISTS = "/v1/s/"
AS_OF_HEADER = "x-as-of"

ANYBODY = {
    "access-control-allow-origin": "*",
    "x-content-type-options": "nosniff",
}
"""A terminal of another make may read them from a page of its own."""

CACHED = {**ANYBODY, "cache-control": f"public, max-age={CACHE_SECONDS}"}

SUB, LIST_EXP, IAT, TTL, STATUS_LIST = 2, 4, 6, 65534, 65533

LISTS_KEPT = 256
"""Lists kept as bytes: of 16 million credentials, some 5 MB."""

LEVEL = 4
"""Of zlib. With one place in twenty turned off a list is 4.3 KB after 0.3 ms; at level 9, 3.7 KB
after 14 ms of the loop."""

RETRY_SECONDS = 2


class ServedList(Struct, frozen=True):
    """A list as it is sent, its `iat`, and when it was read last (s since 1970).

    By all that was appended until `as_of` (s since 1970) it is as it was signed.
    """

    content: bytes
    etag: str
    bits: bytes
    iat: int
    read_at: float
    as_of: float

    def headers(self) -> dict[str, str]:
        """Return what is said beside it, or in its place to whoever has it."""
        return {**CACHED, "etag": self.etag, AS_OF_HEADER: str(int(self.as_of * 1_000))}

    def is_known(self, asked: str) -> bool:
        """Say whether a phone has it that sends `asked` as `if-none-match`: also one of several, or
        one that a proxy has weakened."""
        return self.etag in asked


class ListsAnswer(Struct, frozen=True):
    """The addresses of all lists, as the draft's aggregation (9.2) has them; and our time."""

    status_lists: list[str]
    at_ms: int


class Statuses:
    """Reads and signs lists. Belongs to one event loop."""

    def __init__(self, holdings: Holdings, keys: IssuerKeys, now: Clock) -> None:
        self._holdings = holdings
        self._keys = keys
        self._now = now
        self._kept: OrderedDict[str, ServedList] = OrderedDict()
        self._under_way: dict[str, asyncio.Task[ServedList]] = {}

    def kept(self, chunk: str) -> ServedList | None:
        """Return a list that need not be read again yet."""
        kept = self._kept.get(chunk)
        age = 0 if kept is None else self._now().timestamp() - kept.read_at
        return kept if 0 <= age < READ_SECONDS else None

    async def read(self, chunk: str) -> ServedList:
        """Return a list; raise `Refused` if it is unknown or cannot be read.

        Whoever asks while it is read gets the same: one question to Redis, and one signature.
        """
        if (kept := self.kept(chunk)) is not None:
            return kept
        reading = self._under_way.get(chunk)
        if reading is None:
            reading = self._under_way[chunk] = asyncio.create_task(self._read(chunk))
            reading.add_done_callback(lambda _: self._under_way.pop(chunk))
            unawaited(reading)
        return await asyncio.shield(reading)

    async def stop(self) -> None:
        """End what is being read. It comes before the connections are closed."""
        await end(*self._under_way.values(), again_after=CANCEL_AGAIN_SECONDS)

    async def _read(self, chunk: str) -> ServedList:
        at = self._now().timestamp()
        kept = self._kept.get(chunk)
        try:
            found = await self._holdings.bits(chunk)
        except (RedisError, OSError, TimeoutError):
            raise away() from None
        if found is None:
            self._kept.pop(chunk, None)
            raise Refused("not-found", "There is no such status list, or no longer.")
        iat = int(found.as_of // SIGN_SECONDS) * SIGN_SECONDS
        if at - iat > LIST_SECONDS_MAX:
            raise away()
        if kept is not None and (kept.bits, kept.iat) == (found.bits, iat):
            served = replace(kept, read_at=at, as_of=found.as_of)
        else:
            content = sign_list(self._keys, chunk, found.bits, iat)
            etag = f'"{hashlib.blake2b(content, digest_size=16).hexdigest()}"'
            served = ServedList(content, etag, found.bits, iat, at, found.as_of)
        self._kept[chunk] = served
        self._kept.move_to_end(chunk)
        if len(self._kept) > LISTS_KEPT:
            self._kept.popitem(last=False)
        return served

    async def all(self) -> ListsAnswer:
        """Return the addresses of all lists; raise `Refused` if they cannot be read."""
        at = self._now()
        try:
            chunks = await self._holdings.chunks(at)
        except (RedisError, OSError, TimeoutError):
            raise away() from None
        return ListsAnswer([list_uri(chunk) for chunk in chunks], int(at.timestamp() * 1_000))


def sign_list(keys: IssuerKeys, chunk: str, bits: bytes, iat: int) -> bytes:
    """Return a chunk as a status list token; the same arguments give the same bytes."""
    payload = pack(
        {
            SUB: list_uri(chunk),
            IAT: iat,
            LIST_EXP: iat + LIST_SECONDS_MAX,
            TTL: SIGN_SECONDS,
            STATUS_LIST: {"bits": 1, "lst": zlib.compress(bits, LEVEL)},
        }
    )
    return keys.sign(payload, {TYP: LIST_TYPE})


def away() -> Refused:
    """Return that credentials and their lists cannot be read now."""
    return Refused(
        "credentials-away",
        "Ask again; meanwhile a display token does.",
        headers={"retry-after": str(RETRY_SECONDS)},
    )
