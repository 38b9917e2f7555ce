"""The sample day: deterministic, valid where it says so, and coming to what it expects."""

from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import pairwise
from typing import get_args

import msgspec
import pytest
from stdnum.cn import ric

from app.development.sample.broken import BREAKAGES, OTHER_PERSON
from app.development.sample.day import (
    PEOPLE_MIN,
    BrokenDocument,
    BrokenEntry,
    Day,
    DayEntry,
    Entrance,
    Scenario,
    plan_day,
)
from app.development.sample.documents import RESIDENCE_PERMITS, SampleDocument, SamplePhone
from app.development.sample.logins import LOGINS
from models.checks import faults, misfits
from models.codes import Colour, Reason, judge
from models.events import (
    DisplayDetail,
    DisplayRecorded,
    DocumentType,
    Event,
    ListName,
    Outcome,
    StatusEvent,
    TelecomVisitReported,
)
from models.lists import OF
from models.notices import Objection
from models.person import fold, unknown

NOW = datetime(2020, 4, 20, 1, 30, tzinfo=UTC)
HISTORY = timedelta(days=20)
"""How far back the stories reach: beyond the 14 days that the rules look at."""


def key_of(document: SampleDocument | SamplePhone) -> str:
    """Stand in for the gateway: a key that has the right form."""
    letters = "abcdefghijklmnopqrstuvwxyz234567"
    digest = sha256(document.number.encode()).digest()
    return "p1-" + "".join(letters[byte % 32] for byte in digest)


@pytest.fixture(scope="module")
def day() -> Day:
    return plan_day(3000, NOW, seed=1)


def events_of(day: Day) -> dict[SampleDocument | SamplePhone, list[Event]]:
    events: defaultdict[SampleDocument | SamplePhone, list[Event]] = defaultdict(list)
    for entry in day.entries:
        if isinstance(entry, DayEntry):
            events[entry.document].append(entry.event(key_of(entry.document)))
    return events


def published(day: Day) -> bytes:
    """Return all that the day publishes, as bytes."""
    lines = []
    for entry in day.entries:
        person = key_of(entry.document)
        match entry:
            case BrokenEntry():
                lines.append(repr(entry.record(person)).encode())
            case BrokenDocument():
                lines.append(msgspec.json.encode(entry.document))
            case DayEntry():
                lines.append(msgspec.json.encode(entry.event(person)))
    return b"\n".join(lines)


def test_the_same_day_is_the_same_byte_by_byte(day: Day) -> None:
    assert published(plan_day(3000, NOW, seed=1)) == published(day)


@pytest.mark.parametrize(("now", "seed"), [(NOW, 2), (NOW + timedelta(seconds=1), 1)])
def test_another_day_has_other_people_and_other_ids(day: Day, now: datetime, seed: int) -> None:
    def people_and_ids(of: Day) -> tuple[set[SampleDocument | SamplePhone], set[str]]:
        entries = [entry for entry in of.entries if isinstance(entry, DayEntry)]
        # The phones of those one can log in as are the same every day, so that they can be told.
        people = {e.document for e in entries if e.draft.kind is not TelecomVisitReported}
        return people, {e.id for e in entries}

    people, ids = people_and_ids(day)
    other_people, other_ids = people_and_ids(plan_day(3000, now, seed))
    assert len(people & other_people) < 5  # chance alone
    assert not ids & other_ids


@pytest.mark.parametrize("people", [0, PEOPLE_MIN - 1, 10**9])
def test_a_number_of_people_out_of_range_is_refused(people: int) -> None:
    with pytest.raises(ValueError, match="people"):
        plan_day(people, NOW, seed=1)


def test_a_now_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="zone"):
        plan_day(PEOPLE_MIN, NOW.replace(tzinfo=None), seed=1)


def test_every_event_is_valid_on_the_wire(day: Day) -> None:
    decoder = msgspec.json.Decoder(Event)
    for events in events_of(day).values():
        for event in events:
            assert decoder.decode(msgspec.json.encode(event)) == event
            assert not misfits(event)
            assert not list(faults(event, NOW))


def test_histories_reach_beyond_the_rules_and_never_past_now(day: Day) -> None:
    times = [e.draft.time for e in day.entries if isinstance(e, DayEntry)]
    assert max(times) <= NOW
    bearing = [
        e.draft.time
        for e in day.entries
        if isinstance(e, DayEntry) and issubclass(e.draft.kind, get_args(StatusEvent))
    ]
    assert NOW - HISTORY <= min(bearing) < NOW - timedelta(days=14)


def test_whoever_is_to_be_logged_in_as_has_something_in_every_list(day: Day) -> None:
    for login in LOGINS:
        document = day.scenarios[login.story].document
        kinds = {
            e.draft.kind
            for e in day.entries
            if isinstance(e, DayEntry) and e.document in (document, login.phone)
        }
        found = {OF[kind][0] for kind in kinds if kind in OF}
        assert found == set(ListName), login.id


