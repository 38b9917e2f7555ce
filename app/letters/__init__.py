"""Dead letters and parked records: `yuekang dead-letters` and `yuekang parked`.

- `marks`: which letters were sent again.
- `show`: what an operator sees of letters.
- `mend`: which record is sent again for a letter; `resend`: sends it once and never twice.
- `releases`: lets a parked source go on.
- `commands`: what an operator types.

It promises that a letter is sent again at most once, whatever is killed, and that it never shows
content that a letter keeps sealed. It imports `app.projection` (how far workers are),
`app.topology` (the inputs), `app.topics`, `app.process` and `models`.
"""
