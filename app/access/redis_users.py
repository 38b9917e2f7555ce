"""What each process does on Redis, as lines of Redis' file of users (`aclfile`).

Only a projection writes its read model. The view writes what is beside it, on another server than
the codes': places of credentials, sessions, challenges, declarations of a day. One file serves
however many servers there are, since no two of these have a key in common but the state; the
databases keep that apart.
"""

import hashlib
from collections.abc import Mapping
from types import MappingProxyType

from msgspec import Struct

from app.login.devices import OF_PERSON
from app.login.ended import ENDED
from app.login.sessions import FAMILY
from app.projection.codes import CHANGES, CODE, COUNTS
from app.projection.holdings import ASKED, CHUNK, CHUNKS, FILLING, HELD, HOLDERS, TAKEN
from app.projection.refusals import CUT, LETTERS, OF_SOURCE, PARKED_IN, PARKED_OF, TOLD_SOURCES
from app.projection.rows import HIGH, ROW
from app.projection.state import STATE
from app.projection.trends import MINUTE, SLOT
from app.travel.limits import LIMITS
from app.view.declarations import COUNTED, KEY, REFERRED
from app.view.releases import RELEASE

ANY_KEY = "*"

PROJECTS = "+@read +@write +@scripting"
READS = "+@read"
WRITES = "+@read +@write +@scripting +@blocking"
BEFORE, AFTER = "+@connection +@transaction", "-@dangerous"
"""What every client needs; and what none has: to see or empty all, to set the server up."""


class RedisRights(Struct, frozen=True):
    """Commands by category, and beginnings of the keys. A key that is whole has no `*`."""

    commands: str
    writes: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    besides: str = ""


_MODEL = "+info +flushdb"  # which server it is; a model that is built again empties its database

USERS: Mapping[str, RedisRights] = MappingProxyType(
    {
        "projection": RedisRights(
            PROJECTS,
            (STATE, COUNTS, CHANGES, f"{CODE}*", f"{MINUTE}*", f"{SLOT}*"),
            besides=_MODEL,
        ),
        "rows": RedisRights(
            PROJECTS,
            (
                STATE,
                HIGH,
                CUT,
                TOLD_SOURCES,
                *(f"{each}*" for each in (ROW, LETTERS, OF_SOURCE, PARKED_IN, PARKED_OF)),
                *(f"{each}*" for each in (HELD, CHUNK)),
            ),
            besides=_MODEL,
        ),
        "gateway": RedisRights(
            READS, reads=(STATE, CUT, *(f"{each}*" for each in (LETTERS, OF_SOURCE, PARKED_OF)))
        ),
        "view": RedisRights(
            WRITES,
            (
                CHUNKS,
                FILLING,
                ENDED,
                *(f"{each}*" for each in (CHUNK, HOLDERS, HELD, TAKEN, ASKED)),
                *(f"{each}*" for each in (FAMILY, OF_PERSON)),
                *(f"{each}*" for each in (f"{LIMITS}:", KEY, REFERRED, f"{COUNTED}:")),
                RELEASE,
            ),
            reads=(
                *(STATE, COUNTS, CHANGES, HIGH),
                *(f"{each}*" for each in (CODE, MINUTE, SLOT, ROW)),
            ),
        ),
    }
)
"""The processes that go to Redis."""


def users_file(passwords: Mapping[str, str]) -> str:
    """Return the whole file, for the users in `passwords`; it has hashes of those alone. Who is not
    among `USERS` may do anything, as `admin`."""
    lines = ["user default off", *(_line(*each) for each in passwords.items())]
    return "".join(f"{line}\n" for line in lines)


def _line(user: str, password: str) -> str:
    known = f"user {user} on {_hashed(password)}"
    if (rights := USERS.get(user)) is None:
        return f"{known} ~{ANY_KEY} &* +@all"
    keys = [f"~{key}" for key in rights.writes] + [f"%R~{key}" for key in rights.reads]
    commands = f"-@all {BEFORE} {rights.commands} {AFTER} {rights.besides}".rstrip()
    return f"{known} {' '.join(keys)} resetchannels {commands}"


def _hashed(password: str) -> str:
    return "#" + hashlib.sha256(password.encode()).hexdigest()
