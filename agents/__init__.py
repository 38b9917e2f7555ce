"""Faust agents: they decode, fold with `models`, and hand over what to write; no rule is here.

- `people`, `lifts`: what changes a code, by events and by time.
- `lists`: health information. `scans`: recorded scans.
- `submissions`: what agencies write to Kafka themselves, on its way to the inputs.
- `poison`, `dead_letters`: what is refused, put aside or forwarded.
- `quotas`: what may open a reason is counted, and held above a limit.
- `releases`: what operators let go on: a parked source, a partition, what is held.
- `agent`: how chunks and due rows reach a table. `instants`: instants as Kafka and the store have
  them.

Four things differ from a plain agent (app.engine says why):

- An event is a `Chunk`, many records of one topic partition. So streams are `noack().events()`.
- `Lanes.submit` returns before the chunk is done, and acks the chunk once its transaction is in
  the log. A failure ends the process.
- Tables are app.engine's and not `app.Table`. What goes to other topics goes through the
  `Transaction` and never `topic.send`, so it shares the transaction.
- Agents are registered by functions, since an app belongs to one event loop.
"""
