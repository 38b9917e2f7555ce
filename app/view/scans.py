"""`POST /v1/scans`: a terminal reads a code. The guard gets its colour, Kafka gets the scan.

The colour comes first. If Kafka does not confirm in time, the answer has the colour all the same,
with `recorded` false, and the terminal sends the same again. By its id that is one scan, however
often it is sent, and even if Kafka had the first one after all. Why a code is red is never told at
a gate.
"""

from datetime import datetime, timedelta
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from app.process import metrics
from app.process.clock import Clock
from app.topics.catalogue import named
from app.topics.codec import Code, Refusal, encode, from_mapping
from app.topics.numbers import carries_document_number
from app.topics.records import Record
from app.topics.writer import Writer
from app.view.codes import Codes
from app.view.displays import TOKEN_LENGTH_MAX, Displays, InvalidDisplay
from app.view.limits import DISPLAY_SECONDS, SCAN_LATE_SECONDS
from app.web.problems import FieldError, Refused
from app.web.requests import AnyRequest
from app.web.tokens import InvalidToken, Tokens
from models.codes import Colour
from models.events import EventId, Instant, Name

TOPIC = named("scans")
TYPE = "yuekang.scan.recorded.v1"


class ScanRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """What a terminal read. The terminal gives the `id`; a scan sent again keeps it, and is one.

    Without `scanned_at` the scan happens now. It is recorded as of when the code was shown, which
    stays the same whenever it is sent. A scan kept back may be sent within a day, with its time.
    """

    id: EventId
    token: Annotated[
        str, Meta(min_length=1, max_length=TOKEN_LENGTH_MAX, description="What the QR holds.")
    ]
    place: Name
    scanned_at: Instant | None = None


class ScanAnswer(Struct, frozen=True):
    """What a guard sees. `colour` is null for a scan kept back until its token was no longer good.

    `recorded` false: Kafka has not confirmed the scan; send the same again.
    """

    colour: Colour | None
    at: datetime
    as_of: datetime | None
    stale: bool
    recorded: bool


class Scans:
    """Answers terminals."""

    def __init__(
        self, codes: Codes, displays: Displays, tokens: Tokens, writer: Writer, now: Clock
    ) -> None:
        self._codes = codes
        self._displays = displays
        self._tokens = tokens
        self._writer = writer
        self._now = now

    def terminal_of(self, request: AnyRequest) -> str:
        """Return the source whose token the request carries; raise `Refused` (401)."""
        try:
            return self._tokens.source_in(request.headers.get("authorization", ""))
        except InvalidToken:
            raise Refused(
                "unauthenticated",
                "Send the terminal's token as `Authorization: Bearer …`; the operator makes it "
                "with `yuekang token /terminals/…`.",
                headers={"WWW-Authenticate": "Bearer"},
            ) from None

    async def scan(self, source: str, asked: ScanRequest) -> ScanAnswer:
        """Answer a scan; raise `Refused`, or `Unavailable` if no colour can be shown."""
        at = self._now()
        record, person, good = self._check(source, asked, at)
        read = await self._codes.read(person) if good else None
        recorded = await self._record(record)
        if read is None:
            return ScanAnswer(None, at, None, False, recorded)
        return ScanAnswer(read.colour, read.at, read.as_of, read.stale, recorded)

    def _check(self, source: str, asked: ScanRequest, now: datetime) -> tuple[Record, str, bool]:
        """Return the record, the person, and whether the token is good now."""
        try:
            display = self._displays.read(asked.token)
        except InvalidDisplay:
            raise Refused(
                "no-display",
                "This is not what a code page shows.",
                (FieldError("token", "It was not made here."),),
            ) from None
        read_at = asked.scanned_at or now
        if not display.was_good(read_at) or now - read_at > timedelta(seconds=SCAN_LATE_SECONDS):
            raise Refused(
                "no-display",
                f"A shown code is good for {DISPLAY_SECONDS} s. Ask for it to be shown again.",
                (FieldError("token", "It was too old when it was scanned."),),
            )
        # A scan without a time is recorded with one that it has again when it is sent again.
        scanned_at = asked.scanned_at or display.made_at
        record = self._record_of(source, asked, display.person, scanned_at, now)
        return record, display.person, display.was_good(now)

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
        if carries_document_number(value):
            raise Refused("invalid", "A text has the form of a document number; leave it out.")
        return Record(TOPIC, person.encode(), value)

    async def _record(self, record: Record) -> bool:
        try:
            await self._writer.write([record])
        except Refused:
            metrics.VIEW_SCANS.labels("not-recorded").inc()
            return False
        metrics.VIEW_SCANS.labels("recorded").inc()
        return True
