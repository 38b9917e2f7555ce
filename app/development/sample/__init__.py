"""A sample day of a synthetic city in Guangdong: planned, published, and known beforehand.

- `documents`: document numbers that belong to nobody.
- `stories`: what happens to the people, and which code follows.
- `broken`: records that must be refused.
- `day`: all of it in publishing order, with late ones and copies.
- `logins`, `samples`: whom one can log in as, and whom to look at.
- `information`: what the people have in their health information.
- `client`: the gateway as an agency uses it.
- `publish`: sends the day through the gateway and on Kafka.
- `command`: `yuekang sample`.
"""
