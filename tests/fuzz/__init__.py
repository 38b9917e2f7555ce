"""Fuzzed inputs at codec, gateway, tokens and QR: each ends in an answer that is documented.

    make fuzz INPUTS=1000000 SEED=1     python -m fuzz; a small round is tests/unit/test_fuzz.py

`mutator` changes honest inputs (`inputs`) by a seed, as bytes and as JSON. `targets` has what reads
them, and `faces` the two applications, each with all that it may answer. Anything else is a crash,
as is what took a second of CPU. `run` counts answers, so that none is missing.
"""
