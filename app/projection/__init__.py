"""From the log to Redis: `yuekang projection` and `yuekang rows`, and what reads they leave there.

- `follow`: how both follow the log, with the two processes.
- `codes`, `codes.lua`: everybody's code, the counts and the changes, as they lie in Redis.
- `rows`: the rows of the tables, which health information is read from.
- `freshness`: up to when a worker has judged its input.
- `corrections`: how long a mistaken red lasts once its correction is here.

It promises that a batch and the place that it reaches are written together or not at all, and that
nothing else writes there. It imports `app.engine` (how a record of a changelog lies),
`app.topics`, `app.process` and `models`.
"""
