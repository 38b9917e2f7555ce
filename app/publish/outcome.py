"""What became of what a run sent, as far as it is known soon.

An accepted event may be refused beside others about its person, or have no effect.
"""

import asyncio
import time
from datetime import datetime

import httpx
from msgspec import Struct

from app.gateway.answers import RefusalsAnswer, ToldLetter
from app.gateway.client import ONCE, GatewayClient, Unreached
from app.gateway.signatures import RequestSigner
from app.process.terminal import escaped
from app.publish.client import REQUEST_SECONDS_MAX, Sent, SourcePlaces
from models.policy import ZONE

ASK_SECONDS = 0.5

LETTERS_SHOWN_MAX = 20
"""How many are shown one by one; all are counted."""


class RunOutcome(Struct):
    """What is known of a run's events. `known` says that all of them are judged and told here.

    `shown` has the first of those that are counted, each with its source. `parked` names the
    sources that are parked where the run wrote. `failure` says why nothing more is known.
    """

    known: bool = False
    refused: int = 0
    without_effect: int = 0
    parked: list[str] = []
    shown: list[tuple[str, ToldLetter]] = []
    failure: str | None = None

    def add(self, source: str, letter: ToldLetter) -> None:
        """Count a letter."""
        if letter.refused:
            self.refused += 1
        else:
            self.without_effect += 1
        if len(self.shown) < LETTERS_SHOWN_MAX:
            self.shown.append((source, letter))


async def outcome_of(
    gateway_url: str, sent: Sent, wait_seconds: float, signer: RequestSigner | None = None
) -> RunOutcome:
    """Wait until what was sent is judged, but no longer than `wait_seconds`; return what is known.

    Until when all is judged is held against the gateway's clock, since this machine's may be wrong.
    """
    outcome = RunOutcome(known=not sent.others)
    until = time.monotonic() + wait_seconds
    try:
        async with httpx.AsyncClient(timeout=REQUEST_SECONDS_MAX) as http:
            gateway = GatewayClient(gateway_url, ONCE, http, signer)
            ended_at: datetime | None = None
            for source, places in sent.places.items():
                page = await gateway.refusals(places.token)
                ended_at = ended_at or page.now
                while page.as_of < ended_at and time.monotonic() < until:
                    await asyncio.sleep(ASK_SECONDS)
                    page = await gateway.refusals(places.token)
                outcome.known &= page.as_of >= ended_at
                await _count(outcome, source, places, gateway, page)
    except Unreached as error:
        outcome.known, outcome.failure = False, str(error)
    return outcome


async def _count(
    outcome: RunOutcome,
    source: str,
    places: SourcePlaces,
    gateway: GatewayClient,
    page: RefusalsAnswer,
) -> None:
    """Count what is on a page and on those that follow it, and is of the run."""
    if any((parked.topic, parked.partition) in places.offsets for parked in page.parked):
        outcome.parked.append(source)
    while True:
        for letter in page.refusals:
            if places.hold(letter.topic, letter.partition, letter.offset):
                outcome.add(source, letter)
        outcome.known &= not page.missed
        if page.older is None:
            return
        page = await gateway.refusals(places.token, before=page.older)


def line_of(letter: ToldLetter) -> str:
    """Return a letter as a line to read."""
    where = f"{letter.topic}[{letter.partition}] at {letter.offset}"
    cells = (
        f"{letter.at.astimezone(ZONE):%Y-%m-%d %H:%M:%S}",
        "refused" if letter.refused else "no effect",
        where if letter.offset is not None else letter.topic,
        letter.id or "(no id)",
        f"{letter.reason}: {letter.detail or 'no more is shown of it.'}",
    )
    return escaped("  ".join(cells))