def test_whoever_is_to_be_logged_in_as_showed_the_code_that_they_had(day: Day) -> None:
    events = events_of(day)
    seen: Counter[DisplayDetail] = Counter()
    for login in LOGINS:
        told = events[day.scenarios[login.story].document]
        for display in (event.data for event in told if isinstance(event, DisplayRecorded)):
            row = unknown("p1-" + "a" * 32, display.displayed_at)
            for event in told:
                if isinstance(event, StatusEvent) and event.time <= display.displayed_at:
                    row = fold(row, event, event.time).person
            colour = judge(row.code, display.displayed_at).colour
            assert colour is not Colour.NONE, login.id
            if display.outcome is Outcome.SHOWN:
                assert display.detail == colour.value, login.id
            seen[display.detail] += 1
    assert seen.keys() == {DisplayDetail.GREEN, DisplayDetail.RED, DisplayDetail.STORE}


def test_sequences_of_a_source_rise_with_time_and_name_one_event_each(day: Day) -> None:
    by_source: defaultdict[str, dict[str, tuple[int, datetime]]] = defaultdict(dict)
    for entry in day.entries:
        if isinstance(entry, DayEntry):
            by_source[entry.draft.source][entry.id] = int(entry.sequence), entry.draft.time
    for numbered in by_source.values():
        in_order = sorted(numbered.values())
        assert len({sequence for sequence, _ in in_order}) == len(in_order)
        assert [time for _, time in in_order] == sorted(time for _, time in in_order)


def scenario_id(scenario: Scenario) -> str:
    return scenario.name


SCENARIOS = tuple(plan_day(PEOPLE_MIN, NOW, seed=7).scenarios.values())


@pytest.mark.parametrize("scenario", SCENARIOS, ids=scenario_id)
@pytest.mark.parametrize("backwards", [False, True])
def test_a_scenario_comes_to_what_it_expects(scenario: Scenario, backwards: bool) -> None:
    events = events_of(plan_day(PEOPLE_MIN, NOW, seed=7))[scenario.document]
    row = unknown(key_of(scenario.document), NOW)
    objections: set[Objection] = set()
    for event in reversed(events) if backwards else events:
        if isinstance(event, StatusEvent):
            outcome = fold(row, event, NOW)
            row = outcome.person
            objections |= {notice.objection for notice in outcome.notices}
    assert judge(row.code, NOW).status == scenario.expected
    if scenario.changes_at is not None:
        assert judge(row.code, NOW).changes_at == scenario.changes_at
        assert judge(row.code, scenario.changes_at).status == scenario.then
    if not backwards:
        assert objections == ({scenario.objection} if scenario.objection else set())


def test_everyone_comes_to_what_is_expected_and_few_are_red(day: Day) -> None:
    events = events_of(day)
    colours: Counter[Colour] = Counter()
    reasons: Counter[Reason] = Counter()
    for person in day.expected:
        row = unknown(key_of(person.document), NOW)
        for event in events[person.document]:
            if isinstance(event, StatusEvent):
                row = fold(row, event, NOW).person
        shown = judge(row.code, NOW)
        assert shown.status == person.expected, person.name
        colours[shown.colour] += 1
        reasons.update(shown.status.reasons)
    assert len(day.expected) == day.people == colours.total()
    assert 0.01 <= colours[Colour.RED] / day.people <= 0.025
    assert set(reasons) == set(Reason)


def test_some_come_twice_some_late_and_some_corrections_first(day: Day) -> None:
    valid = [entry for entry in day.entries if isinstance(entry, DayEntry)]
    place: dict[str, int] = {}
    for number, entry in enumerate(valid):
        place.setdefault(entry.id, number)
    assert len(valid) > len(place), "copies"
    assert any(entry.supersedes and place[entry.id] < place[entry.supersedes] for entry in valid), (
        "a correction before what it corrects"
    )
    late = sum(one.draft.time > next_.draft.time for one, next_ in pairwise(valid))
    assert late > len(valid) / 100


def test_both_entrances_are_used_and_what_must_keep_its_order_goes_by_kafka(day: Day) -> None:
    entrances = Counter(e.entrance for e in day.entries if isinstance(e, DayEntry))
    assert entrances[Entrance.GATEWAY] > entrances[Entrance.KAFKA] > 0
    for entry in day.entries:
        if isinstance(entry, DayEntry) and entry.draft.published_first:
            assert entry.entrance is Entrance.KAFKA


def test_document_numbers_are_right_in_form_and_of_no_district(day: Day) -> None:
    cards = [
        person.document.number
        for person in day.expected
        if person.document.type is DocumentType.RESIDENT_IDENTITY_CARD
    ]
    assert len(cards) < day.people, "some hold a travel permit"
    assert any(card.startswith(RESIDENCE_PERMITS) for card in cards)
    for card in cards:
        assert card[4:6] == "00", "a prefecture's code, which no real card carries"
        assert ric.calc_check_digit(card) == card[-1]
        datetime.strptime(card[6:14], "%Y%m%d").replace(tzinfo=UTC)


def test_every_breakage_comes_a_few_times_and_after_the_event_it_is_made_of(day: Day) -> None:
    times = Counter(e.breakage.name for e in day.entries if isinstance(e, BrokenEntry))
    assert set(times) == {breakage.name for breakage in BREAKAGES}
    assert min(times.values()) >= 2
    seen: set[str] = set()
    for entry in day.entries:
        if isinstance(entry, BrokenEntry):
            assert entry.entry.id in seen
        elif isinstance(entry, DayEntry):
            seen.add(entry.id)


def test_no_person_of_the_day_has_the_key_used_as_another_persons(day: Day) -> None:
    assert OTHER_PERSON not in {key_of(person.document) for person in day.expected}
