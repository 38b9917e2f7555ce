"""The agents' fold on the input of `make bench`, whose topic is in no catalogue."""

from collections import Counter
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import msgspec

from app.engine.store import Store
from app.engine.transaction import Transaction
from app.topics.catalogue import DEAD_LETTERS, HEALTH_CODES
from bench import workload
from bench.peers import us
from bench.records import headers_of
from support.records import record


def test_it_tells_what_the_benchmark_compares_it_with(folder: Path) -> None:
    records = list(workload.events(150, 1))
    expected = workload.expected(iter(records))
    offsets = count()
    transaction = Transaction(Store(folder / "people" / "0"))
    for _ in us._fold("real")(
        transaction,
        [
            record(
                one.value,
                datetime.fromtimestamp((one.timestamp_ms or 0) / 1_000, UTC),
                next(offsets),
                workload.TOPIC,
                one.key,
                headers_of(one),
                None,
            )
            for one in records
        ],
    ):
        pass
    codes = [
        msgspec.json.decode(t.value or b"") for t in transaction.outputs if t.topic == HEALTH_CODES
    ]
    assert {code["person"] for code in codes} == expected.codes.keys()
    reasons = Counter(
        dict(letter.headers)["yk_reason"].decode()
        for letter in transaction.outputs
        if letter.topic == DEAD_LETTERS
    )
    assert reasons == Counter(refused.reason for refused in expected.refused)
