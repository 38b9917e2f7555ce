"""Check what agencies write to Kafka themselves, and copy to its input what is taken.

So everything on an input was checked at an entrance, and what is refused lies in submissions alone,
which keeps nothing for longer than a day (decision 28). A copy is written in the transaction of its
chunk, so exactly once; what its source sends twice is copied twice, and the fold knows it. It lies
in its key's own partition of the input, wherever it was submitted, and counts from when it was.

All this is a process of its own: what is refused costs more than what is folded, and a flood of it
would take that time from codes.
"""

from collections.abc import Iterator

from agents.agent import add_agent
from agents.dead_letters import DeadLetters
from agents.poison import Poison
from app.engine.transaction import Fold, Output, Records, Transaction
from app.topics.authentic import SourceKeys
from app.topics.catalogue import CATALOGUE, SUBMISSIONS, partition_of
from app.topics.submissions import as_copied
from app.topology import SubmissionsApp

TOPIC = CATALOGUE.topics[SUBMISSIONS]


def register(app: SubmissionsApp, dead_letters: DeadLetters, keys: SourceKeys) -> None:
    """Add the agent for submissions."""
    fold = chunk_copy(dead_letters, keys)
    add_agent(app, "copy-submissions", TOPIC, app.submissions, fold)


def chunk_copy(dead_letters: DeadLetters, keys: SourceKeys) -> Fold:
    """Return the fold for submissions; of its own it writes nothing but the tally."""

    def copy(transaction: Transaction, records: Records) -> Iterator[None]:
        poison = Poison(transaction, TOPIC, dead_letters, keys)
        for taken in poison.accepted(records):
            event, record = taken.event, taken.record
            assert event is not None, "nothing comes back to submissions with a mark"
            yield
            again = as_copied(event, record.timestamp, keys)
            right = partition_of(event.partitionkey.encode(), TOPIC.partitions)
            transaction.emit(Output(again.topic, again.key, again.value, again.headers, right))
            if right != record.partition:
                dead_letters.misplaced(transaction, record, event, right)
        poison.write()

    return copy
