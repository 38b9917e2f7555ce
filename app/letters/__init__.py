"""Dead letters, parked and held records, partitions that stand still: `yuekang dead-letters`,
`yuekang parked`, `yuekang held` and `yuekang partitions`.

- `marks`: which letters were sent again.
- `show`: what an operator sees of letters.
- `mend`: which record is sent again for a letter; `resend`: sends it once and never twice.
- `releases`: lets a parked source go on, or a partition that stands still; approves what is held.
- `parking`: who is parked, where, since when and why; `workers`: how a command asks the workers.
- `commands`, `partitions`: what an operator types.

It promises that a letter is sent again at most once, whatever is killed, and that it never shows
content that a letter keeps sealed. It imports `app.projection` (how far workers are), `app.engine`
(what stands still), `app.sources` (who runs a command), `app.audit`, `app.topics`, `app.web`,
`app.process` and `models`.
"""
