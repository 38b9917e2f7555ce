"""The entrance over HTTP: `yuekang gateway`.

Agencies send what happened, with a document number or with a person key. The gateway holds the
only key that makes person keys, and nothing personal passes it: the number goes out of the event
before the event is looked at, and into no log, metric or answer.

    POST /v1/events        one event or a batch, as CloudEvents 1.0 over HTTP
    POST /v1/person-keys   keys of documents, for those who write to Kafka themselves
    GET  /openapi.json     the whole interface; /problems/{code} explains a refusal

An event is written or refused, each for itself; 202 says that Kafka has it on disk or in all its
replicas. Sending an event again is always safe: `(source, id)` makes it the same event.

- `body`: a request's body, bounded in size, time and memory.
- `messages`: the three forms of CloudEvents over HTTP.
- `admission`: what one event must be, and its person key; `person_keys`: the key itself.
- `routes`, `reference`, `answers`, `server`: HTTP, its description, the process.
- `client`: the gateway as the others ask it; `commands`: `yuekang token`, `yuekang person-key`.

It promises that what is accepted is on the log, and that no number passes it. It imports
`app.topics`, `app.web`, `app.process` and `models`.
"""
