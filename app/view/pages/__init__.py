"""The pages that people open: a code at a gate, the duty dashboard, the API pages.

`routes(port)` returns the handlers for the view's application, `resident_routes(port)` those for
whom somebody has to be logged in; all are outside its OpenAPI document. Templates and static files
lie beside this module; nothing is loaded from elsewhere and nothing is inline (`site.HEADERS`).
"""

from app.view.pages.code_page import failed_page
from app.view.pages.ports import PagePort, Read, Sample, Unavailable
from app.view.pages.routes import resident_routes, routes

__all__ = ["PagePort", "Read", "Sample", "Unavailable", "failed_page", "resident_routes", "routes"]
