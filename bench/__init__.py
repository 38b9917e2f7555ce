"""`make bench`: this project and its peers, side by side on one broker and the same events.

- `workload`: the events of the real fold; `counting`: those of the plain one, and its fold.
- `broker`, `topics`: where they lie; `sides`: who processes them, and with which settings.
- `observer`: when a side has committed everything, seen from outside.
- `outputs`: whether what it left is right.
- `compare`, `scale`, `stages`, `delay`: the parts of the benchmark; `report` writes them down.
"""
