"""`yuekang explain PERSON`: why a code is, or was, what it is, as the view explains it."""

import asyncio
import logging
import re
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Annotated

import msgspec
import typer
from aiokafka.errors import KafkaError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from app.operator.client import ask
from app.operator.held import HeldEvent, held_about
from app.process.kafka import Brokers
from app.process.settings import Settings
from app.view.codes import ConditionAnswer, ReasonAnswer
from app.view.explanations import EventAnswer, ExplanationAnswer, SideAnswer
from models.codes import read_reference
from models.events import PERSON_KEY
from models.explain import Claim, Heard
from models.policy import ZONE

EVENTS_SHOWN_MAX = 40

_LOCAL = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?", re.ASCII)
_ZONED = re.compile(_LOCAL.pattern + r" ?(Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE)

_STYLES = {"red": "bold red", "green": "bold green"}


def explain(
    person: Annotated[str, typer.Argument(help="A person key, as `yuekang person-key` prints it.")],
    at: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help='The instant asked about: 2022-03-08T10:00:00+08:00, or "2022-03-08 10:00" in '
            "Asia/Shanghai. Now if left out.",
        ),
    ] = None,
    known_at: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Whose knowledge answers: that of this instant. Now if left out."
        ),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            metavar="SIGNS",
            help="Show the one event that a resident means by this, such as K7QF-2M9PX.",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the view's answer as it is.")
    ] = False,
) -> None:
    """Say why a person's code is, or was, what it is: the reasons, how they lift, the events.

    What is held above a limit counts nowhere, and is said at the end, as Kafka has it. For a past
    instant it also says what was shown then, what is known now about then, and which
    events make the two differ.

    It asks the view with an operator's token, which has the role explain: YUEKANG_TOKEN, or one
    that is made with YUEKANG_TOKEN_PRIVATE_KEY. The view writes down who asked about whom. Exits
    with 1 if the view has no answer.
    """
    if not PERSON_KEY.fullmatch(person):
        raise typer.BadParameter("A person key is p1- (or another version) and 32 characters.")
    wanted = None if reference is None else _reference(reference)
    asked = {"at": _instant("--at", at), "known_at": _instant("--known-at", known_at)}
    settings = Settings.from_environment()
    parameters = {name: text for name, text in asked.items() if text}
    raw = ask(settings, f"/v1/people/{person}/explanation", parameters)
    if as_json:
        sys.stdout.write(raw.decode() + "\n")
        return
    found = msgspec.json.decode(raw, type=ExplanationAnswer)
    console = Console(highlight=False)
    if wanted is None:
        _print(found, console)
        _print_held(found, settings.brokers, console)
    else:
        _print_one(found, wanted, console)


def _reference(text: str) -> str:
    found = read_reference(text)
    if found is None:
        raise typer.BadParameter(
            f"{text!r} is no reference: it has nine signs, the last of them a check.",
            param_hint="--reference",
        )
    return found


def _print_one(found: ExplanationAnswer, reference: str, console: Console) -> None:
    """Print the event that a resident means; exit with 1 if nobody sent such."""
    events = [event for event in found.events if event.reference == reference]
    if not events:
        console.print(f"No event about this person has the reference {reference}.")
        raise typer.Exit(1)
    console.print(_known(events, len(events)))


def _instant(option: str, text: str | None) -> str | None:
    """Return the instant in RFC 3339; without a zone it is in Asia/Shanghai."""
    if text is None:
        return None
    try:
        if _ZONED.fullmatch(text):
            return datetime.fromisoformat(re.sub(r" (?=[-+Zz])", "", text).upper()).isoformat()
        if _LOCAL.fullmatch(text):
            return datetime.fromisoformat(text).replace(tzinfo=ZONE).isoformat()
    except ValueError as error:
        raise typer.BadParameter(f"There is no such instant: {error}.", param_hint=option) from None
    raise typer.BadParameter(
        f"{text!r} is no instant. Write 2022-03-08T10:00:00+08:00, or 2022-03-08 10:00 for "
        "Asia/Shanghai.",
        param_hint=option,
    )


