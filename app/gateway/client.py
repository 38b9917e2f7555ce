"""How the other rooms ask the gateway: the login, travel cards, whoever publishes a file or asks
what became of it.

They ask as an agency does: over HTTP, in the name of a source. One client serves them all; they
differ in how long each can wait.
"""

import asyncio
import math
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import TypeAlias

import httpx
import msgspec
from msgspec import Struct

from app.gateway.answers import Missed, ParkedNow, RefusalsAnswer, SignOfLife, ToldLetter
from app.gateway.signatures import RequestSigner
from models.events import PERSON_KEY

KEYS, EVENTS, REFUSALS = "/v1/person-keys", "/v1/events", "/v1/sources/me/refusals"

StreamEvent: TypeAlias = ToldLetter | ParkedNow | SignOfLife | Missed
STREAM_EVENTS: dict[str, type[StreamEvent]] = {
    "refusal": ToldLetter,
    "parked": ParkedNow,
    "alive": SignOfLife,
    "gap": Missed,
}
"""What a stream of refusals has, by the names of its events."""

SILENT_SECONDS_MAX = 45.0
"""A stream that says nothing for so long, three signs of life, is broken."""

RETRIED = {
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
}
"""Statuses of answers after which the same request may be sent again."""


class Unreached(Exception):
    """The gateway does not answer, or answers wrongly; the message says what it did.

    `why` is for logs: a status or the class of an error. It names nobody.
    """

    def __init__(self, message: str, why: str) -> None:
        super().__init__(message)
        self.why = why


class _Busy(Exception):
    """The gateway has no stream for now."""


class Patience(Struct, frozen=True, kw_only=True):
    """How often, and for how long, to ask a gateway that is busy or away.

    Each wait is twice the one before, up to `wait_seconds_max`.
    """

    tries_max: int | None = None
    seconds: float = math.inf
    first_wait_seconds: float = 0.1
    wait_seconds_max: float = 10.0


ONCE = Patience(tries_max=1)


class _Result(Struct):
    """A key, or the code of the problem in its place."""

    person: str | None = None
    code: str | None = None

    @property
    def fits(self) -> bool:
        if self.person is None:
            return self.code is not None
        return PERSON_KEY.fullmatch(self.person) is not None


class _Answer(Struct):
    results: list[_Result]


