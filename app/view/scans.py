"""`POST /v1/scans`: a terminal reads a code. The guard gets an outcome, Kafka gets the scan.

The outcome comes first. If Kafka does not confirm in time, the answer has the outcome all the same,
and asks for the same `again`. By its id that is one scan, however often it is sent, and even if
Kafka had the first one after all. What is read is a display token, or a credential that a phone
showed by itself (app.credentials); either names its person to us alone. Why a code is red is never
told at a gate. The masked name and the end of the document number are, since without them a
friend's green would pass.
"""

import asyncio
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta, Struct
from redis.exceptions import RedisError

from app.credentials.bounds import TEXT_LENGTH_MAX
from app.credentials.cose import Forged
from app.credentials.proofs import PROOF_PREFIX, Holders
from app.process import metrics
from app.process.clock import Clock
from app.topics.authentic import SourceKeys
from app.topics.catalogue import named
from app.topics.codec import Code, Refusal, encode, from_mapping
from app.topics.numbers import carries_personal_number
from app.topics.records import Record
from app.topics.writer import Writer
from app.view.codes import Codes
from app.view.displays import Display, Displays, InvalidDisplay
from app.view.limits import (
    CLOCK_SECONDS,
    NOTICE_SECONDS,
    RETRY_STORE_SECONDS,
    SCAN_LATE_SECONDS,
)
from app.view.reading import Read, Unavailable
from app.web.operator import access_of
from app.web.problems import FieldError, Refused
from app.web.requests import AnyConnection
from app.web.tokens import Tokens
from models.codes import Colour
from models.events import EventId, Instant, Name

SCANS_TOPIC = named("scans")
TYPE = "yuekang.scan.recorded.v1"

NOBODY = f"p1-{'a' * 32}"
"""Stands for a person where a scan is not recorded. What is wrong with a place is refused whatever
the code is, so that a terminal learns of it with its first scan."""


class ScanOutcome(StrEnum):
    """What a guard goes by. A terminal adds one of its own: that nobody could be asked."""

    GREEN = "green"
    RED = "red"
    EXPIRED = "expired"
    """It was shown too long ago: a picture, or a page that sleeps. Let it be shown again."""
    FORGED = "forged"
    """It was not made here."""
    CLOCK_WRONG = "clock-wrong"
    """The terminal's clock differs from ours: set it."""
    UNKNOWN = "unknown"
    """It was made here, and the person has no code."""
    STALE = "stale"
    """What is known is too old to let anybody pass by it. Scan again in a minute."""


class ScanRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """What a terminal read. The terminal gives the `id`; a scan sent again keeps it, and is one.

    Without `scanned_at` the scan happens now. It is recorded as of when the code was shown, which
    stays the same whenever it is sent. A scan kept back may be sent within a day, with its time.
    `sent_at` is when the terminal sends this, by its clock; by it the terminal learns that its
    clock is wrong.
    """

    id: EventId
    token: Annotated[
        str, Meta(min_length=1, max_length=TEXT_LENGTH_MAX, description="What the QR holds.")
    ]
    place: Name
    scanned_at: Instant | None = None
    sent_at: Instant | None = None


class ScanAnswer(Struct, frozen=True):
    """What a guard goes by: `outcome`, and `name` and `ending` to hold against the document.

    `at` is our time. `colour` is null where nobody's code was asked for: forged, expired, a wrong
    clock. A scan kept back until its token was no longer good is recorded, and its outcome is that
    it has expired. `again`: Kafka has not confirmed the scan; send the same again. What is forged
    or had expired when it was scanned is not recorded at all.
    """

    colour: Colour | None
    at: datetime
    as_of: datetime | None
    stale: bool
    recorded: bool
    outcome: ScanOutcome
    name: str | None
    ending: str | None
    again: bool


