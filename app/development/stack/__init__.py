"""The whole on one machine: Kafka, Redis and the processes, started, watched and ended together.

`up` is the command; `Broker` and `RedisServer` also serve the tests, so there is one way to start
either. Every process runs in a group of its own with its output in `<data_dir>/logs`, and is
marked with the folder it belongs to: whatever outlives its starter is found and ended.
"""
