"""The stream processors: `yuekang worker`, which codes come from, and `yuekang lists-worker`.

- `process`: a Faust app with its agents, and its probes.
- `lag`: how far it is behind the log, and whether that moves; this decides whether it is ready.

It promises to end visibly if only a new start can mend something. It imports `agents`,
`app.topology`, `app.topics` and `app.process`.
"""
