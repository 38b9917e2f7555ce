"""What a source is told about an event of its own: what is refused, and what has no effect.

Each notice says what stands in the way, with the dates or sequences that decide it, and what would
be right. The agents write it as a dead letter.
"""

from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from models.events import (
    CaseDischarged,
    CaseExcluded,
    Event,
    NatResultReported,
    ProvincialCodeReported,
    QuarantineOrdered,
    QuarantineTransferred,
    StatusEvent,
    counts_from,
    type_of,
)
from models.files import file_of
from models.idle import Idle, Obstacle
from models.policy import ZONE, policy_at


class Objection(StrEnum):
    """Why the fold refuses an event, or why an event has no effect."""

    CONFLICT = "conflict"
    CORRECTION_OF_OTHER_SOURCE = "correction-of-other-source"
    CORRECTION_OF_OTHER_KIND = "correction-of-other-kind"
    CORRECTION_OF_LATER_EVENT = "correction-of-later-event"
    CORRECTION_WITHOUT_TARGET = "correction-without-target"
    CLOSES_NOTHING = "closes-nothing"
    IMPOSSIBLE_DATE = "impossible-date"
    NO_EFFECT = "no-effect"
    ROW_FULL = "row-full"
    HELD = "held"


OBJECTIONS = {
    Obstacle.DATED_BEFORE: Objection.IMPOSSIBLE_DATE,
    Obstacle.SWAB_TOO_OLD: Objection.IMPOSSIBLE_DATE,
    Obstacle.CONFIRMED: Objection.NO_EFFECT,
    Obstacle.SAID_ALREADY: Objection.NO_EFFECT,
    Obstacle.OVER: Objection.NO_EFFECT,
    Obstacle.EARLIER_IN_SEQUENCE: Objection.NO_EFFECT,
    Obstacle.REPLACED: Objection.NO_EFFECT,
}
"""What is told of each `Obstacle`; of the others, `closes-nothing`."""


class Notice(Struct, frozen=True):
    """Something to tell the source of `event`; `refused` says whether the event was left out."""

    event: Event
    objection: Objection
    detail: str
    refused: bool


def conflict(event: Event) -> Notice:
    """Object to an event whose identity arrived before with other content."""
    return Notice(
        event,
        Objection.CONFLICT,
        f"Event {event.id} of {event.source} arrived before with another content, which stays. "
        "Send a new event with an id of its own that supersedes it.",
        refused=True,
    )


def row_full(event: StatusEvent) -> Notice:
    """Object to an event of a source that says more of one person than a row has room for."""
    most = policy_at(event.time).facts_of_source_max
    return Notice(
        event,
        Objection.ROW_FULL,
        f"{event.source} has {most} events or more about this person, on which what is open rests; "
        "no one person can be in so much. This event does not count until an operator sends it "
        "again; what counts stays as it is. Check whether one person was named for many, and take "
        "back what is wrong.",
        refused=True,
    )


def of_other_source(event: StatusEvent, sources: set[str]) -> Notice:
    """Object to a correction whose id is that of an event of `sources`, and not of its own."""
    return Notice(
        event,
        Objection.CORRECTION_OF_OTHER_SOURCE,
        f"supersedes names {event.supersedes}, an event of {', '.join(sorted(sources))}; only its "
        "own source can correct it. The correction has no effect.",
        refused=False,
    )


def no_correction(event: StatusEvent, named: StatusEvent) -> Notice:
    """Object to a correction of another kind of event, or of one that does not come before it."""
    if event.family != named.family:
        objection = Objection.CORRECTION_OF_OTHER_KIND
        why = f"which is {type_of(named)}; only events about the same kind of thing correct it."
    else:
        objection = Objection.CORRECTION_OF_LATER_EVENT
        why = (
            f"whose sequence is not smaller than {event.sequence}; a correction comes after what "
            "it corrects, so that corrections cannot form a circle."
        )
    detail = f"supersedes names {event.supersedes}, {why} The correction has no effect."
    return Notice(event, objection, detail, refused=False)


def without_target(event: StatusEvent) -> Notice:
    """Object to a correction of something that has not arrived in time."""
    kept = policy_at(event.time).history_kept.days
    return Notice(
        event,
        Objection.CORRECTION_WITHOUT_TARGET,
        f"supersedes names {event.supersedes}, and no such event of {event.source} about this "
        f"person has arrived; what arrived is kept for {kept} days. Check the id and the person; "
        "the correction still takes effect if that event comes.",
        refused=False,
    )


def no_effect(idle: Idle) -> Notice:
    """Object to an event that has no effect."""
    objection = OBJECTIONS.get(idle.why, Objection.CLOSES_NOTHING)
    return Notice(idle.event, objection, _detail(*idle), refused=False)


