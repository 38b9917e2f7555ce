"""Check recorded scans, apart from the person table: a colour never queues behind a scan.

A valid scan stays in its topic for as long as the catalogue says; nothing else is kept of it. One
of a parked source is in parked as well (agents.poison).
"""

from functools import partial

from faust.types import StreamT

from agents.dead_letters import DeadLetters
from agents.poison import Poison
from app.engine.chunks import Chunk
from app.engine.work import Fold, Records, Work
from app.topics.catalogue import CATALOGUE
from app.topology import YuekangApp
from models.sources import SOURCE_LIMIT, Limit

TOPIC = CATALOGUE.topics["scans"]


def register(app: YuekangApp, dead_letters: DeadLetters, unreadable: Limit = SOURCE_LIMIT) -> None:
    """Add the agent for scans."""
    check = chunk_check(dead_letters, unreadable)

    @app.agent(app.topic(TOPIC.name, value_serializer="raw"), name="check-scans")
    async def check_scans(chunks: StreamT[Chunk]) -> None:
        async for event in chunks.noack().events():  # type: ignore[attr-defined]
            await app.scans.begin(event.value, check, partial(chunks.ack, event))


def chunk_check(dead_letters: DeadLetters, unreadable: Limit = SOURCE_LIMIT) -> Fold:
    """Return the fold for scans: it writes nothing but the tally."""

    def check(work: Work, records: Records) -> None:
        poison = Poison(work, TOPIC, dead_letters, unreadable)
        for _ in poison.accepted(records):
            pass
        poison.write()

    return check