class GatewayClient:
    """Asks the gateway at `url` through `http`, which the caller closes. Serves one event loop."""

    def __init__(
        self,
        url: str,
        patience: Patience,
        http: httpx.AsyncClient,
        signer: RequestSigner | None = None,
    ) -> None:
        self._url = url.rstrip("/")
        self._patience = patience
        self._http = http
        self._signer = signer

    async def person_keys(
        self, documents: Sequence[Mapping[str, str]], token: str
    ) -> list[str | None]:
        """Return the key of each document (`type`, `number`); None for one that is refused.

        Raise `Unreached` if the gateway gives no such answer.
        """
        body = msgspec.json.encode({"documents": documents})
        answer = await self.post(KEYS, body, token, "application/json")
        if answer.status_code not in (HTTPStatus.OK, HTTPStatus.MULTI_STATUS):
            raise Unreached(
                f"The gateway gave no person keys: it answers {answer.status_code}. "
                f"{detail_of(answer)}",
                f"{KEYS} answers {answer.status_code}",
            )
        try:
            results = msgspec.json.decode(answer.content, type=_Answer).results
        except msgspec.MsgspecError:
            results = []
        if len(results) != len(documents) or not all(result.fits for result in results):
            raise Unreached(
                f"What answers at {self._url} is no gateway.", f"{KEYS} answers no keys"
            )
        return [result.person for result in results]

    async def refusals(
        self, token: str, after: str | None = None, before: str | None = None
    ) -> RefusalsAnswer:
        """Return a page of what became of what the token's source sent; raise `Unreached`."""
        headers = {"authorization": f"Bearer {token}"}
        query = {name: at for name, at in (("after", after), ("before", before)) if at is not None}
        url = str(httpx.URL(self._url + REFUSALS, params=query) if query else self._url + REFUSALS)
        answer = await self._ask(
            REFUSALS, lambda: self._http.get(url, headers=self._signed_get(url, headers))
        )
        if answer.status_code != HTTPStatus.OK:
            raise _no_refusals(answer)
        try:
            return msgspec.json.decode(answer.content, type=RefusalsAnswer)
        except msgspec.MsgspecError as error:
            raise Unreached(
                f"What answers at {self._url} is no gateway.", f"{REFUSALS}: {error}"
            ) from None

    async def follow_refusals(
        self, token: str, after: str | None = None
    ) -> AsyncIterator[tuple[str, StreamEvent]]:
        """Yield the events of the stream from a place on, each with the place after it, for ever.

        A broken stream goes on where it was. Raise `Unreached` if the gateway does not answer for
        as long as there is patience, or refuses.
        """
        place, patience = after, self._patience.seconds
        answered_at = time.monotonic()
        while True:
            try:
                async for at, event in self._stream(token, place):
                    place, answered_at = at, time.monotonic()
                    yield at, event
                said = "The stream ended."
            except httpx.TransportError as error:
                said = f"{type(error).__name__}."
            except _Busy as busy:
                said = str(busy)
            if time.monotonic() - answered_at > patience:
                raise Unreached(f"The gateway at {self._url} has no stream. {said}", REFUSALS)
            await asyncio.sleep(self._patience.first_wait_seconds * random.uniform(1.0, 1.2))

    async def _stream(
        self, token: str, after: str | None
    ) -> AsyncIterator[tuple[str, StreamEvent]]:
        headers = {"authorization": f"Bearer {token}", "accept": "text/event-stream"}
        if after is not None:
            headers["last-event-id"] = after
        headers = self._signed_get(self._url + REFUSALS, headers)
        timeout = httpx.Timeout(10.0, read=SILENT_SECONDS_MAX)
        async with self._http.stream(
            "GET", self._url + REFUSALS, headers=headers, timeout=timeout
        ) as response:
            if response.status_code != HTTPStatus.OK:
                await response.aread()
                unreached = _no_refusals(response)
                raise _Busy(unreached) if response.status_code in RETRIED else unreached
            fields: dict[str, str] = {}
            async for line in response.aiter_lines():
                if line:
                    name, _, value = line.partition(": ")
                    fields[name] = value
                    continue
                kind = STREAM_EVENTS.get(fields.get("event", ""))
                if kind is not None:
                    yield fields["id"], msgspec.json.decode(fields["data"], type=kind)
                fields = {}

    async def post(self, path: str, body: bytes, token: str, content_type: str) -> httpx.Response:
        """Post, and post again while the gateway is busy or away; in the end raise `Unreached`."""
        headers = {"content-type": content_type, "authorization": f"Bearer {token}"}
        url = self._url + path

        def request() -> Awaitable[httpx.Response]:
            signed = self._signer.signed("POST", url, headers, body) if self._signer else headers
            return self._http.post(url, content=body, headers=signed)

        return await self._ask(path, request)

    def _signed_get(self, url: str, headers: dict[str, str]) -> dict[str, str]:
        return self._signer.signed("GET", url, headers, None) if self._signer else headers

    async def _ask(
        self, path: str, request: Callable[[], Awaitable[httpx.Response]]
    ) -> httpx.Response:
        begun = time.monotonic()
        give_up_at = begun + self._patience.seconds
        step, tries = self._patience.first_wait_seconds, 0
        while True:
            wait, tries = step, tries + 1
            try:
                response = await request()
                if response.status_code not in RETRIED:
                    return response
                said = f"It answers {response.status_code}. {detail_of(response)}"
                why = f"{path} answers {response.status_code}"
                asked = response.headers.get("retry-after", "")
                wait = max(wait, float(asked)) if asked.isdecimal() else wait
            except httpx.TransportError as error:
                said, why = f"{type(error).__name__}.", f"{path}: {type(error).__name__}"
            wait = min(wait, self._patience.wait_seconds_max)
            if tries == self._patience.tries_max or time.monotonic() + wait > give_up_at:
                raise Unreached(
                    f"The gateway at {self._url} took nothing for "
                    f"{time.monotonic() - begun:.0f} s. {said}",
                    why,
                )
            # Others wait for the same gateway: a random part spreads them out.
            await asyncio.sleep(wait * random.uniform(1.0, 1.2))
            step *= 2


def _no_refusals(answer: httpx.Response) -> Unreached:
    return Unreached(
        f"The gateway does not say what became of it: it answers {answer.status_code}. "
        f"{detail_of(answer)}",
        f"{REFUSALS} answers {answer.status_code}",
    )


def detail_of(response: httpx.Response) -> str:
    """Return a problem's detail; for any other answer, a question."""
    try:
        return str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return "Is this the gateway's address?"
