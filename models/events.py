"""The events that agencies publish: CloudEvents 1.0, one class per type and version.

An event says that something happened; none of them sets a colour. Its identity is
`(source, id)`; `sequence` is its source's own increasing number and orders that source's
events. An event whose `supersedes` names an earlier event of the same source corrects it:
the earlier one counts as never sent. A `...Retracted` event corrects and says nothing new.

Decoding with `Event` checks names and types; `misfits` checks the form of each text, and `faults`
what one field says of another and of the time of arrival. All instants carry a zone; policy reads
them in Asia/Shanghai.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from operator import attrgetter
from typing import Annotated, Literal, NamedTuple, get_args, get_type_hints

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

PersonKey = Annotated[
    str,
    _form(
        r"^p[1-9][0-9]{0,3}-[a-z2-7]{32}$",
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
        r"^(/[a-z0-9]+(-[a-z0-9]+)*)+$",
        "URI reference of the publisher, such as /laboratories/440100-001.",
        96,
    ),
]
Sequence = Annotated[
    str,
    _form(r"^(0|[1-9][0-9]{0,17})$", "The source's own increasing number, in decimal digits."),
]
Instant = Annotated[datetime, Meta(tz=True, description="RFC 3339 date-time with its zone.")]
Division = Annotated[
    str,
    _form(r"^[1-8][0-9]{5}$", "Administrative division, GB/T 2260, such as 440100 for Guangzhou."),
]
ProvinceCode = Annotated[
    str,
    _form(
        r"^(1[1-5]|2[1-3]|3[1-7]|4[1-6]|5[0-4]|6[1-5]|71|8[12])$",
        "Province, the first two digits of GB/T 2260.",
    ),
]
Number = Annotated[
    str,
    _form(r"^[0-9A-Za-z][0-9A-Za-z.-]{0,47}$", "The source's own file number."),
]
Name = Annotated[
    str,
    _form(r"^[^\x00-\x1f\x7f]{1,100}$", "Name of an institution or place, never of a person."),
]


class Result(StrEnum):
    """Result of a nucleic acid test (NAT, 核酸检测)."""

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


class DocumentType(StrEnum):
    """Documents that the manual names for real-name login."""

    RESIDENT_IDENTITY_CARD = "resident-identity-card"  # 居民身份证, also 81/82/83 permits
    MAINLAND_TRAVEL_PERMIT = "mainland-travel-permit"  # 港澳居民来往内地通行证


class RetractionReason(StrEnum):
    """Why a source takes an event back."""

    ENTERED_IN_ERROR = "entered-in-error"
    WRONG_PERSON = "wrong-person"
    DUPLICATE = "duplicate"


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


class RetractionData(_Data, frozen=True):
    reason: RetractionReason


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
    datacontenttype: Literal["application/json"] = "application/json"

    @property
    def order(self) -> tuple[int, datetime, str]:
        """Place among the events of the same source."""
        return int(self.sequence), self.time, self.id


class IdentityVerified(Envelope, frozen=True, kw_only=True, tag="yuekang.identity.verified.v1"):
    data: IdentityData


class IdentityRetracted(Envelope, frozen=True, kw_only=True, tag="yuekang.identity.retracted.v1"):
    data: RetractionData


class NatResultReported(Envelope, frozen=True, kw_only=True, tag="yuekang.nat-result.reported.v1"):
    data: NatResultData


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

Event = StatusEvent | ScanRecorded

EVENT_TYPES: dict[str, type[Event]] = {cls.__struct_config__.tag: cls for cls in get_args(Event)}
"""Type attribute → class, for every event that may be published."""


def type_of(event: Event) -> str:
    """Return the CloudEvents type of `event`."""
    return str(event.__struct_config__.tag)


class Fault(Struct, frozen=True):
    """What is wrong with the field at path `field`, in a sentence that says what is right."""

    field: str
    detail: str


class _Form(NamedTuple):
    """A text of a class of events: where it stands, and what it must be."""

    path: str
    pattern: str
    expected: str
    optional: bool


class _Class(NamedTuple):
    """What is checked of a class of events. `texts` are the required ones, `all_fit` is what they
    match together, a line each; no form has room for a line break."""

    forms: tuple[_Form, ...]
    texts: "attrgetter[tuple[str, ...]]"
    all_fit: re.Pattern[str]
    instants: tuple[str, ...]
    times: "attrgetter[tuple[datetime, ...]]"


def _forms(cls: type[Struct], prefix: str = "") -> Iterator[_Form]:
    for name, hint in get_type_hints(cls, include_extras=True).items():
        for part in (hint, *get_args(hint)):
            for meta in getattr(part, "__metadata__", ()):
                schema = meta.extra_json_schema or {}
                if "pattern" in schema:
                    bound = schema.get("maxLength")
                    short = "" if bound is None else rf"(?=[^\n]{{0,{bound}}}(?:\n|\Z))"
                    pattern = short + schema["pattern"].removeprefix("^").removesuffix("$")
                    yield _Form(f"{prefix}{name}", pattern, meta.description, part is not hint)


def _class(cls: type[Event]) -> _Class:
    data = cls.__annotations__["data"]
    forms = (*_forms(cls), *_forms(data, "data."))
    required = [form for form in forms if not form.optional]
    instants = ("time", *(f"data.{n}" for n in data.__struct_fields__ if n.endswith("_at")))
    return _Class(
        forms,
        attrgetter(*(form.path for form in required)),
        re.compile("\n".join(form.pattern for form in required)),
        instants,
        attrgetter("time", *instants),  # one name alone would give no tuple
    )


_CLASSES: dict[type[Event], _Class] = {cls: _class(cls) for cls in get_args(Event)}


def misfits(event: Event) -> tuple[Fault, ...]:
    """Return the texts of a decoded event that have not the form that their field asks for."""
    known = _CLASSES[type(event)]
    if event.supersedes is None and known.all_fit.fullmatch("\n".join(known.texts(event))):
        return ()
    texts = ((form, attrgetter(form.path)(event)) for form in known.forms)
    return tuple(
        Fault(form.path, f"it has not the form {form.pattern}. Expected: {form.expected}")
        for form, text in texts
        if text is not None and not re.fullmatch(form.pattern, text)
    )


CLOCK_SKEW = timedelta(minutes=10)
"""How far a publisher's clock may run ahead of ours before its event is refused."""