def _print(found: ExplanationAnswer, console: Console) -> None:
    side = found.answer
    known = "now" if side.known_at == found.asked_at else f"at {_time(side.known_at)}"
    console.print(f"{_colour(side)} at {_time(side.at)}, by what was known {known}")
    stale = " (stale)" if found.stale else ""
    console.print(f"Events up to {_time(found.as_of)}, {found.lag_s:g} s ago{stale}.")
    console.print(f"Policy: {', '.join(side.policies)}.")
    if side.verified_since is None:
        console.print("Unknown, or the identity is not verified.")
    elif side.at < side.verified_since:
        console.print(f"Not verified before {_time(side.verified_since)}.")
    if side.changes_at is not None:
        console.print(f"Changes by itself at {_time(side.changes_at)}.")
    if found.given_up:
        console.print("Older events are not kept any more: nothing can be said of them.")
    for reason in side.reasons:
        console.print()
        console.print(_reason(reason, side.at))
    for title, reasons in (("Over by then", side.ended), ("Still to begin", side.ahead)):
        if reasons:
            console.print(f"\n{title}:")
            for reason in reasons:
                console.print(f"  {_span(reason)}")
    _print_events(found, console)
    _print_difference(found, console)


def _print_held(found: ExplanationAnswer, brokers: Brokers, console: Console) -> None:
    """Say what is held and so counts nowhere, as Kafka has it."""
    known = {(event.source, event.id) for event in found.events}
    known |= {(event.source, event.id) for event in found.not_known}
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what fails is said below
    try:
        events = asyncio.run(held_about(brokers, found.person, known))
    except (KafkaError, OSError, TimeoutError) as error:
        console.print(f"\nWhether something is held is not known. {brokers.trouble(error)}")
        return
    if events:
        console.print()
        console.print(_held(events))


def _held(events: Sequence[HeldEvent]) -> Table:
    table = _table(
        "Held: above the limit of its source, so it does not count",
        *("since", "would open", "type", "event"),
        caption="it counts once two operators have approved it (yuekang held)",
    )
    for event in events:
        row = _time(event.since), event.reason, _type(event.type), _event(event.source, event.id)
        table.add_row(*row)
    return table


def _colour(side: SideAnswer) -> str:
    return f"[{_STYLES.get(side.colour, 'bold')}]{side.colour}[/]"


def _print_events(found: ExplanationAnswer, console: Console) -> None:
    if found.events:
        console.print()
        console.print(_known(_worth_showing(found.events), len(found.events)))
    if found.not_known:
        console.print()
        title = f"Not known at {_time(found.answer.known_at)}"
        console.print(_heard(title, found.not_known))


def _worth_showing(events: Sequence[EventAnswer]) -> list[EventAnswer]:
    """Return the events if they are few; else those that matter most, in order of arrival."""
    matters = sorted(events, key=lambda e: not (e.bears_on or e.claim or e.taken_back_by))
    shown = matters[:EVENTS_SHOWN_MAX]
    return [event for event in events if event in shown]


def _known(events: Sequence[EventAnswer], count: int) -> Table:
    more = f"; {len(events)} of {count} shown, --json has all" if len(events) < count else ""
    table = _table(
        f"Events{more}", "arrived", "counts from", "type", "event", "reference", "what of it"
    )
    for event in events:
        table.add_row(
            _time(event.arrived_at),
            _time(event.counts_from),
            _type(event.type),
            _event(event.source, event.id),
            event.reference,
            escape(_role(event)),
            style=None if event.counts else "dim",
        )
    return table


def _role(event: EventAnswer) -> str:
    parts = [*event.bears_on]
    match event.claim:
        case Claim.IN_FORCE:
            parts.append(f"{_does(event)} {event.supersedes}")
        case Claim.TAKEN_BACK:
            parts.append(f"{_does(event)} {event.supersedes}, and counts no more")
        case Claim.TARGET_NOT_KNOWN:
            parts.append(f"corrects {event.supersedes}, which is not known")
        case Claim.TARGET_IS_OF_OTHER_KIND:
            parts.append(f"corrects {event.supersedes}, which is of another kind: no effect")
        case Claim.TARGET_IS_LATER:
            parts.append(f"corrects {event.supersedes}, which is later: no effect")
    if event.taken_back_by is not None:
        parts.append(f"replaced or taken back by {event.taken_back_by.id}")
    return ", ".join(parts)


