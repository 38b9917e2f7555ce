"""Topics of the benchmark: make, fill, read whole, delete."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from app.process.kafka import Brokers
from bench.records import PARTITIONS, Record, headers_of

SECONDS_MAX = 60.0


def client(bootstrap: str) -> dict[str, Any]:
    """Return what every client of the benchmark has in common; it says nothing by itself."""
    return {"bootstrap.servers": bootstrap, "log_level": 2}


def _known(brokers: Brokers) -> dict[str, Any]:
    """Return as whom a client goes to brokers: those of a whole stack refuse strangers."""
    if not brokers.by_password:
        return {}
    return {
        "security.protocol": brokers.security,
        "sasl.mechanism": brokers.mechanism,
        "sasl.username": brokers.user,
        "sasl.password": brokers.password,
    }


def make(bootstrap: str, names: Iterable[str], settings: Mapping[str, str]) -> None:
    """Make topics that do not exist."""
    admin = AdminClient(client(bootstrap))
    topics = [NewTopic(name, PARTITIONS, 1, config=dict(settings)) for name in names]
    for future in admin.create_topics(topics).values():
        future.result(SECONDS_MAX)


def delete_but(bootstrap: str, kept: Iterable[str]) -> None:
    """Delete every topic but `kept` and Kafka's own; return when they are gone."""
    admin = AdminClient(client(bootstrap))
    kept = set(kept)

    def others() -> list[str]:
        topics = admin.list_topics(timeout=SECONDS_MAX).topics
        return [name for name in topics if not name.startswith("__") and name not in kept]

    if found := others():
        for future in admin.delete_topics(found, operation_timeout=SECONDS_MAX).values():
            future.result(SECONDS_MAX)
    until = time.monotonic() + SECONDS_MAX
    while others():
        if time.monotonic() > until:
            raise TimeoutError(f"topics are still there: {', '.join(others())}")
        time.sleep(0.1)


def publish(
    brokers: Brokers,
    records: Iterable[Record],
    tick: Callable[[int], None],
    *,
    transaction: str = "",
) -> int:
    """Publish records and return how many; each partition keeps their order.

    Keys go where Kafka's default partitioner puts them. `tick` is told every thousand. In a
    `transaction` of a name, nobody sees the first before the last is there.
    """
    producer = Producer(
        {
            **({"transactional.id": transaction} if transaction else {}),
            **client(brokers.servers),
            **_known(brokers),
            "acks": "all",
            "enable.idempotence": True,
            "partitioner": "murmur2_random",
            "compression.type": "lz4",
            "linger.ms": 50,
            "batch.size": 262_144,
            "queue.buffering.max.messages": 200_000,
        }
    )
    if transaction:
        producer.init_transactions(SECONDS_MAX)
        producer.begin_transaction()
    failed: list[Any] = []
    number = 0
    for number, record in enumerate(records, 1):
        arguments = {} if record.timestamp_ms is None else {"timestamp": record.timestamp_ms}
        while True:
            try:
                producer.produce(
                    record.topic,
                    record.value,
                    record.key,
                    headers=headers_of(record),
                    on_delivery=lambda error, _: failed.append(error) if error else None,
                    **arguments,
                )
                break
            except BufferError:
                producer.poll(0.1)
        if number % 1_000 == 0:
            producer.poll(0)
            tick(1_000)
    producer.flush(SECONDS_MAX)
    if failed or len(producer):
        raise RuntimeError(
            f"{len(failed) or len(producer)} records were not published: {failed[:1]}"
        )
    if transaction:
        producer.commit_transaction(SECONDS_MAX)
    return number


@contextmanager
def _reader(bootstrap: str) -> Iterator[Consumer]:
    consumer = Consumer(
        {
            **client(bootstrap),
            "group.id": "bench-reader",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            "fetch.message.max.bytes": 8 * 1024 * 1024,
            "check.crcs": False,
        }
    )
    try:
        yield consumer
    finally:
        consumer.close()


def ends(bootstrap: str, topic: str) -> dict[int, int]:
    """Return the end offset of each partition, as a reader of committed records sees it."""
    with _reader(bootstrap) as consumer:
        return {
            number: consumer.get_watermark_offsets(TopicPartition(topic, number), SECONDS_MAX)[1]
            for number in range(PARTITIONS)
        }


def read(bootstrap: str, topic: str) -> Iterator[Message]:
    """Yield every committed record of a topic, each partition in order."""
    with _reader(bootstrap) as consumer:
        consumer.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
        open_partitions = set(range(PARTITIONS))
        until = time.monotonic() + SECONDS_MAX
        while open_partitions:
            for message in consumer.consume(10_000, timeout=1.0):
                until = time.monotonic() + SECONDS_MAX
                if message.error() is None:
                    yield message
                else:  # the end of a partition is told as an error
                    open_partitions.discard(message.partition())
            if time.monotonic() > until:
                raise TimeoutError(f"{topic} cannot be read to its end")
