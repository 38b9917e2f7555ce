"""`GET /`: what this is, and where its pages are."""

from litestar import Response

from app.view.pages import texts
from app.view.pages.language import Language
from app.view.pages.ports import PagePort
from app.view.pages.site import page


def entry_page(port: PagePort, language: Language) -> Response[str]:
    """The short page that leads to the others."""
    links = (
        ("/dashboard", texts.ENTRY["dashboard"], texts.ENTRY["dashboard_what"]),
        ("/api", texts.ENTRY["api"], texts.ENTRY["api_what"]),
        ("/api/events", texts.ENTRY["events"], texts.ENTRY["events_what"]),
    )
    context = {"e": texts.ENTRY, "links": links, "samples": port.samples()}
    return page("entry.html", language, context)
