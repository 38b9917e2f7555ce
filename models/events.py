"""The events that agencies publish: CloudEvents 1.0, one class per type and version.

An event says that something happened; no event sets a colour. Its identity is `(source, id)`.
`sequence` is its source's own increasing number and orders that source's events. An event whose
`supersedes` names an earlier event of the same source and family corrects it and stands in its
place. A `...Retracted` event takes back what it names, and says nothing of its own
(models.corrections).

Decoding with `Event` checks names and types; `models.checks` checks the rest. All instants carry a
zone; policy reads them in Asia/Shanghai.

`StatusEvent`s bear on a code. `ListedEvent`s never do: they fill the lists of a person's health
information (models.lists).
"""

import re
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from functools import cache
from typing import Annotated, Literal, get_args

from msgspec import Meta, Struct


def _form(pattern: str, description: str, length_max: int | None = None) -> Meta:
    """Describe a text by its form, for its schema and for `misfits`.

    msgspec would check it whenever a row is read, at four fifths of the cost of reading.
    """
    length = {} if length_max is None else {"maxLength": length_max}
    return Meta(description=description, extra_json_schema={"pattern": pattern, **length})


PERSON_KEY = re.compile(r"^p[1-9][0-9]{0,3}-[a-z2-7]{32}$")
EVENT_ID = re.compile(r"^[!-~]{1,64}$")
SOURCE = re.compile(r"^(/[a-z0-9]+(-[a-z0-9]+)*)+$")
SOURCE_LENGTH_MAX = 96
DIVISION = re.compile(r"^[1-8][0-9]{5}$")
PROVINCES = r"1[1-5]|2[1-3]|3[1-7]|4[1-6]|5[0-4]|6[1-5]|71"
"""First two digits of GB/T 2260, without Hong Kong (81) and Macao (82)."""

PersonKey = Annotated[
    str,
    _form(
        PERSON_KEY.pattern,
        "Keyed pseudonym of a person; the gateway makes it from a document number.",
    ),
]
EventId = Annotated[
    str,
    _form(EVENT_ID.pattern, "Unique within the source; printable ASCII."),
]
Source = Annotated[
    str,
    _form(
        SOURCE.pattern,
        "URI reference of the publisher, such as /laboratories/440100-001.",
        SOURCE_LENGTH_MAX,
    ),
]
Sequence = Annotated[
    str,
    _form(
        r"^0*(0|[1-9][0-9]{0,17})$",
        "The source's own increasing number, in decimal digits; zeros before it say nothing.",
    ),
]
ContentType = Annotated[
    Literal["application/json"],
    Meta(description="What data is. It is read in any case, and with the charset UTF-8."),
]
Instant = Annotated[datetime, Meta(tz=True, description="RFC 3339 date-time with its zone.")]
Division = Annotated[
    str,
    _form(DIVISION.pattern, "Administrative division, GB/T 2260, such as 440100 for Guangzhou."),
]
ProvinceCode = Annotated[
    str,
    _form(
        rf"^({PROVINCES}|8[12])$",
        "Province, the first two digits of GB/T 2260.",
    ),
]
Country = Annotated[
    str,
    _form(r"^[A-Z]{2}$", "Country or region, ISO 3166-1 alpha-2, such as SG."),
]
City = Annotated[
    str,
    _form(
        r"^[1-8][0-9]([0-9]{2}00|90[0-9]{2})$",
        "City, GB/T 2260, such as 440100; also a county that its province governs, such as 429004.",
    ),
]
FILE_NUMBER = re.compile(r"^[0-9A-Za-z][0-9A-Za-z.-]{0,47}$")
Number = Annotated[
    str,
    _form(FILE_NUMBER.pattern, "The source's own file number."),
]
Specimen = Annotated[
    str,
    _form(
        FILE_NUMBER.pattern,
        "The laboratory's own number of a specimen. What it reports of one number is one swab.",
    ),
]
Pooled = Annotated[
    int, Meta(ge=2, le=20, description="How many people share the tube (混检), 2 to 20.")
]
Name = Annotated[
    str,
    _form(
        r"^[^\x00-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]{1,100}$",
        "Name of an institution or place, never of a person; no control characters.",
    ),
]


Celsius = Annotated[
    float, Meta(ge=34.0, le=43.0, description="Body temperature in degrees Celsius, 34 to 43.")
]


class Result(StrEnum):
    """Result of a nucleic acid test (NAT, 核酸检测) or of a test for IgG antibodies."""

    POSITIVE = "positive"
    NEGATIVE = "negative"
    INCONCLUSIVE = "inconclusive"


