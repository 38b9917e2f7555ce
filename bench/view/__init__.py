"""What the view bears: `make bench-view`, which is `python -m bench.view`.

- `people`: who is asked for, their codes, sessions and changes; what an answer must say.
- `stage`: the whole stack; each of its processes can be stopped, started and counted.
- `closed`: wrk, which asks as fast as it is answered; `requests.lua` is its script.
- `paced`: a generator that asks on schedule, whether or not it is answered.
- `constant`: the same bytes from the same server, to compare with.
- `quota`: a bound on a process's CPU time, so that two cores can offer ten times what it bears.
- `rounds`: how many answers a second there are, and what one costs; what changes cost alone.
- `profile`: where the view's CPU time goes, by stage.
- `scenes`: what its clients see while something is too much, slow or gone.
- `phones`: a thousand phones that show their codes for ten minutes.
- `reds`: how long it takes until a phone shows a red, by its list alone and as before.
- `curves`, `report`: plots over time, and the page docs/benchmarks/view.md.

Everything runs on this machine and its loopback address, on free ports.
"""
