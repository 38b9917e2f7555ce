"""The pages of a login: words, and links to go on from there."""

from litestar import Response

from app.login.guards import HOME, with_return
from app.login.texts import AGAIN, AT_PROVIDER, BACK_TO_START, LOG_IN, NOTICES, Page
from app.web.language import Language, Text
from app.web.site import FORM_HEADERS, page

_IN_A_WHILE = {"gateway", "provider-away", "sessions", "logout"}
RETRY_SECONDS = 30


def notice(
    which: Page,
    language: Language,
    *,
    status: int = 200,
    return_to: str = HOME,
    provider_logout: str | None = None,
) -> Response[str]:
    """Answer with a page of `NOTICES`; a login from that page leads to `return_to`."""
    login = LOG_IN if which == "logged-out" else AGAIN
    links: list[tuple[str, Text]] = [(with_return("/login", return_to), login)]
    if provider_logout is not None:
        links.append((provider_logout, AT_PROVIDER))
    links.append((f"/?lang={language.code}", BACK_TO_START))
    retry = {"retry-after": str(RETRY_SECONDS)} if which in _IN_A_WHILE else {}
    context = {"n": NOTICES[which], "links": links}
    return page("notice.html", language, context, status=status, headers={**FORM_HEADERS, **retry})