class ResultStatus(StrEnum):
    """Only a final result changes anything."""

    PRELIMINARY = "preliminary"
    FINAL = "final"


class QuarantineKind(StrEnum):
    """Where quarantine is spent: 集中隔离 or 居家隔离."""

    CENTRALISED = "centralised"
    HOME = "home"


class ProvincialColour(StrEnum):
    """Colour of another province's health code."""

    RED = "red"
    YELLOW = "yellow"
    GREEN = "green"


class Visit(StrEnum):
    """How a phone was in a city (行程卡: 到达或途经)."""

    REACHED = "reached"  # 到达
    PASSED = "passed"  # 途经


class DocumentType(StrEnum):
    """Documents that the manual names for real-name login."""

    RESIDENT_IDENTITY_CARD = "resident-identity-card"  # 居民身份证, also 81/82/83 permits
    MAINLAND_TRAVEL_PERMIT = "mainland-travel-permit"  # 港澳居民来往内地通行证


class NationalStatus(StrEnum):
    """ "Health status" (健康状态) of the national platform. It is shown and changes no colour."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class Transport(StrEnum):
    """How someone comes to Guangdong."""

    ROAD = "road"
    RAIL = "rail"
    AIR = "air"
    WATER = "water"


class DeclarationKind(StrEnum):
    """The four kinds of health declaration (健康申报; manual, 三（三）)."""

    ENTERPRISE_EMPLOYEE = "enterprise-employee"  # 企业单位员工健康申报
    ORGANISATION_MEMBER = "organisation-member"  # 组织机构成员健康申报
    STUDENT_OR_STAFF = "student-or-staff"  # 学生/教职工个人健康申报
    PERSONAL = "personal"  # 个人自查申报


class Symptom(StrEnum):
    """What a declaration may name; no symptoms are an empty list."""

    FEVER = "fever"
    COUGH = "cough"
    FATIGUE = "fatigue"
    SORE_THROAT = "sore-throat"
    BREATHLESSNESS = "breathlessness"
    DIARRHOEA = "diarrhoea"
    LOSS_OF_TASTE_OR_SMELL = "loss-of-taste-or-smell"


class Outcome(StrEnum):
    """Whether a code was shown (亮码; manual, 四.2)."""

    SHOWN = "shown"
    FAILED = "failed"


class DisplayDetail(StrEnum):
    """What was shown, or why nothing could be."""

    RED = "red"
    GREEN = "green"
    STORE = "store"
    STALE = "stale"
    BUSY = "busy"


class ListName(StrEnum):
    """The lists of health information that bear on no code (manual, 三（二）)."""

    IGG_RESULTS = "igg-results"  # 血清特异性 IgG 抗体检测记录
    CERTIFICATES = "certificates"  # 持有健康证明情况
    NATIONAL_STATUSES = "national-statuses"  # 健康状态
    ENTRY_REGISTRATIONS = "entry-registrations"  # 入粤登记历史记录
    BORDER_ENTRIES = "border-entries"  # 入境情况记录
    DECLARATIONS = "declarations"  # 健康申报记录
    DISPLAYS = "displays"  # 亮码记录
    TEMPERATURES = "temperatures"  # 体温检测记录
    TELECOM_VISITS = "telecom-visits"  # 行程卡, of a phone


class RetractionReason(StrEnum):
    """Why a source takes an event back."""

    ENTERED_IN_ERROR = "entered-in-error"
    WRONG_PERSON = "wrong-person"
    DUPLICATE = "duplicate"


class IdentityRetractionReason(StrEnum):
    """Why an identity provider takes a verification back: as any source does, or because someone
    left."""

    ENTERED_IN_ERROR = "entered-in-error"
    WRONG_PERSON = "wrong-person"
    DUPLICATE = "duplicate"
    DECEASED = "deceased"
    LEFT_THE_COUNTRY = "left-the-country"


class _Data(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    pass


class IdentityData(_Data, frozen=True):
    verified_at: Instant
    document_type: DocumentType
    city: Division


class NatResultData(_Data, frozen=True):
    """`reported_at` is when the result counts from; `sampled_at` is when the swab was taken."""

    sampled_at: Instant
    reported_at: Instant
    result: Result
    institution: Name
    status: ResultStatus = ResultStatus.FINAL

    @property
    def pooled(self) -> int | None:
        """How many people share the tube; None if it is one person's, as far as is said."""
        return None

    @property
    def specimen(self) -> str | None:
        """The laboratory's number of the specimen, if it is said."""
        return None


