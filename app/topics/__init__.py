"""A topic is its name and what its records are, and both stand here once.

- `catalogue`: topics.yaml, read and checked; who may publish what.
- `admin`: the broker's topics, made and compared with it.
- `attributes`: what CloudEvents lets a source write in several ways, in one.
- `codec`: bytes to events and back; every refusal of a single event is made here.
- `authentic`: the keys of sources, and who has made a record.
- `numbers`: the first look for numbers of documents and phones, which every event pays for.
- `strict_json`: JSON in which nothing is ambiguous.
- `schemas`: JSON Schemas and the AsyncAPI document, with an example of each event in `examples`.
- `reading`: a topic read to its end; `ahead`: what lies from an offset on, of many partitions.
- `clock`: how far this machine's clock is from the broker's.
- `records`: a record, and an event as one.
- `letters`: a dead letter, a parked or a held record, as agents.dead_letters writes it.
- `submissions`: what agencies write themselves, on its way to its input.
- `marks`: what a worker says of a record that it writes once more, such as when it first arrived.
- `openings`: what may open a reason, on its way to be counted, and the mark that it was.
- `writer`: the producer of whoever publishes.
- `commands`: `yuekang topics` and `yuekang schemas`.

It promises that a topic, its types, its schemas and its settings on the broker cannot differ. It
imports `app.web` (the writer refuses as a problem does), `app.process` and `models`.
"""
