"""`yuekang publish FILE.ndjson`: send a file of events through the gateway, line by line.

A line is one CloudEvent in JSON, with a document or a person key. The file is read in windows. A
window is sent in batches of one source each, since a token speaks for one source. The batches of a
source are sent one after the other, so its events keep their order. When a whole window is
answered, the place is kept beside the file; an interrupted run goes on from there. An event that is
sent twice by that stays one event, since `(source, id)` identifies it.

- `lines`: reading the file, and checking which lines can be sent.
- `client`: sending events in batches.
- `ledger`: the place reached and the report of refusals.
- `run`: one run over one file.
- `command`: the command and its screen.
- `outcome`: what became of a run's events once they were accepted.
- `refusals`: `yuekang refusals`, what became of all that a source sent.

It promises that each event is sent at least once, and is one event however often. It imports
`app.gateway` (its client and its bounds), `app.projection` (where a source is parked), `app.topics`
(strict JSON), `app.web` (tokens), `app.process` and `models` (the zone).
"""
