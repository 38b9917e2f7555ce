"""The six reasons, rule by rule, in the order of the manual's list (三（一）)."""

from datetime import datetime, timedelta
from typing import Any, get_args, get_type_hints

import pytest

from models.codes import Colour, ConditionKind, HealthCode, Reason, judge
from models.events import COUNTS_FROM, StatusEvent
from models.reasons import assess
from support.builders import (
    confirmed,
    contact,
    contact_withdrawn,
    day,
    discharged,
    excluded,
    nat,
    negative,
    ordered,
    positive,
    provincial,
    released,
    retracted,
    suspected,
    transferred,
    verified,
)


def code(*events: Any) -> HealthCode:
    found = assess(events)
    return HealthCode(
        "p", 1, day(1), verified_since=found.verified_since, intervals=found.intervals
    )


def colour(at: datetime, *events: Any) -> Colour:
    return judge(code(verified(), *events), at).colour


def reasons(at: datetime, *events: Any) -> tuple[Reason, ...]:
    return judge(code(verified(), *events), at).status.reasons


def ends(*events: Any) -> list[datetime | None]:
    return [interval.end for interval in assess(events).intervals]


MOMENT = timedelta(microseconds=1)


def test_an_unknown_person_has_no_code() -> None:
    assert judge(code(), day(1)).colour is Colour.NONE


def test_someone_not_verified_has_no_code_even_with_a_reason() -> None:
    shown = judge(code(positive(day(1))), day(2))
    assert shown.colour is Colour.NONE
    assert shown.status.reasons == (Reason.CONFIRMED_OR_POSITIVE,)


def test_verified_without_a_reason_is_green() -> None:
    assert colour(day(1)) is Colour.GREEN


def test_a_retracted_verification_leaves_no_code() -> None:
    identity = verified()
    assert judge(code(identity, retracted(identity, day(2))), day(3)).colour is Colour.NONE


def test_every_open_reason_is_shown_and_the_highest_rank_first() -> None:
    events = (provincial("red", day(1)), ordered("home", day(1)), suspected(day(1)))
    assert reasons(day(2), *events) == (
        Reason.SUSPECTED_CASE,
        Reason.OUT_OF_PROVINCE_CODE,
        Reason.HOME_QUARANTINE,
    )


# Rank 1


@pytest.mark.parametrize("kind", get_args(StatusEvent))
def test_every_event_says_from_when_it_counts_or_takes_another_back(kind: type) -> None:
    taken_back = kind.__name__.endswith("Retracted")
    assert (kind in COUNTS_FROM) != taken_back
    assert taken_back or COUNTS_FROM[kind] in get_type_hints(kind)["data"].__struct_fields__


def test_a_positive_counts_from_its_report() -> None:
    result = positive(day(1, 8), day(1, 20))
    assert colour(day(1, 20) - MOMENT, result) is Colour.GREEN
    assert colour(day(1, 20), result) is Colour.RED


@pytest.mark.parametrize(
    "result",
    [nat("inconclusive", day(1)), nat("positive", day(1), status="preliminary")],
    ids=["inconclusive", "preliminary"],
)
def test_only_a_final_positive_opens(result: Any) -> None:
    assert colour(day(2), result) is Colour.GREEN


def test_two_negatives_a_day_apart_lift_a_positive_at_the_second_report() -> None:
    assert ends(positive(day(1)), negative(day(2)), negative(day(3), day(3, 22))) == [day(3, 22)]


def test_two_negatives_less_than_a_day_apart_do_not_lift() -> None:
    assert ends(positive(day(1)), negative(day(2)), negative(day(3) - MOMENT)) == [None]


def test_a_negative_sampled_with_the_positive_does_not_count() -> None:
    assert ends(positive(day(1)), negative(day(1)), negative(day(2))) == [None]


def test_a_late_negative_does_not_clear_a_newer_positive() -> None:
    """Sampled before the newer positive, reported after it."""
    events = (
        positive(day(1)),
        negative(day(2)),
        positive(day(4)),
        negative(day(3), day(6)),
    )
    assert colour(day(7), *events) is Colour.RED


