"""Every page and state, rendered over a port whose answers are given beforehand."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import cycle, product
from typing import Any, cast

import httpx
import msgspec
from litestar import Litestar, Router
from litestar.datastructures import Cookie
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.testing import RequestFactory, TestClient
from msgspec import Raw, Struct

from app.audit.trail import Trail
from app.login.duty import DUTY_COOKIE, DUTY_LIFE, Duty, OnDuty
from app.login.sessions import Session
from app.projection.changes import PublicCause, PublicChange, PublicStatus
from app.projection.trends import ChangesWithin
from app.sources.register import Register
from app.travel.cards import CodeSent, TravelCardAnswer
from app.travel.refusals import CodeWrong
from app.view.changes import ChangeFilter, NewestChanges, StreamPlace
from app.view.declarations import DeclarationAnswer, DeclarationRequest, Declared
from app.view.explanations import CourseAnswer
from app.view.figures import CITIES_SHOWN, PublicFigures, published
from app.view.pages import names
from app.view.pages.missing import on_page_missing
from app.view.pages.routes import page_routes, resident_routes
from app.view.pages.statements import STATEMENTS
from app.view.proofs import ProofKind, Proofs
from app.view.reading import (
    ChangesOfMinute,
    CityCount,
    Counts,
    PartitionLag,
    Read,
    Sample,
    SectionAnswer,
    Unavailable,
    UnavailableCause,
)
from app.view.trends import Trends, trends_at
from app.view.watch import Scrape, State, Watched
from app.web.language import Language
from app.web.problems import FieldError, Refused, retry_later
from app.web.requests import AnyRequest
from app.web.tokens import Tokens
from models.codes import (
    Colour,
    Condition,
    ConditionKind,
    EventRef,
    HealthCode,
    Interval,
    Owner,
    Reason,
    ref,
    reference_of,
)
from models.course import COURSE, course
from models.events import (
    EVENT_TYPES,
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
    NatResultDataV2,
    Outcome,
    QuarantineReleasedData,
    Result,
    ResultStatus,
    Symptom,
    TemperatureData,
    Transport,
    Visit,
)
from models.information import Item, Section
from models.person import Person, unknown
from models.policy import ZONE
from models.travel import City
from support import builders as b
from support.audits import Noted
from support.gateways import gateway_document
from support.rows import row_of
from support.tokens import OPERATOR, TRUST

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
    ]
    + [item(NatResultDataV2(BEFORE, NOON, Result.POSITIVE, PLACE, pooled=10, specimen="T-1"))],
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


CHANGES = [
    (
        number,
        PublicChange(
            NOON - timedelta(minutes=number if number % 2 else 1000 * number),
            PublicStatus(before),
            PublicStatus(after, tuple(Reason) if after is Colour.RED else ()),
            PublicCause(source, "yuekang.contact.listed.v1") if source else PublicCause(),
            city,
        ),
    )
    for number, (before, after, source, city) in enumerate(
        product(
            (Colour.NONE, Colour.GREEN),
            (Colour.RED, Colour.GREEN),
            (None, *(f"/{kind}/43" for kind in (*names.SOURCES, "others"))),
            ("440100", "430000", None),
        ),
        1,
    )
]
"""Changes of every kind, by number."""

SWAB = NOON - timedelta(hours=20)
QUARANTINE: dict[str, Any] = {"source": "/quarantine-commands/440300", "person": PERSON}
NOTICE = b.released(BEFORE, id="n-1", **QUARANTINE)
NEGATIVE = b.negative(SWAB, id="r-1", source="/laboratories/440100-011", person=PERSON)
ROW = row_of(
    PERSON,
    (b.verified(BEFORE - timedelta(days=30), person=PERSON), BEFORE - timedelta(days=30)),
    (b.ordered("centralised", BEFORE - timedelta(days=14), **QUARANTINE), BEFORE),
    (NOTICE, BEFORE),
    (NEGATIVE, NOON - timedelta(hours=14)),
)
"""A row with a release notice and a negative of yesterday."""

REFERENCE_OF_NOTICE = reference_of(ref(NOTICE))


class Stand:
    """Stands for the view's services; each answer is given beforehand."""

    gateway_url = "http://gateway.test"
    gateway_docs_url = "http://gateway.test/docs"
    view_url = "https://code.test"
    epoch = "epoch"

    def __init__(
        self,
        code: HealthCode | None = None,
        *,
        stale: bool = False,
        cause: UnavailableCause | None = None,
        silent: bool = False,
        more: bool = False,
        later: bool = False,
    ) -> None:
        self._at = NOON + timedelta(days=2) if later else NOON
        self._code, self._stale, self._cause, self._silent = code, stale, cause, silent
        self._more = more
        self.recorded: list[DisplayDetail] = []
        self.declarations = self.cards = Services()
        self.proofs = Proofs(bytes(32), cast(Any, self))
        self.explanations = self
        self.codes = self.displays = self.recorder = self.information = self.counting = self
        self.changes = self.trend_reader = self
        self.watch = self
        self.releases = self
        self.duty = Duty(bytes(32), Tokens(TRUST), "http://testserver.local", self.now)
        self.trail = Trail(Noted(), self.now)
        self.credential_keys = self.holdings = self
        self.register = Register()

    def now(self) -> datetime:
        return self._at

    def samples(self) -> Sequence[Sample]:
        return [
            Sample(colour.value, text, f"{colour.value}-story", colour)
            for colour, text in names.COLOURS.items()
        ]

    def _check(self) -> None:
        if self._cause:
            raise Unavailable(self._cause, 30)

    async def figures(self) -> PublicFigures:
        return published(await self.counts(), CITIES_SHOWN)

    async def read(self, person: str) -> Read:
        self._check()
        return Read(self._code, NOON, NOON, 0.4, self._stale)

    def token(self, person: str, name: str, ending: str) -> str:
        return "token"

    def tag_of(self, person: str) -> str:
        return "holder"

    def record(self, person: str, at: datetime, detail: DisplayDetail) -> None:
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

    async def course(self, person: str) -> CourseAnswer:
        row, as_of = await self.row(person)
        return CourseAnswer(
            as_of, self._stale, tuple(course(row, NOON - COURSE, NOON)), self._stale
        )

    async def row(self, person: str) -> tuple[Person, datetime]:
        self._check()
        return (unknown(person, NOON) if self._silent else ROW), NOON

    async def section(self, person: str, section: Section) -> SectionAnswer:
        [answer] = await self.sections(person, [section])
        return answer

    async def national_status(self, person: str) -> NationalStatusData | None:
        return None if self._silent else NationalStatusData(NationalStatus.HIGH, BEFORE)

    async def counts(self) -> Counts:
        self._check()
        colours = {Colour.RED: 1234, Colour.GREEN: 1_234_567}
        cities = {code: CityCount(1, 20) for code in ("440100", "430000")}
        lags = [] if self._silent else [PartitionLag(0, NOON, 0.4), PartitionLag(1, None, None)]
        return Counts(NOON, colours, {Reason.CLOSE_CONTACT: 1000}, cities, lags)

    async def newest(self, wanted: ChangeFilter) -> NewestChanges:
        self._check()
        found = () if self._silent else tuple(c for c in CHANGES if wanted.lets(c[1]))
        return NewestChanges(StreamPlace("0" * 8, len(CHANGES)), found, len(CHANGES))

    def watched(self) -> Watched:
        states: dict[str, State] = {"worker": "ready", "gateway": "unready", "view": "away"}
        scrape = Scrape(0, 0, {("yuekang_worker_sources_parked", "t"): 2.0})
        if self._silent:
            return Watched(0, {}, {})
        return Watched(0, states, {"worker": [scrape], "gateway": [], "view": []}, 3)

    async def trends(self) -> Trends:
        self._check()
        noon = int(NOON.timestamp())
        fields = {"red": 51, "green": 7, "first": 5}
        for part in ("city:440100", "city:-", "reason:1", "source:/cdc/440100", "source:-"):
            fields[f"red:{part}"] = 51
        fields |= {"red:source:other": 3, "red:source:/provinces/43": 3}
        now = {} if self._silent else fields
        minutes = [ChangesWithin(noon - 60 * (59 - i), now if i == 55 else {}) for i in range(60)]
        slots = [ChangesWithin(noon - 600 * (143 - i), now if i == 143 else {}) for i in range(144)]
        return trends_at(NOON, minutes, slots, [ChangesWithin(0, {}) for _ in range(7)])

    async def minutes(self) -> Sequence[ChangesOfMinute]:
        self._check()
        return [ChangesOfMinute(NOON + timedelta(minutes=i), i % 3, i % 5) for i in range(60)]


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


