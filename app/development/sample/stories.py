"""What happens to the synthetic people: one story for each way through the rules.

A story says what agencies publish about a person, and which code follows. Each story is told about
at least one person. The first one is a named scenario with a link and an expected colour. The
story's share says how many more there are. The shares leave one to two per cent of the city red.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from random import Random

from msgspec import Struct

from app.development.sample.documents import SampleDocument, SamplePhone
from models.codes import NO_CODE, Colour, Reason, Status
from models.events import (
    CaseConfirmed,
    CaseConfirmedData,
    CaseDischarged,
    CaseDischargedData,
    CaseExcluded,
    CaseExcludedData,
    CaseRetracted,
    CaseSuspected,
    CaseSuspectedData,
    ContactListed,
    ContactListedData,
    ContactRetracted,
    ContactWithdrawn,
    ContactWithdrawnData,
    Envelope,
    IdentityData,
    IdentityRetracted,
    IdentityRetractionData,
    IdentityRetractionReason,
    IdentityVerified,
    NationalStatus,
    NationalStatusData,
    NationalStatusReported,
    NatResultData,
    NatResultReported,
    NatResultRetracted,
    ProvincialCodeData,
    ProvincialCodeReported,
    ProvincialColour,
    QuarantineKind,
    QuarantineOrdered,
    QuarantineOrderedData,
    QuarantineReleased,
    QuarantineReleasedData,
    QuarantineRetracted,
    QuarantineTransferred,
    QuarantineTransferredData,
    Result,
    ResultStatus,
    RetractionData,
    RetractionReason,
    ScanData,
    ScanRecorded,
)
from models.notices import Objection
from models.policy import day_start, policy_at

CDC = "/cdc/440100"
COMMAND = "/quarantine-commands/440100"
NATIONAL_PLATFORM = "/national-platform"
IDENTITY_PROVIDER = "/identity-providers/guangdong"
LABORATORIES = 12
TERMINALS = 200
PROVINCES = ("43", "45", "36", "35", "42", "33", "51", "31")
CITIES = {"440100": 70, "440300": 12, "440600": 10, "441900": 8}
"""Where people live, and their share in per cent."""

CENTRALISED, HOME = QuarantineKind.CENTRALISED, QuarantineKind.HOME


class Draft(Struct, eq=False):
    """An event before it has its id and its source's sequence."""

    kind: type[Envelope]
    source: str
    time: datetime
    data: Struct
    supersedes: "Draft | None" = None
    published_first: bool = False
    """Whether it is published before the event that it corrects."""
    in_turn: bool = False
    """Whether it must be published in its turn, never late."""
    of_phone: bool = False
    """Whether it is about the person's phone, not the person."""


