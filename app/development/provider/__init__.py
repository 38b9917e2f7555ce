"""An OpenID provider for development: `yuekang identity-provider`, part of `yuekang up`.

It believes whoever says who they are, so it never runs in production, and listens on this machine
alone. A person picks one of the sample people, or types any document number that can exist. To the
relying party it is a provider like any other: the protocol is Authlib's, and as strict.

- `people`: the people to pick from.
- `server`: Authlib's provider with one client, everything in memory.
- `routes`: its addresses and its page; `texts`: the words; `command`: the process.
"""
