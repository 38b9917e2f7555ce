"""What is refused goes to dead-letters: the bytes as they came, and in headers where and why."""

import hashlib
from datetime import UTC, datetime

import msgspec
from aiokafka import ConsumerRecord
from nacl.public import PublicKey, SealedBox

from app.codec import Refusal
from app.engine.table import Told
from app.topology import DEAD_LETTERS
from models.person import Notice

VALUE_BYTES_MAX = 3 * 1024 * 1024
"""Raw bytes kept of a refused record. A larger one is cut; its header tells length and hash, and
the whole stays at its place in the input topic for as long as that is kept."""

_encode_json = msgspec.json.Encoder().encode


class DeadLetters:
    """Makes dead letters. `public_key` seals those that carry a document number.

    Only the holder of the private key can read them, so the number lies nowhere in plain text.
    """

    def __init__(self, public_key: bytes) -> None:
        self._box = SealedBox(PublicKey(public_key))

    def of_record(self, record: "ConsumerRecord[bytes, bytes]", refusal: Refusal) -> Told:
        """Return the dead letter for a record that was refused."""
        raw = record.value or b""
        headers = [
            *_place(record),
            *_why(refusal.code, refusal.detail, refusal.source),
            ("yk_refused", b"true"),
        ]
        if record.value is None:
            headers.append(("yk_tombstone", b"true"))
        if len(raw) > VALUE_BYTES_MAX:
            headers += [
                ("yk_bytes", b"%d" % len(raw)),
                ("yk_sha256", hashlib.sha256(raw).hexdigest().encode()),
            ]
            raw = raw[:VALUE_BYTES_MAX]
        key = record.key
        if refusal.code == "document-number":
            raw, key = self._box.encrypt(raw), None
            headers.append(("yk_sealed", b"true"))
        return Told(DEAD_LETTERS, key, raw, headers)

    def of_notice(
        self, key: bytes, notice: Notice, record: "ConsumerRecord[bytes, bytes] | None"
    ) -> Told:
        """Return the dead letter for an event that the fold refused or that claims in vain.

        `record` is what brought the notice about: None when it was time.
        """
        headers = [
            *(() if record is None else _place(record)),
            *_why(notice.objection, notice.detail, notice.event.source),
            ("yk_refused", b"true" if notice.refused else b"false"),
        ]
        return Told(DEAD_LETTERS, key, _encode_json(notice.event), headers)


def _place(record: "ConsumerRecord[bytes, bytes]") -> list[tuple[str, bytes]]:
    return [
        ("yk_topic", record.topic.encode()),
        ("yk_partition", b"%d" % record.partition),
        ("yk_offset", b"%d" % record.offset),
    ]


def _why(reason: str, detail: str, source: str | None) -> list[tuple[str, bytes]]:
    headers = [
        ("yk_reason", str(reason).encode()),
        ("yk_detail", detail.encode()),
        ("yk_time", datetime.now(UTC).isoformat(timespec="milliseconds").encode()),
    ]
    if source is not None:
        headers.append(("yk_source", source.encode()))
    return headers