def _detail(event: StatusEvent, why: Obstacle, by: StatusEvent | None) -> str:
    about = f"It closes or goes on with {file_of(event)} of {event.source}"
    other = "" if by is None else by.id
    match why:
        case Obstacle.NOT_BEGUN:
            kept = policy_at(event.time).history_kept.days
            return (
                f"{about}, and nothing that began it is known; what arrived is kept for {kept} "
                "days. Check the number and the person; it still takes effect if that comes."
            )
        case Obstacle.BEGINS_LATER:
            assert by is not None
            return (
                f"{about}, whose beginning, {other}, has the sequence {by.sequence} and so comes "
                f"after its own, {event.sequence}. Send it again with another id and a higher "
                "sequence."
            )
        case Obstacle.BEGINNING_TAKEN_BACK:
            return (
                f"{about}, whose beginning was taken back or corrected by {other}. Take this event "
                "back too, or send what began it."
            )
        case Obstacle.OF_ANOTHER_SOURCE:
            assert by is not None
            return (
                f"{about}, and nothing of {event.source} began it; {by.source} has one of that "
                f"number, opened by {other}. Only {by.source} can close it: ask there. What is "
                "open stays open."
            )
        case Obstacle.ONLY_SUSPECTED:
            return (
                f"A discharge ends a confirmed case, and {file_of(event)} is only suspected, by "
                f"{other}. Send its exclusion, or its confirmation first."
            )
        case Obstacle.CONFIRMED:
            return (
                f"{_file_name(event)} is confirmed, by {other}, so that a suspicion or its "
                "exclusion changes nothing. A confirmed case ends by its discharge; take the "
                "confirmation back if it was wrong."
            )
        case Obstacle.ENDED if isinstance(event, CaseExcluded) and isinstance(by, CaseDischarged):
            return (
                f"An exclusion ends a suspicion, and {file_of(event)} was confirmed; it ended by "
                f"its discharge, {other}. Take the confirmation back if it was wrong. A new "
                "suspicion is sent before its exclusion."
            )
        case Obstacle.ENDED:
            return (
                f"{about}, which {other} had ended. What ended first counts: correct that event, "
                "by one that supersedes it, if its date is wrong. What goes on after it needs a "
                "new beginning, sent before this event."
            )
        case Obstacle.DATED_BEFORE:
            assert by is not None
            return (
                f"It takes effect at {_local(counts_from(event))}, and what it would close, "
                f"{other}, was sent at {_local(by.time)} and holds from {_local(counts_from(by))}. "
                "Check the dates; send a correction of the one that is wrong."
            )
        case Obstacle.SAID_ALREADY:
            return (
                f"{_file_name(event)} is open already, by {other}, and this event says no more. "
                f"If it should replace that event, send it again superseding {other}."
            )
        case Obstacle.OVER:
            return _over(event, by)
        case Obstacle.EARLIER_IN_SEQUENCE:
            assert isinstance(by, ProvincialCodeReported)
            return (
                f"Its sequence, {event.sequence}, comes before that of {other}, {by.sequence}, "
                f"which reports {by.data.colour} at {_local(by.data.reported_at)} and stays in "
                "force. If it is newer, send it again with another id and a higher sequence."
            )
        case Obstacle.REPLACED:
            return (
                f"{other} stands in the place of {event.supersedes} already, so this event "
                "changes nothing. Send it again with another id and a higher sequence, superseding "
                f"{other}."
            )
        case Obstacle.SWAB_TOO_OLD:
            assert isinstance(event, NatResultReported)
            data = event.data
            days = policy_at(data.reported_at).sampled_to_reported_max.days
            return (
                f"The swab was taken at {_local(data.sampled_at)} and reported at "
                f"{_local(data.reported_at)}; no result takes more than {days} days. So a "
                "negative counts for nothing, and a positive as if sampled when reported. Send a "
                "correction with the right dates."
            )


def _over(event: StatusEvent, by: StatusEvent | None) -> str:
    ended = "" if by is None else f" The last event that lifted it is {by.id} of {by.source}."
    sent = _local(event.time)
    match event:
        case NatResultReported(data=result):
            return (
                f"This positive opens nothing. It was reported at {_local(result.reported_at)} and "
                f"sent at {sent}. It was over by then, by two negatives sampled after it or by its "
                f"case.{ended} Check when it was sampled, {_local(result.sampled_at)}. Send a "
                "correction if a date is wrong."
            )
        case QuarantineOrdered() | QuarantineTransferred():
            return (
                "This quarantine opens nothing. Its planned end is "
                f"{_local(event.data.planned_end_at)}. It was sent at {sent} and was over by then. "
                "Check the dates. Send a correction if one is wrong."
            )
        case _:
            return (
                f"This listing opens nothing. It takes effect at {_local(counts_from(event))} and "
                f"was sent at {sent}. It was over before it was listed and sent, by its time and "
                "tests or by a confirmed case after the exposure."
                f"{ended} Check the date of the last exposure. Send a correction if it is wrong."
            )


def _file_name(event: StatusEvent) -> str:
    named = file_of(event) or ""
    return named[:1].upper() + named[1:]


def _local(at: datetime) -> str:
    return at.astimezone(ZONE).isoformat(timespec="seconds")
