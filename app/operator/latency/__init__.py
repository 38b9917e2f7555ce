"""`yuekang latency`: from append on Kafka to visible over HTTP.

An event changes a code that someone can see: another province reports red, and green again. Among
the events may be negative results of people who are green. They change no code, as on a day when
everybody is tested.

The events leave on a schedule that waits for nothing (an open loop), so a slow system is not asked
less. If an event waits in the publisher, that counts as lateness of its own. Events due in the same
`TICK_SECONDS` leave as one batch for each partition.

A sample of the red events, one person each, is followed: the view is asked until it names that very
event. It is asked first when the fastest of late would soon be seen, and then less and less often:
the question must not slow down what it measures.
The report says how exact the answer is.

Clocks. The start is the broker's append time (LogAppendTime, whole milliseconds) if the topic has
it, else the instant the broker's confirmation arrived here. The end is the instant the first
answer that shows the event arrived here. All run on one machine, so there is one wall clock.

The people are made up for the run: random person keys, which belong to no document. At the end
their provinces report green and their identities are retracted. The run waits until they have no
code again, so that the next run does not begin behind what this one left.

- `report`: what was asked, what was measured, its percentiles, and whether it failed.
- `run`: one measurement, which publishes on schedule and follows the sample.
- `command`: the command, and the report as a table.
"""