def declared(
    celsius: float = 36.5,
    contact: bool = False,
    symptoms: tuple[Symptom, ...] = (),
    unit: str | None = None,
) -> DeclarationRequest:
    kind = DeclarationKind.PERSONAL if unit is None else DeclarationKind.STUDENT_OR_STAFF
    return DeclarationRequest("d-1", kind, "420100", celsius, contact, False, symptoms, unit)


class Services:
    """Declarations and travel cards whose every answer is given beforehand."""

    def __init__(
        self,
        failure: Exception | None = None,
        *cities: City,
        more: bool = False,
        kept: bool = False,
        taken: DeclarationRequest | None = None,
    ) -> None:
        self._taken = None if taken is None else Declared(taken, NOON)
        self._failure, self._cities, self._more, self._kept = failure, cities, more, kept
        self.declared: list[tuple[str, DeclarationRequest]] = []

    def _check(self) -> None:
        if self._failure:
            raise self._failure

    async def submit(self, person: str, asked: DeclarationRequest) -> DeclarationAnswer:
        self._check()
        self.declared.append((person, asked))
        return DeclarationAnswer(asked.id, NOON, REFERENCE)

    async def taken(self, person: str, reference: str) -> Declared | None:
        self._check()
        return self._taken

    async def send_code(self, asker: str, address: str, phone: str, language: Language) -> CodeSent:
        self._check()
        return CodeSent("138****8000", LATER, 300, 5)

    async def open(self, session: Session, phone: str, code: str, at: datetime) -> Cookie:
        self._check()
        return Cookie("kept")

    async def again(self, request: Any, session: Session, at: datetime) -> TravelCardAnswer | None:
        if not self._kept:
            return None
        self._check()
        since = (NOON - timedelta(days=14)).date()
        return TravelCardAnswer("138****8000", NOON, NOON, since, self._cities, self._more)