def _does(event: EventAnswer) -> str:
    return "takes back" if event.type.endswith(".retracted.v1") else "corrects"


def _heard(title: str, events: Sequence[Heard]) -> Table:
    more = len(events) - EVENTS_SHOWN_MAX
    caption = f"and {more} more, --json has all" if more > 0 else None
    table = _table(title, "arrived", "counts from", "type", "event", "corrects", caption=caption)
    for event in events[:EVENTS_SHOWN_MAX]:
        table.add_row(
            _time(event.arrived_at),
            _time(event.counts_from),
            _type(event.type),
            _event(event.source, event.id),
            escape(event.supersedes or ""),
        )
    return table


def _print_difference(found: ExplanationAnswer, console: Console) -> None:
    """For a past instant, say what was shown then and what is known now about then."""
    then, now = found.shown_then, found.known_now
    if then.at >= found.asked_at:
        return
    console.print()
    if not found.difference.differs:
        console.print("What was shown then is what is known now of then.")
        return
    table = _table(f"Of {_time(then.at)}", "", "shown then", "known now")
    table.add_row("colour", _colour(then), _colour(now))
    table.add_row("reasons", _lines(then.reasons), _lines(now.reasons))
    for change in found.difference.changed:
        table.add_row(
            f"checklist of {change.then.reason}",
            _checklist(change.then, then.at),
            _checklist(change.now, then.at),
        )
    console.print(table)
    console.print()
    console.print(_heard("What made the difference, since it came later", found.difference.because))


def _lines(reasons: Iterable[ReasonAnswer]) -> str:
    return "\n".join(f"{reason.rank} {reason.reason}" for reason in reasons) or "none"


def _checklist(reason: ReasonAnswer, at: datetime) -> str:
    return "\n".join(
        f"{condition.kind} {'met' if _is_met(condition, at) else 'missing'}"
        for condition in reason.conditions
    )


def _met(condition: ConditionAnswer, at: datetime) -> str:
    """Say when a line was met. It is not met by a time to come, but is by an event of hindsight."""
    if _is_met(condition, at):
        return _time(condition.met_at)
    return f"{_time(condition.met_at)} (later)" if condition.met_by else ""


def _is_met(condition: ConditionAnswer, at: datetime) -> bool:
    return condition.met_at is not None and condition.met_at <= at


def _reason(reason: ReasonAnswer, at: datetime) -> Table:
    lifts = (
        f"ends {_time(reason.ends_at)}"
        if reason.ends_at
        else f"not before {_time(reason.earliest_end)}"
        if reason.earliest_end
        else "no date is known"
    )
    table = _table(
        f"{_name(reason)}, since {_time(reason.since)}, {lifts}",
        "lifts when",
        "who acts",
        "at the earliest",
        "met",
        "by",
        caption=f"opened by {_event(reason.opened_by.source, reason.opened_by.id)}; "
        f"policy {reason.policy}",
    )
    for condition in reason.conditions:
        table.add_row(
            condition.kind,
            condition.owner,
            _time(condition.earliest),
            _met(condition, at),
            _event(condition.met_by.source, condition.met_by.id) if condition.met_by else "",
        )
    return table


def _span(reason: ReasonAnswer) -> str:
    until = f" to {_time(reason.ends_at)}" if reason.ends_at else ""
    return f"{_name(reason)}, {_time(reason.since)}{until}"


def _name(reason: ReasonAnswer) -> str:
    where = f" (province {reason.province})" if reason.province else ""
    return f"{reason.rank} {reason.reason}{where}"


def _table(title: str, *columns: str, caption: str | None = None) -> Table:
    table = Table(title=title, caption=caption, title_justify="left", caption_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _event(source: str, id: str) -> str:
    return escape(f"{source} {id}")  # rich could take a part of an id for a style


def _type(name: str) -> str:
    return name.removeprefix("yuekang.").removesuffix(".v1")


def _time(at: datetime | None) -> str:
    return "" if at is None else f"{at.astimezone(ZONE):%Y-%m-%d %H:%M:%S}"
