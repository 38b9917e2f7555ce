"""Which partition a person belongs to."""

from app.process.consumer import LogRecord
from app.topics.catalogue import Topic, partition_of
from app.topics.codec import Code, Refusal


def check_partition(record: LogRecord, topic: Topic) -> None:
    """Raise `Refusal` for a record whose key belongs to another partition.

    A producer with another partitioner than Kafka's default would split a person in two. It is
    enough to check the first time someone is heard of.
    """
    assert record.key is not None
    expected = partition_of(record.key, topic.partitions)
    if expected != record.partition:
        raise Refusal(
            Code.WRONG_PARTITION,
            f"The key belongs to partition {expected}, not {record.partition}; use "
            "Kafka's default partitioner (murmur2).",
            None,
        )
