"""Small worlds of events about one person, made to clash.

Few sources, few ids and few file numbers, so that events meet; times on a grid of six hours, so
that they coincide; sequences that repeat and run against time, so that each tie-break decides;
corrections of whatever bears the id, so that chains, circles and claims without effect come up.
Every event is valid as `models.checks.faults` has it once it has happened.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, NamedTuple

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from msgspec.structs import asdict, replace

from models import events as e
from models.checks import faults
from models.policy import POLICIES, Policy
from support import builders

STEP = timedelta(hours=6)
"""Grid of all times: four steps make the 24 hours between two negatives, day starts are on it."""

FIRST = builders.day(1, 0)
"""The grid begins at 00:00 in Asia/Shanghai."""

STEPS_MAX = 160
"""Forty days: an exposure or discharge, policy's days after it, and some more."""

ZONES = [builders.ZONE, UTC, timezone(timedelta(hours=-11))]
"""The zone an instant is written in must not matter; the last one writes another calendar day."""

IDS = [f"e{number}" for number in range(12)]
FILES = ["F1", "F2"]
SPECIMENS = ["S1", "S2"]

IDENTITY_PROVIDERS = ("/identity-providers/gd",)
LABORATORIES = ("/laboratories/1", "/laboratories/2")
CDC = ("/cdc/440100", "/cdc/440300")
COMMANDS = ("/quarantine-commands/440100", "/quarantine-commands/440300")


class Saying(NamedTuple):
    """What an event says, and the sources that may say it."""

    cls: type[Any]
    data: Any
    sources: Sequence[str]


Kind = Callable[[int], SearchStrategy[Saying]]
"""Sayings that have happened by a step of the grid."""


def at_step(number: int) -> datetime:
    """Return the instant `number` steps after the grid's beginning."""
    return FIRST + number * STEP


def written(number: int) -> SearchStrategy[datetime]:
    """The instant `number` steps after the grid's beginning, written in some zone."""
    return st.sampled_from(ZONES).map(at_step(number).astimezone)


def instants(first: int, last: int) -> SearchStrategy[datetime]:
    """An instant on the grid, from step `first` to step `last`, written in some zone."""
    return st.integers(first, last).flatmap(written)


@st.composite
def identities(draw: DrawFn, now: int) -> Saying:
    city = draw(st.sampled_from(["440100", "440300"]))
    document = draw(st.sampled_from(e.DocumentType))
    data = e.IdentityData(draw(instants(0, now)), document, city)
    return Saying(e.IdentityVerified, data, IDENTITY_PROVIDERS)


@st.composite
def _results(draw: DrawFn, now: int, result: e.Result) -> Saying:
    sampled = draw(st.integers(0, now))
    reported_at = draw(instants(sampled, min(now, sampled + 8)))
    # Mostly final: the others change nothing.
    status = draw(st.sampled_from([*[e.ResultStatus.FINAL] * 7, e.ResultStatus.PRELIMINARY]))
    data = e.NatResultData(draw(written(sampled)), reported_at, result, "Laboratory", status)
    return Saying(e.NatResultReported, data, LABORATORIES)


@st.composite
def pools_and_specimens(draw: DrawFn, now: int) -> Saying:
    """A result of version 2: often of a pool, or of a specimen that is reported again."""
    result = draw(st.sampled_from([e.Result.NEGATIVE, e.Result.NEGATIVE, e.Result.POSITIVE]))
    said = asdict(draw(_results(now, result)).data)
    pooled = draw(st.sampled_from([None, None, 10]))
    specimen = draw(st.sampled_from([None, *SPECIMENS]))
    data = e.NatResultDataV2(**said, pooled=pooled, specimen=specimen)
    return Saying(e.NatResultReportedV2, data, LABORATORIES)


def negatives(now: int) -> SearchStrategy[Saying]:
    return _results(now, e.Result.NEGATIVE)


def positives(now: int) -> SearchStrategy[Saying]:
    return _results(now, e.Result.POSITIVE)


def inconclusives(now: int) -> SearchStrategy[Saying]:
    return _results(now, e.Result.INCONCLUSIVE)


