"""Which events have no effect though they mean to have one, and what stands in the way of each.

An event of an agency that changes no reason, no condition and no list is not wrong by itself. But
its source believes that it did something, and must hear that it did not.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from itertools import chain
from operator import attrgetter
from typing import NamedTuple

from models.codes import EventRef, Interval, ref
from models.corrections import Settled
from models.events import (
    CaseConfirmed,
    CaseSuspected,
    QuarantineOrdered,
    QuarantineTransferred,
    StatusEvent,
    counts_from,
)
from models.files import (
    CONFIRMED_CASE,
    LISTING,
    OPENING,
    ORDER,
    SUSPECTED_CASE,
    Closed,
    FileReport,
    Placed,
    Track,
    file_of,
    held_from,
    precedes,
    steps_after,
    suspicions,
    walk,
)

TRACKS = {
    "case": (CONFIRMED_CASE, SUSPECTED_CASE),
    "contact": (LISTING,),
    "quarantine": (ORDER,),
}
"""The tracks of each family of file."""

BEGINS = {
    kind: track.opens
    for tracks in TRACKS.values()
    for track in tracks
    for kind in track.closes + track.goes_on
    if kind not in OPENING
}
"""What each report that closes, or goes on with, a file can only follow."""


class Obstacle(StrEnum):
    """What stands in the way of an event."""

    NOT_BEGUN = "not-begun"  # nothing has arrived that began what it closes
    BEGINS_LATER = "begins-later"  # what began it has a higher sequence
    BEGINNING_TAKEN_BACK = "beginning-taken-back"
    OF_ANOTHER_SOURCE = "of-another-source"  # another source has a file of that number
    ONLY_SUSPECTED = "only-suspected"  # a discharge of a case that is not confirmed
    CONFIRMED = "confirmed"  # an exclusion or a suspicion of a case that is confirmed
    ENDED = "ended"  # it was closed before
    DATED_BEFORE = "dated-before"  # it is dated before what it would close
    SAID_ALREADY = "said-already"  # the same, again, of what is open
    OVER = "over"  # what it opens was over when it was sent, or before it could begin
    EARLIER_IN_SEQUENCE = "earlier-in-sequence"  # a province's report comes before another
    REPLACED = "replaced"  # what it corrects or takes back was corrected already
    SWAB_TOO_OLD = "swab-too-old"  # a swab cannot take that long to be reported


OPEN_OTHERWISE = {
    CONFIRMED_CASE: Obstacle.CONFIRMED,
    SUSPECTED_CASE: Obstacle.ONLY_SUSPECTED,
}
"""What stands in the way of an event of the other track: a case is open in this one."""


class Idle(NamedTuple):
    """An event that has no effect, why, and the event that stands in its way, if one does."""

    event: StatusEvent
    why: Obstacle
    by: StatusEvent | None


def idle_in_files(
    files: Iterable[Sequence[Placed[FileReport]]],
    settled: Settled[StatusEvent],
    events: Sequence[StatusEvent],
    ended: Mapping[EventRef, Interval],
) -> Iterator[Idle]:
    """Yield the reports in `files`, each in its places, that change nothing; each once.

    `events` are all of the person, `settled` what they come to. `ended` are the reasons that have
    an end, by what opened them.
    """
    beginnings: defaultdict[str | None, list[StatusEvent]] = defaultdict(list)
    for event in events:
        if isinstance(event, OPENING):
            beginnings[file_of(event)].append(event)
    for reports in files:
        walks: dict[Track, list[Closed]] = {}
        for track in TRACKS[reports[0].event.family]:
            followed = reports
            if track is SUSPECTED_CASE:
                followed = suspicions(reports)
                yield from _suspected_while_confirmed(reports, followed)
            walks[track] = list(walk(followed, track))
        began = [report for report in reports if isinstance(report.event, OPENING)]
        opening = {
            track: [closed for closed in walked if closed.opened] for track, walked in walks.items()
        }
        for track, walked in walks.items():
            steps = [step for opened, _ in walked for step in opened] if track.goes_on else []
            for opened, by in walked:
                if by and not opened and not isinstance(by.event, OPENING):
                    found = _stands_in_the_way(by, began, opening)
                    yield Idle(by.event, *(found or _nothing_begun(by.event, settled, beginnings)))
                told = [*_repeated(opened), *_steps_dated_before(opened)]
                yield from told
                refs = {ref(one.event) for one in told}
                for report in opened:
                    if ref(report.event) not in refs:
                        closings = chain([by] if by else [], steps_after(report, by, steps))
                        yield from over(report, closings, settled, ended)


def over(
    opening: Placed[StatusEvent],
    closings: Iterable[Placed[FileReport]],
    settled: Settled[StatusEvent],
    ended: Mapping[EventRef, Interval],
) -> Iterator[Idle]:
    """Yield `opening` if what it opens was over when it was sent, or before it could begin.

    What `closings` of its own file ended by then is right: an order may be revoked before it
    begins, a case may be sent when all of it is past. A province's red is ended by its own green
    alone, and so is never told this.
    """
    event = opening.event
    interval = ended.get(ref(event))
    sent_at: datetime = opening.place[1]
    if interval is None or interval.end is None or interval.end > max(interval.start, sent_at):
        return
    if all(counts_from(one.event) > max(interval.start, sent_at) for one in closings):
        yield Idle(event, Obstacle.OVER, _met_last(interval, settled))


def _met_last(interval: Interval, settled: Settled[StatusEvent]) -> StatusEvent | None:
    """Return the last of the events that lifted a reason, None if time alone did."""
    lines = [line for line in interval.conditions if line.met_at and line.met_by]
    if not lines:
        return None
    last = max(lines, key=lambda line: line.met_at or interval.start).met_by
    return next(event for event in settled.standing if ref(event) == last)


def _suspected_while_confirmed(
    reports: Sequence[Placed[FileReport]], followed: Sequence[Placed[FileReport]]
) -> Iterator[Idle]:
    if len(followed) == len(reports):
        return
    left_out = {report.place for report in reports} - {report.place for report in followed}
    confirmed: StatusEvent | None = None
    for report in reports:
        if isinstance(report.event, CaseConfirmed):
            confirmed = report.event
        elif report.place in left_out:
            yield Idle(report.event, Obstacle.CONFIRMED, confirmed)


def _repeated(opened: Sequence[Placed[FileReport]]) -> Iterator[Idle]:
    """Yield what says of an open case that it is suspected, or confirmed, once more, and from no
    earlier. A listing or an order that is sent again says something new: another exposure, another
    step."""
    if not opened:
        return
    first = opened[0].event
    for report in opened[1:]:
        if not isinstance(report.event, CaseSuspected | CaseConfirmed):
            return
        if counts_from(first) <= counts_from(report.event):
            yield Idle(report.event, Obstacle.SAID_ALREADY, first)
        else:
            first = report.event


def _steps_dated_before(opened: Sequence[Placed[FileReport]]) -> Iterator[Idle]:
    """Yield the steps of an order that are dated before a step that they would follow."""
    latest: Placed[FileReport] | None = None
    for step in opened:
        if not isinstance(step.event, QuarantineOrdered | QuarantineTransferred):
            continue
        if latest is not None and precedes(step.event, latest):
            yield Idle(step.event, Obstacle.DATED_BEFORE, latest.event)
        elif latest is None or held_from(latest) <= held_from(step):
            latest = step


def _stands_in_the_way(
    closing: Placed[FileReport],
    began: Sequence[Placed[FileReport]],
    opening: Mapping[Track, Sequence[Closed]],
) -> tuple[Obstacle, StatusEvent] | None:
    """Say why `closing` closes nothing, by what `began` its file; None if nothing did. `opening`
    are the walks of the file along its tracks, as far as something was open."""
    event, begins = closing.event, BEGINS[type(closing.event)]
    own = [report for report in began if isinstance(report.event, begins)]
    before = [report for report in own if report.place < closing.place]
    dated_later = (report for report in reversed(before) if precedes(event, report))
    if (newest := next(dated_later, None)) is not None:
        return Obstacle.DATED_BEFORE, newest.event
    ended: list[Placed[FileReport]] = []
    for track, walked in opening.items():
        still_open: list[Placed[FileReport]] = []
        for opened, by in walked:
            if by is not None and by.place < closing.place:
                ended.append(by)
            else:
                still_open += [report for report in opened if report.place < closing.place]
        if still_open:  # and this event did not close it
            closes = isinstance(event, track.closes + track.goes_on)
            why = Obstacle.DATED_BEFORE if closes else OPEN_OTHERWISE[track]
            return why, still_open[-1].event
    if ended:
        return Obstacle.ENDED, max(ended, key=attrgetter("place")).event
    return (Obstacle.BEGINS_LATER, own[0].event) if own else None


def _nothing_begun(
    closing: StatusEvent,
    settled: Settled[StatusEvent],
    beginnings: Mapping[str | None, Sequence[StatusEvent]],
) -> tuple[Obstacle, StatusEvent | None]:
    """Say why `closing`, in whose file nothing stands that began it, closes nothing. `beginnings`
    are all that began a file, by the file, of every source, also those that do not stand."""
    begins = BEGINS[type(closing)]
    found = [other for other in beginnings[file_of(closing)] if isinstance(other, begins)]
    for other in found:
        if other.source == closing.source:
            return Obstacle.BEGINNING_TAKEN_BACK, settled.instead_of[other.source, other.id]
    if found:
        return Obstacle.OF_ANOTHER_SOURCE, found[-1]
    return Obstacle.NOT_BEGUN, None
