"""What opens a reason is counted per source and reason; what is above the limit waits for two."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.codes import Reason
from models.events import Event, ResultStatus
from models.policy import POLICIES
from models.quotas import Quota, QuotaLimit, limit_of, milliseconds, opening
from support import builders as b

HOUR = 3_600_000
LIMIT = QuotaLimit(most=3, window=timedelta(hours=1), kept=48)
SOURCE = "/laboratories/440100-001"
CHEN, LI, WANG = "/operators/chen", "/operators/li", "/operators/wang"

POSITIVE = b.positive(b.day(2))


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (POSITIVE, Reason.CONFIRMED_OR_POSITIVE),
        (b.confirmed(b.day(2)), Reason.CONFIRMED_OR_POSITIVE),
        (b.suspected(b.day(2)), Reason.SUSPECTED_CASE),
        (b.contact(b.day(2)), Reason.CLOSE_CONTACT),
        (b.provincial("red", b.day(2)), Reason.OUT_OF_PROVINCE_CODE),
        (b.provincial("yellow", b.day(2)), Reason.OUT_OF_PROVINCE_CODE),
        (b.ordered("centralised", b.day(2), b.day(9)), Reason.CENTRALISED_QUARANTINE),
        (b.ordered("home", b.day(2), b.day(9)), Reason.HOME_QUARANTINE),
        (b.verified(), None),
        (b.negative(b.day(2)), None),
        (b.positive(b.day(2), status=ResultStatus.PRELIMINARY), None),
        (b.retracted(POSITIVE, b.day(3)), None),
        (b.discharged(b.day(9)), None),
        (b.provincial("green", b.day(2)), None),
        (b.released(b.day(9)), None),
        (b.temperature(36.4, b.day(2)), None),
    ],
)
def test_an_opening_is_what_may_turn_a_code_red_by_itself(
    event: Event, reason: Reason | None
) -> None:
    assert opening(event) is reason


def test_every_reason_has_a_limit_that_no_honest_day_reaches() -> None:
    for policy in POLICIES:
        assert policy.openings_max.keys() == set(Reason)
        assert min(policy.openings_max.values()) >= 1_000
    at = datetime(2022, 3, 1, tzinfo=UTC)
    assert limit_of(SOURCE, Reason.CLOSE_CONTACT, at) == QuotaLimit(
        POLICIES[0].openings_max[Reason.CLOSE_CONTACT], timedelta(hours=1), 14 * 24
    )


def admitted(arrivals: Sequence[int], limit: QuotaLimit = LIMIT) -> Counter[int]:
    """How many of each window are within the limit, counted in this order."""
    quota = Quota()
    return Counter(at // HOUR for at in arrivals if quota.count(at, limit))


arrivals_of_two_days = st.lists(st.integers(0, 48 * HOUR - 1), max_size=60)


@given(arrivals_of_two_days, st.randoms(use_true_random=False))
def test_however_it_is_ordered_the_same_number_of_each_window_is_within(
    arrivals: list[int], random: Random
) -> None:
    """So it does not matter over which partitions they lie, and which worker is ahead."""
    shuffled = random.sample(arrivals, len(arrivals))
    of_window = Counter(at // HOUR for at in arrivals)
    assert admitted(shuffled) == {w: min(LIMIT.most, n) for w, n in of_window.items()}


@given(arrivals_of_two_days)
def test_a_replay_decides_the_same_of_each(arrivals: list[int]) -> None:
    first, again = Quota(), Quota()
    decided = [first.count(at, LIMIT) for at in arrivals]
    assert [again.count(at, LIMIT) for at in arrivals] == decided
    assert again == first


@given(st.lists(st.integers(0, 1_000 * HOUR), max_size=200))
def test_a_row_is_bounded_and_no_window_ever_exceeds_its_limit(arrivals: list[int]) -> None:
    limit = QuotaLimit(most=2, window=timedelta(hours=1), kept=5)
    quota, within = Quota(), Counter[int]()
    for at in arrivals:
        within[at // HOUR] += quota.count(at, limit)
        assert len(quota.windows) <= limit.kept
    assert max(within.values(), default=0) <= limit.most


def test_when_the_window_has_moved_on_new_ones_are_within() -> None:
    assert admitted([0] * 9) == {0: 3}
    assert admitted([*[0] * 9, HOUR - 1, HOUR]) == {0: 3, 1: 1}


def test_what_is_older_than_all_windows_that_are_kept_is_above() -> None:
    quota, limit = Quota(), QuotaLimit(most=9, window=timedelta(hours=1), kept=2)
    assert quota.count(5 * HOUR, limit)
    assert quota.count(3 * HOUR, limit)
    assert quota.count(6 * HOUR, limit)
    assert not quota.count(3 * HOUR, limit)
    assert list(quota.windows) == [5 * HOUR, 6 * HOUR]


def test_two_different_operators_approve_up_to_the_earlier_of_their_instants() -> None:
    quota = Quota()
    quota.approve("/operators/chen", 500)
    assert quota.approved_until is None
    quota.approve("/operators/chen", 900)
    assert quota.approved_until is None, "the same operator twice is one"
    quota.approve("/operators/li", 700)
    assert quota.approved_until == 700
    assert quota.approved(700)
    assert not quota.approved(701)


def test_two_names_of_one_subject_are_one_operator() -> None:
    """Whoever issued their tokens knows them by one name of its own; another source claim, or
    another attribute there, makes no second operator of them."""
    quota = Quota()
    quota.approve(CHEN, 500, "b5c1")
    quota.approve(LI, 700, "b5c1")
    assert quota.approved_until is None
    quota.approve(WANG, 600, "77aa")
    assert quota.approved_until == 600
    quota.approve(CHEN, 100, "b5c1")
    assert quota.approved_until == 600, "what two have approved stays approved"
    assert quota.approvals == {CHEN: 700, WANG: 600}
    assert msgspec.convert(msgspec.to_builtins(quota), Quota) == quota
    assert msgspec.convert([{}, {CHEN: 5}], Quota).approvals == {CHEN: 5}, "a row of before"


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["/operators/a", "/operators/b", "/operators/c"]), st.integers(0, 99)
        ),
        max_size=20,
    )
)
def test_what_two_have_approved_stays_approved_and_nothing_more_is(
    approvals: list[tuple[str, int]],
) -> None:
    quota, latest, before = Quota(), dict[str, int](), -1
    for by, until in approvals:
        quota.approve(by, until)
        latest[by] = max(until, latest.get(by, 0))
        second = sorted(latest.values())[-2] if len(latest) > 1 else None
        assert quota.approved_until == second
        assert len(quota.approvals) <= 2
        assert second is None or second >= before
        before = -1 if second is None else second


@given(
    st.lists(
        st.tuples(st.sampled_from([CHEN, LI, WANG]), st.sampled_from("xyz"), st.integers(0, 99)),
        max_size=20,
    )
)
def test_whatever_names_operators_go_by_two_of_them_approve_all_that_goes_on(
    approvals: list[tuple[str, str, int]],
) -> None:
    """Also where a name is given to somebody else, as when a source claim changes."""
    quota, latest = Quota(), dict[str, int]()
    for by, subject, until in approvals:
        quota.approve(by, until, subject)
        latest[subject] = max(until, latest.get(subject, 0))
        second = sorted(latest.values())[-2] if len(latest) > 1 else -1
        assert (quota.approved_until or -1) <= second
        assert sorted(quota.subjects) == sorted(quota.approvals)
        assert len(set(quota.subjects.values())) == len(quota.subjects) <= 2


def test_milliseconds_are_those_of_the_log() -> None:
    assert milliseconds(datetime.fromtimestamp(1_650_000_000.123, UTC)) == 1_650_000_000_123