class NatResultDataV2(NatResultData, frozen=True):
    """As version 1, and whose the tube is, and which.

    A final positive of a pool opens nothing: a single test is due (单人单管复核). Without
    `pooled` the tube is one person's.
    """

    pooled: Pooled | None = None
    specimen: Specimen | None = None


class CaseSuspectedData(_Data, frozen=True):
    case: Number
    reported_at: Instant


class CaseConfirmedData(_Data, frozen=True):
    case: Number
    confirmed_at: Instant


class CaseExcludedData(_Data, frozen=True):
    case: Number
    excluded_at: Instant


class CaseDischargedData(_Data, frozen=True):
    case: Number
    discharged_at: Instant


class ContactListedData(_Data, frozen=True):
    listing: Number
    last_exposure_at: Instant
    listed_at: Instant


class ContactWithdrawnData(_Data, frozen=True):
    listing: Number
    withdrawn_at: Instant


class QuarantineOrderedData(_Data, frozen=True):
    order: Number
    kind: QuarantineKind
    starts_at: Instant
    planned_end_at: Instant


class QuarantineTransferredData(_Data, frozen=True):
    """The same order goes on in another kind of place: no gap between the two."""

    order: Number
    kind: QuarantineKind
    transferred_at: Instant
    planned_end_at: Instant


class QuarantineReleasedData(_Data, frozen=True):
    """解除医学观察电子告知书, the release notice."""

    order: Number
    notice: Number
    released_at: Instant


class ProvincialCodeData(_Data, frozen=True):
    province: ProvinceCode
    colour: ProvincialColour
    reported_at: Instant


class ScanData(_Data, frozen=True):
    terminal: Number
    place: Name
    scanned_at: Instant


class IggResultData(_Data, frozen=True):
    """An antibody test. It is shown and changes no colour."""

    sampled_at: Instant
    reported_at: Instant
    result: Result
    institution: Name


class HealthCertificateData(_Data, frozen=True):
    """A health certificate (健康证明) that someone holds, from its issue to `valid_until`."""

    certificate: Number
    issuer: Name
    issued_at: Instant
    valid_until: Instant


class NationalStatusData(_Data, frozen=True):
    status: NationalStatus
    reported_at: Instant


class EntryRegistrationData(_Data, frozen=True):
    """入粤登记: someone who comes to Guangdong registers, before or on arrival."""

    registration: Number
    origin: Division
    destination: Division
    transport: Transport
    arrives_at: Instant
    registered_at: Instant


class BorderEntryData(_Data, frozen=True):
    """入境情况: someone entered the country."""

    port: Name
    origin: Country
    entered_at: Instant


class DeclarationData(_Data, frozen=True):
    """A health declaration. `unit` is whom it is made to; a personal one has none.

    `contact` and `travelled`: with a confirmed or suspected case, and to a place of medium or high
    risk or abroad, in the 14 days before.
    """

    kind: DeclarationKind
    declared_at: Instant
    city: Division
    celsius: Celsius
    contact: bool
    travelled: bool
    symptoms: tuple[Symptom, ...] = ()
    unit: Name | None = None


class DisplayData(_Data, frozen=True):
    """亮码: the page of a code was opened, and what came of it."""

    displayed_at: Instant
    outcome: Outcome
    detail: DisplayDetail


class TemperatureData(_Data, frozen=True):
    """A temperature taken at a public place (公共场所体温检测)."""

    terminal: Number
    place: Name
    celsius: Celsius
    measured_at: Instant


class TelecomVisitData(_Data, frozen=True):
    """Where a phone was, by the cells of its telecom. It is shown and changes no colour."""

    city: City
    visit: Visit
    seen_at: Instant


class RetractionData(_Data, frozen=True):
    reason: RetractionReason


class IdentityRetractionData(_Data, frozen=True):
    """Without a verification there is no code; what was reported of the person stays."""

    reason: IdentityRetractionReason


class Envelope(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    tag_field="type",
):
    """The CloudEvents attributes that every event carries."""

    specversion: Literal["1.0"]
    id: EventId
    source: Source
    time: Instant
    partitionkey: PersonKey
    sequence: Sequence
    supersedes: EventId | None = None
    datacontenttype: ContentType = "application/json"

    @property
    def order(self) -> tuple[int, datetime, str]:
        """Place among the events of the same source."""
        return int(self.sequence), self.time, self.id

    @property
    def family(self) -> str:
        """What it is about: the second word of its type, such as `case`."""
        return _words(type(self))[1]

    @property
    def retracts(self) -> bool:
        """Whether it takes an earlier event back, and says nothing of its own."""
        return _words(type(self))[2] == "retracted"


