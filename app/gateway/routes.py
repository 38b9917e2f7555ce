"""The addresses of the gateway."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated, Any

import structlog
from litestar import Litestar, MediaType, Response, get, post
from litestar.exceptions import HTTPException, ValidationException
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import HeaderParameter, QueryParameter
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
from app.gateway.body import BODY_BYTES_MAX, Bodies
from app.gateway.key_limits import KeyLimits
from app.gateway.person_keys import PersonKeys
from app.gateway.reference import CONFIG, EVENT, LET_IN, READING, TOKEN
from app.gateway.refusals import (
    ALIVE_SECONDS,
    EVENT_STREAM,
    PAGE_DEFAULT,
    PAGE_MAX,
    Refusals,
    check_names,
)
from app.gateway.signatures import Signers
from app.gateway.sources import SourceGate
from app.process import metrics
from app.process.clock import Clock, now
from app.process.kafka import Brokers
from app.projection.refusals import CURSOR
from app.sources.follow import RegisterFollower
from app.topics.authentic import SourceKeys
from app.topics.catalogue import CATALOGUE, KeyLimit
from app.topics.codec import Refusal, parse_strict
from app.topics.records import KafkaPlace
from app.topics.writer import Writer
from app.web import problems
from app.web.headers import hardened
from app.web.operator import access_of
from app.web.probes import probes
from app.web.problems import FieldError, Problem, Refused
from app.web.refusals import explanation, refusals
from app.web.requests import AnyRequest
from app.web.security_txt import security_txt
from app.web.site import language_of, page
from app.web.streams import while_let_in
from app.web.tokens import Tokens, Trust

log = structlog.get_logger()


class GatewayOptions(Struct, frozen=True, kw_only=True):
    """What a gateway needs to know. `now` gives the instant, with its zone.

    Without `followed` there is no register of sources, and everybody is let in who has a token.
    """

    brokers: Brokers
    rows_redis_url: str
    person_key_secret: bytes
    person_key_version: int
    trust: Trust
    mac_keys: SourceKeys
    signers: Signers | None = None
    gateway_url: str = ""
    view_url: str = ""
    followed: RegisterFollower | None = None
    registered_only: bool = False
    security_txt: str = ""
    now: Clock = now

    def __repr__(self) -> str:
        return f"GatewayOptions(brokers={self.brokers!r})"


class Gateway:
    """What the handlers share."""

    def __init__(self, options: GatewayOptions) -> None:
        self.followed = options.followed
        register = None if options.followed is None else options.followed.register
        self.tokens = Tokens(options.trust, register)
        self.sources = SourceGate(register, options.registered_only, options.now)
        self._signers = options.signers or Signers()
        self.admission = Admission(
            PersonKeys(options.person_key_secret, options.person_key_version),
            options.mac_keys,
            options.now,
        )
        self.bodies = Bodies()
        self.writer = Writer(options.brokers)
        self.refusals = Refusals(options.rows_redis_url, options.now)
        self.key_limits = KeyLimits()

    async def authenticate(self, request: AnyRequest) -> tuple[str, bytes | None]:
        """Return the source whose token the request carries, and the SHA-256 of its content if that
        is signed; raise `Refused` (401), or as `SourceGate.check` does."""
        source = await self._source_of(request)
        return source, self._signers.check(source, request, partial(self.sources.takes_key, source))

    async def lets_in(self, request: AnyRequest) -> bool:
        """Say whether who asked is still let in, as a stream asks that has begun."""
        try:
            await self._source_of(request)
        except Refused:
            return False
        return True

    async def _source_of(self, request: AnyRequest) -> str:
        source = (await access_of(self.tokens, request, "the source's", "SOURCE")).source
        self.sources.check(source)
        return source


def create_gateway(options: GatewayOptions) -> Litestar:
    """Make the application; it connects to Kafka when it starts."""
    gateway = Gateway(options)

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        gateway.writer.start()
        if gateway.followed is not None:
            gateway.followed.start()
        yield
        if gateway.followed is not None:
            await gateway.followed.stop()
        await gateway.refusals.stop()
        await gateway.writer.stop()

    return Litestar(
        route_handlers=[
            *_entrances(gateway),
            *_probes(gateway),
            *security_txt(options.security_txt, options.now),
            _entrance(options.view_url),
            explanation,
        ],
        lifespan=[lifespan],
        before_send=[hardened(options.gateway_url)],
        exception_handlers={
            Refused: problems.on_refused,
            ValidationException: problems.on_invalid,
            HTTPException: problems.on_http_exception,
            Exception: problems.on_failure,
        },
        openapi_config=CONFIG,
        request_max_body_size=None,  # app.gateway.body bounds it, with time and memory
        logging_config=None,
    )


PLACE = {"pattern": CURSOR.pattern}
"""Said and not checked here: what has another form is refused as any place of another list is."""

After = Annotated[
    str | None,
    QueryParameter(description="The place to go on from: a `cursor`.", schema_extra=PLACE),
]
Before = Annotated[
    str | None,
    QueryParameter(
        description="The place that the page ends before: `older` of another.", schema_extra=PLACE
    ),
]
Limit = Annotated[int, QueryParameter(description="Letters on a page.", ge=1, le=PAGE_MAX)]
LastEventId = Annotated[
    str | None,
    HeaderParameter(
        name="Last-Event-ID",
        description="The place where a stream goes on; it goes before `after`.",
        schema_extra=PLACE,
    ),
]


def _entrances(gateway: Gateway) -> list[Any]:
    @post(
        "/v1/events",
        status_code=202,
        operation_id="publishEvents",
        summary="Publish one event or a batch",
        description=(
            f"One event, or up to {messages.BATCH_EVENTS_MAX} in a batch; at most {BODY_BYTES_MAX} "
            "bytes, also once decompressed (Content-Encoding: gzip). In binary mode the attributes "
            "are in ce- headers and the body is `data`; Content-Type may then be left out. "
            "Extensions are passed over. The answer comes when Kafka has confirmed the write. 503 "
            "says when to send the same again; part of it may have been written, which does no "
            "harm."
        ),
        security=TOKEN,
        responses={
            202: ResponseSpec(
                Accepted | Results,  # type: ignore[arg-type]
                generate_examples=False,
                description="Written. All replicas in sync have every event that was sent.",
            ),
            207: ResponseSpec(
                Results,
                generate_examples=False,
                description=(
                    "Written in part. Some events of the batch were refused, also with conflict: "
                    f"{problems.KINDS['conflict'].title}."
                ),
            ),
            **refusals(*READING, *EVENT, "too-often", "kafka-away"),
        },
    )
    async def publish(request: AnyRequest) -> Response[Any]:
        with metrics.GATEWAY_REQUEST_SECONDS.labels("events").time():
            source, digest = await gateway.authenticate(request)
            headers = list(request.scope["headers"])
            kind = messages.kind_of(headers)
            batch = messages.is_batch(kind, headers)
            async with gateway.bodies.of(request, digest) as body:
                if batch:
                    return await _publish_batch(gateway, source, messages.batch(body))
                return await _publish_one(gateway, source, kind, headers, body)

    @post(
        "/v1/person-keys",
        status_code=200,
        operation_id="personKeys",
        summary="Get the person keys of documents, and the keys of phones",
        security=TOKEN,
        response_description="Made. There is a key for every document.",
        responses={
            207: ResponseSpec(
                PersonKeyResults,
                generate_examples=False,
                description="Made in part. Some of the documents cannot exist.",
            ),
            **refusals(*READING, "no-keys", "too-often"),
        },
    )
    async def person_keys(request: AnyRequest) -> Response[PersonKeyResults]:
        """For a source that writes to Kafka itself.

        An answer for each document or phone, in order; the key of a phone stands under `person` as
        well. Who is given keys, of what, and how many, is in topics.yaml, for each authority. It is
        recorded who asked for how many, never for whom.
        """
        with metrics.GATEWAY_REQUEST_SECONDS.labels("person-keys").time():
            source, digest = await gateway.authenticate(request)
            limit = gateway.key_limits.limit_of(source)
            if messages.kind_of(list(request.scope["headers"])) != messages.DATA:
                raise Refused(
                    "unsupported-media-type",
                    f"Send {messages.DATA}.",
                    headers={"Accept": messages.DATA},
                )
            async with gateway.bodies.of(request, digest) as body:
                documents = _documents(body)
            own_day = gateway.sources.keys_a_day(source)
            await gateway.key_limits.spend(source, len(documents), own_day)
            results = [_person_key(gateway, limit, n, item) for n, item in enumerate(documents)]
            refused = sum(isinstance(result, Problem) for result in results)
            metrics.GATEWAY_PERSON_KEYS.inc(len(results) - refused)
            log.info("person_keys_made", source=source, asked=len(documents), refused=refused)
            return Response(PersonKeyResults(results), status_code=207 if refused else 200)

    @get(
        "/v1/sources/me/refusals",
        operation_id="refusalsOfSource",
        summary="See what became of what the source sent",
        description=(
            "What was refused after it was accepted or written to Kafka, what had no effect, and "
            "where the source is parked: the token's source sees its own alone. Newest first, a "
            "page at a time: `older` of a page, as `before`, is the next. `cursor` of a page or of "
            "a letter, as `after`, gives what came since; it misses and repeats nothing, also when "
            f"the list was built again. With Accept: {EVENT_STREAM} it is a stream from `after` or "
            "Last-Event-ID on, oldest first, else from now. Its events: `refusal` (ToldLetter), "
            "`parked` (ParkedNow) at the beginning if the source is parked and whenever that "
            "changes, `gap` (Missed) if letters are no longer kept, and every "
            f"{ALIVE_SECONDS:g} s `alive` (SignOfLife)."
        ),
        security=TOKEN,
        responses={
            200: ResponseSpec(
                RefusalsAnswer, generate_examples=False, description="A page, or the stream."
            ),
            **refusals(
                *(*LET_IN, "no-authority", "cursor", "invalid"),
                *("refusals-away", "too-many-clients"),
            ),
        },
    )
    async def refusals_of_source(
        request: AnyRequest,
        after: After = None,
        before: Before = None,
        limit: Limit = PAGE_DEFAULT,
        last_event_id: LastEventId = None,
    ) -> Response[RefusalsAnswer] | Stream:
        with metrics.GATEWAY_REQUEST_SECONDS.labels("refusals").time():
            source, _ = await gateway.authenticate(request)
            check_names(request.query_params)
            place = after if last_event_id is None else last_event_id
            if EVENT_STREAM not in request.headers.get("accept", ""):
                answer = await gateway.refusals.page(source, place, before, limit)
                return Response(answer, headers={"cache-control": "no-store"})
            told = await gateway.refusals.follow(source, place)
            return Stream(
                while_let_in(told, partial(gateway.lets_in, request)),
                media_type=EVENT_STREAM,
                headers={"cache-control": "no-store", "x-accel-buffering": "no"},
            )

    return [publish, person_keys, refusals_of_source]


async def _publish_one(
    gateway: Gateway, source: str, kind: str, headers: list[tuple[bytes, bytes]], body: bytes
) -> Response[Any]:
    await gateway.sources.spend_events(source, 1)
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
    await gateway.sources.spend_events(source, len(events))
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
        messages.check_size(len(raw))
        event = parse_strict(raw)
        return gateway.admission.admit(event, source)
    except (Refused, Refusal) as refusal:
        return as_refused(refusal).problem(readable_id(event))


def _accepted(admitted: Admitted, place: KafkaPlace) -> Accepted:
    metrics.GATEWAY_EVENTS_ACCEPTED.labels(place.topic).inc()
    return Accepted(202, admitted.id, admitted.source, place.topic, place.partition, place.offset)


def _documents(body: bytes) -> list[Any]:
    if len(body) > messages.DOCUMENTS_BYTES_MAX:
        raise Refused(
            "body-too-large",
            f"At most {messages.DOCUMENTS_BYTES_MAX} bytes of documents go at once.",
        )
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
    if len(documents) > messages.DOCUMENTS_MAX:
        raise Refused(
            "too-many",
            f"There are {len(documents)} documents; at most {messages.DOCUMENTS_MAX} go.",
        )
    return documents


def _person_key(
    gateway: Gateway, limit: KeyLimit, number: int, document: Any
) -> PersonKeyOf | Problem:
    path = f"documents[{number}]"
    try:
        return PersonKeyOf(gateway.admission.person_key(document, path, limit.of))
    except Refused as refused:
        return refused.problem()


def _probes(gateway: Gateway) -> list[Any]:
    async def unready() -> list[str]:
        """Raise `Refused` if Kafka is away, or lacks a topic to which events go. Say if the
        register of sources is not read."""
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
        return [] if gateway.followed is None else gateway.followed.unready()

    def check() -> None:
        """Raise if the process no longer writes, or follows the register."""
        gateway.writer.check()
        if gateway.followed is not None:
            gateway.followed.check()

    return probes(check, unready)


def _entrance(view_url: str) -> Any:
    @get("/", media_type=MediaType.HTML, include_in_schema=False)
    async def entrance(request: AnyRequest) -> Response[str]:
        """Lead whoever opens the gateway in a browser to where an agency starts."""
        return page("entrance.html", language_of(request), {"view_url": view_url})

    return entrance
