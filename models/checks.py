"""What is checked of a decoded event: the form of each text, and how its fields must agree.

`models.events` lists the fields and their types.
"""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from operator import attrgetter
from typing import NamedTuple, get_args, get_type_hints

from msgspec import Struct

from models.events import (
    ContactListedData,
    DeclarationData,
    DeclarationKind,
    DisplayData,
    DisplayDetail,
    Event,
    HealthCertificateData,
    IdentityRetractionData,
    IggResultData,
    NatResultData,
    Outcome,
    QuarantineOrderedData,
    QuarantineTransferredData,
    RetractionData,
)


class Fault(Struct, frozen=True):
    """A fault of the field at path `field`. `detail` is a sentence that says what would be
    right."""

    field: str
    detail: str


class _Form(NamedTuple):
    """A text field of a class of events: where it stands, and what form it must have."""

    path: str
    pattern: str
    expected: str
    optional: bool


class _Class(NamedTuple):
    """What is checked of a class of events.

    `all_fit` matches all `texts` together, one a line, with `ABSENT` for one that is not there; no
    form has room for a line break or for `ABSENT`.
    """

    forms: tuple[_Form, ...]
    texts: "attrgetter[tuple[str | None, ...]]"
    all_fit: re.Pattern[str]
    instants: tuple[str, ...]
    times: Callable[[Event], tuple[datetime, ...]]


ABSENT = "\0"


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
    patterns = (f"(?:{form.pattern}|{ABSENT})" if form.optional else form.pattern for form in forms)
    instants = ("time", *(f"data.{n}" for n in data.__struct_fields__ if n.endswith("_at")))
    times = attrgetter(*instants)
    return _Class(
        forms,
        attrgetter(*(form.path for form in forms)),
        re.compile("\n".join(patterns)),
        instants,
        times if len(instants) > 1 else lambda event: (event.time,),
    )


_CLASSES: dict[type[Event], _Class] = {cls: _class(cls) for cls in get_args(Event)}


def misfits(event: Event) -> tuple[Fault, ...]:
    """Return the texts of a decoded event that lack the form that their field asks for."""
    known = _CLASSES[type(event)]
    texts = known.texts(event)
    lines = "\n".join([ABSENT if text is None else text for text in texts])
    if known.all_fit.fullmatch(lines) and lines.count(ABSENT) == texts.count(None):
        return ()
    return tuple(
        Fault(form.path, f"it has not the form {form.pattern}. Expected: {form.expected}")
        for form, text in zip(known.forms, texts, strict=True)
        if text is not None and not re.fullmatch(form.pattern, text)
    )


CLOCK_SKEW = timedelta(minutes=10)
"""How far a publisher's clock may run ahead of ours before its event is refused."""

EARLIEST_DAY = "2019-12-01"
"""Nothing that this system judges happened before the first known cases."""

EARLIEST = datetime.fromisoformat(f"{EARLIEST_DAY}T00:00:00+08:00").astimezone(UTC)

AHEAD_MAX = timedelta(days=366)
"""How far ahead an order may start or be planned to end."""


@lru_cache(maxsize=64)
def _earliest(zone: tzinfo | None) -> datetime:
    return EARLIEST.astimezone(zone)


_PLANNED = frozenset({"data.starts_at", "data.planned_end_at", "data.arrives_at"})


_COLOURS = frozenset({DisplayDetail.RED, DisplayDetail.GREEN})


def faults(event: Event, arrived_at: datetime) -> Iterator[Fault]:
    """Yield what is wrong with a well-formed `event` that arrived at `arrived_at`.

    Each of these is wrong:

    - an instant in the future: beyond `CLOCK_SKEW`, or beyond `AHEAD_MAX` if it is planned;
    - an instant before `EARLIEST`;
    - a sample after its report;
    - a plan that ends before it starts;
    - an exposure after its listing;
    - a certificate that ends before it is issued;
    - a declaration to nobody, or a personal one to somebody;
    - a display whose detail does not belong to its outcome;
    - a correction of itself;
    - a retraction that names nothing.
    """
    data = event.data
    known = _CLASSES[type(event)]
    times = known.times(event)
    # Two instants of one zone compare twenty times as fast as those of two.
    zone = event.time.tzinfo
    latest = (arrived_at + CLOCK_SKEW).astimezone(zone)
    if min(times) < _earliest(zone) or max(times) > latest:
        for field, instant in zip(known.instants, times, strict=True):
            if instant < EARLIEST:
                yield Fault(field, f"{instant.isoformat()} is before {EARLIEST_DAY}, the earliest.")
            elif instant > arrived_at + (AHEAD_MAX if field in _PLANNED else CLOCK_SKEW):
                yield Fault(field, f"{instant.isoformat()} lies too far in the future.")
    if event.supersedes == event.id:
        yield Fault("supersedes", "an event cannot correct itself; name the earlier event's id.")
    match data:
        case RetractionData() | IdentityRetractionData():
            if event.supersedes is None:
                yield Fault("supersedes", "a retraction names the event that it takes back.")
        case NatResultData() | IggResultData():
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
        case HealthCertificateData():
            if data.valid_until <= data.issued_at:
                yield Fault("data.valid_until", "it ends before it is issued.")
        case DeclarationData():
            if (data.unit is None) != (data.kind is DeclarationKind.PERSONAL):
                yield Fault("data.unit", "whom it is made to: one, and none in a personal one.")
            if len(set(data.symptoms)) < len(data.symptoms):
                yield Fault("data.symptoms", "a symptom is named twice.")
        case DisplayData():
            if (data.detail in _COLOURS) != (data.outcome is Outcome.SHOWN):
                yield Fault("data.detail", "the colour that was shown, or why none was.")
        case _:
            pass