EARLIEST_DAY = "2019-12-01"
"""Nothing that this system judges happened before the first known cases."""

EARLIEST = datetime.fromisoformat(f"{EARLIEST_DAY}T00:00:00+08:00").astimezone(UTC)

AHEAD_MAX = timedelta(days=366)
"""How far ahead an order may start or be planned to end."""

_PLANNED = frozenset({"data.starts_at", "data.planned_end_at"})


def faults(event: Event, arrived_at: datetime) -> Iterator[Fault]:
    """Yield what is wrong with a well-formed `event` that arrived at `arrived_at`.

    An instant in the future (beyond `CLOCK_SKEW`; beyond `AHEAD_MAX` for planned ones) or before
    `EARLIEST`; a sample after its report; a plan that ends before it starts; an exposure after
    its listing; a correction of itself; a retraction that names nothing.
    """
    data = event.data
    known = _CLASSES[type(event)]
    times = known.times(event)
    if min(times) < EARLIEST or max(times) > arrived_at + CLOCK_SKEW:
        for field, instant in zip(known.instants, times[1:], strict=True):
            if instant < EARLIEST:
                yield Fault(field, f"{instant.isoformat()} is before {EARLIEST_DAY}, the earliest.")
            elif instant > arrived_at + (AHEAD_MAX if field in _PLANNED else CLOCK_SKEW):
                yield Fault(field, f"{instant.isoformat()} lies too far in the future.")
    if event.supersedes == event.id:
        yield Fault("supersedes", "an event cannot correct itself; name the earlier event's id.")
    match data:
        case RetractionData():
            if event.supersedes is None:
                yield Fault("supersedes", "a retraction names the event that it takes back.")
        case NatResultData():
            if data.sampled_at > data.reported_at:
                yield Fault("data.sampled_at", "sampled after reported; a sample comes first.")
        case ContactListedData():
            if data.last_exposure_at > data.listed_at:
                yield Fault("data.last_exposure_at", "exposure after the listing that names it.")
        case QuarantineOrderedData():
            if data.planned_end_at <= data.starts_at:
                yield Fault("data.planned_end_at", "planned end is not after the start.")
        case QuarantineTransferredData():
            if data.planned_end_at <= data.transferred_at:
                yield Fault("data.planned_end_at", "planned end is not after the transfer.")
        case _:
            pass
