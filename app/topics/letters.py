"""The letters on dead-letters, parked and held, as agents.dead_letters writes them.

A sealed one has its record within: key, value and own headers, in MessagePack, closed for the
holder of the private key (NaCl's SealedBox). Letters of before that sealed the value alone.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
import orjson
from msgspec import Struct
from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, SealedBox

from app.process.consumer import LogRecord
from app.topics.numbers import carries_personal_number
from app.topics.openings import OPENING_MAC
from app.topics.records import Header, Headers, KafkaPlace
from models.events import EVENT_ID

SEALED = b"record"
"""Header yk_sealed: all of the record is within. "true" means its value alone, as before."""

SEAL_BYTES = 48
"""What NaCl's SealedBox adds: a public key of 32 bytes and a code of 16."""

READ_BYTES_MAX = 65_536
"""Of a larger record id and type are not read: none that is taken is larger."""


class Sealed(Struct, frozen=True):
    """What a sealed letter has within."""

    key: bytes | None
    value: bytes
    headers: list[Header]


encode_sealed = msgspec.msgpack.Encoder().encode
_decode_sealed = msgspec.msgpack.Decoder(Sealed).decode


class NotOpenedError(ValueError):
    """It is not the key that opens the letter."""


PARKED_PATH = "/parked"
"""Where a worker's status server tells its `ParkedSource`s."""


class ParkedSource(Struct, frozen=True):
    """A source that is parked in a partition of a topic since the record at `offset`, which reached
    the limit."""

    source: str
    topic: str
    partition: int
    offset: int


class Letter(Struct, frozen=True):
    """A record that was refused, put aside or held. `came_from` is None if time brought it about.

    What is held has as `reason` the one that it would open, and as `opening_mac` the MAC that it
    had on openings.
    """

    place: KafkaPlace
    at: datetime
    came_from: KafkaPlace | None
    reason: str
    detail: str
    source: str | None
    refused: bool
    sealed: bool
    bytes_left_out: int
    key: bytes | None
    value: bytes | None
    own_headers: tuple[Header, ...]
    """The headers that the record itself had. A sealed letter shows neither them nor the key."""
    id: str | None = None
    type: str | None = None
    bytes_kept: int = 0
    """The length of the record's value as it is kept, sealed or not."""
    whole_sealed: bool = False
    is_tombstone: bool = False
    opening_mac: bytes | None = None


def letter_in(record: LogRecord) -> Letter:
    """Read a letter."""
    ours = {name: (raw or b"") for name, raw in record.headers if name.startswith("yk_")}

    def text(name: str) -> str | None:
        return ours[name].decode(errors="replace") if name in ours else None

    value = record.value or b""
    sealed = ours.get("yk_sealed")
    kept = len(value) if sealed is None else len(value) - SEAL_BYTES
    if sealed == SEALED:
        kept = int(ours["yk_bytes"])
    own = tuple((n, raw or b"") for n, raw in record.headers if n not in ours)
    id_, type_ = text("yk_id"), text("yk_type")
    if sealed is None and id_ is None:
        id_, type_ = attributes_of(value, own)
    return Letter(
        place=KafkaPlace(record.topic, record.partition, record.offset),
        at=datetime.fromtimestamp(record.timestamp / 1_000, UTC),
        came_from=_came_from(ours),
        reason=text("yk_reason") or "",
        detail=text("yk_detail") or "",
        source=text("yk_source"),
        refused=ours.get("yk_refused") == b"true",
        sealed=sealed is not None,
        bytes_left_out=_left_out(ours, kept),
        key=record.key,
        value=None if "yk_tombstone" in ours and sealed is None else value,
        is_tombstone="yk_tombstone" in ours,
        own_headers=own,
        id=id_,
        type=type_,
        bytes_kept=kept,
        whole_sealed=sealed == SEALED,
        opening_mac=ours.get(OPENING_MAC),
    )


def _left_out(ours: Mapping[str, bytes], kept: int) -> int:
    """Return how many bytes of the record are not kept; before, yk_bytes was all that it had."""
    if "yk_bytes_left_out" in ours:
        return int(ours["yk_bytes_left_out"])
    if ours.get("yk_sealed") == SEALED:
        return 0
    return int(ours.get("yk_bytes", b"%d" % kept)) - kept


def opened(letter: Letter, private_key: bytes) -> Letter:
    """Return a sealed letter as it was before; raise `NotOpenedError`. An open one stays."""
    if not letter.sealed:
        return letter
    try:
        plain = SealedBox(PrivateKey(private_key)).decrypt(letter.value or b"")
    except (CryptoError, ValueError, TypeError):
        raise NotOpenedError("This is not the private key that opens it.") from None
    if not letter.whole_sealed:
        return msgspec.structs.replace(letter, sealed=False, value=plain)
    within = _decode_sealed(plain)
    return msgspec.structs.replace(
        letter,
        sealed=False,
        key=within.key,
        value=None if letter.is_tombstone else within.value,
        own_headers=tuple(within.headers),
    )


def attributes_of(value: bytes, headers: Headers) -> tuple[str | None, str | None]:
    """Return an event's id and type, from headers in binary mode, else from its JSON; None for what
    cannot be read, or has not the form of an id, or has that of a personal number."""
    event: Any = {
        name.removeprefix("ce_"): (raw or b"").decode(errors="replace") for name, raw in headers
    }
    if "ce_id" not in {name for name, _ in headers} and len(value) <= READ_BYTES_MAX:
        try:
            event = orjson.loads(value)
        except orjson.JSONDecodeError:
            event = None
    if not isinstance(event, dict):
        return None, None
    return _shown(event.get("id")), _shown(event.get("type"))


def _shown(text: Any) -> str | None:
    if not isinstance(text, str) or not EVENT_ID.fullmatch(text):
        return None
    return None if carries_personal_number(orjson.dumps(text)) else text


def _came_from(ours: Mapping[str, bytes]) -> KafkaPlace | None:
    if "yk_topic" not in ours:
        return None
    return KafkaPlace(ours["yk_topic"].decode(), int(ours["yk_partition"]), int(ours["yk_offset"]))


class LetterFilter(Struct, frozen=True):
    """Which letters are wanted. None takes any."""

    topic: str | None = None
    reason: str | None = None
    source: str | None = None
    since: datetime | None = None

    def takes(self, letter: Letter) -> bool:
        """Say whether a letter is wanted."""
        came_from = letter.came_from and letter.came_from.topic
        return (
            self.topic in (None, came_from)
            and self.reason in (None, letter.reason)
            and self.source in (None, letter.source)
            and (self.since is None or letter.at >= self.since)
        )
