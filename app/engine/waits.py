"""Two waits of Faust's that are of no use here: a second at the start, and one at the end. During
a restart nobody holds the worker's partitions."""

import faust
from faust.tables import TableManager


class NoTables(TableManager):
    """Faust's manager of tables, which are not used (docs/decisions/0002-log-first.md)."""

    async def on_start(self) -> None:
        """Go on at once: no table comes later."""
        await self._update_channels()
        await self.recovery.start()


class Worker(faust.Worker):
    """What runs an app in a process, until a signal ends it."""

    async def _sentinel_task(self) -> None:
        """Wait for nothing: all services have ended by now, and the event loop is closed next."""
