"""What a development machine has and production never imports.

- `stack`: Kafka, Redis and every process on one machine: `yuekang up`.
- `secrets`: secrets that are made once, and kept in a file that only its owner can read.
- `sample`: a day of made-up people, published by both entrances.
- `provider`: an OpenID provider that believes whoever says who they are.
- `outbox`: a carrier of messages that keeps them in files.
- `view`: the view with the sample's people and the outbox.

The view, the provider and the outbox refuse to run in production. The room may import everything;
nothing outside imports it (import-linter checks that).
"""
