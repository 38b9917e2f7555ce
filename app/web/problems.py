"""Every way to be refused, as RFC 9457 problems.

A problem says what is wrong, where, and what would be right. Its `type` resolves on the gateway
and on the view (`GET /problems/{code}`); `code` is the bare name, as in dead letters.
"""

from collections.abc import Mapping
from http import HTTPStatus

import structlog
from litestar import Response
from litestar.exceptions import HTTPException, ValidationException
from msgspec import UNSET, Struct, UnsetType

from app.process import metrics
from app.web.requests import AnyRequest

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "/problems/"

log = structlog.get_logger()


class Kind(Struct, frozen=True):
    """A way to be refused: its status, and what it means in general."""

    status: int
    title: str


KINDS: dict[str, Kind] = {
    # The request
    "unauthenticated": Kind(401, "The request carries no token that is valid here"),
    "unsigned": Kind(401, "The request is not signed, as its source has to"),
    "wrong-digest": Kind(400, "The content is not the one that was signed"),
    "wrong-source": Kind(403, "The token is of another source"),
    "source-unregistered": Kind(403, "The source is not in the register"),
    "not-found": Kind(404, "There is nothing at this address"),
    "method-not-allowed": Kind(405, "This address does not take this method"),
    "too-slow": Kind(408, "The body did not arrive in time"),
    "body-too-large": Kind(413, "The body is larger than is taken"),
    "too-many": Kind(413, "The batch has more items than are taken at once"),
    "unsupported-media-type": Kind(415, "This kind of content is not read"),
    "unsupported-encoding": Kind(415, "This encoding is not read"),
    "malformed-encoding": Kind(400, "The body is not what its Content-Encoding says"),
    "malformed-header": Kind(400, "A header cannot be read"),
    "bad-request": Kind(400, "The request cannot be read"),
    "no-keys": Kind(403, "The source is given no such person keys"),
    "too-often": Kind(429, "The source asks more often than it may"),
    "internal": Kind(500, "The server failed"),
    "cursor": Kind(400, "The cursor is not one of this list"),
    "busy": Kind(503, "As much is in hand as may be"),
    "kafka-away": Kind(503, "Kafka did not confirm the write"),
    "register-unread": Kind(503, "The register of sources is not read yet"),
    "refusals-away": Kind(503, "What became of what was sent cannot be known now"),
    # The event, by the codec's names; some of them occur in dead letters only
    "not-json": Kind(400, "This is not JSON"),
    "not-utf-8": Kind(400, "This is not UTF-8"),
    "nul": Kind(400, "There is a NUL in a text"),
    "too-deep": Kind(400, "Objects and arrays lie too deep in one another"),
    "duplicate-key": Kind(400, "A name occurs twice in one object"),
    "not-a-cloudevent": Kind(400, "This is JSON but no CloudEvent 1.0"),
    "tombstone": Kind(400, "There is no event"),
    "too-large": Kind(413, "The event is larger than its topic takes"),
    "unknown-type": Kind(422, "There is no such type and version of event"),
    "wrong-topic": Kind(422, "The event is of another topic"),
    "key": Kind(422, "The key is not the event's person"),
    "wrong-partition": Kind(422, "The key belongs to another partition"),
    "not-authentic": Kind(422, "No key of its source has made the record"),
    "left-aside": Kind(422, "An operator leaves the event aside, since it cannot be folded"),
    "conflict": Kind(409, "The id is that of an event with another content"),
    "invalid": Kind(422, "A field is missing, of a wrong type, out of range or not allowed"),
    "no-authority": Kind(403, "The source has no authority for this type of event"),
    "document-number": Kind(422, "There is the number of a document or a phone where none may be"),
    "document": Kind(422, "There is no such document"),
    "phone": Kind(422, "There is no such mobile phone number"),
    "person": Kind(422, "The event names no person, names one twice, or names a phone instead"),
    # A person who is logged in
    "no-session": Kind(401, "Nobody is logged in, or no longer"),
    "login-again": Kind(401, "The login is too long ago for this"),
    "cross-site": Kind(403, "The request comes from another site"),
    "sessions-away": Kind(503, "Whether a session was ended cannot be known now"),
    "adults-only": Kind(403, "This is shown to adults alone"),
    "declared-too-often": Kind(429, "Someone declares more often than one may"),
    "resident-too-often": Kind(429, "A resident asks more often than one may"),
    "append-only": Kind(409, "What was submitted is neither changed nor deleted"),
    # A code, and a scan of one
    "no-terminal": Kind(403, "The token is not of a terminal"),
    "no-code": Kind(404, "There is no code to draw"),
    "code-unavailable": Kind(503, "亮码失败: the code cannot be shown now"),
    # A credential, and its status list
    "credentials-too-often": Kind(429, "Someone asks for credentials more often than one may"),
    "credentials-away": Kind(503, "Credentials and status lists cannot be read now"),
    # The operator, and the stream of changes
    "no-operator": Kind(403, "The token is not of an operator who may do this"),
    "audit-away": Kind(503, "What is asked cannot be written down now, so it has no answer"),
    "too-many-clients": Kind(503, "As many clients follow as may"),
    # The travel card (行程卡)
    "no-code-sent": Kind(422, "No code was sent to this phone for who asks"),
    "code-wrong": Kind(422, "The code is not the one that was sent"),
    "code-expired": Kind(422, "The code is no longer good"),
    "code-used": Kind(422, "The code was used"),
    "code-spent": Kind(422, "The code was tried too often"),
    "asked-too-often": Kind(429, "Someone asks for travel cards more often than one may"),
    "message-not-sent": Kind(503, "The message with the code could not be sent"),
    "travel-card-unavailable": Kind(503, "The travel card cannot be shown now"),
}

