"""A small round of what `make fuzz` does: every input has an answer that is documented."""

from fuzz.run import fuzz

INPUTS = 4_000


def test_no_input_crashes_what_reads_it() -> None:
    found = fuzz(INPUTS, "make test")
    crashes = [crash for one in found.values() for crash in one.crashes]
    assert crashes == []
    assert all(sum(one.outcomes.values()) == one.inputs for one in found.values())
    assert sum(one.inputs for one in found.values()) >= INPUTS
