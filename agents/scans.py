"""Check recorded scans, apart from the person table: a colour never queues behind a scan.

A valid scan stays in its topic for as long as the catalogue says; nothing else is kept of it. A
scan of a parked source goes to parked as well (agents.poison). It is in nobody's row, so it may lie
in any partition.
"""

from collections.abc import Iterator

from agents.agent import add_agent
from agents.dead_letters import DeadLetters
from agents.poison import Poison
from app.engine.transaction import Fold, Records, Transaction
from app.topics.authentic import SourceKeys
from app.topics.catalogue import CATALOGUE, named
from app.topology import YuekangApp

TOPIC = CATALOGUE.topics[named("scans")]


def register(app: YuekangApp, dead_letters: DeadLetters, keys: SourceKeys) -> None:
    """Add the agent for scans."""
    add_agent(app, "check-scans", TOPIC, app.scans, chunk_check(dead_letters, keys))


def chunk_check(dead_letters: DeadLetters, keys: SourceKeys) -> Fold:
    """Return the fold for scans; it writes nothing but the tally."""

    def check(transaction: Transaction, records: Records) -> Iterator[None]:
        poison = Poison(transaction, TOPIC, dead_letters, keys)
        for _ in poison.accepted(records):
            yield
        poison.write()

    return check
