"""What the sources of a person's events are told, as an event arrives or a wait ends.

An event is answered once: when it arrives, when what arrives later takes its effect, or when its
wait for what it names is over. The texts are in models.notices.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from models.codes import ref
from models.corrections import corrects, replaced_by
from models.events import StatusEvent
from models.facts import Fact, find, identity, named_by, same
from models.files import file_of
from models.idle import Idle, Obstacle
from models.notices import (
    Notice,
    conflict,
    no_correction,
    no_effect,
    of_other_source,
    without_target,
)
from models.policy import policy_at
from models.reasons import assess


def deadline(fact: Fact) -> datetime:
    """Return until when an event waits for what it names."""
    return fact.arrived_at + policy_at(fact.arrived_at).correction_wait


def waiting(facts: Sequence[Fact], idle: Iterable[Idle]) -> list[Fact]:
    """Return the facts that name something that has not arrived: an event to correct, or a case,
    listing or order to close."""
    closing = {ref(one.event) for one in idle if one.why is Obstacle.NOT_BEGUN}
    return [
        fact
        for fact in facts
        if (fact.supersedes is not None and named_by(facts, fact) is None)
        or (closing and ref(fact) in closing)
    ]


def on_arrival(
    event: StatusEvent,
    target: StatusEvent | None,
    held: Sequence[Fact],
    facts: Sequence[Fact],
    events: Sequence[StatusEvent],
    idle: Sequence[Idle],
    *,
    wait_is_over: bool,
) -> Iterator[Notice]:
    """Yield what follows from the arrival of `event`, for its source and for others.

    `target` is what it says that it corrects, None if that is not known. `held` were in the row
    before; `facts` are now, with what was read of the history, and `events` are theirs. `idle` of
    them have no effect. `wait_is_over` of an event that is read late.
    """
    yield from _used_again(held, facts, event.partitionkey)
    yield from _claims(held, events, event, target)
    if wait_is_over and event.supersedes is not None and target is None:
        yield without_target(event)
    yield from _idle_by_now(event, events, idle, wait_is_over=wait_is_over)


def in_time(
    person: str, facts: Sequence[Fact], idle: Sequence[Idle], at: datetime
) -> Iterator[Notice]:
    """Yield objections to the events of `facts` whose wait for what they name ends at `at`."""
    due = {ref(fact): fact for fact in waiting(facts, idle) if deadline(fact) == at}
    for one in idle:
        if one.why is Obstacle.NOT_BEGUN and ref(one.event) in due:
            yield no_effect(one)
    for fact in due.values():
        if fact.supersedes is not None and named_by(facts, fact) is None:
            yield without_target(fact.event(person))


def _used_again(held: Sequence[Fact], facts: Sequence[Fact], person: str) -> Iterator[Notice]:
    """Object to events whose id was in the history, with another content: that one stays."""
    for fact in held:
        first = find(facts, identity(fact))
        if first is not None and first is not fact and not same(first, fact, person):
            yield conflict(fact.event(person))


def _claims(
    held: Sequence[Fact],
    events: Sequence[StatusEvent],
    event: StatusEvent,
    target: StatusEvent | None,
) -> Iterator[Notice]:
    """Object to corrections that, as the arrival of `event` shows, have no effect.

    The correcting events themselves stay: what they say of their own counts, whatever arrived
    first.
    """
    if target is not None and not corrects(event, target):
        yield no_correction(event, target)
    elif target is not None and (by := replaced_by(events, event, target)) is not None:
        yield no_effect(Idle(event, Obstacle.REPLACED, by))
    elif (event.supersedes is not None and target is None) and (
        others := {fact.source for fact in held if fact.id == event.supersedes}
    ):
        yield of_other_source(event, others)
    for fact in held:
        if fact.supersedes == event.id and fact.source == event.source:
            claim = fact.event(event.partitionkey)
            if not corrects(claim, event):
                yield no_correction(claim, event)


def _idle_by_now(
    event: StatusEvent, events: Sequence[StatusEvent], idle: Sequence[Idle], *, wait_is_over: bool
) -> Iterator[Notice]:
    """Object to what has no effect now and had one, or waited for one, before `event` came.

    What nothing has begun yet waits; it is told when its wait is over.
    """
    new = ref(event)
    others = [one for one in idle if ref(one.event) != new]
    before = {(ref(one.event), one.why) for one in others}
    if others and _bears_on(event, events, others):
        known = assess(other for other in events if ref(other) != new)
        before = {(ref(one.event), one.why) for one in known.idle}
    for one in idle:
        if (ref(one.event), one.why) in before:
            continue
        if one.why is not Obstacle.NOT_BEGUN or (ref(one.event) == new and wait_is_over):
            yield no_effect(one)


def _bears_on(event: StatusEvent, events: Sequence[StatusEvent], idle: Sequence[Idle]) -> bool:
    """Say whether `event` can have changed what the others of `idle` lack: it is about the same, or
    it corrects or is corrected."""
    if event.supersedes is not None or any(other.supersedes == event.id for other in events):
        return True
    file = file_of(event)
    return any(
        one.why is Obstacle.OVER
        or (file_of(one.event) == file and one.event.family == event.family)
        for one in idle
    )
