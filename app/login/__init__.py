"""Logging in: a resident is who an OpenID provider says, for as long as a session lasts.

    GET  /login?return_to=…   to the provider, and back to a path of our own
    GET  /login/callback      where the provider sends the browser back to
    GET  /login/failed/{why}  what went wrong, and what to do
    POST /logout              the session is over, here and in every copy of its cookie
    GET  /logged-out          says so, and leads to the provider's own logout
    GET  /v1/session          who is logged in, and until when

- `seal`: how a cookie is closed and opened; `sessions`: the session, its cookie, and what is over.
- `oidc`: the provider as its discovery document has it, and an answer of it that can be believed;
  `claims`: from that answer to a document, a name, a birthday.
- `registration`: the document becomes a person key, at the gateway; then its number is forgotten.
- `guards`: what a route needs, to be a logged-in person's and nobody else's.
- `pages`, `texts`, `routes`: what is answered, and in which words.

It promises that a document number is in memory between the provider's answer and the gateway's,
and nowhere else. It imports `app.gateway` (its client), `app.web`, `app.topics` (names of sources),
`app.process` and `models`.
"""
