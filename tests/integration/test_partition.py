"""A partition of a table on a real broker: what the broker refuses, nobody has."""

import secrets
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import MessageSizeTooLargeError

from app.engine.partition import Partition, TableSettings
from app.engine.work import Told, Work
from workers import everything


async def test_a_refused_batch_of_what_is_told_leaves_nothing_behind(
    kafka: str, tmp_path: Path
) -> None:
    """aiokafka's commit alone would store the row, and nobody would ever be told."""
    log, out = f"log-{secrets.token_hex(4)}", f"out-{secrets.token_hex(4)}"
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    small = {"max.message.bytes": "1000"}
    await admin.create_topics([NewTopic(log, 1, 1), NewTopic(out, 1, 1, topic_configs=small)])
    await admin.close()
    partition = Partition(TableSettings("people", "test", kafka, tmp_path, log), 0)

    async def commit(told: bytes) -> None:
        work = Work(partition.store)
        work.put(b"row", told)
        work.tell(Told(out, b"k", told))
        await partition.commit(work, {"in": 0})

    try:
        await partition.take()
        with pytest.raises(MessageSizeTooLargeError):
            await commit(secrets.token_bytes(5_000))
        await partition.release()
        await partition.take()
        assert partition.store.get(b"row") is None
        assert partition.store.place("in") == -1

        await commit(b"short")
        assert [r.value for r in await everything(kafka, out)] == [b"short"]
        assert len(await everything(kafka, log)) == 2, "the row and its place, of the second alone"
    finally:
        await partition.release()
        partition.close()
