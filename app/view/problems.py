"""The refusals that the view words itself; the rest is in app.web.problems."""

from litestar import Response

from app.view.reading import Unavailable, UnavailableCause
from app.web.problems import Problem, Refused, on_refused
from app.web.requests import AnyRequest

CAUSE_DETAILS: dict[UnavailableCause, str] = {
    "store": "Where codes are kept does not answer, or is being built again.",
    "stale": "What is known is too old to show a colour by it.",
    "busy": "More people ask at this moment than can be answered.",
}


def on_unavailable(request: AnyRequest, failure: Unavailable) -> Response[Problem]:
    """Answer 亮码失败: why, and when to ask again. No colour, not even the last one."""
    return on_refused(request, code_unavailable(failure))


def code_unavailable(failure: Unavailable) -> Refused:
    """Return what a program is told of a code that cannot be shown."""
    retry = {"Retry-After": str(failure.retry_after_s)}
    return Refused("code-unavailable", CAUSE_DETAILS[failure.cause], headers=retry)
