"""Who may do what on Kafka and on Redis: each process as much as it does, and nobody else anything.

- `rights`: what each process does on Kafka, by topics.yaml and the graph.
- `acls`: the same as Kafka keeps it; read, written and compared.
- `passwords`: by which users of Kafka are known.
- `commands`: `yuekang acls`.
- `redis_users`: what each process does on Redis, as lines of its file of users.

It promises that no process is let into more on Kafka than its code goes to: a test compares with
what a broker was asked for. It imports the rooms whose rights it tells.
"""