@cache
def _words(cls: type[Envelope]) -> list[str]:
    """Return the words of the type of a class of events."""
    return str(cls.__struct_config__.tag).split(".")


class IdentityVerified(Envelope, frozen=True, kw_only=True, tag="yuekang.identity.verified.v1"):
    data: IdentityData


class IdentityRetracted(Envelope, frozen=True, kw_only=True, tag="yuekang.identity.retracted.v1"):
    data: IdentityRetractionData


class NatResultReported(Envelope, frozen=True, kw_only=True, tag="yuekang.nat-result.reported.v1"):
    data: NatResultData


class NatResultReportedV2(
    NatResultReported, frozen=True, kw_only=True, tag="yuekang.nat-result.reported.v2"
):
    data: NatResultDataV2


class NatResultRetracted(
    Envelope, frozen=True, kw_only=True, tag="yuekang.nat-result.retracted.v1"
):
    data: RetractionData


class CaseSuspected(Envelope, frozen=True, kw_only=True, tag="yuekang.case.suspected.v1"):
    data: CaseSuspectedData


class CaseConfirmed(Envelope, frozen=True, kw_only=True, tag="yuekang.case.confirmed.v1"):
    data: CaseConfirmedData


class CaseExcluded(Envelope, frozen=True, kw_only=True, tag="yuekang.case.excluded.v1"):
    data: CaseExcludedData


class CaseDischarged(Envelope, frozen=True, kw_only=True, tag="yuekang.case.discharged.v1"):
    data: CaseDischargedData


class CaseRetracted(Envelope, frozen=True, kw_only=True, tag="yuekang.case.retracted.v1"):
    data: RetractionData


class ContactListed(Envelope, frozen=True, kw_only=True, tag="yuekang.contact.listed.v1"):
    data: ContactListedData


class ContactWithdrawn(Envelope, frozen=True, kw_only=True, tag="yuekang.contact.withdrawn.v1"):
    data: ContactWithdrawnData


class ContactRetracted(Envelope, frozen=True, kw_only=True, tag="yuekang.contact.retracted.v1"):
    data: RetractionData


class QuarantineOrdered(Envelope, frozen=True, kw_only=True, tag="yuekang.quarantine.ordered.v1"):
    data: QuarantineOrderedData


class QuarantineTransferred(
    Envelope, frozen=True, kw_only=True, tag="yuekang.quarantine.transferred.v1"
):
    data: QuarantineTransferredData


class QuarantineReleased(Envelope, frozen=True, kw_only=True, tag="yuekang.quarantine.released.v1"):
    data: QuarantineReleasedData


class QuarantineRetracted(
    Envelope, frozen=True, kw_only=True, tag="yuekang.quarantine.retracted.v1"
):
    data: RetractionData


class ProvincialCodeReported(
    Envelope, frozen=True, kw_only=True, tag="yuekang.provincial-code.reported.v1"
):
    data: ProvincialCodeData


class ProvincialCodeRetracted(
    Envelope, frozen=True, kw_only=True, tag="yuekang.provincial-code.retracted.v1"
):
    data: RetractionData


class ScanRecorded(Envelope, frozen=True, kw_only=True, tag="yuekang.scan.recorded.v1"):
    """Someone's code was scanned at a place. Never changes a colour."""

    data: ScanData


class IggResultReported(Envelope, frozen=True, kw_only=True, tag="yuekang.igg-result.reported.v1"):
    data: IggResultData


class IggResultRetracted(
    Envelope, frozen=True, kw_only=True, tag="yuekang.igg-result.retracted.v1"
):
    data: RetractionData


class HealthCertificateIssued(
    Envelope, frozen=True, kw_only=True, tag="yuekang.health-certificate.issued.v1"
):
    data: HealthCertificateData


class HealthCertificateRetracted(
    Envelope, frozen=True, kw_only=True, tag="yuekang.health-certificate.retracted.v1"
):
    data: RetractionData


class NationalStatusReported(
    Envelope, frozen=True, kw_only=True, tag="yuekang.national-status.reported.v1"
):
    data: NationalStatusData


class NationalStatusRetracted(
    Envelope, frozen=True, kw_only=True, tag="yuekang.national-status.retracted.v1"
):
    data: RetractionData


