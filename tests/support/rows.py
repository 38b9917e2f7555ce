"""Rows in Redis, as `yuekang rows` leaves them there."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from redis.asyncio import Redis

from app.projection.rows import LISTS_CHANGELOG, PEOPLE_CHANGELOG, TABLES, RowBatch, RowWriter
from app.projection.state import Position, StateGate
from app.topics.catalogue import CATALOGUE
from models.events import ListName
from models.lists import EMPTY, Listing, add
from models.person import Person
from models.rows import encode_row
from support import builders as b
from support.held import Held
from support.views import Model, health_code, now


def row_of(person: str, *arrivals: tuple[Any, datetime]) -> Person:
    """Return the row of a person after events, each with its arrival, in that order."""
    held = Held(person, arrivals[0][1])
    for event, arrived_at in arrivals:
        held.fold(event, arrived_at)
    return held.row


def listing_of(*events: Any, at: datetime | None = None) -> Listing:
    """Return the list of events that arrived in this order, at `at`: now, unless told otherwise."""
    listing = EMPTY
    for event in events:
        listing = add(listing, event, at or now())
    return listing


async def put_rows(
    redis: Redis,
    people: Sequence[Person] = (),
    as_of: datetime | None = None,
    listings: Mapping[tuple[str, ListName], Listing] | None = None,
    prefix: str = "",
) -> None:
    """Make the database one of these rows, as they are at `as_of`: now, unless told otherwise.

    Who reads it calls the changelogs by names that begin with `prefix`.
    """
    writer = RowWriter(redis, StateGate(redis, "test/1", "test"))
    reached = (as_of or now()).timestamp()
    positions = {
        prefix + topic: (Position(1, reached, reached),) * CATALOGUE.partitions for topic in TABLES
    }
    await writer.gate.load()
    state = msgspec.structs.replace(writer.gate.new_state("server", positions), built=True)
    assert await writer.gate.begin_again(state)
    batch, at = RowBatch({}), as_of or now()
    for row in people:
        key = row.code.person.encode()
        batch.take(PEOPLE_CHANGELOG, key, 0, encode_row(row), at)
    for (person, name), listing in (listings or {}).items():
        key = f"{person}:{name}".encode()
        batch.take(LISTS_CHANGELOG, key, 0, msgspec.json.encode(listing), at)
    assert await writer.apply(batch, state)


async def filled(rows: Redis, model: Model, *people: str, prefix: str = "") -> None:
    """Rows and codes of people, each with a place name of its own in every list."""
    at = now() - timedelta(hours=2)
    listings: dict[tuple[str, ListName], Listing] = {}
    facts = []
    for person in people:
        listings[person, ListName.TEMPERATURES] = listing_of(b.temperature(36.5, at, person=person))
        listings[person, ListName.DISPLAYS] = listing_of(b.display(at, person=person))
        listings[person, ListName.DECLARATIONS] = listing_of(b.declaration(at, person=person))
        listings[person, ListName.IGG_RESULTS] = listing_of(
            b.igg("positive", at - timedelta(days=1), person=person)
        )
        listings[person, ListName.NATIONAL_STATUSES] = listing_of(
            b.national_status("high", at, person=person)
        )
        facts.append(
            row_of(
                person,
                (b.verified(at, person=person), at),
                (b.negative(at - timedelta(days=1), person=person), at),
            )
        )
    await put_rows(rows, facts, listings=listings, prefix=prefix)
    await model.put(*(health_code(person) for person in people))
