"""Everything that can change a person's code lives here, and what else is known of people.

The package is pure: no Kafka, Redis, HTTP or clock. Time comes in as an argument.

These are the rules. A code depends on nothing else:

- `events`: what agencies may publish, one type per kind of fact.
- `corrections`: which events stand, and in whose place.
- `policy`: the rules' numbers, dated, each with its source.
- `easing`: which policy governs a reason, where several follow each other.
- `reasons`: the six reasons for a red code, each an interval of time.
- `quarantine`: the reasons that an order of quarantine opens.
- `files`: which report of a case, a listing or an order closes which.
- `provinces`: what another province's reports come to, in its own sequence.
- `idle`: which events have no effect though they mean to have one, and why.
- `notices`: what a source is told about an event of its own.
- `answers`: what is told as an event arrives, and when its wait is over.
- `results`: which negatives lift a positive, or meet the tests of a contact.
- `codes`: the result: a code with its reasons and how they lift.
- `facts`: an event in a person's row, with its arrival, in few bytes.
- `history`: what leaves a row, and when it must be read again.
- `outstanding`: what of a person is still to be counted, so until when the code is complete.
- `person`: what is known about one person, and how one more event folds into it.

Which events reach the rules:

- `checks`: what is wrong with one event by itself.
- `parking`: which sources are parked, because they send too much that is wrong.
- `operators`: what an operator says by name, and what they let go on.
- `register`: who a source is, whether it is let in, which tokens were taken back.
- `quotas`: how much of what opens a reason one source may send; the rest waits for two operators.

How a person is stored:

- `rows`: the keys and bytes of a row and of the pages of its history.

What explains a code:

- `explain`: what held at one instant as known at another, and by which events.
- `course`: when a code changed, and what began and lifted its reasons.
- `swabs`: which tests somebody still needs, each for as many reasons as it counts for.

What bears on no code:

- `lists`: the lists of a person's health information.
- `information`: what a resident is shown of their health information.
- `travel`: the travel card.
- `documents`: which document numbers can exist.
- `phones`: which mobile phone numbers can exist, and how one is left out of a text.
- `personal`: where a text carries the number of a document or a phone, however it is written.
"""
