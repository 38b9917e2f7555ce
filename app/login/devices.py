"""Someone's own phone: logged in again without a face scan, for days, and never from elsewhere.

A cookie names a family: all the cookies that one browser is given, one after the other, each with
a number. To begin a session with it the browser signs a challenge with the key that it made and
cannot give away (static/device.js), and the number must be the newest. So a copied cookie is worth
nothing, and where one is used all the same, the whole family ends. Redis knows the key and the
number of each family; without it one logs in by face, as before (docs/decisions/0020-devices.md).
"""

import base64
import secrets
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.hashes import SHA256
from litestar.datastructures import Cookie
from msgspec import Struct
from msgspec.structs import replace
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.login.ended import Ended
from app.login.seal import Broken, Seal, Secrets
from app.login.sessions import (
    DEVICE_COOKIE,
    FAMILY,
    ID_BYTES,
    Away,
    Session,
    Whole,
    host_cookie,
)
from app.process.clock import Clock
from models.events import DocumentType

UNUSED = timedelta(days=30)
"""A phone that logged nobody in for so long asks for a face again."""

LIFE_OF_DEVICE = timedelta(days=90)
"""And so does every phone after this, however much it is used."""

NEW_WITHIN = timedelta(minutes=10)
"""How long after a face scan a phone may be made one's own."""

CHALLENGE = timedelta(seconds=60)
"""How long a challenge may be signed."""

TWO_TABS = timedelta(seconds=60)
"""How long the number before the newest is taken too: two tabs, or an answer that was lost."""

DEVICES_MAX = 8
"""Phones that one person has at once; one more, and the oldest is forgotten."""

OF_PERSON = "session:devices:"

_TURN = Path(__file__).with_suffix(".lua").read_text()

Turn = Literal["turned", "former", "reused", "none"]


class Device(Struct, frozen=True, array_like=True):
    """What the cookie says: which family and which number, and who its person is, as a session.

    `seen_at` is when the provider last saw the person. `since` is when the phone became theirs.
    """

    family: str
    number: int
    person: str
    name: str
    adult_from: date | None
    document_type: DocumentType
    ending: str
    seen_at: Whole
    since: Whole
    until: Whole

    def __repr__(self) -> str:
        return "Device()"


class PublicKey(Struct, frozen=True):
    """A P-256 key as a JWK has it (RFC 7517), in the members that are needed."""

    x: str
    y: str


class Challenge(Struct, frozen=True, array_like=True):
    """What a browser signs. It is sealed, so nothing need be kept of it."""

    family: str
    nonce: str
    at: Whole


class OwnDevice(Struct, frozen=True):
    """A phone of someone's, for the list of them."""

    family: str
    since: datetime
    used_at: datetime


