"""The checklist can be followed: who does each step at the earliest moment that it names is green
at the instant that it names. Held for the JSON, for the page in each language, and for the sum of
all reasons with which the page begins."""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.sources.register import Register
from app.view.codes import reason_answer
from app.view.pages.sheet import ReasonSheet, sheet
from app.view.pages.sum import Sum
from app.view.pages.sum import sum_of as sum_by_register
from app.web.language import CHINESE, LANGUAGES, Language, Text
from models.codes import ConditionKind, HealthCode, Interval, judge
from models.events import ContactListed, NatResultReported, StatusEvent
from models.policy import POLICIES, ZONE
from models.reasons import assess, last_exposure, newest_positive
from models.swabs import swabs_needed
from support import builders as b
from support.strategies import STEPS_MAX, at_step, worlds

REGISTER = Register()
TESTS = (ConditionKind.NEGATIVE_TEST, ConditionKind.TIME)
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def instants() -> st.SearchStrategy[datetime]:
    """An instant after a world, at any second."""
    return st.integers(0, 40 * 86_400).map(
        lambda seconds: at_step(STEPS_MAX) + timedelta(seconds=seconds)
    )


def followable(world: list[StatusEvent], at: datetime) -> Iterator[tuple[HealthCode, Interval]]:
    """Yield the open reasons that wait for tests and time alone."""
    found = assess([b.verified(b.day(1, 0)), *world])
    code = HealthCode(b.PERSON, 1, at, verified_since=b.day(1, 0), intervals=found.intervals)
    for interval in judge(code, at).open:
        pending = [c.kind for c in interval.conditions if c.met_at is None]
        if interval.end is None and pending and all(kind in TESTS for kind in pending):
            yield code, interval


def lifted(
    world: list[StatusEvent], interval: Interval, taken_at: Sequence[datetime]
) -> datetime | None:
    """Return when a reason lifts by negatives that are sampled and reported at these instants."""
    taken = [
        b.negative(at, at, id=f"taken{number}", source="/laboratories/9")
        for number, at in enumerate(taken_at)
    ]
    [again] = [
        i
        for i in assess([*world, *taken]).intervals
        if (i.reason, i.opened_by) == (interval.reason, interval.opened_by)
    ]
    return again.end


@given(worlds(), instants())
def test_the_earliest_steps_of_the_answer_lead_to_its_earliest_end(
    world: list[StatusEvent], at: datetime
) -> None:
    for _, interval in followable(world, at):
        answer = reason_answer(interval, at)
        steps = [
            c.earliest
            for c in answer.conditions
            if c.met_at is None and c.kind is ConditionKind.NEGATIVE_TEST
        ]
        taken_at = [step for step in steps if step is not None]
        assert len(taken_at) == len(steps)
        assert all(at <= step for step in taken_at)
        assert lifted(world, interval, taken_at) == answer.earliest_end


@pytest.mark.parametrize("language", LANGUAGES, ids=lambda language: language.code)
@given(world=worlds(), at=instants())
def test_what_the_page_prints_can_be_followed(
    language: Language, world: list[StatusEvent], at: datetime
) -> None:
    for code, interval in followable(world, at):
        shown = sheet(code, at, POLICIES[0].version, REGISTER)
        [reason] = [
            r
            for r in shown.reasons
            if r.evidence.endswith(f" {interval.opened_by.id}")
            and r.rank == interval.reason
            and r.evidence.startswith(interval.opened_by.source)
        ]
        taken_at = [
            printed(step.when, language, at)
            for step, condition in zip(reason.steps, interval.conditions, strict=True)
            if condition.met_at is None
        ]
        end = lifted(world, interval, taken_at)
        assert end is not None, "who followed it is still red"
        assert end <= max(promised(reason, language, at), *taken_at)


def promised(reason: ReasonSheet, language: Language, at: datetime) -> datetime:
    return printed(reason.lifts, language, at)


