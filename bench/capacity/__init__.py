"""`python -m bench.capacity`: what a province needs, computed from what was measured.

- `assumptions`: what is supposed, each with its source.
- `figures`: what was measured, from docs/benchmarks; one that is missing is said to be.
- `rates`: how many events there are; `needs`: the arithmetic. `limits`: what ends first.
- `page`: docs/capacity.md, whose `sections` are computed; `writing`: its numbers and tables.
"""
