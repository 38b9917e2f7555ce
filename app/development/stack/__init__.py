"""The whole on one machine: Kafka, Redis and the processes are started, watched and ended together.

`up` is the command. `Broker` and `RedisServer` also serve the tests, so there is one way to start
either. Every process runs in a group of its own, with its output in `<data_dir>/logs`. It is marked
with the folder it belongs to, so a process that outlives its starter is found and ended.
"""
