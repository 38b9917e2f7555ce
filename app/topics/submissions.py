"""What an agency writes to Kafka itself, on its way from `submissions` to its input.

The copy is the event alone, in structured mode: what else the submission had, which nobody has
checked, stays behind. It arrived when it was submitted, not when it was copied.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from app.process.consumer import LogRecord
from app.topics.authentic import SourceKeys
from app.topics.marks import marked, marked_text
from app.topics.records import Record, structured
from models.events import Event

SUBMITTED = "yk_submitted"
"""Header of a copy: when it arrived on submissions (ms since 1970), and the workers' MAC. It is the
last of its headers."""


def as_copied(event: Event, arrived_at: int, keys: SourceKeys) -> Record:
    """Return the record for the input of an event that was submitted at `arrived_at` (ms since
    1970), with a MAC of its source."""
    return marked(keys.signed(structured(event), event.source), SUBMITTED, b"%d" % arrived_at, keys)


def as_they_came(records: Iterable[LogRecord], keys: SourceKeys) -> Iterator[LogRecord]:
    """Yield the records of an input, a copy with the timestamp of its submission."""
    for record in records:
        submitted_at = marked_text(record, SUBMITTED, keys)
        yield record if submitted_at is None else replace(record, timestamp=int(submitted_at))
