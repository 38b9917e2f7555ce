"""Travel cards for tests: a service with a carrier, a gateway, rows and a clock to set."""

import asyncio
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from redis.asyncio import Redis

from app.gateway.person_keys import PersonKeys
from app.travel.bounds import Bounds
from app.travel.cards import PhoneVisits, TravelCards
from app.web.problems import Refused, retry_later
from models.events import TelecomVisitData, Visit
from models.phones import Phone
from models.policy import ZONE
from support.gateways import SECRET
from support.views import someone

KEY = bytes(range(7, 39))
PHONE, OTHER_PHONE = "13800138000", "13900139000"
AT = datetime(2021, 6, 10, 12, tzinfo=ZONE)
WIDE = Bounds(sends=(), address_sends=(), asks=())


class Carrier:
    """Takes messages; fails, or takes its time, when told to."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []
        self.failure: Exception | None = None
        self.seconds = 0.0

    async def send(self, phone: str, text: str) -> None:
        await asyncio.sleep(self.seconds)
        if self.failure is not None:
            raise self.failure
        self.sent.append((phone, text))

    @property
    def code(self) -> str:
        """The code in the newest message."""
        match = re.search(r"[0-9]{6}", self.sent[-1][1])
        assert match is not None
        return match[0]


class Gateway:
    """Makes phone keys as the gateway does; is away when told to."""

    def __init__(self) -> None:
        self.away = False

    async def close(self) -> None: ...

    async def key(self, phone: Phone) -> str:
        await asyncio.sleep(0)
        if self.away:
            raise retry_later("travel-card-unavailable", "The gateway is away.", 5)
        return PersonKeys(SECRET, 1).key(phone)


class Stage:
    """A service, and all around it."""

    def __init__(self, redis: Redis, bounds: Bounds = WIDE) -> None:
        self.carrier, self.gateway = Carrier(), Gateway()
        self.at = AT
        self.rows: dict[str, Sequence[TelecomVisitData]] = {}
        self.rows_failure: Exception | None = None
        self.more = False
        self.cards = TravelCards(
            redis, KEY, self.gateway, self.carrier, self._visits, lambda: self.at, bounds
        )

    async def _visits(self, phone_key: str) -> PhoneVisits:
        await asyncio.sleep(0)
        if self.rows_failure is not None:
            raise self.rows_failure
        return PhoneVisits(self.rows.get(phone_key, ()), self.at - timedelta(seconds=1), self.more)

    def wait(self, **span: float) -> None:
        """Let time go by, for codes."""
        self.at += timedelta(**span)

    def was_in(self, phone: str, *cities: str) -> None:
        """Give a phone its visits, an hour apart, the last one an hour ago."""
        key = PersonKeys(SECRET, 1).key(Phone(phone))
        self.rows[key] = [
            TelecomVisitData(city, Visit.REACHED, AT - timedelta(hours=len(cities) - n))
            for n, city in enumerate(cities)
        ]

    async def send(
        self, asker: str | None = None, phone: str = PHONE, address: str = "203.0.113.1"
    ) -> str:
        """Have a code sent; return it."""
        await self.cards.send_code(asker or someone(), address, phone)
        return self.carrier.code

    async def why_not_sent(self, *args: Any, **kw: Any) -> str:
        """The code of the problem with which no code was sent."""
        try:
            await self.send(*args, **kw)
        except Refused as refused:
            return refused.code
        return "sent"

    async def why_no_card(self, asker: str, code: str, phone: str = PHONE) -> str:
        """The code of the problem with which there was no card."""
        try:
            await self.cards.card(asker, phone, code, self.at)
        except Refused as refused:
            return refused.code
        return "shown"


def another(code: str) -> str:
    """A code that is not `code`."""
    return f"{(int(code) + 1) % 1_000_000:06d}"
