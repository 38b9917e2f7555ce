"""What an operator asks the running system; each question is a command.

- `client`: how a command asks the view as the operator.
- `explain`: why a person's code is what it is; `held`: what is held of them, and counts nowhere.
- `reconciliation`: whose data wait to be pushed to the national platform.
- `audit`: who asked about whom; that no line of it is missing.
- `latency`: how long it takes from the log to what a person sees.

It promises exit code 0 with an answer, 1 without one, 2 for wrong usage. `latency` writes
events of people made up for the run, who have no code at its end; `audit resume` writes where the
log goes on. It imports `app.view` (the answers' forms), `app.audit`, `app.sources` (who runs a
command), `app.web`, `app.topics`, `app.process` and `models`.
"""
