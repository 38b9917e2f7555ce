"""Dead letters and parked records: `yuekang dead-letters` and `yuekang parked`.

`read` streams them, `mend` decides what of one is sent again, `resend` sends it once and never
twice, `releases` lets a parked source go on, `commands` is what an operator types.
"""
