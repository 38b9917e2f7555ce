"""The refusals that the view words itself; the rest is in app.web.problems."""

from litestar import Response
from litestar.exceptions import ValidationException

from app.view.reading import Unavailable, UnavailableCause
from app.web.problems import FieldError, Problem, Refused, on_refused
from app.web.requests import AnyRequest

CAUSES: dict[UnavailableCause, str] = {
    "store": "Where codes are kept does not answer, or is being built again.",
    "stale": "What is known is too old to show a colour by it.",
    "busy": "More people ask at this moment than can be answered.",
}


def on_unavailable(request: AnyRequest, failure: Unavailable) -> Response[Problem]:
    """Answer 亮码失败: why, and when to ask again. No colour, not even the last one."""
    retry = {"Retry-After": str(failure.retry_after_s)}
    return on_refused(request, Refused("code-unavailable", CAUSES[failure.cause], headers=retry))


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