class EntryRegistrationSubmitted(
    Envelope, frozen=True, kw_only=True, tag="yuekang.entry-registration.submitted.v1"
):
    data: EntryRegistrationData


class EntryRegistrationRetracted(
    Envelope, frozen=True, kw_only=True, tag="yuekang.entry-registration.retracted.v1"
):
    data: RetractionData


class BorderEntryRecorded(
    Envelope, frozen=True, kw_only=True, tag="yuekang.border-entry.recorded.v1"
):
    data: BorderEntryData


class BorderEntryRetracted(
    Envelope, frozen=True, kw_only=True, tag="yuekang.border-entry.retracted.v1"
):
    data: RetractionData


class DeclarationSubmitted(
    Envelope, frozen=True, kw_only=True, tag="yuekang.declaration.submitted.v1"
):
    data: DeclarationData


class DisplayRecorded(Envelope, frozen=True, kw_only=True, tag="yuekang.display.recorded.v1"):
    data: DisplayData


class TemperatureMeasured(
    Envelope, frozen=True, kw_only=True, tag="yuekang.temperature.measured.v1"
):
    data: TemperatureData


class TemperatureRetracted(
    Envelope, frozen=True, kw_only=True, tag="yuekang.temperature.retracted.v1"
):
    data: RetractionData


class TelecomVisitReported(
    Envelope, frozen=True, kw_only=True, tag="yuekang.telecom-visit.reported.v1"
):
    """`partitionkey` is the key of a phone, not of a person."""

    data: TelecomVisitData


class TelecomVisitRetracted(
    Envelope, frozen=True, kw_only=True, tag="yuekang.telecom-visit.retracted.v1"
):
    """`partitionkey` is the key of a phone, not of a person."""

    data: RetractionData


Retracted = (
    IdentityRetracted
    | NatResultRetracted
    | CaseRetracted
    | ContactRetracted
    | QuarantineRetracted
    | ProvincialCodeRetracted
)
StatusEvent = (
    IdentityVerified
    | NatResultReported
    | NatResultReportedV2
    | CaseSuspected
    | CaseConfirmed
    | CaseExcluded
    | CaseDischarged
    | ContactListed
    | ContactWithdrawn
    | QuarantineOrdered
    | QuarantineTransferred
    | QuarantineReleased
    | ProvincialCodeReported
    | Retracted
)
"""Events that fold into a person's row."""

ListedEvent = (
    IggResultReported
    | IggResultRetracted
    | HealthCertificateIssued
    | HealthCertificateRetracted
    | NationalStatusReported
    | NationalStatusRetracted
    | EntryRegistrationSubmitted
    | EntryRegistrationRetracted
    | BorderEntryRecorded
    | BorderEntryRetracted
    | DeclarationSubmitted
    | DisplayRecorded
    | TemperatureMeasured
    | TemperatureRetracted
    | TelecomVisitReported
    | TelecomVisitRetracted
)
"""Events that fold into a list of a person's health information, and nowhere else."""

Event = StatusEvent | ScanRecorded | ListedEvent

EVENT_TYPES: dict[str, type[Event]] = {cls.__struct_config__.tag: cls for cls in get_args(Event)}
"""Type attribute → class, for every event that may be published."""

KEYED_BY_PHONE = frozenset(
    str(cls.__struct_config__.tag) for cls in (TelecomVisitReported, TelecomVisitRetracted)
)
"""The types of the events about a phone (models.phones); all others are about a person."""


def type_of(event: Event) -> str:
    """Return the CloudEvents type of `event`."""
    return str(event.__struct_config__.tag)


COUNTS_FROM: Mapping[type[StatusEvent], str] = {
    IdentityVerified: "verified_at",
    NatResultReported: "reported_at",
    NatResultReportedV2: "reported_at",
    CaseSuspected: "reported_at",
    CaseConfirmed: "confirmed_at",
    CaseExcluded: "excluded_at",
    CaseDischarged: "discharged_at",
    ContactListed: "listed_at",
    ContactWithdrawn: "withdrawn_at",
    QuarantineOrdered: "starts_at",
    QuarantineTransferred: "transferred_at",
    QuarantineReleased: "released_at",
    ProvincialCodeReported: "reported_at",
}
"""The field of its data that says from when an event counts. A retraction has none."""


def counts_from(event: StatusEvent) -> datetime:
    """Return the instant from which what `event` says counts; for a retraction, its own time."""
    field = COUNTS_FROM.get(type(event))
    instant: datetime = event.time if field is None else getattr(event.data, field)
    return instant
