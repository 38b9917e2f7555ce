"""A refused record goes to dead-letters, a parked source's to parked, and to held what is above a
limit: sealed if it was refused, else as it came, with where and why in headers.

Whatever was refused is sealed, since a name has no form by which it could be found."""

import hashlib
from datetime import UTC, datetime
from typing import Protocol

import msgspec
from nacl.public import PublicKey, SealedBox

from app.engine.transaction import Output, Transaction
from app.process import metrics
from app.process.consumer import LogRecord
from app.topics.catalogue import DEAD_LETTERS, ON_HOLD, PARKED
from app.topics.codec import Code, Refusal
from app.topics.letters import SEALED, Sealed, attributes_of, encode_sealed
from app.topics.marks import mac_in
from app.topics.openings import OPENING_MAC, Opening, of_source
from app.topics.records import Header, Headers
from models.events import Event, type_of
from models.notices import Notice
from models.phones import without_phone_numbers

VALUE_BYTES_MAX = 3 * 1024 * 1024
"""Raw bytes kept of a refused record. A larger one is cut, and its header tells length and hash.
The whole record stays at its place for as long as its topic keeps it."""

HEADERS_MAX, HEADER_BYTES_MAX = 32, 1024
"""Headers kept of a refused record: in binary mode they are half of the event. A longer key is cut:
no person key has so many bytes, and a letter must fit its topic."""

_encode_json = msgspec.json.Encoder().encode