class Resident:
    """A synthetic person, and the events that a story tells of them.

    The methods append one event each; instants are given as time before the sample's `now`.
    """

    def __init__(
        self, number: int, document: SampleDocument, now: datetime, random: Random
    ) -> None:
        self.number = number
        self.document = document
        self.phone: SamplePhone | None = None
        self.now = now
        self.random = random
        self.drafts: list[Draft] = []
        self.changes_at: datetime | None = None
        """When their code changes by itself, if that is within minutes of `now`."""
        self.city = random.choices(list(CITIES), list(CITIES.values()))[0]

    def ago(self, days: float = 0, hours: float = 0, minutes: float = 0) -> datetime:
        """Return the instant this long before `now`, to the second."""
        return self.now - timedelta(seconds=round((days * 24 + hours) * 3600 + minutes * 60))

    def some_days_ago(self, least: float, most: float) -> datetime:
        """Return an instant from `least` to `most` days before `now`."""
        return self.ago(days=self.random.uniform(least, most))

    def file(self, letter: str) -> str:
        """Return the file number that an agency keeps about this person."""
        return f"{letter}-{self.number:06d}"

    def add(self, kind: type[Envelope], source: str, time: datetime, data: Struct) -> Draft:
        """Append an event."""
        draft = Draft(kind, source, time, data)
        self.drafts.append(draft)
        return draft

    def correct(self, target: Draft, by: Draft, published_first: bool = False) -> None:
        """Make `by` the correction of `target`."""
        by.supersedes = target
        by.published_first = published_first

    def retract(
        self,
        target: Draft,
        kind: type[Envelope],
        at: datetime,
        reason: RetractionReason = RetractionReason.ENTERED_IN_ERROR,
        published_first: bool = False,
    ) -> None:
        """Append a retraction of `target`."""
        retraction = self.add(kind, target.source, at, RetractionData(reason))
        self.correct(target, retraction, published_first)

    def verify(self) -> Draft:
        """The identity provider verified the person."""
        at = self.some_days_ago(1, 19.5)
        data = IdentityData(at, self.document.type, self.city)
        return self.add(IdentityVerified, IDENTITY_PROVIDER, at, data)

    def test(
        self,
        sampled_at: datetime,
        result: Result = Result.NEGATIVE,
        status: ResultStatus = ResultStatus.FINAL,
    ) -> Draft:
        """A laboratory reported a result, some hours after the sample and not after `now`."""
        took = timedelta(minutes=self.random.randrange(180, 480))
        reported_at = min(sampled_at + took, self.now - timedelta(seconds=1))
        laboratory = self.random.randrange(LABORATORIES) + 1
        source = f"/laboratories/440100-{laboratory:03d}"
        data = NatResultData(sampled_at, reported_at, result, source, status)
        return self.add(NatResultReported, source, reported_at, data)

    def suspect(self, at: datetime) -> Draft:
        """A suspected case was reported."""
        return self.add(CaseSuspected, CDC, at, CaseSuspectedData(self.file("C"), at))

    def confirm(self, at: datetime) -> Draft:
        """A case was confirmed."""
        return self.add(CaseConfirmed, CDC, at, CaseConfirmedData(self.file("C"), at))

    def exclude(self, at: datetime) -> Draft:
        """A suspicion was excluded."""
        return self.add(CaseExcluded, CDC, at, CaseExcludedData(self.file("C"), at))

    def discharge(self, at: datetime) -> Draft:
        """A confirmed case left hospital."""
        return self.add(CaseDischarged, CDC, at, CaseDischargedData(self.file("C"), at))

    def list_contact(self, exposed_at: datetime, letter: str = "L") -> Draft:
        """A contact was listed, within a day of the last exposure."""
        at = exposed_at + timedelta(minutes=self.random.randrange(300, 1200))
        data = ContactListedData(self.file(letter), exposed_at, at)
        return self.add(ContactListed, CDC, at, data)

    def test_on_days(self, exposed_at: datetime, days: tuple[int, ...]) -> None:
        """Negatives of a contact, sampled on these days after the last exposure."""
        for day in days:
            self.test(day_start(exposed_at, day) + timedelta(hours=self.random.uniform(8, 11)))

    def quarantine(self, kind: QuarantineKind, starts_at: datetime, ends_at: datetime) -> Draft:
        """Quarantine was ordered."""
        data = QuarantineOrderedData(self.file("Q"), kind, starts_at, ends_at)
        return self.add(QuarantineOrdered, COMMAND, starts_at, data)

    def transfer(self, kind: QuarantineKind, at: datetime, ends_at: datetime) -> Draft:
        """Quarantine was transferred to another kind of place."""
        data = QuarantineTransferredData(self.file("Q"), kind, at, ends_at)
        return self.add(QuarantineTransferred, COMMAND, at, data)

    def release(self, at: datetime) -> Draft:
        """The release notice (解除医学观察电子告知书) was written."""
        data = QuarantineReleasedData(self.file("Q"), self.file("N"), at)
        return self.add(QuarantineReleased, COMMAND, at, data)

    def abroad(self, province: str, colour: ProvincialColour, at: datetime) -> Draft:
        """Another province reported what its code shows."""
        data = ProvincialCodeData(province, colour, at)
        return self.add(ProvincialCodeReported, f"/provinces/{province}", at, data)

    def scan(self, at: datetime) -> Draft:
        """Someone's code was scanned."""
        terminal = f"440100-{self.random.randrange(TERMINALS) + 1:04d}"
        data = ScanData(terminal, f"样本场所 {terminal[-4:]}", at)
        return self.add(ScanRecorded, f"/terminals/{terminal}", at, data)


Tell = Callable[[Resident], None]


