"""The addresses of the gateway."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import structlog
from limits import RateLimitItemPerDay, RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from litestar import Litestar, Response, get, post
from litestar.exceptions import HTTPException
from litestar.params import FromPath
from litestar.response import Stream
from msgspec import Struct

from app.gateway import messages
from app.gateway.admission import (
    Admission,
    Admitted,
    as_refused,
    one_content_each,
    readable_id,
)
from app.gateway.answers import (
    Accepted,
    PersonKeyOf,
    PersonKeyResults,
    RefusalsAnswer,
    Results,
)
from app.gateway.body import Bodies
from app.gateway.person_keys import PersonKeys
from app.gateway.reference import openapi
from app.gateway.refusals import EVENT_STREAM, Refusals, wanted_by
from app.process import metrics
from app.process.clock import Clock, now
from app.topics.catalogue import CATALOGUE, PORTAL
from app.topics.codec import Refusal, parse_strict
from app.topics.records import KafkaPlace
from app.topics.writer import Writer
from app.web import problems
from app.web.probes import probes
from app.web.problems import FieldError, Problem, Refused
from app.web.requests import AnyRequest
from app.web.tokens import InvalidToken, Tokens

DOCUMENTS_MAX = 1_000
"""Documents in one request for person keys."""

KEYS_MAX = RateLimitItemPerMinute(30_000), RateLimitItemPerDay(1_000_000)
"""Person keys for one source: enough to fill a morning's listings, too few to try out numbers
unseen. A sliding window of two counters counts them, so a source costs the same however much it
asks. They are in memory, since the gateway is one process."""

VIEWS_KEYS_MAX = RateLimitItemPerMinute(1_500_000), RateLimitItemPerDay(250_000_000)
"""The same for the sources in whose name the view asks, for every login and travel card of the
province: for all who come in the peak's minute (decision 11), and for each of its 126 million
residents (census of 2020) twice a day. Real-name login and the limits of travel cards guard it."""

log = structlog.get_logger()


class GatewayOptions(Struct, frozen=True, kw_only=True):
    """What a gateway needs to know. `now` gives the instant, with its zone."""

    kafka: str
    rows_redis_url: str
    person_key_secret: bytes
    person_key_version: int
    token_key: bytes
    views_sources: frozenset[str] = frozenset({PORTAL})
    now: Clock = now

    def __repr__(self) -> str:
        return f"GatewayOptions(kafka={self.kafka!r})"


class Gateway:
    """What the handlers share."""

    def __init__(self, options: GatewayOptions) -> None:
        self.tokens = Tokens(options.token_key)
        self.admission = Admission(
            PersonKeys(options.person_key_secret, options.person_key_version), options.now
        )
        self.bodies = Bodies()
        self.writer = Writer(options.kafka)
        self.refusals = Refusals(options.rows_redis_url, options.now)
        self._views_sources = options.views_sources
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    def authenticate(self, request: AnyRequest) -> str:
        """Return the source whose token the request carries; raise `Refused` (401)."""
        authorization = request.headers.get("authorization", "")
        try:
            return self.tokens.source_in(authorization)
        except InvalidToken:
            said = 'Bearer error="invalid_token"' if authorization else "Bearer"
            raise Refused(
                "unauthenticated",
                "Send the source's token as `Authorization: Bearer …`; the operator makes it with "
                "`yuekang token SOURCE`. One of another gateway, or of an older key, is none.",
                headers={"WWW-Authenticate": said},
            ) from None

    async def spend(self, source: str, count: int) -> None:
        """Count `count` person keys for `source`, or raise `Refused` (429)."""
        for limit in VIEWS_KEYS_MAX if source in self._views_sources else KEYS_MAX:
            if not await self._limiter.hit(limit, source, cost=count):
                window = await self._limiter.get_window_stats(limit, source)
                seconds = max(1, round(window.reset_time - datetime.now(UTC).timestamp()))
                raise Refused(
                    "too-often",
                    f"A source gets {limit.amount} person keys a {limit.GRANULARITY.name}; "
                    f"{window.remaining} are left for now.",
                    headers={"Retry-After": str(seconds)},
                )


def create_gateway(options: GatewayOptions) -> Litestar:
    """Make the application; it connects to Kafka when it starts."""
    gateway = Gateway(options)

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        gateway.writer.start()
        yield
        await gateway.refusals.stop()
        await gateway.writer.stop()

    return Litestar(
        route_handlers=[
            *_entrances(gateway),
            *_probes(gateway),
            reference,
            explanation,
        ],
        lifespan=[lifespan],
        exception_handlers={
            Refused: problems.on_refused,
            HTTPException: problems.on_http_exception,
            Exception: problems.on_failure,
        },
        openapi_config=None,
        request_max_body_size=None,  # app.gateway.body bounds it, with time and memory
        logging_config=None,
    )


def _entrances(gateway: Gateway) -> list[Any]:
    @post("/v1/events", status_code=202)
    async def publish(request: AnyRequest) -> Response[Any]:
        with metrics.GATEWAY_REQUEST_SECONDS.labels("events").time():
            source = gateway.authenticate(request)
            headers = list(request.scope["headers"])
            kind = messages.kind_of(headers)
            batch = messages.is_batch(kind, headers)
            async with gateway.bodies.of(request) as body:
                if batch:
                    return await _publish_batch(gateway, source, messages.batch(body))
                return await _publish_one(gateway, source, kind, headers, body)

    @post("/v1/person-keys", status_code=200)
    async def person_keys(request: AnyRequest) -> Response[PersonKeyResults]:
        with metrics.GATEWAY_REQUEST_SECONDS.labels("person-keys").time():
            source = gateway.authenticate(request)
            if messages.kind_of(list(request.scope["headers"])) != messages.DATA:
                raise Refused(
                    "unsupported-media-type",
                    f"Send {messages.DATA}.",
                    headers={"Accept": messages.DATA},
                )
            async with gateway.bodies.of(request) as body:
                documents = _documents(body)
            await gateway.spend(source, len(documents))
            results = [_person_key(gateway, n, item) for n, item in enumerate(documents)]
            refused = sum(isinstance(result, Problem) for result in results)
            metrics.GATEWAY_PERSON_KEYS.inc(len(results) - refused)
            log.info("person_keys_made", source=source, asked=len(documents), refused=refused)
            return Response(PersonKeyResults(results), status_code=207 if refused else 200)

    @get("/v1/sources/me/refusals", media_type="application/json")
    async def refusals(request: AnyRequest) -> Response[RefusalsAnswer] | Stream:
        with metrics.GATEWAY_REQUEST_SECONDS.labels("refusals").time():
            source = gateway.authenticate(request)
            wanted = wanted_by(request.query_params)
            if EVENT_STREAM not in request.headers.get("accept", ""):
                answer = await gateway.refusals.page(source, wanted)
                return Response(answer, headers={"cache-control": "no-store"})
            after = request.headers.get("last-event-id") or wanted.after
            return Stream(
                await gateway.refusals.follow(source, after),
                media_type=EVENT_STREAM,
                headers={"cache-control": "no-store", "x-accel-buffering": "no"},
            )

    return [publish, person_keys, refusals]


async def _publish_one(
    gateway: Gateway, source: str, kind: str, headers: list[tuple[bytes, bytes]], body: bytes
) -> Response[Any]:
    event: Any = None
    try:
        event = messages.one(kind, headers, body)
        admitted = gateway.admission.admit(event, source)
    except (Refused, Refusal) as refusal:
        problem = as_refused(refusal).problem(readable_id(event))
        metrics.GATEWAY_EVENTS_REFUSED.labels(problem.code).inc()
        return Response(problem, status_code=problem.status, media_type=problems.MEDIA_TYPE)
    [place] = await gateway.writer.write([admitted.record])
    return Response(_accepted(admitted, place), status_code=202)


async def _publish_batch(gateway: Gateway, source: str, events: list[bytes]) -> Response[Results]:
    """Answer 202 if every event was written, 207 if any was refused: look inside.

    All events that may be written are written together. If Kafka does not confirm that, the whole
    batch is answered with 503, and the whole batch should be sent again.
    """
    judged = [*one_content_each(_judge(gateway, source, event) for event in events)]
    admitted = [item for item in judged if isinstance(item, Admitted)]
    places = iter(await gateway.writer.write([item.record for item in admitted]))
    results: list[Accepted | Problem] = []
    for item in judged:
        if isinstance(item, Problem):
            metrics.GATEWAY_EVENTS_REFUSED.labels(item.code).inc()
            results.append(item)
        else:
            results.append(_accepted(item, next(places)))
    whole = len(admitted) == len(judged)
    return Response(Results(results), status_code=202 if whole else 207)


def _judge(gateway: Gateway, source: str, raw: bytes) -> Admitted | Problem:
    event: Any = None
    try:
        event = parse_strict(raw)
        return gateway.admission.admit(event, source)
    except (Refused, Refusal) as refusal:
        return as_refused(refusal).problem(readable_id(event))


def _accepted(admitted: Admitted, place: KafkaPlace) -> Accepted:
    metrics.GATEWAY_EVENTS_ACCEPTED.labels(place.topic).inc()
    return Accepted(202, admitted.id, admitted.source, place.topic, place.partition, place.offset)


def _documents(body: bytes) -> list[Any]:
    try:
        asked = parse_strict(body)
    except Refusal as refusal:
        raise as_refused(refusal) from None
    match asked:
        case {"documents": list(documents), **rest} if not rest:
            pass
        case _:
            raise Refused(
                "invalid",
                "The request is not an object with the one field documents.",
                (FieldError("documents", "It is missing or not alone.", "An array of documents."),),
            )
    if len(documents) > DOCUMENTS_MAX:
        raise Refused(
            "too-many", f"There are {len(documents)} documents; at most {DOCUMENTS_MAX} go."
        )
    return documents


def _person_key(gateway: Gateway, number: int, document: Any) -> PersonKeyOf | Problem:
    try:
        return PersonKeyOf(gateway.admission.person_key(document, f"documents[{number}]"))
    except Refused as refused:
        return refused.problem()


def _probes(gateway: Gateway) -> list[Any]:
    async def unready() -> list[str]:
        """Raise `Refused` if Kafka is away, or lacks a topic to which events go."""
        there = await gateway.writer.topics()
        missing = sorted(
            topic.name
            for topic in CATALOGUE.topics.values()
            if topic.folds_into is not None and topic.name not in there
        )
        if missing:
            raise problems.retry_later(
                "kafka-away",
                f"Topics are missing: {', '.join(missing)}. Run `yuekang topics create`.",
                5,
            )
        return []

    return probes(gateway.writer.check, unready)


@get("/openapi.json", media_type="application/vnd.oai.openapi+json")
async def reference() -> bytes:
    """Return the OpenAPI 3.1 document."""
    return openapi()


@get("/problems/{code:str}")
async def explanation(code: FromPath[str]) -> dict[str, Any]:
    """Say what a problem's type means."""
    return problems.explain_problem(code)
