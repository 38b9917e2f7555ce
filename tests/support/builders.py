"""Events for tests: each builder shows only the field that matters.

Times are days and hours of one month in Asia/Shanghai: `day(3)` is the 3rd at 08:00.
"""

from datetime import datetime, timedelta
from itertools import count
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from models import events as e

T = TypeVar("T")

PERSON = "p1-abcdefghijklmnopqrstuvwxyz234567"
ZONE = ZoneInfo("Asia/Shanghai")
_numbers = count(1)


def day(number: int, hour: int = 8, minute: int = 0) -> datetime:
    """Return a time on the given day, counted from 1 March 2022; may pass the month's end."""
    return datetime(2022, 3, 1, hour, minute, tzinfo=ZONE) + timedelta(days=number - 1)


def make(
    cls: type[T],
    data: Any,
    *,
    at: datetime,
    source: str,
    id: str | None = None,
    sequence: int | None = None,
    supersedes: str | None = None,
    person: str = PERSON,
    time: datetime | None = None,
) -> T:
    """Make an event; id and sequence count up unless given, and it is sent when it happened."""
    number = next(_numbers)
    maker: Any = cls
    made: T = maker(
        specversion="1.0",
        id=id or f"e{number}",
        source=source,
        time=time or at,
        partitionkey=person,
        sequence=str(number if sequence is None else sequence),
        supersedes=supersedes,
        data=data,
    )
    return made


def verified(at: datetime | None = None, city: str = "440100", **kw: Any) -> e.IdentityVerified:
    at = at or day(1, 0)
    data = e.IdentityData(at, e.DocumentType.RESIDENT_IDENTITY_CARD, city)
    return make(e.IdentityVerified, data, at=at, **{"source": "/identity-providers/gd", **kw})


def nat(
    result: str,
    sampled_at: datetime,
    reported_at: datetime | None = None,
    status: str = "final",
    **kw: Any,
) -> e.NatResultReported:
    reported_at = reported_at or sampled_at + timedelta(hours=6)
    data = e.NatResultData(
        sampled_at, reported_at, e.Result(result), "Laboratory 1", e.ResultStatus(status)
    )
    return make(e.NatResultReported, data, at=reported_at, **{"source": "/laboratories/1", **kw})


def nat_v2(
    result: str,
    sampled_at: datetime,
    reported_at: datetime | None = None,
    *,
    pooled: int | None = None,
    specimen: str | None = None,
    status: str = "final",
    **kw: Any,
) -> e.NatResultReportedV2:
    """A result that may name its pool and its specimen."""
    reported_at = reported_at or sampled_at + timedelta(hours=6)
    data = e.NatResultDataV2(
        sampled_at,
        reported_at,
        e.Result(result),
        "Laboratory 1",
        e.ResultStatus(status),
        pooled,
        specimen,
    )
    return make(e.NatResultReportedV2, data, at=reported_at, **{"source": "/laboratories/1", **kw})


def positive(sampled_at: datetime, reported_at: datetime | None = None, **kw: Any) -> Any:
    return nat("positive", sampled_at, reported_at, **kw)


def negative(sampled_at: datetime, reported_at: datetime | None = None, **kw: Any) -> Any:
    return nat("negative", sampled_at, reported_at, **kw)


def _cdc(cls: Any, data: Any, at: datetime, kw: dict[str, Any]) -> Any:
    return make(cls, data, at=at, **{"source": "/cdc/440100", **kw})


def suspected(at: datetime, case: str = "C1", **kw: Any) -> Any:
    return _cdc(e.CaseSuspected, e.CaseSuspectedData(case, at), at, kw)


def confirmed(at: datetime, case: str = "C1", **kw: Any) -> Any:
    return _cdc(e.CaseConfirmed, e.CaseConfirmedData(case, at), at, kw)


def excluded(at: datetime, case: str = "C1", **kw: Any) -> Any:
    return _cdc(e.CaseExcluded, e.CaseExcludedData(case, at), at, kw)


def discharged(at: datetime, case: str = "C1", **kw: Any) -> Any:
    return _cdc(e.CaseDischarged, e.CaseDischargedData(case, at), at, kw)


def contact(
    exposed_at: datetime, listed_at: datetime | None = None, listing: str = "L1", **kw: Any
) -> Any:
    listed_at = listed_at or exposed_at + timedelta(hours=12)
    return _cdc(e.ContactListed, e.ContactListedData(listing, exposed_at, listed_at), listed_at, kw)


def contact_withdrawn(at: datetime, listing: str = "L1", **kw: Any) -> Any:
    return _cdc(e.ContactWithdrawn, e.ContactWithdrawnData(listing, at), at, kw)


def ordered(
    kind: str,
    starts_at: datetime,
    planned_end_at: datetime | None = None,
    order: str = "Q1",
    **kw: Any,
) -> Any:
    planned_end_at = planned_end_at or starts_at + timedelta(days=14)
    data = e.QuarantineOrderedData(order, e.QuarantineKind(kind), starts_at, planned_end_at)
    return make(
        e.QuarantineOrdered, data, at=starts_at, **{"source": "/quarantine-commands/4401", **kw}
    )


