"""Logging in: an OpenID provider says who a resident is; a session keeps that for a time.

    GET  /login?return_to=…   to the provider, and back to a path of our own
    GET  /login/callback      to here the provider sends the browser back
    GET  /login/failed/{why}  what went wrong, and what to do
    POST /logout              the session is over, here and in every copy of its cookie
    GET  /logged-out          says so, and leads to the provider's own logout
    GET  /v1/session          who is logged in, and until when

- `seal`: how a cookie is closed and opened; `sessions`: the session and its cookie; `ended`: which
  sessions ended before their time, followed into memory.
- `oidc`: the provider by its discovery document, and which of its answers can be believed;
  `claims`: from such an answer to a document, a name, a birthday.
- `registration`: the gateway makes a person key of the document; then its number is forgotten.
- `guards`: what opens a route to the logged-in person, and to nobody else.
- `names`: as much of a name, and of a document number, as a gate may see.
- `failures`: every way in which a login can fail; `pages`, `texts`, `routes`: the answers, and
  their words.
- `duty`: the login of duty officers, by an operator's token (`/duty/login`), and their guard.
- `devices`: one's own phone, logged in again without a face scan; `again`: its addresses.
- `options`: what a login needs to know.

It promises that a document number is in memory between the provider's answer and the gateway's,
and nowhere else; a session has its last four characters. It imports `app.gateway` (its client and
its media types), `app.audit`, `app.web`, `app.topics` (names of sources), `app.process` and
`models`.
"""
