"""Rows as the view reads them: any failure to read them becomes `Unavailable`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from msgspec import Struct
from redis.asyncio import Redis
from redis.exceptions import RedisError

import app.projection.rows
from app.projection.rows import High, NoRows, Rows
from app.view.limits import RETRY_STALE_SECONDS, RETRY_STORE_SECONDS
from app.view.reading import Unavailable
from models.facts import Fact
from models.person import Person, whole
from models.rows import decode_page, decode_row, page_key

PEOPLE = "people"


async def fetch_rows(redis: Redis, table: str, keys: Sequence[str]) -> Rows:
    """Return rows of `table`; raise `Unavailable`."""
    with _unavailable():
        return await app.projection.rows.read_rows(redis, table, keys)


class PersonAsOf(Struct, frozen=True):
    """A person's row with all of its history; None if nothing is known of them.

    `as_of`: everything appended to the input until then is in it.
    """

    row: Person | None
    as_of: datetime

    @classmethod
    def of(cls, row: Person, as_of: datetime) -> "PersonAsOf":
        """Return a row that was read as of `as_of`; it may lack what is still to be counted."""
        until = row.code.complete_until
        return cls(row, as_of if until is None else min(as_of, until))


async def fetch_person(redis: Redis, person: str) -> PersonAsOf:
    """Return all that is known about a person; raise `Unavailable`."""
    rows = await fetch_rows(redis, PEOPLE, [person])
    [stored] = rows.values
    if stored is None:
        return PersonAsOf(None, rows.as_of)
    row = decode_row(stored)
    if not row.history.numbers:
        return PersonAsOf.of(row, rows.as_of)
    # Pages are written before the row that tells of them. One that was given up since is empty.
    keys = [page_key(person, number).decode() for number in row.history.numbers]
    pages = dict(zip(keys, (await fetch_rows(redis, PEOPLE, keys)).values, strict=True))

    def page(number: int) -> tuple[Fact, ...]:
        stored = pages[page_key(person, number).decode()]
        assert stored is not None, "a page of which its row knows exists"
        return decode_page(stored)

    return PersonAsOf.of(whole(row, page), rows.as_of)


async def fetch_high(redis: Redis, first: int, count: int) -> High:
    """Return people whose national status is high; raise `Unavailable`."""
    with _unavailable():
        return await app.projection.rows.read_high(redis, first, count)


@contextmanager
def _unavailable() -> Iterator[None]:
    try:
        yield
    except NoRows:
        raise Unavailable("store", RETRY_STALE_SECONDS) from None
    except (RedisError, OSError, TimeoutError):
        raise Unavailable("store", RETRY_STORE_SECONDS) from None
