"""What happens to one person: events of every rule, with instants around now.

Most reasons end by time alone within seconds: an end is an instant now and a period of policy
before it.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from models import events as e
from models.policy import POLICIES, day_start
from support import builders as b

POLICY = POLICIES[-1]
CITIES = ("440100", "440300", "445200")

SOON_SECONDS = 14.0
"""Ends by time come within this."""


class Teller:
    """Tells what happened to one person, with instants around now."""

    def __init__(self, random: Random, ids: Callable[[], dict[str, Any]]) -> None:
        self.random = random
        self._ids = ids
        self.now = datetime.now(UTC)

    def ago(self, days: float) -> datetime:
        return self.now - timedelta(days=days)

    def soon(self) -> datetime:
        """An instant that comes while the round runs; sometimes it is just over."""
        return self.now + timedelta(seconds=self.random.uniform(-1, SOON_SECONDS))

    def number(self) -> str:
        return f"F{self.random.randrange(10**9)}"

    def identity(self) -> list[Any]:
        at = self.soon() if self.random.random() < 0.2 else self.ago(30)
        return [b.verified(at, self.random.choice(CITIES), **self._ids())]

    def result(
        self, result: str, sampled: datetime, reported: datetime | None = None, **kw: Any
    ) -> Any:
        source = f"/laboratories/44{self.random.randrange(1, 40):04}"
        reported = reported or sampled + timedelta(minutes=1)
        return b.nat(result, sampled, reported, **{"source": source, **self._ids(), **kw})

    def positive_cleared_soon(self) -> list[Any]:
        one, two = self.ago(2), self.ago(0.9)
        return [
            self.result("positive", self.ago(3)),
            self.result("negative", one),
            self.result("negative", two, self.soon()),
        ]

    def positive_taken_back(self) -> list[Any]:
        found = self.result("positive", self.ago(1))
        return self.shuffled([found, b.retracted(found, self.now, **self._ids())])

    def positive_corrected(self) -> list[Any]:
        found = self.result("positive", self.ago(1))
        right = self.result("negative", self.ago(1), source=found.source, supersedes=found.id)
        return self.shuffled([found, right])

    def claims_in_vain(self) -> list[Any]:
        """Corrections of another source's event, of a later one, of one that never comes."""
        found = self.result("positive", self.ago(1))
        other = self.result("negative", self.ago(1), source="/laboratories/1", supersedes=found.id)
        early = self.result("negative", self.ago(1), source=found.source, supersedes=found.id)
        early = b.make(
            type(early),
            early.data,
            at=early.time,
            source=early.source,
            id=early.id,
            sequence=1,
            supersedes=found.id,
            person=early.partitionkey,
        )
        lost = self.result("inconclusive", self.ago(1), supersedes="never-sent")
        return [found, other, early, lost]

    def case_discharged_soon(self) -> list[Any]:
        case, ids = self.number(), self._ids
        return self.shuffled(
            [
                b.suspected(self.ago(20), case, **ids()),
                b.confirmed(self.ago(19), case, **ids()),
                b.discharged(self.soon() - POLICY.after_discharge, case, **ids()),
            ]
        )

    def suspicion_excluded_soon(self) -> list[Any]:
        case, ids = self.number(), self._ids
        return [b.suspected(self.ago(1), case, **ids()), b.excluded(self.soon(), case, **ids())]

    def case_taken_back(self) -> list[Any]:
        found = b.suspected(self.ago(1), self.number(), **self._ids())
        return self.shuffled([found, b.retracted(found, self.now, **self._ids())])

    def contact_over_soon(self) -> list[Any]:
        listing, exposure = self.number(), self.soon() - POLICY.after_exposure
        days = [day_start(exposure, day) for day in POLICY.contact_test_days]
        source = "/laboratories/440001"
        tests = [
            self.result("negative", min(day, self.now - timedelta(minutes=2)), source=source)
            for day in days
        ]
        listed = b.contact(exposure, self.ago(13), listing, **self._ids())
        return self.shuffled([listed, *tests])

    def contact_withdrawn_soon(self) -> list[Any]:
        listing = self.number()
        listed = b.contact(self.ago(3), self.ago(2), listing, **self._ids())
        return [listed, b.contact_withdrawn(self.soon(), listing, **self._ids())]

    def contact_taken_back(self) -> list[Any]:
        listed = b.contact(self.ago(3), self.ago(2), self.number(), **self._ids())
        return [listed, b.retracted(listed, self.now, **self._ids())]

    def other_province(self) -> list[Any]:
        province = self.random.choice(("43", "45", "36"))
        colour = self.random.choice(("red", "yellow"))
        return [
            b.provincial(colour, self.ago(1), province, **self._ids()),
            b.provincial("green", self.soon(), province, **self._ids()),
        ]

    def home_until_soon(self) -> list[Any]:
        return [b.ordered("home", self.ago(14), self.soon(), self.number(), **self._ids())]

    def home_from_soon(self) -> list[Any]:
        start = self.soon()
        end = start + timedelta(seconds=self.random.uniform(1, 5))
        return [b.ordered("home", start, end, self.number(), **self._ids())]

    def centralised_then_home(self) -> list[Any]:
        order = self.number()
        return self.shuffled(
            [
                b.ordered("centralised", self.ago(14), self.ago(1), order, **self._ids()),
                b.transferred("home", self.ago(2), self.soon(), order, **self._ids()),
            ]
        )

    def released_soon(self) -> list[Any]:
        order = self.number()
        return [
            b.ordered("centralised", self.ago(14), self.ago(1), order, **self._ids()),
            b.released(self.soon(), order, **self._ids()),
        ]

    def left_code_soon(self) -> list[Any]:
        """Ended so long ago that it leaves the code; nothing of that is told."""
        order = self.number()
        return [
            b.ordered("centralised", self.ago(20), self.ago(3), order, **self._ids()),
            b.released(self.soon() - POLICY.ended_kept, order, **self._ids()),
        ]

    def nothing_opens(self) -> list[Any]:
        return [
            self.result("positive", self.ago(1), status="preliminary"),
            self.result("inconclusive", self.ago(1)),
            self.result("negative", self.ago(1)),
        ]

    def more_than_a_row_holds(self) -> list[Any]:
        """Results of two months; one that was positive is taken back when it has left the row."""
        found = self.result("positive", self.ago(60))
        results = [self.result("negative", self.ago(59 - n / 3)) for n in range(POLICY.facts_max)]
        return [found, *self.shuffled(results), b.retracted(found, self.now, **self._ids())]

    def found_again_and_again(self) -> list[Any]:
        """Positive by several laboratories, each day of months: none is over, so none may leave."""
        return [self.result("positive", self.ago(1 + n / 3)) for n in range(2 * POLICY.facts_max)]

    def identity_taken_back(self) -> list[Any]:
        found = b.verified(self.ago(3), **self._ids())
        return [found, b.retracted(found, self.now, **self._ids()), *self.identity()]

    def scan(self) -> Any:
        data = e.ScanData(self.number(), "A place", self.now)
        return b.make(e.ScanRecorded, data, at=self.now, source="/terminals/1", **self._ids())

    def shuffled(self, events: list[Any]) -> list[Any]:
        if self.random.random() < 0.5:
            self.random.shuffle(events)
        return events


STORIES: tuple[Callable[[Teller], list[Any]], ...] = (
    Teller.positive_cleared_soon,
    Teller.positive_taken_back,
    Teller.positive_corrected,
    Teller.claims_in_vain,
    Teller.case_discharged_soon,
    Teller.suspicion_excluded_soon,
    Teller.case_taken_back,
    Teller.contact_over_soon,
    Teller.contact_withdrawn_soon,
    Teller.contact_taken_back,
    Teller.other_province,
    Teller.home_until_soon,
    Teller.home_until_soon,
    Teller.home_from_soon,
    Teller.centralised_then_home,
    Teller.released_soon,
    Teller.left_code_soon,
    Teller.nothing_opens,
    Teller.identity_taken_back,
)
