"""The read side over HTTP: `yuekang view`.

    GET  /v1/people/{person}/code         the code now: colour, reasons, how they lift
    GET  /v1/people/{person}/code.svg     its QR, of a display token that lives a minute
    GET  /v1/people/{person}/explanation  why it is, or was, what it is; for the operator
    GET  /v1/reconciliation               who is green here and high-risk nationally
    POST /v1/scans                        a terminal's scan: recorded, and answered with an outcome
    GET  /v1/changes                      changes of status as Server-Sent Events, for officers
    GET  /v1/counts                       people by colour, reason and city, rounded, for everybody
    /livez, /readyz, /metrics, /openapi.json, /problems/{code}, and the pages

To show a code it reads the replica on this machine (app.projection.replica), or Redis; nothing else
that could be away. Expiry is computed at the instant of reading
(models.codes.judge). Every answer says how fresh its data is; if they are older than a limit, no
colour is shown at all (亮码失败).

- `limits`: how old, how many, how long.
- `codes`, `counts`, `changes`: what is read, each with its form over HTTP.
- `explanations`, `reconciliation`: a person's row explained; the people whose data are still to be
  pushed to the national platform.
- `hot_path`: what phones ask by the thousand, from the request to the bytes; `showing`: the same
  for the framework, which is its specification; `shedding`, `queues`: what comes first when
  more is asked than can be answered, and what is refused; `refusing`: with which words.
- `displays`, `scans`: the token that a resident shows, and the terminal that reads it.
- `problems`: the refusals that the view words itself.
- `reading`: the answers of those who read, and the error if nothing can be read.
- `information`, `rows`, `me`, `declarations`: a resident's own data, and what they tell.
- `recorder`, `display_writer`: that a code was shown, and the process that writes it to Kafka.
- `proofs`: what a resident shows to somebody else, and how that is checked.
- `services`: all of these, as handlers and pages share them.
- `duty`: what the duty officer's programs ask for; `trends`: what was usual, and is not now;
  `watch`: every alert of the system; `figures`: what everybody may know of the counts;
  `releases`: when it is told again.
- `pages`: what people open; `routes`, `server`: HTTP, the process.
- `terminals`: what a scanning terminal asks.

It promises never to show a colour by data older than `limits.REFUSE_SECONDS`, and never to show a
resident the data of another. It imports `app.gateway` (its bounds and refusals, for
the page of agencies), `app.login`, `app.travel`, `app.credentials`, `app.projection` (where codes
lie), `app.sources` (who runs a terminal), `app.audit`, `app.topics`, `app.web`, `app.process` and
`models`.
"""
