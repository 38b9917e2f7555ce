"""What an operator asks of the running system, each a command of its own.

- `client`: how a command asks the view as the operator.
- `explain`: why a person's code is what it is.
- `reconciliation`: whose data wait to be pushed to the national platform.
- `latency`: how long it takes from the log to what a person sees.

It promises exit code 0 for an answer, 1 for none, 2 for wrong usage, and that nothing is changed.
It imports `app.view` (the answers' forms), `app.web`, `app.topics`, `app.process` and `models`.
"""
