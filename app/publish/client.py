"""Sending batches to the gateway, and again while it is busy or away, for a bounded time."""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import httpx

from app.publish.lines import Item, Misused, Report, batches

SOURCES_AT_ONCE = 4
REQUEST_SECONDS_MAX = 30.0
FIRST_WAIT_SECONDS = 0.1
WAIT_SECONDS_MAX = 10.0

BATCH_TYPE = "application/cloudevents-batch+json"
RETRIED = {
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
}


class Unreached(Exception):
    """The gateway does not answer, or not as it should; says what it did."""


class Client:
    """Posts batches, and again while the gateway is busy or away, for a bounded time."""

    def __init__(self, url: str, patience_seconds: float, http: httpx.AsyncClient) -> None:
        self._url = url.rstrip("/")
        self._patience_seconds = patience_seconds
        self._http = http

    async def send(self, items: Sequence[Item]) -> list[Report | None]:
        """Send the window's events; return for each None if accepted, else its refusal."""
        by_token: dict[str, list[int]] = defaultdict(list)
        for number, item in enumerate(items):
            by_token[item.token].append(number)
        answers: list[Report | None] = [None] * len(items)
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

    async def _send_batch(self, batch: list[Item]) -> list[Report | None]:
        body = b"[" + b",".join(item.content for item in batch) + b"]"
        headers = {"content-type": BATCH_TYPE, "authorization": f"Bearer {batch[0].token}"}
        response = await self.post("/v1/events", body, headers)
        if response.status_code == HTTPStatus.UNAUTHORIZED:
            raise Misused(f"The gateway does not know the token. {_detail(response)}")
        if response.status_code not in (HTTPStatus.ACCEPTED, HTTPStatus.MULTI_STATUS):
            raise Unreached(
                f"The gateway answered {response.status_code} to a whole batch (lines "
                f"{batch[0].line} to {batch[-1].line}). {_detail(response)}"
            )
        try:
            results = response.json()["results"]
            return [_report(item, result) for item, result in zip(batch, results, strict=True)]
        except (ValueError, KeyError, TypeError) as error:
            raise Unreached(
                f"What answers at {self._url} is no gateway ({type(error).__name__})."
            ) from None

    async def post(self, path: str, body: bytes, headers: dict[str, str]) -> httpx.Response:
        """Post, and again while the gateway is busy or away; raise `Unreached` in the end."""
        give_up_at = time.monotonic() + self._patience_seconds
        step = FIRST_WAIT_SECONDS
        while True:
            wait = step
            try:
                response = await self._http.post(self._url + path, content=body, headers=headers)
                if response.status_code not in RETRIED:
                    return response
                why = f"It answers {response.status_code}. {_detail(response)}"
                asked = response.headers.get("retry-after", "")
                wait = max(wait, float(asked)) if asked.isdecimal() else wait
            except httpx.TransportError as error:
                why = f"{type(error).__name__}."
            wait = min(wait, WAIT_SECONDS_MAX)
            if time.monotonic() + wait > give_up_at:
                raise Unreached(
                    f"The gateway at {self._url} took nothing for "
                    f"{self._patience_seconds:g} s. {why}"
                )
            # Not all at once: other publishers wait for the same gateway.
            await asyncio.sleep(wait * random.uniform(1.0, 1.2))
            step *= 2


def _report(item: Item, result: dict[str, Any]) -> Report | None:
    if result["status"] == HTTPStatus.ACCEPTED:
        return None
    return Report(
        item.line,
        result["code"],
        result["detail"],
        item.source,
        item.id,
        result.get("errors", []),
    )


def _detail(response: httpx.Response) -> str:
    try:
        return str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return "Is this the gateway's address?"
