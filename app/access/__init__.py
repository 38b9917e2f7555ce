"""Who may do what on Kafka and on Redis: each process as much as it does, and nobody else anything.

- `rights`: what each process does on Kafka, by topics.yaml and the graph.
- `acls`: the same as Kafka keeps it; read, written and compared.
- `commands`: `yuekang acls`.

It promises that no process is let into more than its code goes to: a test compares with what the
broker was asked for. It imports the rooms whose rights it tells.
"""