SOON = Interval(Reason.HOME_QUARANTINE, LATER, EventRef("/q", "1"), "2020-04")
SESSION = Session(
    PERSON,
    "样*甲",
    NOON.date(),
    DocumentType.RESIDENT_IDENTITY_CARD,
    "id",
    BEFORE,
    NOON,
    LATER,
    "1234",
    BEFORE,
)
CODE_PAGE = "/code"
REFERENCE = reference_of(EventRef("/portal", "1"))
SENT = f"/declare/sent/{REFERENCE}"
MISSING = "/no-such-page"


def proof_code(event: Any) -> str:
    """The code of a proof of one of these events."""
    kind = ProofKind.RELEASE if event is NOTICE else ProofKind.NEGATIVE
    return Stand().proofs.code(kind, SESSION, ref(event), NOON)


STATES: dict[str, tuple[Stand, str]] = {
    # For anybody
    "entry": (Stand(), "/"),
    "offline": (Stand(), "/offline"),
    "missing": (Stand(), MISSING),
    "figures": (Stand(), "/counts"),
    "figures-failed": (Stand(cause="stale"), "/counts"),
    **{name: (Stand(), f"/{name}") for name in STATEMENTS},
    # The code
    "red": (Stand(code(*reds())), CODE_PAGE),
    "conditions": (
        Stand(code(interval(Reason.OUT_OF_PROVINCE_CODE, *every_condition()))),
        CODE_PAGE,
    ),
    "green": (Stand(code()), CODE_PAGE),
    "green-until": (Stand(code(SOON)), CODE_PAGE),
    "stale": (Stand(code(), stale=True), f"{CODE_PAGE}?reload=off"),
    "no-code": (Stand(), CODE_PAGE),
    "store": (Stand(cause="store"), CODE_PAGE),
    "too-old": (Stand(cause="stale"), CODE_PAGE),
    "busy": (Stand(cause="busy"), CODE_PAGE),
    # Health information
    "information": (Stand(), "/me"),
    "information-empty": (Stand(silent=True), "/me"),
    "information-failed": (Stand(cause="store"), "/me"),
    **{f"section-{section}": (Stand(code()), f"/me/{section}") for section in Section},
    "section-certificates-expired": (Stand(code(), later=True), "/me/certificates"),
    "everything": (Stand(code()), "/me/everything"),
    "everything-empty": (Stand(silent=True), "/me/everything"),
    "everything-failed": (Stand(cause="store"), "/me/everything"),
    # The course of a code
    "course": (Stand(), "/me/code-changes"),
    "course-old": (Stand(stale=True), "/me/code-changes"),
    "course-empty": (Stand(silent=True), "/me/code-changes"),
    "course-failed": (Stand(cause="busy"), "/me/code-changes"),
    # What is shown to others
    "notice": (Stand(), f"/me/notices/{REFERENCE_OF_NOTICE}"),
    "notice-failed": (Stand(cause="store"), f"/me/notices/{REFERENCE_OF_NOTICE}"),
    "negative": (Stand(), "/me/negative"),
    "negative-missing": (Stand(silent=True), "/me/negative"),
    "check": (Stand(), "/check"),
    "check-notice": (Stand(), f"/check?c={proof_code(NOTICE)}"),
    "check-negative": (Stand(), f"/check?c={proof_code(NEGATIVE)}"),
    "check-expired": (Stand(later=True), f"/check?c={proof_code(NEGATIVE)}"),
    "check-taken-back": (Stand(silent=True), f"/check?c={proof_code(NOTICE)}"),
    "check-unknown": (Stand(), "/check?c=YKPabc"),
    "check-failed": (Stand(cause="store"), f"/check?c={proof_code(NOTICE)}"),
    "section-old-and-full": (Stand(code(), stale=True, more=True), "/me/nat-results"),
    "section-empty": (Stand(code(), silent=True), "/me/certificates"),
    "section-failed": (Stand(cause="busy"), "/me/temperatures"),
    # Declarations
    "declare": (Stand(), "/declare"),
    **{f"declare-{kind.value}": (Stand(), f"/declare/{kind.value}") for kind in DeclarationKind},
    "declare-empty": (Stand(), "/declare/student-or-staff"),
    "declare-faults": (Stand(), "/declare/enterprise-employee"),
    "declare-changed": (Stand(), "/declare/personal"),
    "declare-away": (Stand(), "/declare/personal"),
    "declare-number": (Stand(), "/declare/organisation-member"),
    "declare-invalid": (Stand(), "/declare/personal"),
    "declare-sent": (Stand(), SENT),
    "declare-sent-advised": (Stand(), SENT),
    "declare-sent-unknown": (Stand(), SENT),
    "declare-sent-unread": (Stand(), SENT),
    # The travel card
    "travel-phone": (Stand(), "/travel-card"),
    "travel-phone-wrong": (Stand(), "/travel-card/code"),
    "travel-code-sent": (Stand(), "/travel-card/code"),
    "travel-too-often": (Stand(), "/travel-card/code"),
    "travel-too-often-today": (Stand(), "/travel-card/code"),
    "travel-not-sent": (Stand(), "/travel-card/code"),
    "travel-not-sent-again": (Stand(), "/travel-card/code"),
    "travel-no-gateway": (Stand(), "/travel-card/code"),
    "travel-card": (Stand(), "/travel-card"),
    "travel-more": (Stand(), "/travel-card"),
    "travel-nowhere": (Stand(), "/travel-card"),
    "travel-card-away": (Stand(), "/travel-card"),
    "travel-phone-new": (Stand(), "/travel-card/new"),
    "travel-code-wrong": (Stand(), "/travel-card"),
    "travel-last-try": (Stand(), "/travel-card"),
    "travel-invalid": (Stand(), "/travel-card"),
    "travel-code-spent": (Stand(), "/travel-card"),
    "travel-code-expired": (Stand(), "/travel-card"),
    "travel-code-used": (Stand(), "/travel-card"),
    "travel-no-code-sent": (Stand(), "/travel-card"),
    "travel-rows-away": (Stand(), "/travel-card"),
    # For a guard
    "gate": (Stand(), "/gate"),
    # For the duty officer
    "duty-login": (Stand(), "/duty/login"),
    "duty-refused": (Stand(), "/duty/login"),
    "dashboard": (Stand(), "/dashboard"),
    "dashboard-failed": (Stand(cause="store"), "/dashboard"),
    "dashboard-silent": (Stand(silent=True), "/dashboard"),
    "counts": (Stand(), "/dashboard/counts"),
    "counts-failed": (Stand(cause="busy"), "/dashboard/counts"),
    "playbooks": (Stand(), "/duty/playbooks"),
    "changes": (Stand(), "/dashboard/changes"),
    "changes-none": (Stand(silent=True), "/dashboard/changes"),
    "changes-filtered": (Stand(), "/dashboard/changes?city=440900"),
    "changes-wrong": (Stand(), "/dashboard/changes?source=nope"),
    "changes-failed": (Stand(cause="store"), "/dashboard/changes"),
    "trends": (Stand(), "/dashboard/trends"),
    "trends-quiet": (Stand(silent=True), "/dashboard/trends"),
    "trends-failed": (Stand(cause="store"), "/dashboard/trends"),
    "chart": (Stand(), "/dashboard/chart.svg"),
    "chart-failed": (Stand(cause="store"), "/dashboard/chart.svg"),
    # For agencies
    "api": (Stand(), "/api"),
    "agency": (Stand(), "/agency"),
    "events": (Stand(), "/api/events"),
    "events-found": (Stand(), "/api/events?q=nat-result"),
    "events-none": (Stand(), "/api/events?q=zzz"),
    **{f"event-{type_}": (Stand(), f"/api/events/{type_}") for type_ in EVENT_TYPES},
}