class HasPlace(Protocol):
    """What lies in an input, or lay there: a record, or an opening."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...


class DeadLetters:
    """Writes dead letters. `public_key` seals them: a record with its key and its own headers.

    Only the holder of the private key can read one. In the open are where it stood, why it was
    refused, and its id and type where these have the form of one. Of what is parked, the valid is
    open. The refused record itself stays in its topic until that drops it: on submissions, a day.
    """

    def __init__(self, public_key: bytes) -> None:
        self._box = SealedBox(PublicKey(public_key))

    def refuse(
        self,
        transaction: Transaction,
        record: LogRecord,
        refusal: Refusal,
    ) -> None:
        """Write the dead letter of a record that is refused."""
        _write(transaction, refusal.code, self._refused(DEAD_LETTERS, record, refusal))

    def park(
        self,
        transaction: Transaction,
        record: LogRecord,
        source: str,
        refusal: Refusal | None = None,
    ) -> None:
        """Put a record aside because its source is parked; `refusal` says why if it is invalid."""
        if refusal is not None:
            letter = self._refused(PARKED, record, refusal)
        else:
            headers = [
                *_place(record),
                *_why("parked", "Its source is parked; the event itself is valid.", source),
                ("yk_refused", b"false"),
                *_kept(record),
            ]
            letter = Output(PARKED, record.key, record.value, headers)
        transaction.emit(letter)
        transaction.count(metrics.WORKER_PARKED.labels(record.topic))

    def hold(
        self, transaction: Transaction, record: LogRecord, opening: Opening, detail: str
    ) -> None:
        """Put a record of openings on held as it is, with its MAC, so that it can go back as it is.

        The letter's place is that of the event in its input, its reason the one that it opens.
        """
        headers = [
            *_place(opening),
            *_why(opening.reason.slug, detail, of_source(record)),
            ("yk_refused", b"false"),
            (OPENING_MAC, mac_in(record.headers) or b""),
        ]
        transaction.emit(Output(ON_HOLD, opening.person.encode(), record.value, headers))

    def _refused(self, to: str, record: LogRecord, refusal: Refusal) -> Output:
        raw = record.value or b""
        key = record.key and record.key[:HEADER_BYTES_MAX]
        headers = [
            *_place(record),
            *_why(refusal.code, without_phone_numbers(refusal.detail), refusal.source),
            ("yk_refused", b"true"),
        ]
        if record.value is None:
            headers.append(("yk_tombstone", b"true"))
        if len(raw) > VALUE_BYTES_MAX:
            headers += [
                ("yk_bytes_left_out", b"%d" % (len(raw) - VALUE_BYTES_MAX)),
                ("yk_sha256", hashlib.sha256(raw).hexdigest().encode()),
            ]
            raw = raw[:VALUE_BYTES_MAX]
        if refusal.code is not Code.DOCUMENT_NUMBER:
            headers += _attributes(raw, record.headers)
        return self._sealed(to, headers, Sealed(key, raw, _kept(record)))

    def _sealed(self, to: str, headers: list[Header], content: Sealed) -> Output:
        about = [("yk_bytes", b"%d" % len(content.value)), ("yk_sealed", SEALED)]
        return Output(to, None, self._box.encrypt(encode_sealed(content)), [*headers, *about])

    def misplaced(
        self, transaction: Transaction, record: LogRecord, event: Event, right: int
    ) -> None:
        """Tell the source of a record that lay in another partition than `right`, its own, where
        it goes now. The event counts."""
        detail = (
            f"The key belongs to partition {right}, not {record.partition}; it was forwarded. Use "
            "Kafka's default partitioner (murmur2)."
        )
        headers = [
            *_place(record),
            *_why(Code.WRONG_PARTITION, detail, event.source),
            ("yk_refused", b"false"),
            *_attributes_of(event),
        ]
        content = Sealed(record.key, _encode_json(event), [])
        _write(transaction, Code.WRONG_PARTITION, self._sealed(DEAD_LETTERS, headers, content))

    def notify(
        self,
        transaction: Transaction,
        key: bytes,
        notice: Notice,
        record: HasPlace | None,
    ) -> None:
        """Write the dead letter of an event that the fold refused or that is held, or whose claim
        has no effect.

        `record` brought the notice about; it is None when time did.
        """
        headers = [
            *(() if record is None else _place(record)),
            *_why(notice.objection, notice.detail, notice.event.source),
            ("yk_refused", b"true" if notice.refused else b"false"),
            *_attributes_of(notice.event),
        ]
        content = Sealed(key, _encode_json(notice.event), [])
        _write(transaction, notice.objection, self._sealed(DEAD_LETTERS, headers, content))


def _write(transaction: Transaction, reason: str, letter: Output) -> None:
    transaction.emit(letter)
    transaction.count(metrics.WORKER_DEAD_LETTERS.labels(str(reason)))


def _place(record: HasPlace) -> list[Header]:
    return [
        ("yk_topic", record.topic.encode()),
        ("yk_partition", b"%d" % record.partition),
        ("yk_offset", b"%d" % record.offset),
    ]


def _why(reason: str, detail: str, source: str | None) -> list[Header]:
    headers = [
        ("yk_reason", str(reason).encode()),
        ("yk_detail", detail.encode()),
        ("yk_time", datetime.now(UTC).isoformat(timespec="milliseconds").encode()),
    ]
    if source is not None:
        headers.append(("yk_source", source.encode()))
    return headers


def _attributes(value: bytes, headers: Headers) -> list[Header]:
    """Return the id and type of a refused event, as far as they can be read and shown."""
    named = zip(("yk_id", "yk_type"), attributes_of(value, headers), strict=True)
    return [(name, text.encode()) for name, text in named if text is not None]


def _attributes_of(event: Event) -> list[Header]:
    return [("yk_id", event.id.encode()), ("yk_type", type_of(event).encode())]


def _kept(record: LogRecord) -> list[Header]:
    """Return the record's own headers, as far as they may go along. Those of the event come first,
    so a valid event keeps all of them. Ours cannot be forged."""
    own = [(name, value or b"") for name, value in record.headers if not name.startswith("yk_")]
    own.sort(key=lambda header: not header[0].lower().startswith(("ce_", "content-type")))
    kept = [
        (name, value)
        for name, value in own[:HEADERS_MAX]
        if len(name.encode(errors="replace")) + len(value) <= HEADER_BYTES_MAX
    ]
    if len(kept) < len(own):
        kept.append(("yk_headers_left_out", b"%d" % (len(own) - len(kept))))
    return kept