def test_a_positive_between_two_negatives_starts_the_count_again() -> None:
    events = (positive(day(1)), negative(day(2)), positive(day(3)), negative(day(4)))
    assert colour(day(5), *events) is Colour.RED
    assert colour(day(6), *events, negative(day(5))) is Colour.GREEN


def test_a_positive_reported_after_two_newer_negatives_never_turns_red() -> None:
    late = positive(day(1), day(9))
    assert colour(day(10), negative(day(2)), negative(day(3)), late) is Colour.GREEN


def test_a_confirmed_case_lifts_fourteen_days_after_discharge() -> None:
    assert ends(confirmed(day(1)), discharged(day(10))) == [day(24)]


def test_a_confirmed_case_is_not_lifted_by_tests() -> None:
    events = (confirmed(day(1)), positive(day(1)), negative(day(3)), negative(day(5)))
    assert colour(day(20), *events) is Colour.RED


def test_a_positive_with_a_case_lifts_with_the_case() -> None:
    assert ends(positive(day(1)), confirmed(day(2)), discharged(day(10))) == [day(24)] * 2


def test_a_positive_sampled_after_discharge_stands_alone() -> None:
    events = (confirmed(day(1)), discharged(day(10)), positive(day(30)))
    assert ends(*events) == [day(24), None]
    assert colour(day(34), *events, negative(day(31)), negative(day(32))) is Colour.GREEN


def test_a_corrected_result_voids_the_positive() -> None:
    result = positive(day(1), id="r1")
    correction = negative(day(1), id="r2", supersedes="r1")
    assert colour(day(2), result, correction) is Colour.GREEN
    assert colour(day(2), correction, result) is Colour.GREEN


def test_a_retracted_negative_opens_the_positive_again() -> None:
    second = negative(day(3))
    events = (positive(day(1)), negative(day(2)), second)
    assert colour(day(4), *events) is Colour.GREEN
    assert colour(day(5), *events, retracted(second, day(4))) is Colour.RED


# Rank 2


def test_exclusion_lifts_a_suspicion() -> None:
    assert ends(suspected(day(1)), excluded(day(3))) == [day(3)]


def test_confirmation_promotes_a_suspicion_without_a_gap() -> None:
    events = (suspected(day(1)), confirmed(day(3)))
    assert reasons(day(3) - MOMENT, *events) == (Reason.SUSPECTED_CASE,)
    assert reasons(day(3), *events) == (Reason.CONFIRMED_OR_POSITIVE,)


def test_exclusion_of_another_case_lifts_nothing() -> None:
    assert colour(day(4), suspected(day(1)), excluded(day(3), case="C2")) is Colour.RED


def test_the_sources_order_decides_not_arrival() -> None:
    again = suspected(day(5), sequence=30)
    events = (again, excluded(day(3), sequence=20), suspected(day(1), sequence=10))
    assert ends(*events) == [day(3), None]


# Rank 3


CONTACT_TESTS = (
    negative(day(2)),
    negative(day(5)),
    negative(day(8)),
    negative(day(15), day(15, 9)),
)


def test_a_contact_lifts_fourteen_days_after_the_last_exposure_with_its_tests() -> None:
    assert ends(contact(day(1, 10)), *CONTACT_TESTS) == [day(15, 10)]


def test_a_contact_without_the_last_test_stays_red_and_says_so() -> None:
    shown = judge(code(verified(), contact(day(1)), *CONTACT_TESTS[:3]), day(20))
    assert shown.colour is Colour.RED
    missing = [c for c in shown.open[0].conditions if c.met_at is None]
    assert [(c.kind, c.not_before) for c in missing] == [(ConditionKind.NEGATIVE_TEST, day(15, 0))]
    assert shown.open[0].earliest_end(day(20)) == day(20)


def test_day_n_is_a_calendar_day_in_shanghai() -> None:
    """Exposed at 23:30, tested from 00:00 of the next day on."""
    tests = (negative(day(2, 0)), *CONTACT_TESTS[1:])
    assert ends(contact(day(1, 23, 30)), *tests) == [day(15, 23, 30)]
    too_early = (negative(day(2, 0) - MOMENT), *CONTACT_TESTS[1:])
    assert ends(contact(day(1, 23, 30)), *too_early) == [None]


