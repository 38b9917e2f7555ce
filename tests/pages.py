"""Every page and state, rendered over a port whose answers are given beforehand."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import cycle
from typing import Any

import msgspec
from litestar import Litestar
from litestar.di import Provide
from litestar.testing import TestClient
from msgspec import Raw, Struct

from app.gateway.reference import document
from app.login.sessions import Session
from app.schemas import asyncapi
from app.view.pages import names, resident_routes, routes
from app.view.pages.chart import Minute
from app.view.pages.language import Language
from app.view.pages.ports import (
    Cause,
    CityCount,
    Counts,
    PartitionLag,
    Read,
    Sample,
    SectionAnswer,
    Unavailable,
)
from models.codes import (
    Colour,
    Condition,
    ConditionKind,
    EventRef,
    HealthCode,
    Interval,
    Owner,
    Reason,
)
from models.events import (
    BorderEntryData,
    DeclarationData,
    DeclarationKind,
    DisplayData,
    DisplayDetail,
    DocumentType,
    EntryRegistrationData,
    HealthCertificateData,
    IggResultData,
    NationalStatus,
    NationalStatusData,
    NatResultData,
    Outcome,
    QuarantineReleasedData,
    Result,
    ResultStatus,
    Symptom,
    TemperatureData,
    Transport,
)
from models.information import Item, Section
from models.policy import ZONE

PERSON = "p1-" + "a" * 32
NOON = datetime(2026, 11, 24, 12, 0, 7, tzinfo=ZONE)
BEFORE, LATER = NOON - timedelta(days=3), NOON + timedelta(hours=6)


def item(data: Struct, newest: bool = False) -> Item:
    return Item(BEFORE, "/a", "1", Raw(msgspec.json.encode(data)), newest)


PLACE = "广州"
"""Stands for a name that came with an event, and so is of no language."""

ITEMS: dict[Section, list[Item]] = {
    Section.NAT_RESULTS: [
        item(NatResultData(BEFORE, NOON, result, PLACE, status), status is ResultStatus.FINAL)
        for result in Result
        for status in ResultStatus
    ],
    Section.IGG_RESULTS: [item(IggResultData(BEFORE, NOON, Result.POSITIVE, PLACE), True)],
    Section.CERTIFICATES: [item(HealthCertificateData("C-1", PLACE, BEFORE, LATER))],
    Section.RELEASE_NOTICES: [item(QuarantineReleasedData("Q-1", "N-1", BEFORE))],
    Section.ENTRY_REGISTRATIONS: [
        item(EntryRegistrationData("R-1", "430100", "440100", transport, LATER, BEFORE))
        for transport in Transport
    ],
    Section.BORDER_ENTRIES: [item(BorderEntryData(PLACE, "SG", BEFORE))],
    Section.DECLARATIONS: [
        item(
            DeclarationData(
                kind,
                BEFORE,
                "440100",
                36.5,
                kind is DeclarationKind.PERSONAL,
                kind is not DeclarationKind.PERSONAL,
                tuple(Symptom) if kind is DeclarationKind.PERSONAL else (),
                None if kind is DeclarationKind.PERSONAL else PLACE,
            )
        )
        for kind in DeclarationKind
    ],
    Section.DISPLAYS: [
        item(
            DisplayData(
                BEFORE,
                Outcome.SHOWN if detail.value in ("red", "green") else Outcome.FAILED,
                detail,
            )
        )
        for detail in DisplayDetail
    ],
    Section.TEMPERATURES: [item(TemperatureData("T-1", PLACE, 36.5, BEFORE))],
}


class Port:
    """A port whose every answer is given beforehand."""

    token_valid_s = 60

    def __init__(
        self,
        code: HealthCode | None = None,
        *,
        stale: bool = False,
        cause: Cause | None = None,
        silent: bool = False,
        more: bool = False,
    ) -> None:
        self._code, self._stale, self._cause, self._silent = code, stale, cause, silent
        self._more = more
        self.recorded: list[DisplayDetail] = []

    def _check(self) -> None:
        if self._cause:
            raise Unavailable(self._cause, 30)

    async def read(self, person: str) -> Read:
        self._check()
        lag_s = None if self._silent else 0.4
        return Read(self._code, NOON, None if self._silent else NOON, lag_s, self._stale)

    def token(self, person: str) -> str:
        return "token"

    def record(self, person: str, detail: DisplayDetail) -> None:
        self.recorded.append(detail)

    async def sections(self, person: str, wanted: Sequence[Section]) -> Sequence[SectionAnswer]:
        self._check()
        return [
            SectionAnswer(
                section,
                NOON,
                self._stale,
                self._more,
                () if self._silent else tuple(ITEMS[section]),
            )
            for section in wanted
        ]

    async def national_status(self, person: str) -> NationalStatusData | None:
        return None if self._silent else NationalStatusData(NationalStatus.HIGH, BEFORE)

    async def counts(self) -> Counts:
        self._check()
        colours = {Colour.RED: 1234, Colour.GREEN: 1_234_567}
        cities = {code: CityCount(1, 20) for code in ("440100", "430000")}
        lags = [] if self._silent else [PartitionLag(0, NOON, 0.4), PartitionLag(1, None, None)]
        return Counts(NOON, colours, {Reason.CLOSE_CONTACT: 1000}, cities, lags)

    async def minutes(self) -> Sequence[Minute]:
        self._check()
        return [Minute(NOON + timedelta(minutes=i), i % 3, i % 5) for i in range(60)]

    def samples(self) -> Sequence[Sample]:
        return [Sample("red", names.COLOURS[Colour.RED])]

    def openapi(self) -> Mapping[str, Any]:
        return document()

    def asyncapi(self) -> Mapping[str, Any]:
        return asyncapi()


def code(*intervals: Interval) -> HealthCode:
    return HealthCode(PERSON, 7, NOON, verified_since=BEFORE, intervals=intervals)


def interval(
    reason: Reason, *conditions: Condition, source: str = "/cdc/440100", end: datetime | None = None
) -> Interval:
    province = "43" if reason is Reason.OUT_OF_PROVINCE_CODE else None
    return Interval(reason, BEFORE, EventRef(source, "c-1"), "2020-04", end, conditions, province)


def every_condition() -> Iterator[Condition]:
    for kind in ConditionKind:
        for owner in Owner:
            yield Condition(kind, owner)
            yield Condition(kind, owner, not_before=LATER)
            yield Condition(kind, owner, not_before=BEFORE, met_at=BEFORE)


def reds() -> Iterator[Interval]:
    """Every reason, every source, every way in which one lifts."""
    sources = cycle(f"/{kind}/43" for kind in (*names.SOURCES, "others"))
    yield from (interval(reason, source=next(sources)) for reason in Reason)
    time = Condition(ConditionKind.TIME, Owner.TIME, not_before=LATER, met_at=LATER)
    test = Condition(ConditionKind.NEGATIVE_TEST, Owner.LABORATORY, not_before=BEFORE)
    later = Condition(ConditionKind.NEGATIVE_TEST, Owner.LABORATORY, not_before=LATER)
    yield interval(Reason.HOME_QUARANTINE, time, end=LATER)
    yield interval(Reason.CLOSE_CONTACT, test)
    yield interval(Reason.CLOSE_CONTACT, later)


SOON = Interval(Reason.HOME_QUARANTINE, LATER, EventRef("/q", "1"), "2020-04")
SESSION = Session(
    PERSON, "样*甲", NOON.date(), DocumentType.RESIDENT_IDENTITY_CARD, "id", BEFORE, NOON, LATER
)
CODE_PAGE = "/code"

STATES: dict[str, tuple[Port, str]] = {
    "entry": (Port(), "/"),
    "red": (Port(code(*reds())), CODE_PAGE),
    "conditions": (
        Port(code(interval(Reason.OUT_OF_PROVINCE_CODE, *every_condition()))),
        CODE_PAGE,
    ),
    "green": (Port(code()), CODE_PAGE),
    "green-until": (Port(code(SOON)), CODE_PAGE),
    "stale": (Port(code(), stale=True), f"{CODE_PAGE}?reload=off"),
    "stale-since-ever": (Port(code(), stale=True, silent=True), CODE_PAGE),
    "no-code": (Port(), CODE_PAGE),
    "store": (Port(cause="store"), CODE_PAGE),
    "too-old": (Port(cause="stale"), CODE_PAGE),
    "busy": (Port(cause="busy"), CODE_PAGE),
    "information": (Port(), "/me"),
    "information-empty": (Port(silent=True), "/me"),
    "information-failed": (Port(cause="store"), "/me"),
    **{f"section-{section}": (Port(code()), f"/me/{section}") for section in Section},
    "section-old-and-full": (Port(code(), stale=True, more=True), "/me/nat-results"),
    "section-empty": (Port(code(), silent=True), "/me/certificates"),
    "section-failed": (Port(cause="busy"), "/me/temperatures"),
    "dashboard": (Port(), "/dashboard"),
    "dashboard-failed": (Port(cause="store"), "/dashboard"),
    "dashboard-silent": (Port(silent=True), "/dashboard"),
    "counts": (Port(), "/dashboard/counts"),
    "counts-failed": (Port(cause="busy"), "/dashboard/counts"),
    "chart": (Port(), "/dashboard/chart.svg"),
    "chart-failed": (Port(cause="store"), "/dashboard/chart.svg"),
    "api": (Port(), "/api"),
    "events": (Port(), "/api/events"),
}


def rendered(state: str, language: Language) -> str:
    port, address = STATES[state]
    handlers = [*routes(port, "http://gateway.test/docs"), *resident_routes(port)]
    session = Provide(lambda: SESSION, sync_to_thread=False)
    with TestClient(Litestar(handlers, dependencies={"session": session})) as client:
        answer = client.get(address, params={"lang": language.code})
    assert answer.status_code in (200, 404, 503)
    if not address.endswith(".svg"):
        assert answer.headers["content-language"] == language.tag
    return answer.text
