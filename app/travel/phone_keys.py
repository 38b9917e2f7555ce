"""The gateway, asked for the key of a phone: it alone can make one."""

import asyncio
from http import HTTPStatus

import httpx
import msgspec
import structlog
from msgspec import Struct

from app.travel.bounds import GATEWAY_SECONDS_MAX, RETRY_SECONDS
from app.web.problems import Refused, retry_later
from models.events import PERSON_KEY
from models.phones import MOBILE_PHONE_NUMBER, Phone

log = structlog.get_logger()


class _Key(Struct):
    person: str


class _Answer(Struct):
    results: tuple[_Key]


class PhoneKeys:
    """Asks the gateway at `url` with the token of the portal. Belongs to one event loop."""

    def __init__(self, url: str, token: str) -> None:
        self._url = f"{url.rstrip('/')}/v1/person-keys"
        # No proxy of the environment's: a phone number goes to the gateway and nowhere else.
        self._http = httpx.AsyncClient(timeout=GATEWAY_SECONDS_MAX, trust_env=False)
        self._headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}

    async def key(self, phone: Phone) -> str:
        """Return the phone's key; raise `Refused` (503) where the gateway does not give it."""
        document = {"type": MOBILE_PHONE_NUMBER, "number": phone.number}
        body = msgspec.json.encode({"documents": [document]})
        try:
            async with asyncio.timeout(GATEWAY_SECONDS_MAX):
                answer = await self._http.post(self._url, content=body, headers=self._headers)
        except (httpx.HTTPError, TimeoutError) as failure:
            raise _unavailable(type(failure).__name__) from None
        if answer.status_code != HTTPStatus.OK:
            raise _unavailable(f"status {answer.status_code}")
        try:
            [found] = msgspec.json.decode(answer.content, type=_Answer).results
        except msgspec.MsgspecError as failure:
            raise _unavailable(type(failure).__name__) from None
        if not PERSON_KEY.fullmatch(found.person):
            raise _unavailable("no key")
        return found.person

    async def close(self) -> None:
        """Close its connections."""
        await self._http.aclose()


def _unavailable(why: str) -> Refused:
    log.warning("phone_key_not_had", why=why)
    return retry_later(
        "travel-card-unavailable",
        "The gateway, which knows how phones are named, does not answer. This costs no try; send "
        "the same again.",
        RETRY_SECONDS,
    )
