"""Every way to be refused by the view, as RFC 9457 problems in the form of the gateway's."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException

from app import metrics
from app.gateway.problems import MEDIA_TYPE, TYPE_PREFIX, FieldError, Kind, Problem
from app.view.pages.ports import Cause, Unavailable

log = structlog.get_logger()

KINDS: dict[str, Kind] = {
    "unauthenticated": Kind(401, "The request carries no token that is valid here"),
    "no-terminal": Kind(403, "The token is not of a terminal"),
    "not-found": Kind(404, "There is nothing at this address"),
    "no-code": Kind(404, "There is no code to draw"),
    "method-not-allowed": Kind(405, "This address does not take this method"),
    "body-too-large": Kind(413, "The body is larger than the view takes"),
    "unsupported-media-type": Kind(415, "The view does not read this kind of content"),
    "bad-request": Kind(400, "The request cannot be read"),
    "invalid": Kind(400, "A field is missing, of a wrong type, out of range or not allowed"),
    "no-display": Kind(422, "What was scanned is no code of ours, or no longer"),
    "code-unavailable": Kind(503, "亮码失败: the code cannot be shown now"),
    "too-many-clients": Kind(503, "As many clients follow the changes as may"),
    "internal": Kind(500, "The view failed"),
}

CAUSES: dict[Cause, str] = {
    "store": "Where codes are kept does not answer, or is being built anew.",
    "stale": "What is known is too old to show a colour by it.",
    "busy": "More people ask at this moment than can be answered.",
}

_CODES = {
    HTTPStatus.NOT_FOUND: "not-found",
    HTTPStatus.METHOD_NOT_ALLOWED: "method-not-allowed",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "body-too-large",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "unsupported-media-type",
}


class Refused(Exception):
    """A request is refused. `headers` go with the answer."""

    def __init__(
        self,
        code: str,
        detail: str,
        *errors: FieldError,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.errors = errors
        self.headers = dict(headers or {})


def on_refused(_: Request[Any, Any, Any], refused: Refused) -> Response[Problem]:
    """Answer a refused request."""
    metrics.VIEW_REFUSED.labels(refused.code).inc()
    kind = KINDS[refused.code]
    problem = Problem(
        type=TYPE_PREFIX + refused.code,
        title=kind.title,
        status=kind.status,
        code=refused.code,
        detail=refused.detail,
        errors=refused.errors,
    )
    return Response(
        problem,
        status_code=kind.status,
        media_type=MEDIA_TYPE,
        headers={"cache-control": "no-store", **refused.headers},
    )


def on_unavailable(request: Request[Any, Any, Any], failure: Unavailable) -> Response[Problem]:
    """Answer 亮码失败: why, and when to ask again. No colour, not even the last one."""
    retry = {"retry-after": str(failure.retry_after_s)}
    return on_refused(request, Refused("code-unavailable", CAUSES[failure.cause], headers=retry))


def on_http_exception(
    request: Request[Any, Any, Any], exception: HTTPException
) -> Response[Problem]:
    """Answer what the framework refused before a handler saw it."""
    status = HTTPStatus(exception.status_code)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return on_failure(request, exception)
    if isinstance(exception, ValidationException):
        return on_refused(request, _invalid(exception))
    refused = Refused(
        _CODES.get(status, "bad-request"),
        "See /openapi.json for what there is and what it takes.",
        headers=exception.headers,
    )
    return on_refused(request, refused)


def on_too_deep(request: Request[Any, Any, Any], _: RecursionError) -> Response[Problem]:
    """Answer a body whose arrays lie too deep in one another to be read."""
    return on_refused(request, Refused("bad-request", "The body lies too deep in itself."))


def _invalid(exception: ValidationException) -> Refused:
    found = exception.extra if isinstance(exception.extra, list) else []
    errors = [
        FieldError(str(one.get("key", "")), str(one["message"]))
        for one in found
        if isinstance(one, dict) and "message" in one
    ]
    detail = " ".join(f"{error.field}: {error.detail}." for error in errors)
    return Refused("invalid", detail or "See /openapi.json for what is taken.", *errors)


def on_failure(request: Request[Any, Any, Any], failure: Exception) -> Response[Problem]:
    """Answer a bug. The log gets its place in the code; the message could hold a person."""
    log.error("view_failed", failure=type(failure).__name__, at=_places(failure))
    detail = "This is a fault of the view, not of the request; its operator sees it in the log."
    return on_refused(request, Refused("internal", detail))


def _places(failure: Exception) -> list[str]:
    places = []
    traceback = failure.__traceback__
    while traceback is not None:
        code = traceback.tb_frame.f_code
        places.append(f"{code.co_filename}:{traceback.tb_lineno} {code.co_name}")
        traceback = traceback.tb_next
    return places[-5:]
