"""One-time codes: six digits, five minutes, five tries, once.

A challenge belongs to one asker and one phone, so nobody can use up the tries of another. A new
code replaces the one before, together with its tries. Redis holds no code, no person and no phone:
the challenge's name and the code are MACs. Trying is one script (codes.lua). Of several tries at
the same time only one uses the code, and there is never a sixth.
"""

import base64
import hashlib
import hmac
import secrets
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

from msgspec import Struct
from redis.asyncio import Redis

from app.travel.bounds import CODE_DIGITS, CODE_KEPT_SECONDS, CODE_SECONDS, TRIES_MAX

PREFIX = "travel:code:"

_TRY = Path(__file__).with_suffix(".lua").read_text()


class TryOutcome(StrEnum):
    """What may come of trying a code."""

    GOOD = "good"
    WRONG = "wrong"
    SPENT = "spent"
    EXPIRED = "expired"
    USED = "used"
    NONE = "none"


class Tried(Struct, frozen=True):
    """What came of a try, and how many tries are left."""

    outcome: TryOutcome
    left: int


def new_code() -> str:
    """Return a random code; all are equally likely."""
    return f"{secrets.randbelow(10**CODE_DIGITS):0{CODE_DIGITS}d}"


class SmsCodes:
    """Keeps codes and tries them. `key` serves this use alone. Raises what Redis raises."""

    def __init__(self, redis: Redis, key: bytes) -> None:
        self._redis = redis
        self._key = key
        self._try: Any = redis.register_script(_TRY)

    async def put(self, asker: str, phone_key: str, code: str, at: datetime) -> datetime:
        """Keep `code` in place of the one before; return until when it is good."""
        name, until = self._name(asker, phone_key), at + timedelta(seconds=CODE_SECONDS)
        fields: dict[Any, Any] = {
            "mac": self._mac(name, code),
            "until_ms": _ms(until),
            "left": TRIES_MAX,
        }
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.delete(name)
            pipe.hset(name, mapping=fields)
            pipe.expire(name, CODE_KEPT_SECONDS)
            await pipe.execute()
        return until

    async def use(self, asker: str, phone_key: str, code: str, at: datetime) -> Tried:
        """Try `code` at `at`: use up a right one, or count a wrong try."""
        name = self._name(asker, phone_key)
        outcome, left = await self._try(keys=[name], args=[self._mac(name, code), _ms(at)])
        return Tried(TryOutcome(outcome.decode()), left)

    def _name(self, asker: str, phone_key: str) -> str:
        return PREFIX + self._mac("challenge", f"{asker} {phone_key}")

    def _mac(self, of: str, text: str) -> str:
        digest = hmac.digest(self._key, f"{of}:{text}".encode(), hashlib.sha256)
        return base64.b32encode(digest).decode().rstrip("=").lower()


def _ms(instant: datetime) -> int:
    return int(instant.timestamp() * 1_000)
