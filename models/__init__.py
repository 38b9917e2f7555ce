"""Everything that can change a person's code lives here.

The package is pure: no Kafka, Redis, HTTP or clock. Time comes in as an argument.

- `events`: what agencies may publish, one type per kind of fact.
- `person`: what is held about one person, and how one more event folds into it.
- `policy`: the rules' numbers, dated, each with its source.
- `reasons`: the six reasons for a red code, each an interval of time.
- `codes`: what comes out: the code with its reasons and how they lift.
- `explain`: what held at one instant as known at another, and by which events.
- `documents`: which document numbers can exist.
"""
