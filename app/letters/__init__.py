"""Dead letters and parked records: `yuekang dead-letters` and `yuekang parked`.

- `read`: a letter, as agents.dead_letters writes it; `marks`: which of them were sent again.
- `show`: what an operator sees of them.
- `mend`: what of a letter is sent again; `resend`: sends it once and never twice.
- `releases`: a parked source goes on.
- `commands`: what an operator types.

It promises that a letter is sent again at most once, whatever is killed, and that no content is
shown which a letter keeps sealed. It imports `app.projection` (how far workers are), `app.topology`
(the inputs), `app.topics`, `app.process` and `models`.
"""
