"""The fault suite: what the engine promises, while everything around it is killed, cut and spoilt.

    make faults ROUNDS=100 SEED=1       python -m faults rounds, then the mutants, then the report
    python -m faults late               an EndTxn that is held up, on a broker of its own (`late`)

Three brokers, two workers and at times more, Redis and the projection live through all rounds;
the log grows from round to round. In each round people's events flow while faults drawn from the
seed happen (`kinds`). Then everything is healed, the workers have 30 s to reach the end, and an
oracle that shares no code with agents or engine (`oracle.audit`) compares all they left with a
replay of the input. A fault that takes records away before they are applied says so to the oracle;
which of them were, the worker's journal and the changelog tell.

The engine knows nothing of this. `process` runs a worker or a projection with its methods wrapped
from outside: a journal of what it does, a death at a point of the commit path, or a mutant
(`mutants`): an engine with one of its safeguards taken out, which the suite must catch.
"""
