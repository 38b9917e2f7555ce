"""How the people table stores a person: one row, and the pages of their history beside it.

| Key | Value |
|---|---|
| the person's | their row, `models.person.Person` |
| the person's, `/`, a number | a page of their history, facts; empty once it was given up |

Both are MessagePack without names. A field is only ever added at the end, with a default, so what
was written before can be read; it is written again when it is next touched.
"""

from collections.abc import Callable

import msgspec

from models.facts import Fact
from models.person import Person

_PAGE = b"/"

encode_row: Callable[[Person], bytes] = msgspec.msgpack.Encoder().encode
"""Return the bytes of a row."""

decode_row: Callable[[bytes], Person] = msgspec.msgpack.Decoder(Person).decode
"""Read a row; raise `msgspec.DecodeError`."""

encode_page: Callable[[tuple[Fact, ...]], bytes] = msgspec.msgpack.Encoder().encode
"""Return the bytes of a page."""

decode_page: Callable[[bytes], tuple[Fact, ...]] = msgspec.msgpack.Decoder(tuple[Fact, ...]).decode
"""Read a page; raise `msgspec.DecodeError`."""


def page_key(person: str, number: int) -> bytes:
    """Return the key of a page of a person's history."""
    return b"%b%b%d" % (person.encode(), _PAGE, number)
