"""`make bench`: this project and its peers, side by side on one broker and the same events.

- `workload`: the events of the real fold; `counting`: those of the plain one, and its fold.
- `broker`, `topics`, `records`: where they lie; `sides`: who processes them, with which settings.
- `observer`: when a side has committed everything, seen from outside; `cpu`: for what CPU time.
- `outputs`: whether what it left is right.
- `spread`: a figure of several rounds; `stacks`: what py-spy notes.
- `compare`, `scale`, `growth`, `stages`, `latency`, `flood`, `garbage`, `start`, `rebalance`,
  `lifetime`, `scans`, `watchers`, `freshness`, `loop`, `replica`, `displays`, `entrances`: its
  parts. `stack`: the whole stack, for some of them; `report` writes them down, and the `machine`;
  `plots` are its pictures. `worlds`: whom `growth` asks about; `costs`: what it found. `pauses`:
  what `rebalance` saw. `capacity`: what a province needs, computed from what they found.
- `view` has a command and a page of its own, `make bench-view`.
"""
