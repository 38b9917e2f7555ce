"""The pages that people open: a code at a gate, the duty dashboard, the API pages.

`routes` returns the handlers that anybody may ask, `resident_routes` those for whom somebody has to
be logged in; all are outside the OpenAPI document. Templates and static files lie beside this
module or in app.web; nothing is loaded from elsewhere and nothing is inline (`site.HEADERS`).
"""