class Story(Struct, frozen=True):
    """A way through the rules. `share` is in people of 10,000; 0 is told about one person only.

    `expected` holds once all events are folded; `then` holds from the resident's `changes_at` on.
    """

    name: str
    share: int
    expected: Status
    then: Status | None
    tell: Tell
    objection: Objection | None = None
    """What the fold objects to in the story, though each of its events is valid."""


STORIES: list[Story] = []
"""Every story except the ordinary one, in the order in which people are given to them."""

GREEN = Status(Colour.GREEN)


def _red(*ranks: int) -> Status:
    return Status(Colour.RED, tuple(Reason(rank) for rank in ranks))


def _story(
    name: str,
    share: int,
    expected: Status,
    then: Status | None = None,
    objection: Objection | None = None,
) -> Callable[[Tell], Tell]:
    def register(tell: Tell) -> Tell:
        STORIES.append(Story(name, share, expected, then, tell, objection))
        return tell

    return register


def _ordinary(resident: Resident) -> None:
    """Verified, tested now and then, out and about."""
    resident.verify()
    if resident.random.random() < 0.5:  # today's mass testing
        resident.test(resident.some_days_ago(0.2, 1))
    if resident.random.random() < 0.25:
        resident.test(resident.some_days_ago(2, 19))
    for _ in range(resident.random.choices((0, 1, 2, 3), (50, 30, 15, 5))[0]):
        resident.scan(resident.some_days_ago(0, 1))


ORDINARY = Story("green", 10_000, GREEN, None, _ordinary)


# No code


@_story("unverified", 80, NO_CODE)
def _unverified(resident: Resident) -> None:
    resident.test(resident.some_days_ago(0.5, 5))


@_story("unverified-positive", 2, Status(Colour.NONE, (Reason.CONFIRMED_OR_POSITIVE,)))
def _unverified_positive(resident: Resident) -> None:
    resident.test(resident.ago(days=1), Result.POSITIVE)


@_story("identity-retracted", 5, NO_CODE)
def _identity_retracted(resident: Resident) -> None:
    identity = resident.verify()
    wrong = IdentityRetractionData(IdentityRetractionReason.WRONG_PERSON)
    retraction = resident.add(IdentityRetracted, identity.source, resident.ago(hours=5), wrong)
    resident.correct(identity, retraction)


# Rank 1: 确诊病例或核酸检测阳性


@_story("confirmed-in-hospital", 8, _red(1))
def _confirmed_in_hospital(resident: Resident) -> None:
    resident.verify()
    resident.test(resident.ago(days=6), Result.POSITIVE)
    resident.confirm(resident.some_days_ago(3, 5))
    # Tests do not lift a confirmed case; its discharge does.
    resident.test(resident.ago(days=2, hours=12))
    resident.test(resident.ago(days=1))


@_story("discharged-waiting", 6, _red(1))
def _discharged_waiting(resident: Resident) -> None:
    resident.verify()
    resident.confirm(resident.some_days_ago(14, 18))
    resident.discharge(resident.some_days_ago(2, 10))


@_story("discharge-period-ends-soon", 2, _red(1), GREEN)
def _discharge_period_ends_soon(resident: Resident) -> None:
    resident.verify()
    confirmed_at = resident.ago(days=19)
    resident.confirm(confirmed_at)
    resident.changes_at = resident.ago(minutes=-resident.random.randrange(4, 12))
    resident.discharge(resident.changes_at - policy_at(confirmed_at).after_discharge)


@_story("discharged-lifted", 4, GREEN)
def _discharged_lifted(resident: Resident) -> None:
    resident.verify()
    resident.confirm(resident.some_days_ago(18, 19.5))
    resident.discharge(resident.some_days_ago(14.5, 16))


@_story("positive", 10, _red(1))
def _positive(resident: Resident) -> None:
    resident.verify()
    resident.test(resident.some_days_ago(0.5, 2), Result.POSITIVE)


@_story("positive-one-negative", 5, _red(1))
def _positive_one_negative(resident: Resident) -> None:
    resident.verify()
    resident.test(resident.ago(days=5), Result.POSITIVE)
    resident.test(resident.ago(days=3))
    resident.test(resident.ago(days=2, hours=14))  # too soon after the first


