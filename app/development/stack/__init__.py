"""The whole on one machine: Kafka, Redis and the processes are started, watched and ended together.

Every process runs in a group of its own, with its output in `<data_dir>/logs`. It is marked with
the folder it belongs to, so a process that outlives its starter is found and ended.

- `up`: the command.
- `stack`: which processes there are, their order, and what happens when one ends.
- `kafka_access`: topics, users and their rights, before anything goes to Kafka.
- `broker`, `redis_server`: Kafka and Redis; the tests start both in the same way.
- `processes`: how one process is started, waited for, ended and found again.
"""
