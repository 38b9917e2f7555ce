"""The checklist can be followed: who does each step at the earliest moment that it names is green
at the instant that it names. Held for the JSON, and for the page in each language."""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.view.codes import reason_answer
from app.view.pages.sheet import ReasonSheet, sheet
from app.web.language import LANGUAGES, Language, Text
from models.codes import ConditionKind, HealthCode, Interval, judge
from models.events import StatusEvent
from models.policy import POLICIES, ZONE
from models.reasons import assess
from support import builders as b
from support.strategies import STEPS_MAX, at_step, worlds

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
        shown = sheet(code, at, POLICIES[0].version)
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
