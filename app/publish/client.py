"""Sending events to the gateway in batches."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from msgspec import Struct

from app.gateway.client import EVENTS, GatewayClient, Unreached, detail_of
from app.gateway.messages import BATCH
from app.publish.lines import EventToSend, Misused, RefusedLine, batches

SOURCES_AT_ONCE = 4
REQUEST_SECONDS_MAX = 30.0


SOURCES_NOTED_MAX = 20
"""Sources of one run that are asked for afterwards; a file seldom has more than one."""


class SourcePlaces(Struct):
    """Where the accepted events of a source lie: the first and last offset, by partition."""

    token: str
    offsets: dict[tuple[str, int], tuple[int, int]] = {}

    def hold(self, topic: str, partition: int | None, offset: int | None) -> bool:
        """Say whether this place is within."""
        if partition is None or offset is None:
            return False
        first, last = self.offsets.get((topic, partition), (0, -1))
        return first <= offset <= last


class Sent:
    """Where all accepted events lie, of up to `SOURCES_NOTED_MAX` sources; `others` if of more."""

    def __init__(self) -> None:
        self.places: dict[str, SourcePlaces] = {}
        self.others = False

    def add(self, item: EventToSend, accepted: dict[str, Any]) -> None:
        """Note an accepted event."""
        source = item.source or ""
        if source not in self.places and len(self.places) >= SOURCES_NOTED_MAX:
            self.others = True
            return
        offsets = self.places.setdefault(source, SourcePlaces(item.token)).offsets
        place, offset = (accepted["topic"], accepted["partition"]), accepted["offset"]
        first, last = offsets.get(place, (offset, offset))
        offsets[place] = min(first, offset), max(last, offset)


class BatchSender:
    """Sends events in batches through `gateway`; the events of one source keep their order.

    `sent` is told where they lie.
    """

    def __init__(self, gateway: GatewayClient, sent: Sent | None = None) -> None:
        self._gateway = gateway
        self._sent = sent or Sent()

    async def send(self, items: Sequence[EventToSend]) -> list[RefusedLine | None]:
        """Send a window's events; return None for each accepted one, else its refusal."""
        by_token: dict[str, list[int]] = defaultdict(list)
        for number, item in enumerate(items):
            by_token[item.token].append(number)
        answers: list[RefusedLine | None] = [None] * len(items)
        turns = asyncio.Semaphore(SOURCES_AT_ONCE)

        async def send_in_order(numbers: list[int]) -> None:
            async with turns:
                place = iter(numbers)
                for batch in batches([items[n] for n in numbers]):
                    for report in await self._send_batch(batch):
                        answers[next(place)] = report

        try:
            async with asyncio.TaskGroup() as tasks:
                for numbers in by_token.values():
                    tasks.create_task(send_in_order(numbers))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return answers

    async def _send_batch(self, batch: list[EventToSend]) -> list[RefusedLine | None]:
        body = b"[" + b",".join(item.content for item in batch) + b"]"
        response = await self._gateway.post(EVENTS, body, batch[0].token, BATCH)
        if response.status_code == HTTPStatus.UNAUTHORIZED:
            raise Misused(f"The gateway does not know the token. {detail_of(response)}")
        if response.status_code not in (HTTPStatus.ACCEPTED, HTTPStatus.MULTI_STATUS):
            raise Unreached(
                f"The gateway answered {response.status_code} to a whole batch (lines "
                f"{batch[0].line} to {batch[-1].line}). {detail_of(response)}",
                f"{EVENTS} answers {response.status_code}",
            )
        try:
            results = response.json()["results"]
            reports = [_report(item, result) for item, result in zip(batch, results, strict=True)]
            for item, result, report in zip(batch, results, reports, strict=True):
                if report is None:
                    self._sent.add(item, result)
            return reports
        except (ValueError, KeyError, TypeError) as error:
            raise Unreached(
                f"What answers is no gateway ({type(error).__name__}).", type(error).__name__
            ) from None


def _report(item: EventToSend, result: dict[str, Any]) -> RefusedLine | None:
    if result["status"] == HTTPStatus.ACCEPTED:
        return None
    return RefusedLine(
        item.line,
        result["code"],
        result["detail"],
        item.source,
        item.id,
        result.get("errors", []),
    )
