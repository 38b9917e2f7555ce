"""One run over one file: window by window, keeping the place after each."""

from collections import Counter
from collections.abc import Callable

from msgspec.structs import replace

from app.publish.client import BatchSender
from app.publish.ledger import FilePlace, Ledger
from app.publish.lines import EventToSend, Input, RefusedLine, TokenFor, prepare


class PublishRun:
    """One run over one input. `place` says how far the run came, also after a failure."""

    def __init__(
        self,
        source: Input,
        place: FilePlace,
        ledger: Ledger,
        token_for: TokenFor,
        refused: Callable[[RefusedLine], None],
    ) -> None:
        self._source = source
        self._ledger = ledger
        self._token_for = token_for
        self._refused = refused
        self.place = place

    async def publish(self, sender: BatchSender, moved: Callable[[int], None]) -> None:
        """Send window by window to the end; raise `Unreached` or `Misused`."""
        moved(self.place.offset)
        while (window := self._source.window()) is not None:
            prepared = [prepare(line, self._token_for) for line in window]
            items = [entry for entry in prepared if isinstance(entry, EventToSend)]
            answers = iter(await sender.send(items))
            outcomes = [
                entry if isinstance(entry, RefusedLine) else next(answers) for entry in prepared
            ]
            self._keep([report for report in outcomes if report is not None], len(outcomes))
            moved(self.place.offset)
        self._keep([], 0)

    def _keep(self, reports: list[RefusedLine], count: int) -> None:
        """Write the report first: a place that is kept never lies beyond it."""
        written = self._ledger.add(reports)
        by_code = Counter(self.place.refused)
        by_code.update(report.code for report in reports)
        self.place = replace(
            self.place,
            offset=self._source.offset,
            line=self._source.line,
            sha256=self._source.sha256,
            accepted=self.place.accepted + count - len(reports),
            refused=dict(sorted(by_code.items())),
            refused_bytes=self.place.refused_bytes + written,
        )
        self._ledger.save(self.place)
        for report in reports:
            self._refused(report)