def printed(text: Text | None, language: Language, at: datetime) -> datetime:
    """Return the instant in a text; `at` where it names none."""
    assert text is not None
    words = text.of(language)
    if found := re.search(r"(\d{4})年(\d+)月(\d+)日(?: (\d\d):(\d\d))?", words):
        year, month, day, hour, minute = found.groups()
        return datetime(
            int(year), int(month), int(day), int(hour or 0), int(minute or 0), tzinfo=ZONE
        )
    if found := re.search(r"(\d+) ([A-Z][a-z]{2})[a-z]? (\d{4})(?:, (\d\d):(\d\d))?", words):
        day, name, year, hour, minute = found.groups()
        month = MONTHS.index(name) + 1
        return datetime(int(year), month, int(day), int(hour or 0), int(minute or 0), tzinfo=ZONE)
    assert not re.search(r"\d{4}", words), words
    return at


# The sum of all reasons


def judged(world: list[StatusEvent], at: datetime) -> HealthCode:
    found = assess([b.verified(b.day(1, 0)), *world])
    return HealthCode(b.PERSON, 1, at, verified_since=b.day(1, 0), intervals=found.intervals)


def after(world: list[StatusEvent], taken_at: Sequence[datetime], at: datetime) -> HealthCode:
    """The code once these negatives were sampled and reported."""
    taken = [
        b.negative(at, at, id=f"taken{number}", source="/laboratories/9")
        for number, at in enumerate(taken_at)
    ]
    return judged([*world, *taken], at)


def sum_of(code: HealthCode, at: datetime) -> Sum | None:
    return sum_by_register(code, at, REGISTER)


def summed(code: HealthCode, at: datetime) -> Sum:
    found = sum_of(code, at)
    assert found is not None
    return found


@pytest.mark.parametrize("language", LANGUAGES, ids=lambda language: language.code)
@given(world=worlds(), at=instants())
def test_who_follows_the_sum_is_green_at_the_minute_that_it_names(
    language: Language, world: list[StatusEvent], at: datetime
) -> None:
    code = judged(world, at)
    open_now = judge(code, at).open
    if not open_now:
        assert sum_of(code, at) is None
        return
    told = summed(code, at)
    taken_at = [
        at if t.from_when is None else printed(t.from_when, language, at) for t in told.tasks
    ]
    assert taken_at == sorted(set(taken_at)), "each swab is told once, in order"
    later = after(world, taken_at, at)
    still = {i.opened_by for i in later.intervals if i.end is None}
    undated = {open_now[one.number - 1].opened_by for one in told.undated}
    assert still <= undated, "who followed it still has a reason that was given a date"
    if not told.undated:
        green_at = printed(told.headline, language, at)
        were_open = {(i.reason, i.opened_by, i.start) for i in open_now}
        ends = [
            i.end
            for i in later.intervals
            if i.end is not None and (i.reason, i.opened_by, i.start) in were_open
        ]
        assert max(ends) <= green_at, "it is later than was told"
        assert green_at - max(ends) < timedelta(minutes=1)


@given(worlds(), instants())
def test_a_swab_meets_the_lines_that_it_is_said_to_meet(
    world: list[StatusEvent], at: datetime
) -> None:
    reasons = judge(judged(world, at), at).open
    swabs = swabs_needed(reasons, at)
    later = {
        (i.reason, i.opened_by): i for i in after(world, [swab.at for swab in swabs], at).intervals
    }
    for number, swab in enumerate(swabs):
        for place, line in swab.meets:
            reason = reasons[place]
            met = later[reason.reason, reason.opened_by].conditions[line]
            assert met.met_by is not None
            assert met.met_by.id == f"taken{number}"


