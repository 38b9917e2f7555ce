"""How many red reasons one source opens in a window of time. What is above the limit is held, until
two different operators have approved it.

One event of a source that errs, or whose key is in other hands, turns a person red without a
reason; ten thousand of them turn a city red. So what may open a reason is counted, per source and
reason, by when it first arrived on the log. The windows lie side by side, so the number that is
within the limit is the lesser of the limit and all that arrived. It does not depend on the order in
which they are counted, nor on partitions, workers, or clocks.

What is counted is what an event says by itself. Whether it opens a reason beside the person's other
events is not known here: a second positive of one person counts as the first.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from msgspec import Struct

from models.codes import Reason
from models.events import (
    CaseConfirmed,
    CaseSuspected,
    ContactListed,
    Event,
    NatResultReported,
    NatResultReportedV2,
    ProvincialCodeReported,
    ProvincialColour,
    QuarantineKind,
    QuarantineOrdered,
    QuarantineTransferred,
)
from models.notices import Notice, Objection
from models.policy import policy_at
from models.results import opens

APPROVERS: Final = 2
"""So many different operators approve what is held before it goes on."""


def opening(event: Event) -> Reason | None:
    """Return the reason that `event` may open by itself; None if it opens none.

    Retractions open none here, though one may give back what was counted when it first came.
    """
    reason_of = _OPENS.get(type(event))
    return None if reason_of is None else reason_of(event.data)


def _always(reason: Reason) -> Callable[[Any], Reason]:
    return lambda _: reason


def _of_result(data: Any) -> Reason | None:
    return Reason.CONFIRMED_OR_POSITIVE if opens(data) else None


def _of_province(data: Any) -> Reason | None:
    green = data.colour is ProvincialColour.GREEN
    return None if green else Reason.OUT_OF_PROVINCE_CODE


def _of_quarantine(data: Any) -> Reason:
    if data.kind is QuarantineKind.CENTRALISED:
        return Reason.CENTRALISED_QUARANTINE
    return Reason.HOME_QUARANTINE


_OPENS: dict[type, Callable[[Any], Reason | None]] = {
    NatResultReported: _of_result,
    NatResultReportedV2: _of_result,
    CaseConfirmed: _always(Reason.CONFIRMED_OR_POSITIVE),
    CaseSuspected: _always(Reason.SUSPECTED_CASE),
    ContactListed: _always(Reason.CLOSE_CONTACT),
    ProvincialCodeReported: _of_province,
    QuarantineOrdered: _of_quarantine,
    QuarantineTransferred: _of_quarantine,
}


class QuotaLimit(Struct, frozen=True):
    """At most `most` openings in each window of `window`; of the newest `kept` windows that have
    any, the counts are kept."""

    most: int
    window: timedelta
    kept: int


def limit_of(source: str, reason: Reason, at: datetime) -> QuotaLimit:
    """Return the limit of what `source` opens for `reason` and what arrived at `at`.

    Every source has the same so far: here a source gets one of its own.
    """
    policy = policy_at(at)
    return QuotaLimit(
        policy.openings_max[reason], policy.openings_window, policy.openings_windows_kept
    )


class Quota(Struct, array_like=True):
    """What is known of one source and one reason. All instants are milliseconds since 1970, as the
    log stamps records.

    `windows` has, by its beginning, what arrived in each window, whether it was within the limit or
    not. `approvals` has the two operators who approve the latest, each with the arrival until which
    they do; `subjects` has the `sub` of their tokens, where it is known.
    """

    windows: dict[int, int] = {}
    approvals: dict[str, int] = {}
    subjects: dict[str, str] = {}

    def count(self, arrived: int, limit: QuotaLimit) -> bool:
        """Count an opening that first arrived at `arrived`; say whether it is within the limit.

        One of a window that is older than all that are kept is not counted, and is above it: so in
        no window more than the limit ever goes on, however late a partition is read.
        """
        begin = arrived - arrived % (limit.window // timedelta(milliseconds=1))
        if begin not in self.windows and len(self.windows) >= limit.kept:
            oldest = min(self.windows)
            if begin < oldest:
                return False
            del self.windows[oldest]
        self.windows[begin] = self.windows.get(begin, 0) + 1
        return self.windows[begin] <= limit.most

    def approve(self, by: str, until: int, subject: str | None = None) -> None:
        """Note that the operator `by` approves what first arrived at `until` or before.

        Two names of one subject are one operator, who goes by the later one from then on. One name
        of two subjects is the later one's: what the other approved by it counts no more.
        """
        if subject is not None and self.subjects.get(by, subject) != subject:
            self._forget(by)
        for other in [name for name, known in self.subjects.items() if known == subject]:
            until = max(until, self.approvals[other])
            self._forget(other)
        self.approvals[by] = max(until, self.approvals.get(by, until))
        if subject is not None:
            self.subjects[by] = subject
        if len(self.approvals) > APPROVERS:
            self._forget(min(self.approvals, key=lambda name: self.approvals[name]))

    def _forget(self, by: str) -> None:
        self.approvals.pop(by, None)
        self.subjects.pop(by, None)

    @property
    def approved_until(self) -> int | None:
        """The arrival up to which enough different operators approve; None if too few do."""
        if len(self.approvals) < APPROVERS:
            return None
        return min(self.approvals.values())

    def approved(self, arrived: int) -> bool:
        """Say whether what first arrived at `arrived` is approved by enough operators."""
        until = self.approved_until
        return until is not None and arrived <= until


def above_limit(event: Event, reason: Reason, limit: QuotaLimit) -> Notice:
    """Tell that an event is above the limit of its source, and waits."""
    minutes = limit.window // timedelta(minutes=1)
    return Notice(
        event,
        Objection.HELD,
        f"{event.source} sent more than {limit.most} events within {minutes} minutes that open "
        f"{reason.slug}. This event is held: it counts once two operators have approved it. Do not "
        "send it again. If it was sent in error, take it back.",
        refused=False,
    )


def milliseconds(at: datetime) -> int:
    """Return `at` as the log stamps records, in milliseconds since 1970."""
    return (at - _EPOCH) // timedelta(milliseconds=1)


_EPOCH = datetime.fromtimestamp(0, UTC)
