"""Forged, replayed and misattributed tries at every entrance, and on Kafka: none has an effect.

    make tries TRIES=10000 SEED=1       python -m tries; a small round is in tests/integration

An honest population is published first, and what came of it is read. Then an enemy tries what the
seed draws (`attack`): over HTTP (`doors`, with tokens as in `forged`), with passwords of processes
on Kafka (`records`), with an operator's commands (`commands`). Afterwards nothing may be otherwise
(`state`), and every try has an answer or a dead letter that can be counted (`counting`). `stage`
runs the processes.

The enemy has tokens and keys of sources of their own, passwords of processes, and all that was ever
sent. They have no key of another source, and not the master key.
"""