class Scans:
    """Answers terminals."""

    def __init__(
        self,
        codes: Codes,
        displays: Displays,
        holders: Holders,
        tokens: Tokens,
        writer: Writer,
        mac_keys: SourceKeys,
        now: Clock,
    ) -> None:
        self._codes = codes
        self._displays = displays
        self._holders = holders
        self._tokens = tokens
        self._writer = writer
        self._mac_keys = mac_keys
        self._now = now

    async def terminal_of(self, request: AnyConnection) -> str:
        """Return the source whose token the request carries; raise `Refused` (401)."""
        return (await access_of(self._tokens, request, "the terminal's", "/terminals/…")).source

    async def scan(self, source: str, asked: ScanRequest) -> ScanAnswer:
        """Answer a scan; raise `Refused`, or `Unavailable` if no colour can be shown."""
        at = self._now()
        answer = await self._answer(source, asked, at)
        metrics.VIEW_SCAN_OUTCOMES.labels(answer.outcome).inc()
        return answer

    async def _answer(self, source: str, asked: ScanRequest, at: datetime) -> ScanAnswer:
        try:
            display = await self._display(asked.token)
        except (InvalidDisplay, Forged):
            self._record_of(source, asked, NOBODY, at, at)
            return _told(ScanOutcome.FORGED, at)
        if display is None:
            self._record_of(source, asked, NOBODY, at, at)
            return _told(ScanOutcome.EXPIRED, at)
        sent_at = asked.sent_at or at
        clock_wrong = abs(at - sent_at) > timedelta(seconds=CLOCK_SECONDS)
        age = timedelta()
        if asked.scanned_at is not None:  # by a wrong clock, as long ago as it says itself
            age = (sent_at if clock_wrong else at) - asked.scanned_at
        too_late = abs(age) > timedelta(seconds=SCAN_LATE_SECONDS)
        if too_late or not display.was_good(at - age):
            self._record_of(source, asked, NOBODY, at, at)
            return _told(ScanOutcome.EXPIRED, at, display)
        # By a wrong clock, as without a time, it is recorded with one that it has again when it is
        # sent again.
        scanned_at = None if clock_wrong else asked.scanned_at
        record = self._record_of(source, asked, display.person, scanned_at or display.made_at, at)
        good = display.was_good(at) and not clock_wrong
        # Neither waits for the other. Where the code cannot be read, the scan is recorded all the
        # same, and is the same event when it is sent again.
        read, recorded = await asyncio.gather(
            self._read(display.person if good else None), self._record(record)
        )
        if read is not None:
            return _told(_outcome(read), at, display, read, recorded=recorded)
        outcome = ScanOutcome.CLOCK_WRONG if clock_wrong else ScanOutcome.EXPIRED
        return _told(outcome, at, display, recorded=recorded)

    async def _read(self, person: str | None) -> Read | None:
        return None if person is None else await self._codes.read(person)

    async def _display(self, text: str) -> Display | None:
        """Return who shows this; None if a credential is nobody's any more."""
        if not text.startswith(PROOF_PREFIX):
            return self._displays.read(text)
        try:
            proof, person = await self._holders.read(text)
        except (RedisError, OSError, TimeoutError):
            raise Unavailable("store", RETRY_STORE_SECONDS) from None
        if person is None:
            return None
        claims, good = proof.claims, proof.good_seconds
        return Display(person, proof.shown_at, claims.name, claims.ending, good)

    def _record_of(
        self, source: str, asked: ScanRequest, person: str, scanned_at: datetime, now: datetime
    ) -> Record:
        mapping = {
            "specversion": "1.0",
            "type": TYPE,
            "id": asked.id,
            "source": source,
            "time": scanned_at,
            "partitionkey": person,
            # It grows with time, and is the same when the scan is sent again.
            "sequence": str(int(scanned_at.timestamp() * 1_000)),
            "data": {
                "terminal": source.rpartition("/")[2],
                "place": asked.place,
                "scanned_at": scanned_at,
            },
        }
        try:
            value = encode(from_mapping(msgspec.to_builtins(mapping), now))
        except Refusal as refusal:
            code = "no-terminal" if refusal.code is Code.NO_AUTHORITY else "invalid"
            errors = tuple(FieldError(fault.field, fault.detail) for fault in refusal.faults)
            raise Refused(code, refusal.detail, errors) from None
        if carries_personal_number(value):
            raise Refused(
                "invalid", "A text has the form of a document's or a phone's number; leave it out."
            )
        return self._mac_keys.signed(Record(SCANS_TOPIC, person.encode(), value), source)

    async def _record(self, record: Record) -> bool:
        try:
            await self._writer.write([record])
        except Refused:
            metrics.VIEW_SCANS.labels("not-recorded").inc()
            return False
        metrics.VIEW_SCANS.labels("recorded").inc()
        return True


_OUTCOMES = {
    Colour.GREEN: ScanOutcome.GREEN,
    Colour.RED: ScanOutcome.RED,
    Colour.NONE: ScanOutcome.UNKNOWN,
}


def _outcome(read: Read) -> ScanOutcome:
    if read.stale and (read.lag_s is None or read.lag_s > NOTICE_SECONDS):
        return ScanOutcome.STALE
    return _OUTCOMES[read.colour]


def _told(
    outcome: ScanOutcome,
    at: datetime,
    display: Display | None = None,
    read: Read | None = None,
    *,
    recorded: bool | None = None,
) -> ScanAnswer:
    """Return the answer; `recorded` is None where there is nothing to record."""
    return ScanAnswer(
        colour=None if read is None else read.colour,
        at=at,
        as_of=None if read is None else read.as_of,
        stale=read is not None and read.stale,
        recorded=bool(recorded),
        outcome=outcome,
        name=None if display is None else display.name or None,
        ending=None if display is None else display.ending or None,
        again=recorded is False,
    )
