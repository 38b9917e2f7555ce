"""The pages that people open: a code at a gate, the duty dashboard, the API pages.

`page_routes` returns the handlers that anybody may ask; those of `resident_routes` need somebody
who is logged in. All are outside the OpenAPI document. Templates and static files lie beside this
module or in app.web. Nothing is loaded from elsewhere, and nothing is inline (`site.HEADERS`).

- `routes`: which address leads to which page; `entry`: the front door.
- `code_page`: the code at a gate; `sheet`: what it says; `installed`: the page as an app.
- `information`, `declare`, `travel`: a resident's own data, declarations, travel card.
- `dashboard`: the duty officer's page; `chart`: its picture; `map`: its cities as tiles.
- `reference`: the documents of both interfaces, readable.
- `missing`: a wrong address.
- `gate`: the terminal of a guard.
- `sum`: the answers with which the page of a red code begins.
- `proof`: a release notice and a recent negative as papers, and the page that checks them.
- `course`: how a resident's code changed.
- `contacts`: whom a resident calls about what was reported.
- `duty`: which address leads to which of the duty officer's pages.
- `advice`: what to do after a fever, a contact or breathlessness was declared.
- `statements`: contact, privacy, accessibility.
- `divisions`: the prefectures of the country.
- `newest`: the list of the last changes on it; `trends`: what is unusual, and the charts' figures;
  `status`: alerts, and what to do then.
- `figures`: the counts for everybody; `agency`: where an agency's engineer starts.
- `names`: how the pages name colours, reasons, owners and places.
"""