def test_a_swab_that_counts_for_two_reasons_is_told_once() -> None:
    world = [
        b.positive(b.day(10), b.day(10, 15)),
        b.contact(b.day(12), b.day(12, 20)),
    ]
    at = b.day(14, 9)
    told = summed(judged(world, at), at)
    assert [task.counts_for for task in told.tasks] == [(1, 2), (1, 2), (2,), (2,)]
    assert told.tasks[0].from_when is None
    days = [printed(task.from_when, LANGUAGES[0], at) for task in told.tasks[1:]]
    assert days == [b.day(16, 0), b.day(19, 0), b.day(26, 0)]
    assert printed(told.headline, CHINESE, at) == b.day(26, 8)
    assert not told.nothing_to_do_now


def test_a_positive_without_a_case_takes_a_day_at_least() -> None:
    at = b.day(20, 9)
    told = summed(judged([b.positive(b.day(10), b.day(10, 15))], at), at)
    assert printed(told.headline, CHINESE, at) == at + timedelta(hours=24)
    assert len(told.tasks) == 2


def test_a_reason_without_a_date_is_named_with_what_it_waits_for() -> None:
    at = b.day(12)
    world = [b.provincial("red", b.day(10)), b.positive(b.day(10), b.day(10, 15))]
    told = summed(judged(world, at), at)
    assert told.undated
    [one] = told.undated
    assert (one.number, one.needs.of(LANGUAGES[1])) == (2, "The code of Hunan turns green")
    assert printed(told.others, CHINESE, at) == at + timedelta(hours=24)
    [awaited] = told.wait_for
    assert awaited.counts_for == (2,)


def test_what_an_authority_owes_since_days_is_said_in_words() -> None:
    order = b.ordered("centralised", b.day(1), b.day(10, 20))
    at = b.day(12, 9)
    code = judged([order], at)
    told = summed(code, at)
    assert told.undated
    [awaited] = told.wait_for
    assert awaited.overdue is not None
    assert awaited.overdue.of(LANGUAGES[0]) == "已超过最早日期 2 天，仍未办结"
    [reason] = sheet(code, at, POLICIES[0].version, REGISTER).reasons
    assert reason.lifts.of(LANGUAGES[1]) == "2 days past the earliest date, and still not done"
    assert reason.steps[0].overdue is not None
    at = b.day(10, 19)
    assert printed(summed(judged([order], at), at).headline, CHINESE, at) == b.day(10, 20)


def test_what_an_authority_could_do_by_now_has_no_date_from_that_instant_on() -> None:
    end = b.day(10)
    code = judged([b.ordered("centralised", b.day(1), end)], end)
    told = summed(code, end)
    assert told.undated
    [awaited] = told.wait_for
    assert awaited.overdue is not None
    assert awaited.overdue.of(LANGUAGES[0]) == "今天已到最早日期，仍未办结"
    before = end - timedelta(seconds=1)
    assert printed(summed(code, before).headline, CHINESE, before) == end


def test_what_ends_by_itself_asks_for_nothing() -> None:
    at = b.day(5)
    told = summed(judged([b.ordered("home", b.day(1), b.day(10, 20))], at), at)
    assert told.nothing_to_do_now
    assert told.headline.of(LANGUAGES[0]) == "2022年3月10日 20:00自动变为绿码"
    assert told.tasks == ()


@given(worlds(), instants())
def test_what_the_dates_of_a_checklist_are_counted_from_is_said(
    world: list[StatusEvent], at: datetime
) -> None:
    """C.7 and C.8: the last exposure, and the newest positive's swab."""
    exposures = {
        (event.source, event.id): event.data.last_exposure_at
        for event in world
        if isinstance(event, ContactListed)
    }
    for interval in judge(judged(world, at), at).open:
        if exposure := last_exposure(interval):
            assert exposure == exposures[interval.opened_by.source, interval.opened_by.id]
        if sampled_at := newest_positive(interval):
            assert sampled_at <= at
            results = [event.data for event in world if isinstance(event, NatResultReported)]
            assert sampled_at in {
                t for data in results for t in (data.sampled_at, data.reported_at)
            }