DECLARED = {
    "id": "0b7c2d8e-6a52-4c1b-9d43-6d1f6c7a9e01",
    "city": "440300",
    "celsius": "36.5",
    "symptoms": "cough",
    "contact": "no",
    "travelled": "yes",
}
ASKED_CODE = {"phone": "13800138000"}
TRIED_CODE = {"phone": "13800138000", "code": "123456"}

GIVEN: dict[str, Services] = {
    "declare-sent": Services(taken=declared()),
    "declare-sent-advised": Services(
        taken=declared(celsius=39.5, contact=True, symptoms=tuple(Symptom), unit=PLACE)
    ),
    "declare-sent-unread": Services(retry_later("busy", "", 2)),
    "travel-card": Services(
        None,
        City("440100", Visit.REACHED, BEFORE, False),
        City("440300", Visit.PASSED, NOON, True),
        City("420100", Visit.REACHED, NOON, False),
        kept=True,
    ),
    "travel-more": Services(
        None, City("440100", Visit.REACHED, BEFORE, False), more=True, kept=True
    ),
    "travel-nowhere": Services(kept=True),
    "travel-card-away": Services(Unavailable("store", 2), kept=True),
}
"""States of pages that are opened, and what is behind them."""

POSTED: dict[str, tuple[Mapping[str, str], Services, int]] = {
    "declare-empty": ({}, Services(), 422),
    "declare-faults": (
        {**DECLARED, "unit": "x" * 101, "celsius": "30", "symptoms": "hunger"},
        Services(),
        422,
    ),
    "declare-changed": (DECLARED, Services(Refused("append-only", "")), 409),
    "declare-away": (DECLARED, Services(retry_later("kafka-away", "", 2)), 503),
    "declare-number": (
        {**DECLARED, "unit": "示例"},
        Services(Refused("invalid", "", (FieldError("unit", ""),))),
        422,
    ),
    "declare-invalid": (DECLARED, Services(Refused("invalid", "")), 422),
    "travel-phone-wrong": ({"phone": "123"}, Services(Refused("phone", "")), 422),
    "travel-code-sent": (ASKED_CODE, Services(), 200),
    "travel-too-often": (ASKED_CODE, Services(retry_later("asked-too-often", "", 86_400)), 429),
    "travel-too-often-today": (ASKED_CODE, Services(retry_later("asked-too-often", "", 5)), 429),
    "travel-not-sent": (ASKED_CODE, Services(retry_later("message-not-sent", "", 5)), 503),
    "travel-not-sent-again": (
        {**ASKED_CODE, "again": "yes"},
        Services(retry_later("message-not-sent", "", 5)),
        503,
    ),
    "travel-no-gateway": (
        ASKED_CODE,
        Services(retry_later("travel-card-unavailable", "", 5)),
        503,
    ),
    "travel-code-wrong": (TRIED_CODE, Services(CodeWrong(3)), 422),
    "travel-last-try": (TRIED_CODE, Services(CodeWrong(1)), 422),
    **{
        f"travel-{code}": (TRIED_CODE, Services(Refused(code, "")), 422)
        for code in ("invalid", "code-spent", "code-expired", "code-used", "no-code-sent")
    },
    "travel-rows-away": (TRIED_CODE, Services(Unavailable("store", 2)), 503),
    "duty-refused": ({"token": "wrong", "officer": PLACE}, Services(), 422),
}
"""States of forms: what was filled in, what came of it, the status."""


