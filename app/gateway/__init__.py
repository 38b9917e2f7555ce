"""The entrance over HTTP: `yuekang gateway`.

Agencies send what happened, with a document number or with a person key. The gateway alone holds
the secret that makes person keys. Nothing personal passes it: the number is taken out of the event
before anything else looks at the event, and it enters no log, metric or answer.

    POST /v1/events                one event or a batch, as CloudEvents 1.0 over HTTP
    POST /v1/person-keys           keys of documents, for those who write to Kafka themselves
    GET  /v1/sources/me/refusals   what became of what a source sent, also as a stream
    GET  /openapi.json             the whole interface; /problems/{code} explains a refusal

Each event is written or refused by itself. 202 says that all replicas in sync have it. Sending an
event again is always safe: `(source, id)` makes it the same event.

- `body`: a request's body, bounded in size, time and memory.
- `messages`: the three forms of CloudEvents over HTTP.
- `admission`: what one event must be, and its person key; `person_keys`: the key itself;
  `key_limits`: who is given keys, and how many.
- `signatures`: requests that a source has to sign, as provinces do.
- `sources`: who is let in by the register of sources, and how much each may send.
- `routes`, `reference`, `answers`, `server`: HTTP, its description, the process.
- `refusals`: what became of what a source sent, page by page or as a stream.
- `client`: how the other rooms ask the gateway; `commands`: `yuekang token`, `token-key`,
  `signing-key`, `person-key`.

It promises that every accepted event is on the log, that no number passes it, and that a source
sees nothing of another. It imports `app.projection` (what became of it), `app.sources`,
`app.topics`, `app.web`, `app.process` and `models`.
"""
