"""What a resident shows to somebody who has no part in this: a release notice, a negative result.

A proof has a code. The code is sealed, so nobody can make one or change one, and it holds no
content: only whose record it is, which record, and the masked name and the ending of the document
number as the session had them. Whoever is shown the proof asks `GET /check` with it. The record is
then read again, so one that was taken back in the meantime no longer stands. The answer says
nothing about the colour of a code.

The code stands in an address. Our server writes no access log (`log_access` in app.web.serve); a
proxy before it should not either.
"""

from datetime import datetime
from enum import StrEnum

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from msgspec import Struct

from app.login.seal import Broken, Seal, Secrets
from app.login.sessions import Session, Whole
from app.view.information import Information
from app.view.limits import REFUSE_SECONDS, RETRY_STALE_SECONDS
from app.view.reading import Unavailable
from app.web.addresses import network_of
from models.codes import EventRef
from models.information import (
    NEGATIVE_SHOWN_FOR,
    ReleaseNotice,
    nat_results,
    recent_negative,
    standing_negative,
    standing_notices,
)
from models.person import Person

CHECKS_MAX = RateLimitItemPerMinute(60)
"""Checks for one network, in one process: a busy desk has one in some seconds. A code cannot be
guessed, so this bounds work and not tries."""

PREFIX = "YKP"
"""So that a reader of QR codes, and a person, sees what it is."""


class ProofKind(StrEnum):
    """What is proved."""

    RELEASE = "release"
    NEGATIVE = "negative"


class Paper(Struct, frozen=True, array_like=True):
    """Which record is shown, whose, and when this was made."""

    kind: ProofKind
    person: str
    source: str
    id: str
    name: str
    ending: str
    made_at: Whole

    @property
    def event(self) -> EventRef:
        """The record."""
        return EventRef(self.source, self.id)

    def __repr__(self) -> str:
        # A log that shows it by mistake must not name anyone.
        return f"Paper({self.kind})"


class Standing(StrEnum):
    """What a check finds."""

    STANDS = "stands"
    EXPIRED = "expired"
    TAKEN_BACK = "taken-back"  # or overtaken by a newer result
    UNKNOWN = "unknown"  # not a code of ours, or changed


class Checked(Struct, frozen=True):
    """What a check finds, as of `as_of`; without a proof if it is `Standing.UNKNOWN`."""

    standing: Standing
    as_of: datetime | None = None
    proof: Paper | None = None
    notice: ReleaseNotice | None = None
    sampled_at: datetime | None = None

    @property
    def until(self) -> datetime | None:
        """When a negative is no longer a recent one."""
        return None if self.sampled_at is None else expiry(self.sampled_at)


def expiry(sampled_at: datetime) -> datetime:
    """Return until when a negative of this swab is recent."""
    return sampled_at + NEGATIVE_SHOWN_FOR


class Proofs:
    """Makes and checks proofs with one key. Belongs to one event loop."""

    def __init__(self, key: Secrets, information: Information) -> None:
        self._seal = Seal(key, b"yuekang proof", Paper)
        self._information = information
        self._windows = SlidingWindowCounterRateLimiter(MemoryStorage())

    def code(self, kind: ProofKind, session: Session, event: EventRef, at: datetime) -> str:
        """Return the code of a proof about the holder of a session."""
        whole = at.replace(microsecond=0)
        of = session.person, event.source, event.id, session.name, session.ending
        return PREFIX + self._seal.close(Paper(kind, *of, whole))

    def read(self, code: str) -> Paper | None:
        """Return what a code says; None if it is not ours, or was changed."""
        text = "".join(code.split())
        if not text.startswith(PREFIX):
            return None
        try:
            return self._seal.open(text.removeprefix(PREFIX))
        except Broken:
            return None

    async def may_check(self, address: str) -> bool:
        """Count a check; say whether this address may have it."""
        return await self._windows.hit(CHECKS_MAX, network_of(address))

    async def check(self, code: str, at: datetime) -> Checked:
        """Read the record again that a code names; raise `Unavailable`, also where what is known is
        too old to show a colour by it."""
        proof = self.read(code)
        if proof is None:
            return Checked(Standing.UNKNOWN)
        row, as_of = await self._information.row(proof.person)
        if (at - as_of).total_seconds() > REFUSE_SECONDS:
            raise Unavailable("stale", RETRY_STALE_SECONDS)
        match proof.kind:
            case ProofKind.RELEASE:
                return _released(proof, row, as_of)
            case ProofKind.NEGATIVE:
                return _negative(proof, row, as_of, at)


def _released(proof: Paper, row: Person, as_of: datetime) -> Checked:
    for notice in standing_notices(row):
        if notice.event == proof.event:
            return Checked(Standing.STANDS, as_of, proof, notice)
    return Checked(Standing.TAKEN_BACK, as_of, proof)


def _negative(proof: Paper, row: Person, as_of: datetime, at: datetime) -> Checked:
    found = standing_negative(row, proof.event)
    if found is None:
        return Checked(Standing.TAKEN_BACK, as_of, proof)
    if at >= expiry(found.sampled_at):
        return Checked(Standing.EXPIRED, as_of, proof, sampled_at=found.sampled_at)
    if recent_negative(nat_results(row, at).items, at) is None:
        # What came after it says otherwise. The answer does not tell what that is.
        return Checked(Standing.TAKEN_BACK, as_of, proof)
    return Checked(Standing.STANDS, as_of, proof, sampled_at=found.sampled_at)