def rendered(state: str, language: Language) -> str:
    stand, address = STATES[state]
    form, services, status = POSTED.get(state, (None, GIVEN.get(state, Services()), None))
    handlers = [*of_anybody(stand), *of_residents(stand, services)]
    session = Provide(lambda: SESSION, sync_to_thread=False)
    app = Litestar(
        handlers,
        dependencies={"session": session},
        exception_handlers={HTTPException: on_page_missing},
    )
    on_duty = OnDuty(OPERATOR, PLACE, "a token's id", "", stand.now() + DUTY_LIFE)
    cookies = {DUTY_COOKIE: stand.duty.cookie(on_duty).value or ""}
    with TestClient(app, cookies=cookies) as client:
        client.headers["accept"] = "text/html"
        client.headers["origin"] = "http://testserver.local"
        lang = {"lang": language.code}
        if form is None:
            answer = client.get(httpx.URL(address).copy_merge_params(lang))
        else:
            answer = client.post(address, params=lang, data=form)
    assert answer.status_code in ((200, 404, 503) if status is None else (status,))
    if not address.endswith(".svg"):
        assert answer.headers["content-language"] == language.tag
    return answer.text


def asked(language: Language, headers: Mapping[str, str] | None = None) -> AnyRequest:
    """A request for a page in this language."""
    return RequestFactory().get(query_params={"lang": language.code}, headers=dict(headers or {}))


def of_anybody(stand: Stand) -> list[Router]:
    return page_routes(cast(Any, stand), gateway_document)


def of_residents(stand: Stand, services: Services | None = None) -> list[Any]:
    stand.declarations = stand.cards = services or Services()
    return resident_routes(cast(Any, stand))
