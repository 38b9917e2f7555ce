"""The pages that people open: a code at a gate, the duty dashboard, the API pages.

`page_routes` returns the handlers that anybody may ask; those of `resident_routes` need somebody
who is logged in. All are outside the OpenAPI document. Templates and static files lie beside this
module or in app.web. Nothing is loaded from elsewhere, and nothing is inline (`site.HEADERS`).
"""