@_story("positive-lifted", 5, GREEN)
def _positive_lifted(resident: Resident) -> None:
    resident.verify()
    resident.test(resident.ago(days=8), Result.POSITIVE)
    resident.test(resident.ago(days=5))
    resident.test(resident.ago(days=3, hours=20))


@_story("positive-corrected", 4, GREEN)
def _positive_corrected(resident: Resident) -> None:
    resident.verify()
    wrong = resident.test(resident.ago(days=2), Result.POSITIVE)
    _correct_result(resident, wrong, Result.NEGATIVE, published_first=False)


@_story("positive-corrected-before-it-came", 4, GREEN)
def _positive_corrected_before_it_came(resident: Resident) -> None:
    resident.verify()
    wrong = resident.test(resident.ago(days=1), Result.POSITIVE)
    _correct_result(resident, wrong, Result.NEGATIVE, published_first=True)


@_story("negative-corrected-to-positive", 2, _red(1))
def _negative_corrected_to_positive(resident: Resident) -> None:
    resident.verify()
    wrong = resident.test(resident.ago(days=1, hours=6))
    _correct_result(resident, wrong, Result.POSITIVE, published_first=False)


@_story("positive-retracted", 3, GREEN)
def _positive_retracted(resident: Resident) -> None:
    resident.verify()
    wrong = resident.test(resident.ago(days=1, hours=12), Result.POSITIVE)
    resident.retract(wrong, NatResultRetracted, resident.ago(hours=3))


@_story("positive-preliminary", 5, GREEN)
def _positive_preliminary(resident: Resident) -> None:
    resident.verify()
    resident.test(resident.ago(hours=20), Result.POSITIVE, ResultStatus.PRELIMINARY)
    resident.test(resident.ago(hours=12), Result.INCONCLUSIVE)


def _correct_result(
    resident: Resident, wrong: Draft, result: Result, published_first: bool
) -> None:
    """Append the same laboratory's right result for the same sample."""
    data = wrong.data
    assert isinstance(data, NatResultData)
    at = resident.ago(hours=2)
    right = NatResultData(data.sampled_at, data.reported_at, result, data.institution)
    correction = resident.add(NatResultReported, wrong.source, at, right)
    resident.correct(wrong, correction, published_first)


# Rank 2: 疑似病例


@_story("suspected", 8, _red(2))
def _suspected(resident: Resident) -> None:
    resident.verify()
    resident.suspect(resident.some_days_ago(0.1, 3))


@_story("suspicion-excluded", 10, GREEN)
def _suspicion_excluded(resident: Resident) -> None:
    resident.verify()
    resident.suspect(resident.some_days_ago(4, 9))
    resident.exclude(resident.some_days_ago(0.2, 3))


@_story("suspicion-confirmed", 3, _red(1))
def _suspicion_confirmed(resident: Resident) -> None:
    resident.verify()
    resident.suspect(resident.some_days_ago(3, 5))
    resident.confirm(resident.some_days_ago(0.5, 2))


@_story("suspicion-of-another-person", 2, GREEN)
def _suspicion_of_another_person(resident: Resident) -> None:
    resident.verify()
    wrong = resident.suspect(resident.ago(days=2))
    resident.retract(
        wrong, CaseRetracted, resident.ago(hours=7), RetractionReason.WRONG_PERSON, True
    )


# Rank 3: 密切接触者


@_story("contact", 12, _red(3))
def _contact(resident: Resident) -> None:
    resident.verify()
    exposed_at = resident.some_days_ago(2, 12)
    resident.list_contact(exposed_at)
    resident.test_on_days(exposed_at, (1,))


@_story("contact-in-centralised-quarantine", 30, _red(3, 5))
def _contact_in_centralised_quarantine(resident: Resident) -> None:
    resident.verify()
    exposed_at = resident.some_days_ago(6, 12)
    listed = resident.list_contact(exposed_at)
    resident.test_on_days(exposed_at, (1, 4))
    resident.quarantine(CENTRALISED, listed.time, exposed_at + timedelta(days=14))


@_story("contact-test-missing", 6, _red(3))
def _contact_test_missing(resident: Resident) -> None:
    resident.verify()
    exposed_at = resident.some_days_ago(15, 18)
    resident.list_contact(exposed_at)
    resident.test_on_days(exposed_at, (1, 4, 7))