class NoDevice(Exception):
    """There is no such phone, or no longer, or it cannot show that it is. `why` is for metrics."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Devices:
    """Makes phones someone's own, and lets them in again. `redis` is the database of sessions.

    Raises `NoDevice`, and `Away` if Redis does not answer.
    """

    def __init__(self, key: Secrets, redis: Redis, ended: Ended, now: Clock) -> None:
        self._ended = ended
        self._cookies = Seal(key, b"yuekang device", Device)
        self._challenges = Seal(key, b"yuekang again", Challenge)
        self._redis = redis
        self._now = now
        self._turn: Any = redis.register_script(_TURN)

    def may_begin(self, session: Session) -> bool:
        """Say whether the provider saw the person of a session a moment ago."""
        return session.seen_at is not None and self._now() - session.seen_at < NEW_WITHIN

    async def begin(self, session: Session, key: PublicKey) -> tuple[Session, Cookie]:
        """Make the browser that has this key the own phone of a session's person. Return the
        session as that of this phone, and the phone's cookie."""
        if session.seen_at is None or not self.may_begin(session):
            raise NoDevice("late")
        _key_of(key)  # refuses what is no key
        at = self._now()
        device = Device(
            secrets.token_hex(16),
            0,
            session.person,
            session.name,
            session.adult_from,
            session.document_type,
            session.ending,
            session.seen_at,
            at,
            at + LIFE_OF_DEVICE,
        )
        if session.family:  # it was made one's own a moment ago already
            await self.end(session.person, session.family)
        for former in (await self.of(session.person))[DEVICES_MAX - 1 :]:
            await self.end(session.person, former.family)
        fields: dict[Any, Any] = {
            "key": msgspec.json.encode(key),
            "number": device.number,
            "since": at.isoformat(),
            "used": at.isoformat(),
        }
        try:
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.hset(FAMILY + device.family, mapping=fields)
                pipe.expire(FAMILY + device.family, UNUSED)
                pipe.sadd(OF_PERSON + device.person, device.family)
                pipe.expire(OF_PERSON + device.person, LIFE_OF_DEVICE)
                await pipe.execute()
        except (RedisError, OSError, TimeoutError):
            raise Away from None
        # A copy of the cookie of before would not end with the phone, nor what it took.
        await self._ended.end(session)
        own = replace(session, id=secrets.token_hex(ID_BYTES), family=device.family)
        return own, self._cookie(device)

    def read(self, cookie: str | None) -> Device | None:
        """Return what a cookie says; None if it says nothing that is good."""
        try:
            device = self._cookies.open(cookie or "")
        except Broken:
            return None
        return device if self._now() < device.until else None

    def challenge(self, device: Device) -> str:
        """Return what the browser is to sign now."""
        return self._challenges.close(Challenge(device.family, secrets.token_hex(8), self._now()))

    async def again(
        self, device: Device, challenge: str, signature: bytes
    ) -> tuple[Device, Cookie]:
        """Take a signed challenge; return the device with its next number, and its cookie."""
        self._check_challenge(device, challenge)
        try:
            kept: Any = await self._redis.hget(FAMILY + device.family, "key")
        except (RedisError, OSError, TimeoutError):
            raise Away from None
        if kept is None:
            raise NoDevice("none")
        key = _key_of(msgspec.json.decode(kept, type=PublicKey))
        if not _signed(key, challenge.encode(), signature):
            raise NoDevice("signature")
        outcome, number = await self._turned(device)
        if outcome == "reused":
            await self.end(device.person, device.family)
        if outcome in ("reused", "none"):
            raise NoDevice(outcome)
        turned = replace(device, number=number)
        return turned, self._cookie(turned)

    def _check_challenge(self, device: Device, challenge: str) -> None:
        try:
            asked = self._challenges.open(challenge)
        except Broken:
            raise NoDevice("challenge") from None
        age = self._now() - asked.at
        if asked.family != device.family or not timedelta() <= age < CHALLENGE:
            raise NoDevice("challenge")

    async def _turned(self, device: Device) -> tuple[Turn, int]:
        at = self._now()
        kept_s = min(UNUSED, device.until - at).total_seconds()
        try:
            outcome, number = await self._turn(
                keys=[FAMILY + device.family],
                args=[
                    device.number,
                    int(at.timestamp() * 1000),
                    int(TWO_TABS.total_seconds() * 1000),
                    at.isoformat(),
                    max(1, int(kept_s)),
                ],
            )
        except (RedisError, OSError, TimeoutError):
            raise Away from None
        return outcome.decode(), int(number)

    async def family_of(self, device: Device | None, person: str) -> str:
        """Return the family of a phone if it is the person's own and was not ended; else ""."""
        if device is None or device.person != person:
            return ""
        try:
            known = await self._redis.exists(FAMILY + device.family)
        except (RedisError, OSError, TimeoutError):
            raise Away from None
        return device.family if known else ""

    async def of(self, person: str) -> list[OwnDevice]:
        """Return the phones of a person, the one used last first."""
        try:
            families = [f.decode() for f in await _smembers(self._redis, OF_PERSON + person)]
            async with self._redis.pipeline(transaction=False) as pipe:
                for family in families:
                    pipe.hmget(FAMILY + family, "since", "used")
                rows = await pipe.execute() if families else []
        except (RedisError, OSError, TimeoutError):
            raise Away from None
        found = [
            OwnDevice(family, *(datetime.fromisoformat(text.decode()) for text in (since, used)))
            for family, (since, used) in zip(families, rows, strict=True)
            if since is not None
        ]
        return sorted(found, key=lambda device: device.used_at, reverse=True)

    async def end(self, person: str, family: str) -> None:
        """End a phone of a person's; one that is another's, or that Redis does not know, is left as
        it is: anybody can name one."""
        try:
            if not await _sismember(self._redis, OF_PERSON + person, family):
                await self._ended.take_back(person, family)  # as far as that failed before
                return
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.srem(OF_PERSON + person, family)
                pipe.delete(FAMILY + family)
                await self._ended.tell(pipe, family)
                await pipe.execute()
        except (RedisError, OSError, TimeoutError):
            raise Away from None
        await self._ended.note(person, family)

    def _cookie(self, device: Device) -> Cookie:
        left = min(UNUSED, device.until - self._now())
        return host_cookie(DEVICE_COOKIE, self._cookies.close(device), left)


async def _smembers(redis: Any, key: str) -> set[bytes]:
    found: set[bytes] = await redis.smembers(key)
    return found


async def _sismember(redis: Any, key: str, member: str) -> bool:
    return bool(await redis.sismember(key, member))


def _key_of(key: PublicKey) -> ec.EllipticCurvePublicKey:
    """Return a key of P-256; raise `NoDevice` for what is no point of the curve."""
    try:
        x, y = (int.from_bytes(_unpadded(part), "big") for part in (key.x, key.y))
        return ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    except ValueError:
        raise NoDevice("key") from None


def _unpadded(text: str) -> bytes:
    """Return base64url without padding (RFC 7515, 2) as bytes: 32 of a coordinate."""
    if len(text) != 43:
        raise ValueError("no coordinate of P-256")
    return base64.b64decode(text + "=", b"-_", validate=True)


def _signed(key: ec.EllipticCurvePublicKey, signed: bytes, signature: bytes) -> bool:
    """Say whether `signature` is that of ES256 (RFC 7518, 3.4): r and s, 64 bytes."""
    if len(signature) != 64:
        return False
    r, s = (int.from_bytes(signature[half : half + 32], "big") for half in (0, 32))
    try:
        key.verify(utils.encode_dss_signature(r, s), signed, ec.ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True
