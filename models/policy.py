"""The rules' numbers: dated, versioned, each with its source.

No rule for a code carries a duration of its own. What an event may be at all is in models.checks.
A reason is judged by the policy in force when it opens, and by each that follows. The one by which
it ends first governs it, and by a later one nothing ends before that is in force. So a milder
policy shortens what already runs, a stricter one lengthens nothing, and no code turns red because
a policy changed (models.easing).

Sources: the manual (粤康码 user manual, 三（一）) names the six reasons and no durations. The
durations are those of the national prevention protocol of the time
(docs/decisions/0013-durations.md, "decision 13"). "Own decision" is what was chosen where both are
silent, in favour of a resident who would otherwise face an unexplained red.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from msgspec import Struct

from models.codes import Reason
from models.events import ListName, QuarantineKind

ZONE = ZoneInfo("Asia/Shanghai")
"""All calendar days in the rules are days of this zone."""


FEVER_CELSIUS = 37.3
"""From this temperature on someone has a fever, and is advised to have it looked at (the national
prevention protocol, as decision 13 names it). It bears on no code."""


class ListBound(Struct, frozen=True):
    """How many entries a list of health information keeps, and for how long after they happened; a
    correction, after it was sent."""

    kept_max: int
    kept_for: timedelta


class Policy(Struct, frozen=True):
    """One dated set of numbers, in force in `[valid_from, valid_to)`. Both are in UTC: to compare
    instants of two zones takes twenty times as long."""

    version: str
    valid_from: datetime
    valid_to: datetime | None

    after_discharge: timedelta
    """A confirmed case lifts this long after discharge (decision 13: 14 days)."""

    negatives_apart: timedelta
    """A positive without a case lifts by two negatives sampled at least this far apart
    (decision 13: 24 hours)."""

    after_exposure: timedelta
    """A contact lifts no earlier than this after the last exposure (decision 13: 14 days)."""

    contact_test_days: tuple[int, ...]
    """Days after the last exposure on which a contact is tested; day n is the calendar day of
    the exposure + n (decision 13: days 1, 4, 7 and 14)."""

    contact_tests_apart: timedelta
    """Tests of a contact on different days are sampled at least this far apart (own decision: 6
    hours; four swabs of one morning are not four days' tests)."""

    sampled_to_reported_max: timedelta
    """The longest time from a swab to its report. A result that took longer has a wrong date: a
    negative counts for nothing, a positive as if it was sampled when reported (own decision: 14
    days)."""

    provincial_disorder_max: timedelta
    """Reports of a province within this of each other may be out of order, and its sequence orders
    them. A lower sequence that is reported later than that begins a new count (own decision: 10
    minutes, by which a publisher's clock may be wrong)."""

    planned_end_lifts: frozenset[QuarantineKind]
    """Kinds of quarantine that end by themselves at the planned end. The others wait for the
    release notice, 解除医学观察电子告知书 (own decision: at home, yes; centralised, no)."""

    correction_wait: timedelta
    """How long an event waits for what it names, to correct or to close it, before its source is
    told that it has no effect yet (own decision: 10 minutes, by which events of one source may
    be out of order)."""

    settled_after: timedelta
    """What lies wholly longer ago than this, and bears on nothing that is open, leaves the row for
    the person's history (own decision: 16 days, two more than any rule looks back)."""

    facts_max: int
    """Most events in a row. One more makes the oldest leave for the history, as far as nothing that
    is open rests on it (own decision: 128, twice what a test and two provinces a day come to)."""

    facts_reserved: int
    """Room beyond `facts_max`, used where no event may leave (own decision: 64, half of
    `facts_max`). Beyond it an alert rises, and results leave that a late one might need."""

    facts_of_source_max: int
    """Most reasons that hold, of one source about one person; and most of its corrections, or of
    what closes, in a crowded row. What more it says of someone who is red is put aside, and its
    source and an operator are told (own decision: 128, as many as `facts_max`)."""

    history_kept: timedelta
    """How long the history of a person is kept: as long as its topics keep the events (own
    decision: 400 days). A late event or a correction finds what has left a row until then."""

    pages_max: int
    """Most pages of one person's history; one more makes the oldest be given up (own decision: 64,
    a thousand events and more)."""

    openings_max: dict[Reason, int]
    """How many openings of a reason one source has in a window; what is above waits for two
    operators (own decision: no source counts so many by hand. Of results 5,000 an hour, since a
    large laboratory finds some hundreds on the worst of days; of a report that other people stand
    behind 10,000, a tenth of what a city's CDC or command lists in a day (`person_keys` in
    topics.yaml); of a province 50,000, which sends the list of its morning at once)."""

    openings_window: timedelta
    """The window in which openings are counted, by when they first arrived (own decision: an hour,
    within which an operator looks; what comes in the next is within its own limit)."""

    openings_windows_kept: int
    """Windows with openings whose counts are kept, of a source and reason (own decision: those of
    14 days without a pause, so that no partition is read so much later than another; some 3 KB)."""

    ended_kept: timedelta
    """How long an ended reason stays in the code, no longer shown. If a clock of ours runs ahead by
    less, it can take no reason from a reader whose clock is right (own decision)."""

    nat_results_from: datetime
    """Results sampled before this are not listed (manual, 四.7: 4 月 20 日以后)."""

    adult_years: int
    """From which age someone sees their displays (manual, 四.2; 民法典 第十七条: 18)."""

    display_days: int
    """Calendar days of displays that are listed, today among them (manual, 四.2: 近三天)."""

    travel_days: int
    """A travel card goes back to the day this many before today (manual, 三（四）: 前 14 天内)."""

    lists: dict[ListName, ListBound]
    """Bounds of the lists (own decision, except the displays' three days). An entry is kept as long
    as its topic keeps the event, and a hundred of a kind are more than anyone is asked to show. A
    phone's visits are kept as long as a travel card goes back, some 25 a day."""


POLICIES = (
    Policy(
        version="2020-04",
        valid_from=datetime.combine(date(2019, 12, 1), datetime.min.time(), ZONE).astimezone(UTC),
        valid_to=None,
        after_discharge=timedelta(days=14),
        negatives_apart=timedelta(hours=24),
        after_exposure=timedelta(days=14),
        contact_test_days=(1, 4, 7, 14),
        contact_tests_apart=timedelta(hours=6),
        sampled_to_reported_max=timedelta(days=14),
        provincial_disorder_max=timedelta(minutes=10),
        planned_end_lifts=frozenset({QuarantineKind.HOME}),
        correction_wait=timedelta(minutes=10),
        settled_after=timedelta(days=16),
        facts_max=128,
        facts_reserved=64,
        facts_of_source_max=128,
        history_kept=timedelta(days=400),
        pages_max=64,
        openings_max={
            Reason.CONFIRMED_OR_POSITIVE: 5_000,
            Reason.SUSPECTED_CASE: 5_000,
            Reason.CLOSE_CONTACT: 10_000,
            Reason.OUT_OF_PROVINCE_CODE: 50_000,
            Reason.CENTRALISED_QUARANTINE: 10_000,
            Reason.HOME_QUARANTINE: 10_000,
        },
        openings_window=timedelta(hours=1),
        openings_windows_kept=14 * 24,
        ended_kept=timedelta(days=2),
        nat_results_from=datetime.combine(date(2020, 4, 20), datetime.min.time(), ZONE),
        adult_years=18,
        display_days=3,
        travel_days=14,
        lists={
            **dict.fromkeys(ListName, ListBound(kept_max=100, kept_for=timedelta(days=400))),
            ListName.DISPLAYS: ListBound(kept_max=100, kept_for=timedelta(days=3)),
            ListName.TEMPERATURES: ListBound(kept_max=100, kept_for=timedelta(days=30)),
            ListName.TELECOM_VISITS: ListBound(kept_max=400, kept_for=timedelta(days=16)),
        },
    ),
)
"""In order of time; each begins where the one before ends."""


def policy_at(at: datetime) -> Policy:
    """Return the policy in force at `at`; for an instant before all policies, the first."""
    return policies_from(at)[0]


def policies_from(at: datetime) -> Sequence[Policy]:
    """Return the policy in force at `at`, and those that follow it."""
    for place in range(len(POLICIES) - 1, 0, -1):
        if POLICIES[place].valid_from <= at:
            return POLICIES[place:]
    return POLICIES


def day_start(instant: datetime, days: int) -> datetime:
    """Return 00:00 of the calendar day of `instant` plus `days`, in `ZONE`."""
    day = instant.astimezone(ZONE).date() + timedelta(days=days)
    return datetime.combine(day, datetime.min.time(), ZONE)


class HighRisk(Struct, frozen=True):
    """A division that was high-risk from the day `first`. On the day `until` it no longer was.

    `until` is None until further notice. `where` is the part of the division that the notice names.
    """

    division: str
    first: date
    until: date | None
    where: str
    source: str


HIGH_RISK = (
    HighRisk(
        "420100",
        date(2020, 1, 23),
        date(2020, 4, 8),
        "武汉市",
        "武汉市新冠肺炎疫情防控指挥部通告第 1 号（离汉通道暂时关闭）; 湖北省, 4 月 8 日零时解除离汉"
        "离鄂通道管控. Before there were grades (own decision: a closed city is high-risk).",
    ),
    HighRisk(
        "110106",
        date(2020, 6, 14),
        date(2020, 7, 13),
        "北京市丰台区花乡",
        "新京报, 14 June 2020; 北京日报, 13 July 2020 (press conference 150)",
    ),
    HighRisk(
        "130109",
        date(2021, 1, 5),
        date(2021, 2, 8),
        "石家庄市藁城区（先为增村镇小果庄村）",
        "北京日报, 5 January 2021; 人民网河北, 7 February 2021",
    ),
    HighRisk(
        "440103",
        date(2021, 6, 2),
        date(2021, 6, 24),
        "广州市荔湾区白鹤洞街、中南街",
        "广州市部分区域疫情风险等级调整的通告, 2 and 24 June 2021",
    ),
    HighRisk(
        "320115",
        date(2021, 7, 23),
        date(2021, 8, 15),
        "南京市江宁区禄口街道",
        "新华社, 23 July 2021; 南京市疫情防控新闻发布会, 16 August 2021",
    ),
)
"""From dated notices, in order of time. The list is not complete: the state grades streets and
villages, day by day. These are the cases whose beginning and end were looked up."""


def high_risk_on(day: date, marks: Iterable[HighRisk] = HIGH_RISK) -> frozenset[str]:
    """Return the divisions that are high-risk on `day`, a day in `ZONE`."""
    return frozenset(
        mark.division
        for mark in marks
        if mark.first <= day and (mark.until is None or day < mark.until)
    )