def transferred(
    kind: str, at: datetime, planned_end_at: datetime | None = None, order: str = "Q1", **kw: Any
) -> Any:
    planned_end_at = planned_end_at or at + timedelta(days=7)
    data = e.QuarantineTransferredData(order, e.QuarantineKind(kind), at, planned_end_at)
    return make(
        e.QuarantineTransferred, data, at=at, **{"source": "/quarantine-commands/4401", **kw}
    )


def released(at: datetime, order: str = "Q1", **kw: Any) -> Any:
    data = e.QuarantineReleasedData(order, "N1", at)
    return make(e.QuarantineReleased, data, at=at, **{"source": "/quarantine-commands/4401", **kw})


def provincial(colour: str, at: datetime, province: str = "43", **kw: Any) -> Any:
    data = e.ProvincialCodeData(province, e.ProvincialColour(colour), at)
    source = f"/provinces/{province}"
    return make(e.ProvincialCodeReported, data, at=at, **{"source": source, **kw})


RETRACTIONS = {
    tag.split(".")[1]: cls for tag, cls in e.EVENT_TYPES.items() if tag.endswith(".retracted.v1")
}


def retracted(event: Any, at: datetime, **kw: Any) -> Any:
    """Take `event` back, by its own source."""
    family = RETRACTIONS[event.family]
    data = retraction_data(family)
    return make(family, data, at=at, **{"source": event.source, "supersedes": event.id, **kw})


def retraction_data(cls: Any, reason: str = "entered-in-error") -> Any:
    """Return the data of a retraction of class `cls`."""
    if cls is e.IdentityRetracted:
        return e.IdentityRetractionData(e.IdentityRetractionReason(reason))
    return e.RetractionData(e.RetractionReason(reason))


def igg(result: str, sampled_at: datetime, **kw: Any) -> e.IggResultReported:
    reported_at = sampled_at + timedelta(hours=6)
    data = e.IggResultData(sampled_at, reported_at, e.Result(result), "Laboratory 1")
    return make(e.IggResultReported, data, at=reported_at, **{"source": "/laboratories/1", **kw})


def national_status(status: str, at: datetime, **kw: Any) -> e.NationalStatusReported:
    data = e.NationalStatusData(e.NationalStatus(status), at)
    return make(e.NationalStatusReported, data, at=at, **{"source": "/national-platform", **kw})


def display(at: datetime, detail: str = "green", **kw: Any) -> e.DisplayRecorded:
    shown = e.Outcome.SHOWN if detail in ("red", "green") else e.Outcome.FAILED
    data = e.DisplayData(at, shown, e.DisplayDetail(detail))
    return make(e.DisplayRecorded, data, at=at, **{"source": "/portal", **kw})


def certificate(at: datetime, **kw: Any) -> e.HealthCertificateIssued:
    data = e.HealthCertificateData("C-1", "Issuer 1", at, at + timedelta(days=7))
    fields = {"source": "/national-platform", **kw}
    return make(e.HealthCertificateIssued, data, at=at, **fields)


def entry_registration(at: datetime, **kw: Any) -> e.EntryRegistrationSubmitted:
    arrives_at = at + timedelta(hours=1)
    data = e.EntryRegistrationData("R-1", "430100", "440100", e.Transport.RAIL, arrives_at, at)
    return make(e.EntryRegistrationSubmitted, data, at=at, **{"source": "/entry-desks/1", **kw})


def border_entry(at: datetime, **kw: Any) -> e.BorderEntryRecorded:
    data = e.BorderEntryData("Port 1", "SG", at)
    return make(e.BorderEntryRecorded, data, at=at, **{"source": "/immigration/1", **kw})


def temperature(celsius: float, at: datetime, **kw: Any) -> e.TemperatureMeasured:
    data = e.TemperatureData("T-1", "Gate 1", celsius, at)
    return make(e.TemperatureMeasured, data, at=at, **{"source": "/terminals/1", **kw})


def declaration(at: datetime, kind: str = "personal", **kw: Any) -> e.DeclarationSubmitted:
    unit = None if kind == "personal" else "Unit 1"
    data = e.DeclarationData(
        e.DeclarationKind(kind), at, "440100", 36.5, False, False, (e.Symptom.COUGH,), unit
    )
    return make(e.DeclarationSubmitted, data, at=at, **{"source": "/portal", **kw})


def temperature_retracted(target: e.TemperatureMeasured, at: datetime, **kw: Any) -> Any:
    data = e.RetractionData(e.RetractionReason.ENTERED_IN_ERROR)
    fields = {"source": target.source, "supersedes": target.id, **kw}
    return make(e.TemperatureRetracted, data, at=at, **fields)