def test_one_negative_meets_one_requirement() -> None:
    assert ends(contact(day(1)), negative(day(15))) == [None]


def test_a_late_test_meets_an_earlier_requirement() -> None:
    late = [negative(day(16, hour), day(17, hour)) for hour in (2, 8, 14, 20)]
    assert ends(contact(day(1)), *late) == [day(17, 20)]


def test_four_swabs_of_one_morning_are_not_four_days_tests() -> None:
    morning = [negative(day(16, hour), day(17, hour)) for hour in (8, 9, 10, 11)]
    assert ends(contact(day(1)), *morning) == [None]
    apart = [negative(day(16, hour), day(17, hour)) for hour in (3, 6, 9, 15, 21)]
    assert ends(contact(day(1)), *apart) == [day(17, 21)]


def test_a_new_exposure_restarts_the_count() -> None:
    again = contact(day(10))
    assert colour(day(16), contact(day(1)), again, *CONTACT_TESTS) is Colour.RED


def test_a_withdrawn_listing_lifts() -> None:
    assert colour(day(4), contact(day(1)), contact_withdrawn(day(3))) is Colour.GREEN


# Rank 4


@pytest.mark.parametrize("abroad", ["red", "yellow"])
def test_red_or_yellow_elsewhere_is_red_here(abroad: str) -> None:
    assert colour(day(2), provincial(abroad, day(1))) is Colour.RED


def test_green_of_the_same_province_lifts_and_of_another_does_not() -> None:
    red = provincial("red", day(1))
    assert colour(day(4), red, provincial("green", day(3), province="36")) is Colour.RED
    assert colour(day(4), red, provincial("green", day(3))) is Colour.GREEN


def test_an_older_green_that_arrives_late_does_not_lift() -> None:
    assert ends(provincial("red", day(3), sequence=2), provincial("green", day(1), sequence=1)) == [
        None
    ]


# Ranks 5 and 6


def test_centralised_quarantine_waits_for_the_release_notice() -> None:
    order = ordered("centralised", day(1), day(15))
    shown = judge(code(verified(), order), day(20))
    assert shown.colour is Colour.RED
    assert shown.open[0].conditions[0].kind is ConditionKind.RELEASE_NOTICE
    assert colour(day(22), order, released(day(21))) is Colour.GREEN


def test_home_quarantine_ends_at_its_planned_end() -> None:
    assert ends(ordered("home", day(1), day(8))) == [day(8)]


def test_a_transfer_leaves_no_green_gap() -> None:
    events = (ordered("centralised", day(1)), transferred("home", day(10), day(17)))
    assert reasons(day(10) - MOMENT, *events) == (Reason.CENTRALISED_QUARANTINE,)
    assert reasons(day(10), *events) == (Reason.HOME_QUARANTINE,)
    assert colour(day(17), *events) is Colour.GREEN


def test_an_order_opens_at_its_start() -> None:
    order = ordered("home", day(5))
    assert colour(day(5) - MOMENT, order) is Colour.GREEN
    assert colour(day(5), order) is Colour.RED


# Corrections


def test_a_corrected_correction_counts_as_never_sent() -> None:
    result = positive(day(1), id="a", sequence=1)
    correction = negative(day(1), id="b", sequence=2, supersedes="a")
    taken_back = retracted(correction, day(3), sequence=3)
    assert colour(day(4), result, correction) is Colour.GREEN
    assert colour(day(4), result, correction, taken_back) is Colour.RED


def test_a_circle_of_corrections_cannot_close() -> None:
    first = positive(day(1), id="a", sequence=1, supersedes="b")
    second = negative(day(1), id="b", sequence=2, supersedes="a")
    assert colour(day(4), first, second) is colour(day(4), second, first) is Colour.GREEN


def test_nobody_corrects_anothers_event() -> None:
    result = positive(day(1), id="a")
    foreign = negative(day(1), id="b", supersedes="a", source="/laboratories/2")
    assert colour(day(4), result, foreign) is Colour.RED
