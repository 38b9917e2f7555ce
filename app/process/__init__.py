"""What each process has, whatever it does.

- `settings`: every setting, from the environment or a file, checked as a whole; `setting_types`:
  what forms their texts have.
- `kafka`: where Kafka is, and how a client shows it who it is; `handshakes`: which certificate was
  refused, where there is no connection.
- `logs`: one JSON object a line, which never shows a person.
- `metrics`: every metric, in one list.
- `probes`: /livez, /readyz and /metrics for a process that serves nothing else.
- `macs`: the keyed hash that tells who made a record.
- `ports`: whether a port is free, and who holds it.
- `redis_client`: how Redis is asked, within bounds.
- `files`: files that a reader finds whole.
- `tasks`: how a background task is ended; `consumer`: a consumer of Kafka that ends; `gather`: when
  one fetches again; `producers`: how a producer is closed within a bounded time.
- `tls`: what its HTTP clients check certificates with, read once.
- `terminal`: how a command tells how far it is; `asking`: how it asks Kafka.
- `memory`: how a process looks for reference cycles: seldom; `scheduling`: when it gives way, and
  which CPUs it keeps to.
- `clock`: the clock that a part is given, so that a test can give it another.

It promises that a misconfigured process says so at once, with every fault, and ends. It imports
nothing of the project except `models`.
"""
