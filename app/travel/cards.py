"""Sends codes, and gives a travel card for a code."""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import date, datetime
from typing import Protocol

import structlog
from litestar.datastructures import Cookie
from msgspec import Struct
from prometheus_client import Counter
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.login.seal import Secrets, all_of
from app.login.sessions import Session
from app.process import metrics
from app.process.clock import Clock
from app.travel.bounds import (
    CODE_DIGITS,
    CODE_SECONDS,
    CODE_TEXT_MAX,
    PHONE_TEXT_MAX,
    RETRY_SECONDS,
    TRIES_MAX,
    Bounds,
)
from app.travel.codes import SmsCodes, Tried, TryOutcome, new_code
from app.travel.kept import KeptPhones
from app.travel.limits import Limits
from app.travel.refusals import CodeWrong
from app.travel.sms import SmsDriver, code_text, deliver
from app.web.language import CHINESE, Language
from app.web.problems import FieldError, Refused, retry_later
from app.web.requests import AnyRequest
from models.events import TelecomVisitData
from models.phones import Phone, PhoneError, parse_phone
from models.policy import HIGH_RISK, HighRisk
from models.travel import City, travel_card


class PhoneVisits(Struct, frozen=True):
    """What telecoms reported of a phone, in any order.

    It has all that had arrived by `as_of`. `more` says that only the newest of it are kept.
    """

    visits: Sequence[TelecomVisitData]
    as_of: datetime
    more: bool = False


Visits = Callable[[str], Awaitable[PhoneVisits]]
"""Returns the visits of a phone key; may raise whatever its application has a handler for."""

log = structlog.get_logger()


class PhoneKeySource(Protocol):
    """Gives the key of a phone, or raises `Refused` (503)."""

    async def key(self, phone: Phone) -> str: ...

    async def close(self) -> None: ...


class CodeSent(Struct, frozen=True):
    """A code is on its way: the phone (masked), until when it is good, how many tries it has."""

    phone: str
    good_until: datetime
    good_for_s: int
    tries: int


class TravelCardAnswer(Struct, frozen=True):
    """A travel card as it is shown: the masked phone, and its cities from the day `since` on.

    `updated_at` is when the card was asked for. It has what telecoms had reported by `as_of`. If
    they reported more than is kept, `more` is true and `since` is the day of the oldest kept.
    """

    phone: str
    updated_at: datetime
    as_of: datetime
    since: date
    cities: tuple[City, ...]
    more: bool = False


