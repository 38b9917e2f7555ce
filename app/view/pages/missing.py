"""The page of a wrong address: it says so, and leads to what there is."""

from collections.abc import Callable
from typing import Any

from litestar import Response
from litestar.exceptions import HTTPException, ValidationException

from app.login.guards import is_page
from app.view.pages.entry import DOORS
from app.web.problems import Problem, on_http_exception, on_invalid
from app.web.requests import AnyRequest
from app.web.site import language_of, page

NOT_A_PAGE = frozenset({404, 405})
"""What the framework says of an address that there is not, or not to be opened."""


def on_page_missing(request: AnyRequest, exception: HTTPException) -> Response[Any]:
    """Answer what the framework refused: a person with a page, a program with a problem."""
    return _answered(request, exception, on_http_exception)


def on_page_unknown(request: AnyRequest, exception: ValidationException) -> Response[Any]:
    """Answer a parameter that cannot be: where a page was asked for, the address is wrong.

    What is filled in on a page is read by the page itself, which says what is wrong with it.
    """
    return _answered(request, exception, on_invalid)


def _answered(
    request: AnyRequest,
    exception: Any,
    problem: Callable[[AnyRequest, Any], Response[Problem]],
) -> Response[Any]:
    refused = problem(request, exception)
    status = 404 if isinstance(exception, ValidationException) else exception.status_code
    # Whoever does not name HTML takes anything, as programs do.
    wanted = is_page(request) and "text/html" in request.headers.get("accept", "")
    if not wanted or status not in NOT_A_PAGE:
        return refused
    allow = {"allow": refused.headers["allow"]} if "allow" in refused.headers else {}
    return page(
        "missing.html", language_of(request), {"doors": DOORS}, status=status, headers=allow
    )
