"""A sample day of a synthetic city in Guangdong: its plan says beforehand what must come of it.

- `documents`: document numbers that belong to nobody.
- `stories`: what happens to the people, and which code follows.
- `broken`: records that must be refused.
- `day`: all events in publishing order, some late or twice.
- `logins`, `samples`: whom one can log in as, and whom to look at.
- `information`: what the people have in their health information.
- `client`: the gateway as an agency uses it.
- `publish`: sends the day through the gateway and on Kafka.
- `sources`: who they are, in the register.
- `command`: `yuekang sample`.
"""