@_story("contact-lifted", 20, GREEN)
def _contact_lifted(resident: Resident) -> None:
    resident.verify()
    exposed_at = resident.some_days_ago(16, 18.5)
    resident.list_contact(exposed_at)
    resident.test_on_days(exposed_at, (1, 4, 7, 14))


@_story("contact-exposed-again", 3, _red(3))
def _contact_exposed_again(resident: Resident) -> None:
    resident.verify()
    exposed_at = resident.ago(days=17)
    resident.list_contact(exposed_at)
    resident.test_on_days(exposed_at, (1, 4, 7, 14))
    resident.list_contact(resident.ago(days=6))


@_story("contact-withdrawn", 4, GREEN)
def _contact_withdrawn(resident: Resident) -> None:
    resident.verify()
    resident.list_contact(resident.ago(days=8))
    at = resident.some_days_ago(1, 4)
    resident.add(ContactWithdrawn, CDC, at, ContactWithdrawnData(resident.file("L"), at))


@_story("contact-retracted", 2, GREEN)
def _contact_retracted(resident: Resident) -> None:
    resident.verify()
    listed = resident.list_contact(resident.ago(days=4))
    resident.retract(
        listed, ContactRetracted, resident.ago(hours=9), RetractionReason.WRONG_PERSON, True
    )


# Rank 4: 外省健康码红黄码人员


@_story("red-elsewhere", 10, _red(4))
def _red_elsewhere(resident: Resident) -> None:
    resident.verify()
    province = resident.random.choice(PROVINCES)
    resident.abroad(province, ProvincialColour.RED, resident.some_days_ago(0.5, 6))


@_story("yellow-elsewhere", 15, _red(4))
def _yellow_elsewhere(resident: Resident) -> None:
    resident.verify()
    province = resident.random.choice(PROVINCES)
    resident.abroad(province, ProvincialColour.GREEN, resident.some_days_ago(7, 12))
    resident.abroad(province, ProvincialColour.YELLOW, resident.some_days_ago(0.5, 6))


@_story("elsewhere-green-again", 15, GREEN)
def _elsewhere_green_again(resident: Resident) -> None:
    resident.verify()
    province = resident.random.choice(PROVINCES)
    resident.abroad(province, ProvincialColour.YELLOW, resident.some_days_ago(6, 12))
    resident.abroad(province, ProvincialColour.GREEN, resident.some_days_ago(0.1, 4))


@_story("two-provinces-one-green", 3, _red(4))
def _two_provinces_one_green(resident: Resident) -> None:
    resident.verify()
    one, other = resident.random.sample(PROVINCES, 2)
    resident.abroad(one, ProvincialColour.RED, resident.ago(days=7))
    resident.abroad(other, ProvincialColour.YELLOW, resident.ago(days=6))
    resident.abroad(one, ProvincialColour.GREEN, resident.ago(days=1))


# Rank 5: 集中隔离人员


@_story("centralised-quarantine", 15, _red(5))
def _centralised_quarantine(resident: Resident) -> None:
    resident.verify()
    starts_at = resident.some_days_ago(1, 10)
    resident.quarantine(CENTRALISED, starts_at, starts_at + timedelta(days=14))


@_story("centralised-quarantine-overdue", 4, _red(5))
def _centralised_quarantine_overdue(resident: Resident) -> None:
    """The planned end has passed and the release notice is missing."""
    resident.verify()
    starts_at = resident.some_days_ago(15, 17)
    resident.quarantine(CENTRALISED, starts_at, starts_at + timedelta(days=14))


@_story("centralised-quarantine-released", 12, GREEN)
def _centralised_quarantine_released(resident: Resident) -> None:
    resident.verify()
    starts_at = resident.some_days_ago(15, 18)
    resident.quarantine(CENTRALISED, starts_at, starts_at + timedelta(days=14))
    resident.release(starts_at + timedelta(days=14, hours=2))


@_story("centralised-quarantine-retracted", 2, GREEN)
def _centralised_quarantine_retracted(resident: Resident) -> None:
    resident.verify()
    wrong = resident.quarantine(CENTRALISED, resident.ago(days=2), resident.ago(days=-12))
    resident.retract(wrong, QuarantineRetracted, resident.ago(hours=11))


