"""The sample's sources, in the register of a development machine."""

from app.process.kafka import Brokers
from app.sources.changes import Data, change, read_register, write
from app.sources.file import SOURCES_FILE, sources_in
from app.topics.authentic import SourceKeys


async def register_sample(brokers: Brokers, keys: SourceKeys, by: str) -> None:
    """Register, as the operator `by`, whom sources.yaml names and the register does not know.

    What an operator of this machine has changed stays.
    """
    register = await read_register(brokers, keys)
    missing: list[Data] = [e for e in sources_in(SOURCES_FILE) if register.of(e.source) is None]
    if missing:
        await write(brokers, keys, [change(entry, by) for entry in missing])
