"""From the log to Redis, and to files of a machine: `yuekang projection`, `replica` and `rows`, and
what reads they leave there.

- `commands`: the three processes, and what each follows; `follow`: how all follow the log.
- `redis_store`, `replica_store`: a database of Redis, and files of LMDB, as `follow` writes them.
- `state`: how far a model is, and the gate that every write of one goes through.
- `codes`, `codes.lua`: everybody's code, the counts and the changes, as they lie in Redis.
- `replica`: the codes once more, in files of the machine that shows them; how they are read.
- `changes`: a change without its person; `trends`: how many there were when, for eight days.
- `rows`, `rows.lua`: the rows of the tables, from which health information is read.
- `refusals`: what became of what each source sent, beside the rows.
- `freshness`: until when a worker has applied its input; `upstream`: what is copied there first.
- `holdings`, `holdings.lua`: which credentials are out, and what turns them off.
- `corrections`: how long a mistaken red lasts once its correction is here.

It promises that a batch and the place that it reaches are written together or not at all, and that
nothing else writes there. It imports `app.engine` (how a record of a changelog lies), `app.topics`,
`app.process` and `models`.
"""
