"""`yuekang publish FILE.ndjson`: send a file of events through the gateway, line by line.

A line is one CloudEvent in JSON, with a document or a person key. The file is read in windows; a
window is sent in batches of one source each (a token speaks for one source), the batches of a
source one after the other, so each source's events keep their order. When all of a window is
answered, the place is kept beside the file; an interrupted run goes on from there. What was sent
twice by that stays one event, since the gateway's events have an identity.

- `lines`: reading the file, and what a line must be to be sent.
- `client`: sending events in batches.
- `ledger`: the place reached and the report of refusals.
- `run`: one run over one file.
- `command`: the command and its screen.

It promises that an event is sent at least once and is one event however often. It imports
`app.gateway` (its client), `app.topics` (strict JSON), `app.web` (tokens) and `app.process`.
"""
