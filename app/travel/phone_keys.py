"""Asks the gateway for the key of a phone: the gateway alone can make one."""

import asyncio

import httpx
import structlog

from app.gateway.client import ONCE, GatewayClient, Unreached
from app.process.tls import tls_context
from app.travel.bounds import GATEWAY_SECONDS_MAX, RETRY_SECONDS
from app.web.problems import Refused, retry_later
from models.phones import MOBILE_PHONE_NUMBER, Phone

log = structlog.get_logger()


class PhoneKeys:
    """Asks the gateway at `url` with the token of the portal. Belongs to one event loop."""

    def __init__(self, url: str, token: str) -> None:
        # A proxy that the environment names is not used: a phone number goes to the gateway alone.
        self._http = httpx.AsyncClient(
            timeout=GATEWAY_SECONDS_MAX, trust_env=False, verify=tls_context()
        )
        self._gateway = GatewayClient(url, ONCE, self._http)
        self._token = token

    async def key(self, phone: Phone) -> str:
        """Return the phone's key; raise `Refused` (503) if the gateway does not give it."""
        document = {"type": MOBILE_PHONE_NUMBER, "number": phone.number}
        try:
            async with asyncio.timeout(GATEWAY_SECONDS_MAX):
                [key] = await self._gateway.person_keys([document], self._token)
        except Unreached as unreached:
            raise _unavailable(unreached.why) from None
        except TimeoutError:
            raise _unavailable("TimeoutError") from None
        if key is None:
            raise _unavailable("no key")
        return key

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