_CODES = {
    HTTPStatus.NOT_FOUND: "not-found",
    HTTPStatus.METHOD_NOT_ALLOWED: "method-not-allowed",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "body-too-large",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "unsupported-media-type",
}


class FieldError(Struct, frozen=True, omit_defaults=True):
    """What is wrong with the field at the dotted path `field`, and what would be right."""

    field: str
    detail: str
    expected: str | None = None


class Problem(Struct, frozen=True, omit_defaults=True):
    """A problem (RFC 9457). `code` and `errors` are extensions; `id` is the event's, if known."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    errors: tuple[FieldError, ...] = ()
    id: str | UnsetType = UNSET


class Refused(Exception):
    """A request or an event is refused. `headers` go with the answer to a request."""

    def __init__(
        self,
        code: str,
        detail: str,
        errors: tuple[FieldError, ...] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.errors = errors
        self.headers = dict(headers or {})

    def problem(self, event_id: str | UnsetType = UNSET) -> Problem:
        """Return the problem, with the id of the event that it is about."""
        kind = KINDS[self.code]
        return Problem(
            type=TYPE_PREFIX + self.code,
            title=kind.title,
            status=kind.status,
            code=self.code,
            detail=self.detail,
            errors=self.errors,
            id=event_id,
        )


def retry_later(code: str, detail: str, seconds: int) -> Refused:
    """Return a refusal that says after how many `seconds` to send the same again."""
    return Refused(code, detail, headers={"Retry-After": str(seconds)})


def on_refused(_: AnyRequest, refused: Refused) -> Response[Problem]:
    """Answer a refused request."""
    problem = refused.problem()
    metrics.HTTP_REQUESTS_REFUSED.labels(problem.code).inc()
    return Response(
        problem,
        status_code=problem.status,
        media_type=MEDIA_TYPE,
        headers={"Cache-Control": "no-store", **refused.headers},
    )


def on_http_exception(request: AnyRequest, exception: HTTPException) -> Response[Problem]:
    """Answer what the framework refused before a handler saw it."""
    status = HTTPStatus(exception.status_code)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return on_failure(request, exception)
    code = _CODES.get(status, "bad-request")
    details = {
        "not-found": "See /openapi.json for what there is.",
        "method-not-allowed": "See the Allow header for what it takes.",
    }
    refused = Refused(
        code,
        details.get(code, "See /openapi.json for what a request must be."),
        headers=exception.headers,
    )
    return on_refused(request, refused)


def on_invalid(request: AnyRequest, exception: ValidationException) -> Response[Problem]:
    """Answer a parameter or a body that is not what the OpenAPI document says."""
    found = exception.extra if isinstance(exception.extra, list) else []
    errors = tuple(
        FieldError(str(one.get("key", "")), str(one["message"]))
        for one in found
        if isinstance(one, dict) and "message" in one
    )
    detail = " ".join(f"{error.field}: {error.detail}." for error in errors)
    return on_refused(
        request, Refused("invalid", detail or "See /openapi.json for what is taken.", errors)
    )


def on_failure(request: AnyRequest, failure: Exception) -> Response[Problem]:
    """Answer a bug: the client learns that the fault is ours, the log learns where it is."""
    log_failure("request_failed", request.method, failure)
    return on_refused(
        request,
        Refused(
            "internal",
            "This is a fault of the server, not of the request; its operator can see it in the "
            "log. Sending the same again does no harm.",
        ),
    )


def log_failure(event: str, method: str, failure: Exception) -> None:
    """Log a bug: the place in the code, not the message, which could repeat what was sent."""
    log.error(event, method=method, failure=type(failure).__name__, at=_places(failure))


def _places(failure: Exception) -> list[str]:
    places = []
    traceback = failure.__traceback__
    while traceback is not None:
        code = traceback.tb_frame.f_code
        places.append(f"{code.co_filename}:{traceback.tb_lineno} {code.co_name}")
        traceback = traceback.tb_next
    return places[-5:]


class ProblemType(Struct, frozen=True):
    """What all problems of one code have in common."""

    type: str
    title: str
    status: int


def explain_problem(code: str) -> ProblemType:
    """Say what a problem's type means; raise `Refused` (404) for an unknown one."""
    kind = KINDS.get(code)
    if kind is None:
        raise Refused("not-found", f"There is no such problem; {len(KINDS)} are known.")
    return ProblemType(TYPE_PREFIX + code, kind.title, kind.status)