CASE_REPORTS: list[tuple[type[Any], type[Any]]] = [
    (e.CaseSuspected, e.CaseSuspectedData),
    (e.CaseConfirmed, e.CaseConfirmedData),
    (e.CaseExcluded, e.CaseExcludedData),
    (e.CaseDischarged, e.CaseDischargedData),
]


@st.composite
def cases(draw: DrawFn, now: int) -> Saying:
    cls, data = draw(st.sampled_from(CASE_REPORTS))
    return Saying(cls, data(draw(st.sampled_from(FILES)), draw(instants(0, now))), CDC)


@st.composite
def contacts(draw: DrawFn, now: int) -> Saying:
    listing = draw(st.sampled_from(FILES))
    exposed = draw(st.integers(0, now))
    at = draw(instants(exposed, min(now, exposed + 40)))
    if draw(st.integers(0, 3)) == 0:
        return Saying(e.ContactWithdrawn, e.ContactWithdrawnData(listing, at), CDC)
    return Saying(e.ContactListed, e.ContactListedData(listing, draw(written(exposed)), at), CDC)


@st.composite
def provincials(draw: DrawFn, now: int) -> Saying:
    province = draw(st.sampled_from(["43", "45"]))
    colour = draw(st.sampled_from(e.ProvincialColour))
    data = e.ProvincialCodeData(province, colour, draw(instants(0, now)))
    return Saying(e.ProvincialCodeReported, data, [f"/provinces/{province}"])


@st.composite
def quarantines(draw: DrawFn, now: int) -> Saying:
    order = draw(st.sampled_from(FILES))
    cls = draw(
        st.sampled_from([e.QuarantineOrdered, e.QuarantineTransferred, e.QuarantineReleased])
    )
    # An order may start ahead of its arrival; a transfer or a release has happened.
    start = draw(st.integers(0, now + 20 if cls is e.QuarantineOrdered else now))
    at = draw(written(start))
    if cls is e.QuarantineReleased:
        return Saying(cls, e.QuarantineReleasedData(order, "N1", at), COMMANDS)
    kind = draw(st.sampled_from(e.QuarantineKind))
    planned_end_at = draw(instants(start + 1, start + 60))
    if cls is e.QuarantineOrdered:
        return Saying(cls, e.QuarantineOrderedData(order, kind, at, planned_end_at), COMMANDS)
    return Saying(cls, e.QuarantineTransferredData(order, kind, at, planned_end_at), COMMANDS)


KINDS: Sequence[Kind] = (
    identities,
    negatives,
    positives,
    inconclusives,
    pools_and_specimens,
    cases,
    contacts,
    provincials,
    quarantines,
)

RULES: Sequence[Sequence[Kind]] = (
    (positives, negatives, negatives),
    (positives, negatives, pools_and_specimens, pools_and_specimens),
    (positives, negatives, cases),
    (contacts, negatives, negatives, negatives, negatives),
    (contacts, pools_and_specimens, pools_and_specimens, pools_and_specimens),
    (cases,),
    (provincials,),
    (quarantines,),
)
"""Kinds that one rule reads together, the ones it needs more of more often."""


@st.composite
def status_events(
    draw: DrawFn, now: int, kinds: Sequence[Kind] = KINDS, corrections: bool = True
) -> e.StatusEvent:
    """An event that has happened by step `now`, of one of `kinds` or a retraction of one."""
    said = draw(draw(st.sampled_from(kinds))(now))
    id = draw(st.sampled_from(IDS))
    supersedes = None
    cls, data = said.cls, said.data
    if corrections and draw(st.integers(0, 3)) == 0:
        supersedes = draw(st.sampled_from([other for other in IDS if other != id]))
        if draw(st.booleans()):
            cls = retraction(cls)
            data = builders.retraction_data(cls)
    event: e.StatusEvent = builders.make(
        cls,
        data,
        at=draw(instants(0, now)),
        # Mostly the same one: events of two sources meet in no file.
        source=draw(st.sampled_from([*said.sources[:1] * 3, *said.sources[1:]])),
        id=id,
        # Beyond 9, since they are numbers and not text; as many as may tie.
        sequence=draw(st.integers(0, 15)),
        supersedes=supersedes,
    )
    return event


