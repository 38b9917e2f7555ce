"""What may open a reason goes round: what must come back counted, what is held, and the rows that
count it, by a replay of openings through `models.quotas`.

The original is passed over, the copy folded. Each stands among the letters: that it was sent to be
counted, that it came back, or that it is held and its source was told.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from app.engine.store import DUE, HELD_NOW
from app.process.consumer import LogRecord
from app.topics.catalogue import partition_of
from app.topics.openings import RESENT_FROM, Opening, decode_opening
from models.quotas import Quota, limit_of, opening
from oracle.found import Differences
from oracle.layout import mark_in
from oracle.letters import Letter, Letters
from support.records import PARTITIONS

_decode_quota = msgspec.msgpack.Decoder(Quota).decode
_decode_now = msgspec.msgpack.Decoder(dict[int, int]).decode

Rows = Mapping[bytes | None, bytes | None]


def goes_round(record: LogRecord, event: Any) -> bool:
    """Say whether an event is to be counted before it is folded."""
    return opening(event) is not None and mark_in(record) is None


class Quotas:
    """The rows of the table as a replay of openings has them; what follows is expected among
    `letters`."""

    def __init__(self, letters: Letters) -> None:
        self._letters = letters
        self._quotas: dict[bytes, Quota] = defaultdict(Quota)
        self._now: dict[int, dict[int, int]] = defaultdict(dict)
        self._touched = set[bytes]()
        self.rows: dict[int, dict[bytes, bytes]] = defaultdict(dict)
        """The changelog's newest rows, by partition, as they are stored."""

    def sent(self, record: LogRecord) -> None:
        """An event was taken off its input, to be counted."""
        place = record.topic, record.partition, record.offset
        self._letters.expect(Letter("openings", place, "sent", False, None))

    def take(self, record: LogRecord) -> None:
        """Count a record of openings. None is sent again here, and none is approved."""
        assert RESENT_FROM not in dict(record.headers), "nobody releases anything in a round"
        told, source = decode_opening(record.value or b""), (record.key or b"").decode()
        assert record.partition == partition_of(record.key or b"", PARTITIONS)
        key = f"{source} {told.reason.slug}".encode()
        quota = self._quotas[key]
        self._touched.add(key)
        at = datetime.fromtimestamp(told.arrived / 1_000, UTC)
        if quota.count(told.arrived, limit_of(source, told.reason, at)):
            self._letters.expect(Letter(told.topic, None, "counted", False, _event_of(told)))
            return
        place = told.topic, told.partition, told.offset
        self._letters.expect(Letter("held", place, told.reason.slug, False, None))
        self._letters.expect(Letter(told.topic, place, "held", False, None))
        self._letters.expect(Letter("dead-letters", place, "held", False, _event_of(told)))
        now = self._now[record.partition]
        now[int(told.reason)] = now.get(int(told.reason), 0) + 1

    def compare(
        self, number: int, rows: Rows, meta: Iterable[LogRecord], found: Differences
    ) -> None:
        """Compare the rows of a transaction with the replay's, and go on from the changelog's."""
        for key in {*rows, *self._touched}:
            value = rows.get(key) or b""
            there = _decode_quota(value[DUE.size :]) if value else None
            if there != self._quotas[key or b""]:
                found.add("quotas", f"{key!r}: {there}, not {self._quotas[key or b'']}")
            if there is not None:
                self._quotas[key or b""] = there
                self.rows[number][key or b""] = value
        self._touched.clear()
        for record in meta:
            if record.key == HELD_NOW:
                now = _decode_now((record.value or b"")[DUE.size :])
                if now != self._now[number]:
                    found.add("quotas", f"{number}: {now} held, not {self._now[number]}")


def _event_of(told: Opening) -> tuple[str, str]:
    said = msgspec.json.decode(told.event)
    return said["source"], said["id"]