@_story("quarantine-transferred-home", 8, _red(6))
def _quarantine_transferred_home(resident: Resident) -> None:
    resident.verify()
    resident.quarantine(CENTRALISED, resident.ago(days=9), resident.ago(days=-5))
    resident.transfer(HOME, resident.some_days_ago(1, 2), resident.ago(days=-5))


# Rank 6: 居家隔离人员


@_story("home-quarantine", 22, _red(6))
def _home_quarantine(resident: Resident) -> None:
    resident.verify()
    starts_at = resident.some_days_ago(1, 12)
    resident.quarantine(HOME, starts_at, starts_at + timedelta(days=14))


@_story("home-quarantine-over", 15, GREEN)
def _home_quarantine_over(resident: Resident) -> None:
    resident.verify()
    starts_at = resident.some_days_ago(14.5, 19)
    resident.quarantine(HOME, starts_at, starts_at + timedelta(days=14))


@_story("home-quarantine-ends-soon", 6, _red(6), GREEN)
def _home_quarantine_ends_soon(resident: Resident) -> None:
    resident.verify()
    resident.changes_at = resident.ago(minutes=-resident.random.uniform(3, 15))
    resident.quarantine(HOME, resident.ago(days=14), resident.changes_at)


# Several at once


@_story("many-reasons", 2, _red(1, 3, 4, 5))
def _many_reasons(resident: Resident) -> None:
    resident.verify()
    exposed_at = resident.ago(days=7)
    listed = resident.list_contact(exposed_at)
    resident.quarantine(CENTRALISED, listed.time, exposed_at + timedelta(days=14))
    resident.test_on_days(exposed_at, (1,))
    resident.test(resident.ago(days=3), Result.POSITIVE)
    resident.abroad("43", ProvincialColour.RED, resident.ago(days=2))


# To be looked at, one of each


@_story("minor", 0, GREEN)
def _minor(resident: Resident) -> None:
    resident.verify()
    resident.test(resident.some_days_ago(0.5, 5))


@_story("permit-holder", 0, GREEN)
def _permit_holder(resident: Resident) -> None:
    resident.verify()
    resident.test(resident.some_days_ago(0.5, 5))
    starts_at = resident.ago(days=17)
    resident.quarantine(CENTRALISED, starts_at, starts_at + timedelta(days=14))
    resident.release(starts_at + timedelta(days=14, hours=2))


@_story("high-national-status", 0, GREEN)
def _high_national_status(resident: Resident) -> None:
    """This is not abnormal (manual, 四.6): it waits for the push to the national platform."""
    resident.verify()
    resident.test(resident.some_days_ago(0.5, 5))
    at = resident.ago(days=1)
    data = NationalStatusData(NationalStatus.HIGH, at)
    resident.add(NationalStatusReported, NATIONAL_PLATFORM, at, data)


# Corrections of no effect: each event is valid, and the fold objects to what it claims.


@_story(
    "correction-of-another-laboratory",
    3,
    _red(1),
    objection=Objection.CORRECTION_OF_OTHER_SOURCE,
)
def _correction_of_another_laboratory(resident: Resident) -> None:
    resident.verify()
    positive = resident.test(resident.ago(days=2), Result.POSITIVE)
    claim = resident.test(resident.ago(days=1))
    if claim.source == positive.source:
        claim.source = _other_laboratory(positive.source)
    resident.correct(positive, claim)
    positive.in_turn = claim.in_turn = True


@_story(
    "corrections-in-a-circle",
    3,
    GREEN,
    objection=Objection.CORRECTION_OF_LATER_EVENT,
)
def _corrections_in_a_circle(resident: Resident) -> None:
    resident.verify()
    one = resident.test(resident.ago(days=3))
    other = resident.test(resident.ago(days=2))
    other.source = one.source
    resident.correct(one, other)
    resident.correct(other, one)
    one.in_turn = other.in_turn = True


def _other_laboratory(source: str) -> str:
    number = int(source[-3:]) % LABORATORIES + 1
    return f"/laboratories/440100-{number:03d}"
