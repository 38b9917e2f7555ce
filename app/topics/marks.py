"""What a worker says of a record that it writes once more, such as when it first arrived.

The mark is the last of the record's headers: a text, and a MAC under the workers' own key over the
mark's name, the text, and the record's own MAC, which covers all that the record says. So nobody
but a worker can make it, and the event's author stays known by its own.
"""

from msgspec.structs import replace

from app.process.consumer import LogRecord
from app.process.macs import MAC
from app.topics.authentic import OURS, SourceKeys
from app.topics.records import Headers, Record


def marked(record: Record, name: str, text: bytes, keys: SourceKeys) -> Record:
    """Return a signed record with the mark `name`; `text` has no blank."""
    _, mac = keys.of(OURS).header(name, mac_in(record.headers), text, ())
    return replace(record, headers=(*record.headers, (name, b"%b %b" % (text, mac))))


def marked_text(record: LogRecord, name: str, keys: SourceKeys) -> bytes | None:
    """Return what the mark `name` of a record says; None if it has no mark of that name, or if no
    worker made it. It says nothing of whether the record's own MAC fits."""
    if not record.headers or record.headers[-1][0] != name:
        return None
    text, _, mac = (record.headers[-1][1] or b"").partition(b" ")
    said = Record(name, mac_in(record.headers), text, ((MAC, mac),))
    return text if keys.is_ours(said) else None


def mac_in(headers: Headers) -> bytes | None:
    """Return the MAC that a record bears, as `SourceKeys.author` finds it."""
    return next((raw for name, raw in reversed(headers) if name == MAC), None)