class TravelCards:
    """What a handler calls. `asker` is the person key of who is logged in.

    It refuses with `Refused`, also if Redis, the gateway or the carrier is away; `visits` may raise
    errors of its own. Belongs to one event loop.
    """

    def __init__(
        self,
        redis: Redis,
        key: Secrets,
        phone_keys: PhoneKeySource,
        driver: SmsDriver,
        visits: Visits,
        now: Clock,
        bounds: Bounds | None = None,
        marks: Iterable[HighRisk] = HIGH_RISK,
    ) -> None:
        """`redis` is the database of sessions; `key` is a secret, from which a label derives one
        for this use."""
        own = hashlib.blake2b(all_of(key)[0], digest_size=32, person=b"yuekang travel").digest()
        self._limits = Limits(redis, own, bounds or Bounds())
        self._codes = SmsCodes(redis, own)
        self._kept = KeptPhones(key, now)
        self._phone_keys = phone_keys
        self._driver = driver
        self._visits = visits
        self._now = now
        self._marks = tuple(marks)
        self._sending: set[asyncio.Task[CodeSent]] = set()

    async def send_code(
        self, asker: str, address: str, phone: str, language: Language = CHINESE
    ) -> CodeSent:
        """Send a code to `phone` for `asker`, who asks from `address`. It replaces the one before.

        If this fails, the code before stays as good as it was.
        """
        with _counted(metrics.TRAVEL_CODES):
            known = _phone(phone)
            async with _reachable():
                await self._limits.ask(asker)
            # Else whoever goes away while it is sent would get a message with a useless code.
            task = asyncio.create_task(self._send(asker, address, known, language))
            self._sending.add(task)
            task.add_done_callback(self._sent)
            return await asyncio.shield(task)

    async def _send(self, asker: str, address: str, phone: Phone, language: Language) -> CodeSent:
        async with _reachable(), self._limits.sending(asker, address):
            phone_key = await self._phone_keys.key(phone)
            code = new_code()
            await deliver(self._driver, phone, code_text(code, language))
            until = await self._codes.put(asker, phone_key, code, self._now())
        return CodeSent(phone.masked, until, CODE_SECONDS, TRIES_MAX)

    def _sent(self, task: "asyncio.Task[CodeSent]") -> None:
        self._sending.discard(task)
        if not task.cancelled():
            task.exception()  # it was the asker's to see, who may be gone

    async def close(self) -> None:
        """Wait for the messages being sent, each bounded in time; then close the gateway client."""
        if self._sending:
            await asyncio.wait(self._sending)
        await self._phone_keys.close()

    async def card(self, asker: str, phone: str, code: str, at: datetime) -> TravelCardAnswer:
        """Return the card of `phone` at `at`, for the code that `asker` was sent.

        Whatever may fail comes before the code is tried: a card that cannot be given costs no try
        and no code.
        """
        return (await self._opened(asker, phone, code, at))[1]

    async def open(self, session: Session, phone: str, code: str, at: datetime) -> Cookie:
        """Keep `phone` for a session whose person was sent `code`, as `card` would give the card;
        return the cookie with which `again` gives it."""
        phone_key, card = await self._opened(session.person, phone, code, at)
        return self._kept.keep(session, phone_key, card.phone)

    async def again(
        self, request: AnyRequest, session: Session, at: datetime
    ) -> TravelCardAnswer | None:
        """Return the card at `at` of the phone that a session keeps; None if it keeps none."""
        kept = self._kept.of(request, session)
        if kept is None:
            return None
        with _counted(metrics.TRAVEL_CARDS):
            return await self._card(kept.phone_key, kept.masked, at)

    async def _opened(
        self, asker: str, phone: str, code: str, at: datetime
    ) -> tuple[str, TravelCardAnswer]:
        with _counted(metrics.TRAVEL_CARDS):
            known, digits = _phone(phone), _digits(code)
            async with _reachable():
                await self._limits.ask(asker)
            phone_key = await self._phone_keys.key(known)
            card = await self._card(phone_key, known.masked, at)
            async with _reachable():
                tried = await self._codes.use(asker, phone_key, digits, at)
            if tried.outcome is not TryOutcome.GOOD:
                raise _no_good(tried)
            return phone_key, card

    async def _card(self, phone_key: str, masked: str, at: datetime) -> TravelCardAnswer:
        found = await self._visits(phone_key)
        card = travel_card(found.visits, at, self._marks, found.more)
        return TravelCardAnswer(masked, at, found.as_of, card.since, card.cities, card.more)


def _phone(text: str) -> Phone:
    try:
        return parse_phone(text[:PHONE_TEXT_MAX].strip())
    except PhoneError as error:
        raise Refused(
            "phone", error.detail, (FieldError("phone", error.detail, error.expected),)
        ) from None


def _digits(text: str) -> str:
    digits = re.sub(r"[ -]", "", text[:CODE_TEXT_MAX])
    if not re.fullmatch(rf"[0-9]{{{CODE_DIGITS}}}", digits):
        raise Refused(
            "invalid",
            f"A code is {CODE_DIGITS} digits, as they are in the message. This costs no try.",
            (FieldError("code", "It is no code.", f"{CODE_DIGITS} digits."),),
        )
    return digits


def _no_good(tried: Tried) -> Refused:
    """Return the refusal that says what is wrong with a code, and what to do."""
    match tried.outcome:
        case TryOutcome.WRONG:
            return CodeWrong(tried.left)
        case TryOutcome.SPENT:
            said = f"It was tried {TRIES_MAX} times, and none was right. Ask for a new code."
            return Refused("code-spent", said)
        case TryOutcome.EXPIRED:
            said = f"A code is good for {CODE_SECONDS // 60} minutes. Ask for a new one."
            return Refused("code-expired", said)
        case TryOutcome.USED:
            return Refused("code-used", "A code gives one card. For another, ask for a new code.")
        case _:
            return Refused(
                "no-code-sent",
                "You have no code for this phone, or had it long ago. Ask for one; a code that "
                "someone else was sent is of no use to you.",
            )


@contextmanager
def _counted(counter: Counter) -> Iterator[None]:
    try:
        yield
    except Refused as refused:
        counter.labels(refused.code).inc()
        raise
    except Exception:
        counter.labels("failed").inc()
        raise
    counter.labels("done").inc()


@asynccontextmanager
async def _reachable() -> AsyncIterator[None]:
    """Turn what Redis raises into a refusal (503)."""
    try:
        yield
    except (RedisError, OSError, TimeoutError) as failure:
        log.warning("travel_store_away", failure=type(failure).__name__)
        raise retry_later(
            "travel-card-unavailable",
            "Where codes are kept does not answer. This costs no try; send the same again.",
            RETRY_SECONDS,
        ) from None
