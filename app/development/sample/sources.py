"""The sample's sources, in the register of a development machine."""

from app.sources.changes import Data, change, read_register, write
from app.sources.file import SOURCES_FILE, sources_in
from app.web.operator import OPERATOR


async def register_sample(bootstrap: str) -> None:
    """Register whom sources.yaml names and the register does not know; change nobody.

    What an operator of this machine has changed stays.
    """
    register = await read_register(bootstrap)
    missing: list[Data] = [e for e in sources_in(SOURCES_FILE) if register.of(e.source) is None]
    if missing:
        await write(bootstrap, [change(entry, OPERATOR) for entry in missing])
