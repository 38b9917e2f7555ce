"""The gateway's two doors, as an agency uses them: person keys, and batches of events."""

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import httpx
import msgspec
from msgspec import Struct

from app.sample.documents import Document

KEYS_IN_A_REQUEST = 500
EVENTS_IN_A_BATCH = 200
TRIES_MAX = 8
RETRY_SECONDS_MAX = 5.0
TIMEOUT_SECONDS = 30.0
BUSY = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}

BATCH_TYPE = "application/cloudevents-batch+json"


class GatewayError(Exception):
    """The gateway cannot be reached, or answers what it should not; says what to do."""


class Answer(Struct, frozen=True):
    """What became of one event of a batch."""

    accepted: bool
    code: str = ""
    detail: str = ""


class Gateway:
    """A client of the gateway at `url`; use it as an asynchronous context manager.

    Sending again is safe: an event's id makes it the same event. So a busy gateway is asked
    again, up to `TRIES_MAX` times, and then given up with `GatewayError`.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._http = httpx.AsyncClient(base_url=url, timeout=TIMEOUT_SECONDS)

    async def __aenter__(self) -> "Gateway":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def person_keys(self, documents: Sequence[Document]) -> dict[Document, str]:
        """Return the person key of each document."""
        keys: dict[Document, str] = {}
        for start in range(0, len(documents), KEYS_IN_A_REQUEST):
            part = documents[start : start + KEYS_IN_A_REQUEST]
            answer = await self._post(
                "/v1/person-keys", msgspec.json.encode({"documents": part}), "application/json"
            )
            for document, result in zip(part, answer["results"], strict=True):
                keys[document] = result["person"]
        return keys

    async def publish(self, events: Sequence[dict[str, Any]]) -> list[Answer]:
        """Publish a batch; return an answer for each event, in order."""
        answer = await self._post("/v1/events", msgspec.json.encode(events), BATCH_TYPE)
        return [
            Answer(result["status"] < 300, result.get("code", ""), result.get("detail", ""))
            for result in answer["results"]
        ]

    async def _post(self, path: str, body: bytes, content_type: str) -> Any:
        for attempt in range(1, TRIES_MAX + 1):
            try:
                response = await self._http.post(
                    path, content=body, headers={"content-type": content_type}
                )
            except httpx.HTTPError as error:
                raise GatewayError(
                    f"The gateway at {self._url} does not answer ({type(error).__name__}). "
                    "Start it with `make run`, or see YUEKANG_GATEWAY_URL."
                ) from error
            if response.status_code not in BUSY or attempt == TRIES_MAX:
                break
            wait = float(response.headers.get("retry-after", 0.1 * 2**attempt))
            await asyncio.sleep(min(wait, RETRY_SECONDS_MAX))
        if response.status_code >= 300 and response.status_code != HTTPStatus.MULTI_STATUS:
            raise GatewayError(
                f"POST {path} was answered with {response.status_code}: {response.text[:500]}"
            )
        return msgspec.json.decode(response.content)
