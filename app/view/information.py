"""A person's health information: how the view reads it, and says it over HTTP.

It is read from the rows in Redis (app.projection.rows), and gives way to codes. Beyond
`HISTORY_AT_ONCE_MAX` reads at one time a read is refused as busy, so that a rush for history costs
no colour.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import datetime

import msgspec
from msgspec import Struct
from redis.asyncio import Redis

from app.login.sessions import Session
from app.process.clock import Clock
from app.projection.rows import Rows
from app.travel.cards import PhoneVisits
from app.view.limits import (
    HISTORY_AT_ONCE_MAX,
    HISTORY_STALE_SECONDS,
    RETRY_BUSY_SECONDS,
)
from app.view.reading import SectionAnswer, Unavailable
from app.view.rows import fetch_person, fetch_rows
from models import information
from models.events import ListName, NationalStatusData, TelecomVisitData
from models.information import LISTED, Section
from models.lists import EMPTY, Listing, shown
from models.person import Person, unknown
from models.policy import ZONE

_decode_listing = msgspec.json.Decoder(Listing).decode
_decode_visit = msgspec.json.Decoder(TelecomVisitData).decode


class InformationAnswer(Struct, frozen=True):
    """All sections that could be read, in the manual's order.

    `national_status` is shown beside the health certificates. A green code with a high national
    status is not abnormal (manual, 四.6): our data wait to be pushed to the national platform.
    """

    at: datetime
    sections: tuple[SectionAnswer, ...]
    national_status: NationalStatusData | None


def may_see(section: Section, session: Session, at: datetime) -> bool:
    """Say whether the holder of a session may see a section at `at`.

    Displays are for adults only (manual, 四.2); an unknown age does not count as one.
    """
    return section is not Section.DISPLAYS or session.is_adult(at.astimezone(ZONE).date()) is True


class Information:
    """Reads health information. Belongs to one event loop."""

    def __init__(self, redis: Redis, now: Clock) -> None:
        self._redis = redis
        self._now = now
        self._places = asyncio.Semaphore(HISTORY_AT_ONCE_MAX)

    async def section(self, person: str, section: Section) -> SectionAnswer:
        """Return one section; raise `Unavailable`."""
        [answer] = await self.sections(person, [section])
        return answer

    async def sections(self, person: str, wanted: Iterable[Section]) -> list[SectionAnswer]:
        """Return sections in the order asked for; raise `Unavailable`."""
        wanted = list(wanted)
        at = self._now()
        names = [LISTED[section] for section in wanted if section in LISTED]
        listings, lists_as_of = await self._listings(person, names) if names else ({}, at)
        row, row_as_of = unknown(person, at), at
        if len(names) < len(wanted):
            row, row_as_of = await self.row(person)
        answers = []
        for section in wanted:
            match section:
                case Section.NAT_RESULTS:
                    found, as_of = information.nat_results(row, at), row_as_of
                case Section.RELEASE_NOTICES:
                    found, as_of = information.release_notices(row), row_as_of
                case _:
                    listing = listings[LISTED[section]]
                    found, as_of = information.listed(listing, section, at), lists_as_of
            stale = (at - as_of).total_seconds() > HISTORY_STALE_SECONDS
            answers.append(SectionAnswer(section, as_of, stale, found.more, found.items))
        return answers

    async def national_status(self, person: str) -> NationalStatusData | None:
        """Return the newest national status; raise `Unavailable`."""
        listings, _ = await self._listings(person, [ListName.NATIONAL_STATUSES])
        return information.national_status(listings[ListName.NATIONAL_STATUSES], self._now())

    async def visits(self, phone_key: str) -> PhoneVisits:
        """Return what telecoms reported of a phone; raise `Unavailable`."""
        listings, as_of = await self._listings(phone_key, [ListName.TELECOM_VISITS])
        listing = listings[ListName.TELECOM_VISITS]
        found = shown(listing, ListName.TELECOM_VISITS, self._now())
        return PhoneVisits([_decode_visit(entry.data) for entry in found], as_of, listing.more)

    async def _listings(
        self, person: str, names: list[ListName]
    ) -> tuple[dict[ListName, Listing], datetime]:
        rows = await self._read("lists", [f"{person}:{name}" for name in names])
        found = (EMPTY if row is None else _decode_listing(row) for row in rows.values)
        return dict(zip(names, found, strict=True)), rows.as_of

    async def row(self, person: str) -> tuple[Person, datetime]:
        """Return a person's row with its history, and until when it is whole; raise
        `Unavailable`."""
        async with self._place():
            found = await fetch_person(self._redis, person)
        return found.row or unknown(person, self._now()), found.as_of

    async def _read(self, table: str, keys: list[str]) -> Rows:
        async with self._place():
            return await fetch_rows(self._redis, table, keys)

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        if self._places.locked():
            raise Unavailable("busy", RETRY_BUSY_SECONDS)
        async with self._places:
            yield