def retraction(cls: type[e.Envelope]) -> type[e.Envelope]:
    """Return the class of the retractions that belong to the same topic as `cls`."""
    noun = str(cls.__struct_config__.tag).split(".")[1]
    return e.EVENT_TYPES[f"yuekang.{noun}.retracted.v1"]


def retract(event: e.StatusEvent, *, id: str, sequence: int) -> e.StatusEvent:
    """Return the retraction of `event` by its own source, sent at the end of the grid."""
    cls = retraction(type(event))
    made: Any = builders.make(
        cls,
        builders.retraction_data(cls),
        at=at_step(STEPS_MAX),
        source=event.source,
        id=id,
        sequence=sequence,
        supersedes=event.id,
    )
    taken_back: e.StatusEvent = made  # the retraction of a status is one
    return taken_back


def arrivals(event: e.StatusEvent) -> SearchStrategy[datetime]:
    """Return instants at which `event` can arrive: once it has happened, by the grid's end."""
    return st.integers(0, STEPS_MAX).map(at_step).filter(lambda at: not [*faults(event, at)])


@st.composite
def worlds(draw: DrawFn, events_max: int = 24, events_min: int = 0) -> list[e.StatusEvent]:
    """Valid events about one person, each identity once, in no order.

    Most keep to the kinds of one rule, and all to some span of time, so that what belongs
    together meets often: within two days, ten, twenty-five or forty.
    """
    now = draw(st.sampled_from([8, 40, 100, STEPS_MAX]))
    some = st.lists(st.sampled_from(KINDS), min_size=1, max_size=4, unique=True)
    kinds = draw(st.one_of(some, st.sampled_from(RULES), st.sampled_from(RULES)))
    return draw(
        st.lists(
            status_events(now, kinds, corrections=draw(st.booleans())),
            min_size=events_min,
            max_size=events_max,
            unique_by=lambda event: (event.source, event.id),
        )
    )


POLICY_CHANGE = at_step(40)


SECOND_CHANGE = at_step(72)


def _changed(*changes: dict[str, Any]) -> tuple[Policy, ...]:
    """Return the policy as it is, and one of other numbers from the eleventh day on, and from the
    nineteenth."""
    [first] = POLICIES
    policies = [first]
    for since, numbers in zip((POLICY_CHANGE, SECOND_CHANGE), changes, strict=False):
        policies[-1] = replace(policies[-1], valid_to=since)
        version = f"2022-03-{len(policies)}"
        policies.append(replace(first, version=version, valid_from=since, **numbers))
    return tuple(policies)


MILDER: dict[str, Any] = {
    "after_discharge": timedelta(days=7),
    "negatives_apart": timedelta(hours=12),
    "after_exposure": timedelta(days=7),
    "contact_test_days": (1, 7),
    "contact_tests_apart": timedelta(hours=3),
    "planned_end_lifts": frozenset(e.QuarantineKind),
}

STRICTER: dict[str, Any] = {
    "after_discharge": timedelta(days=21),
    "negatives_apart": timedelta(hours=48),
    "after_exposure": timedelta(days=21),
    "contact_test_days": (1, 4, 7, 14, 21),
    "contact_tests_apart": timedelta(hours=24),
    "planned_end_lifts": frozenset(),
}

POLICY_SETS: dict[str, tuple[Policy, ...]] = {
    "as-is": POLICIES,
    "stricter-later": _changed(STRICTER),
    "milder-later": _changed(MILDER),
    "milder-then-stricter": _changed(MILDER, STRICTER),
    "stricter-then-milder": _changed(STRICTER, MILDER),
    "some-milder-some-stricter": _changed(
        {**MILDER, "negatives_apart": timedelta(hours=48), "after_exposure": timedelta(days=10)},
        {"contact_test_days": (), "planned_end_lifts": frozenset()},
    ),
}
"""The policies as they are, and ways in which later ones may differ."""
