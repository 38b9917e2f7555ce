"""Health information for synthetic people: people to be looked at have something in every list, the
others have something here and there."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from random import Random
from typing import cast, get_args

from app.development.sample.stories import NATIONAL_PLATFORM, TERMINALS, Resident
from app.topics.catalogue import PORTAL
from models.codes import Colour, judge
from models.events import (
    BorderEntryData,
    BorderEntryRecorded,
    DeclarationData,
    DeclarationKind,
    DeclarationSubmitted,
    DisplayData,
    DisplayDetail,
    DisplayRecorded,
    EntryRegistrationData,
    EntryRegistrationSubmitted,
    HealthCertificateData,
    HealthCertificateIssued,
    IggResultData,
    IggResultReported,
    NationalStatus,
    NationalStatusData,
    NationalStatusReported,
    Outcome,
    Result,
    StatusEvent,
    Symptom,
    TelecomVisitData,
    TelecomVisitReported,
    TemperatureData,
    TemperatureMeasured,
    Transport,
    Visit,
)
from models.person import fold, unknown
from models.policy import HighRisk

DESK = "/entry-desks/440100-03"
IMMIGRATION = "/immigration/440300-01"
TELECOM = "/telecoms/gd-1"

NOBODY = "p1-" + "a" * 32
"""Stands for the key of whoever a story is told of."""

SHARE = 0.05
"""The share, for each list, of the people who are not to be looked at."""


def tell_all(resident: Resident, random: Random) -> None:
    """Fill every list of a person who is to be looked at."""
    for tell in _LISTS:
        tell(resident, random)


def tell_some(resident: Resident, random: Random) -> None:
    """Fill a list here and there."""
    for tell in _LISTS:
        if random.random() < SHARE:
            tell(resident, random)


def _igg(resident: Resident, random: Random) -> None:
    for days, result in ((random.uniform(30, 60), Result.NEGATIVE), (9.0, Result.POSITIVE)):
        sampled_at = resident.ago(days=days)
        at = sampled_at + timedelta(hours=7)
        data = IggResultData(sampled_at, at, result, "/laboratories/440100-001")
        resident.add(IggResultReported, "/laboratories/440100-001", at, data)


def _certificate(resident: Resident, random: Random) -> None:
    at = resident.ago(days=random.uniform(40, 100))
    until = at + timedelta(days=365)
    data = HealthCertificateData(resident.file("H"), "/cdc/440100", at, until)
    resident.add(HealthCertificateIssued, NATIONAL_PLATFORM, at, data)
    at = resident.ago(days=20)
    status = NationalStatusData(NationalStatus.LOW, at)
    resident.add(NationalStatusReported, NATIONAL_PLATFORM, at, status)


def _entry_registration(resident: Resident, random: Random) -> None:
    for days in (random.uniform(60, 100), 12.0):
        at = resident.ago(days=days)
        data = EntryRegistrationData(
            registration=f"{resident.file('R')}-{round(days)}",
            origin=random.choice(("430100", "450100", "360100")),
            destination=resident.city,
            transport=random.choice(list(Transport)),
            arrives_at=at + timedelta(hours=5),
            registered_at=at,
        )
        resident.add(EntryRegistrationSubmitted, DESK, at, data)


def _border_entry(resident: Resident, random: Random) -> None:
    at = resident.ago(days=random.uniform(50, 100))
    data = BorderEntryData(IMMIGRATION, random.choice(("HK", "MO", "SG")), at)
    resident.add(BorderEntryRecorded, IMMIGRATION, at, data)


def _declarations(resident: Resident, random: Random) -> None:
    kinds = {
        DeclarationKind.ENTERPRISE_EMPLOYEE: "样本企业",
        DeclarationKind.ORGANISATION_MEMBER: "样本机构",
        DeclarationKind.STUDENT_OR_STAFF: "样本学校",
        DeclarationKind.PERSONAL: None,
    }
    for number, (kind, unit) in enumerate(kinds.items()):
        at = resident.ago(days=8 - 2 * number)
        data = DeclarationData(
            kind=kind,
            declared_at=at,
            city=resident.city,
            celsius=round(random.uniform(36.0, 37.2), 1),
            contact=False,
            travelled=number == 1,
            symptoms=(Symptom.COUGH,) if number == 2 else (),
            unit=unit,
        )
        resident.add(DeclarationSubmitted, PORTAL, at, data)


def _displays(resident: Resident, random: Random) -> None:
    """Show the code that the person had then; whoever had none showed none."""
    for hours, failure in ((52.0, None), (27.0, DisplayDetail.STORE), (26.9, None), (3.0, None)):
        at = resident.ago(hours=hours + random.uniform(0, 0.05))
        colour = colour_at(resident, at)
        if colour is not Colour.NONE:
            shown = Outcome.SHOWN if failure is None else Outcome.FAILED
            detail = failure or DisplayDetail(colour.value)
            resident.add(DisplayRecorded, PORTAL, at, DisplayData(at, shown, detail))


def colour_at(resident: Resident, at: datetime) -> Colour:
    """Return the colour at `at`, by what had been told of the person until then, in that order."""
    ids = {draft: str(number) for number, draft in enumerate(resident.drafts)}
    told = [d for d in ids if issubclass(d.kind, get_args(StatusEvent)) and d.time <= at]
    row = unknown(NOBODY, at)
    for draft in sorted(told, key=lambda draft: draft.time):
        make = cast(Callable[..., StatusEvent], draft.kind)
        event = make(
            specversion="1.0",
            id=ids[draft],
            source=draft.source,
            time=draft.time,
            partitionkey=NOBODY,
            sequence=ids[draft],
            supersedes=draft.supersedes and ids[draft.supersedes],
            data=draft.data,
        )
        row = fold(row, event, draft.time).person
    return judge(row.code, at).colour


def _temperatures(resident: Resident, random: Random) -> None:
    for days in (5.0, 2.0, 1.0, 0.1):
        at = resident.ago(days=days + random.uniform(0, 0.1))
        terminal = f"440100-{random.randrange(TERMINALS) + 1:04d}"
        celsius = round(random.uniform(36.1, 37.1), 1)
        data = TemperatureData(terminal, f"样本场所 {terminal[-4:]}", celsius, at)
        resident.add(TemperatureMeasured, f"/terminals/{terminal}", at, data)


HIGH_RISK_SAMPLE = HighRisk(
    "360100", date(2020, 1, 1), None, "样本：南昌市", "the sample; never so in production"
)
"""With it a travel card of the sample shows the mark, whenever it is looked at."""


def tell_visits(resident: Resident) -> None:
    """Tell where the person's phone was in the last days, and once long before."""
    for days, city, visit in (
        (20.0, "420100", Visit.REACHED),
        (6.2, "360100", Visit.REACHED),
        (6.0, "440200", Visit.PASSED),
        (5.9, "440100", Visit.REACHED),
        (2.0, "440300", Visit.REACHED),
        (1.0, "440100", Visit.REACHED),
    ):
        at = resident.ago(days=days)
        data = TelecomVisitData(city, visit, at)
        resident.add(TelecomVisitReported, TELECOM, at, data).of_phone = True


_LISTS: tuple[Callable[[Resident, Random], None], ...] = (
    _igg,
    _certificate,
    _entry_registration,
    _border_entry,
    _declarations,
    _displays,
    _temperatures,
)
