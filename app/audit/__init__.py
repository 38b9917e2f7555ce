"""The audit log: who asked about whom, and who let what go on. Nobody can take a line back unseen.

- `entries`: what a line says, and the bytes that it is.
- `trail`: writes a line to the topic `audit`, before the answer is given or the thing is done.
- `merkle`: the hashes of the tree (RFC 6962, 2.1).
- `tiles`: the tree in files (C2SP tlog-tiles), and how it grows.
- `checkpoints`: its signed head (C2SP tlog-checkpoint, signed-note).
- `follow`: the one process that takes lines from the topic into the tree, and signs.
- `verify`: compares topic, tree and checkpoints, and names the first line that differs.
- `process`: `yuekang audit-log`. The commands that read the log are `app.operator.audit`.

It promises that what cannot be written down is neither answered nor done, that the lines of the
tree are those of the topic in their order, and that an older checkpoint, kept elsewhere, shows any
line that was edited, removed, moved or cut off since. It cannot show what nobody wrote: who reads
Redis or Kafka themselves leaves no line.
"""
