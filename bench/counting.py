"""The counting fold: per person the last report, whether ever positive, and how many.

Nobody's domain code weighs in it; what is measured is an engine with its state and changelog.
"""

from collections.abc import Iterator
from hashlib import blake2b
from random import Random

import msgspec
from msgspec import Struct

TOPIC = "bench-counting"

INSTITUTIONS = [f"样本检测机构 {number:03d}" for number in range(40)]

POSITIVE_SHARE = 0.01


class Report(Struct, frozen=True):
    """What the fold reads of a report."""

    reported_at: str
    result: str


class Counts(Struct, frozen=True, array_like=True):
    """A row."""

    last: str
    red: bool
    count: int


def count(row: Counts | None, report: Report) -> Counts:
    """Fold one report."""
    positive = report.result == "positive"
    if row is None:
        return Counts(report.reported_at, positive, 1)
    return Counts(report.reported_at, positive or row.red, row.count + 1)


def reports(events: int, people: int, seed: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield key and value of each record. The same arguments yield the same bytes."""
    random = Random(seed)
    keys = [
        b"p1-" + blake2b(b"%d/%d" % (seed, n), digest_size=16).hexdigest().encode()
        for n in range(people)
    ]
    encode = msgspec.json.Encoder().encode
    for number in range(events):
        key = keys[random.randrange(people)]
        day, minute = 10 + number * 20 // events, number % 60
        yield (
            key,
            encode(
                {
                    "event_id": f"{number:032x}",
                    "person_id": key.decode(),
                    "result": "positive" if random.random() < POSITIVE_SHARE else "negative",
                    "kind": "NAT",
                    "institution": INSTITUTIONS[number % len(INSTITUTIONS)],
                    "sampled_at": f"2022-03-10T08:{minute:02d}:00+08:00",
                    "reported_at": f"2022-03-{day:02d}T14:{minute:02d}:00+08:00",
                    "source": "/laboratories/440100-001",
                }
            ),
        )


def expected(events: int, people: int, seed: int) -> dict[bytes, Counts]:
    """Return what every side must end with."""
    decode = msgspec.json.Decoder(Report).decode
    rows: dict[bytes, Counts] = {}
    for key, value in reports(events, people, seed):
        rows[key] = count(rows.get(key), decode(value))
    return rows
