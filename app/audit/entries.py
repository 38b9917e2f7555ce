"""What a line of the audit log says, and the bytes that it is.

A line is canonical JSON: no blanks, the names sorted. Its bytes are the value of a record, and the
leaf of the tree, and are never made a second time.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from app.topics.catalogue import named
from app.topics.records import Record

AUDIT = named("audit")

TEXT_LENGTH_MAX = 400
"""A longer text is cut. With these a line has at most 27 KB, also if each sign is escaped."""

DETAILS_MAX = 8

LEAF_BYTES_MAX = 65_535
"""An entry in a bundle has its length in two bytes before it (C2SP tlog-tiles)."""

Cut = Annotated[str, Meta(max_length=TEXT_LENGTH_MAX)]


class Act(StrEnum):
    """Everything that leaves a line; what is not here leaves none."""

    CODE_READ = "code-read"
    EXPLAINED = "explained"
    LIST_READ = "list-read"
    LETTER_READ = "letter-read"
    LETTERS_RESENT = "letters-resent"
    SOURCE_RELEASED = "source-released"
    PARTITION_RELEASED = "partition-released"
    SOURCE_REGISTERED = "source-registered"
    SOURCE_CLOSED = "source-closed"
    SOURCE_OPENED = "source-opened"
    TOKEN_TAKEN_BACK = "token-taken-back"
    REGISTER_SIGNED_AGAIN = "register-signed-again"
    OPENINGS_APPROVED = "openings-approved"
    DUTY_BEGUN = "duty-begun"
    KEY_CHANGED = "key-changed"
    LOG_RESUMED = "log-resumed"


class AuditEntry(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A line: at this instant, by whom, what, and about whom or what.

    `about` is a person key, a source or a place. `details` never say what the answer was.
    """

    at: datetime
    by: Cut
    what: Act
    about: Cut
    reason: Cut = ""
    details: Mapping[Cut, Cut] = {}


def audit_entry(
    at: datetime, by: str, what: Act, about: str, reason: str, details: Mapping[str, str]
) -> AuditEntry:
    """Return a line, its texts cut to what one takes. Raise `ValueError` for too many details."""
    if len(details) > DETAILS_MAX:
        raise ValueError(f"A line has at most {DETAILS_MAX} details.")
    cut = {name: text[:TEXT_LENGTH_MAX] for name, text in details.items()}
    texts = (text[:TEXT_LENGTH_MAX] for text in (by, about, reason))
    short_by, short_about, short_reason = texts
    return AuditEntry(
        at=at, by=short_by, what=what, about=short_about, reason=short_reason, details=cut
    )


def audit_record(entry: AuditEntry) -> Record:
    """Return the record of a line."""
    value = msgspec.json.encode(entry, order="sorted")
    return Record(AUDIT, None, value, (("content-type", b"application/json"),))


def leaf_of(value: bytes | None) -> bytes:
    """Return the leaf of a record on the topic: its value, whatever that says.

    What no bundle can hold stands there by its digest. No writer of ours makes such.
    """
    if value is not None and len(value) <= LEAF_BYTES_MAX:
        return value
    found = {} if value is None else {"sha256": hashlib.sha256(value).hexdigest()}
    return msgspec.json.encode({"bytes": len(value or b""), **found}, order="sorted")


def entry_in(leaf: bytes) -> AuditEntry | None:
    """Return the line that a leaf is; None if it is not one of ours."""
    try:
        return msgspec.json.decode(leaf, type=AuditEntry)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
