"""When a side has done its work, seen from outside: by what its group has committed.

The clock starts when the group is stable, its partitions assigned (before any record can be
processed), and stops when the committed offsets of the input are its end. Every side commits its
offsets after, or in one transaction with, the outputs and the changelog, and all at the same
interval; so this is the same promise of each, and none is asked how fast it was.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from confluent_kafka import (
    ConsumerGroupState,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from bench.topics import client

POLL_SECONDS = 0.02

NOT_YET = (KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_LOAD_IN_PROGRESS)
"""A broker's answers while it has no group yet."""


class Stalled(Exception):
    """A side did not do its work in time, or ended before."""


class Sample(NamedTuple):
    """What was committed at an instant of the clock, for how much CPU time."""

    seconds: float
    committed: int
    cpu_seconds: float


class Observer:
    """Watches one group on one input topic. `alive` raises where the side has ended."""

    def __init__(
        self,
        bootstrap: str,
        group: str,
        topic: str,
        ends: Mapping[int, int],
        alive: Callable[[], None],
    ) -> None:
        self._bootstrap = bootstrap
        self._admin = AdminClient(client(bootstrap))
        self._group = group
        self._topic = topic
        self._ends = ends
        self._alive = alive

    def of(self, topic: str, ends: Mapping[int, int]) -> "Observer":
        """Return who watches the same group on another of its topics."""
        return Observer(self._bootstrap, self._group, topic, ends, self._alive)

    def wait_stable(self, members: int, seconds_max: float) -> None:
        """Return once the group has its members and is stable."""
        until = time.monotonic() + seconds_max
        while not self._stable(members):
            self._wait(until, "did not join its group")

    def wait_done(self, seconds_max: float, cpu: Callable[[], float]) -> Sequence[Sample]:
        """Return once everything is committed, with what was committed when.

        `cpu` tells the CPU time that the side has used so far.
        """
        begun, before = time.monotonic(), cpu()
        samples = [Sample(0.0, 0, 0.0)]
        total = sum(self._ends.values())
        while samples[-1].committed < total:
            self._wait(begun + seconds_max, f"committed {samples[-1].committed} of {total}")
            committed = self._committed()
            if committed != samples[-1].committed:
                samples.append(Sample(time.monotonic() - begun, committed, cpu() - before))
        return samples

    def _wait(self, until: float, what: str) -> None:
        self._alive()
        if time.monotonic() > until:
            raise Stalled(f"{self._group} {what} in time")
        time.sleep(POLL_SECONDS)

    def _stable(self, members: int) -> bool:
        [described] = self._admin.describe_consumer_groups([self._group]).values()
        try:
            group = described.result()
        except KafkaException as error:
            if error.args[0].code() in NOT_YET:
                return False
            raise
        return group.state is ConsumerGroupState.STABLE and len(group.members) >= members

    def _committed(self) -> int:
        partitions = [TopicPartition(self._topic, number) for number in self._ends]
        request = ConsumerGroupTopicPartitions(self._group, partitions)
        [answer] = self._admin.list_consumer_group_offsets([request]).values()
        # Who commits its position may be beyond the last record: behind a transaction's marker.
        return sum(
            min(max(0, place.offset), self._ends[place.partition])
            for place in answer.result().topic_partitions
        )
