"""The stream processors: `yuekang worker`, which codes come from, `yuekang submissions-worker` and
`yuekang lists-worker`.

- `process`: a Faust app with its agents, and its probes.
- `lag`: how far it is behind the log, and whether that moves; this decides whether it is ready.
- `partitions`: what an operator is told of those it holds, and of what stands still.

It promises to end visibly if only a new start can mend something. It imports `agents`,
`app.topology`, `app.engine`, `app.topics` and `app.process`.
"""
