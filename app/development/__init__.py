"""What a development machine has and production never imports.

- `stack`: Kafka, Redis and every process on one machine: `yuekang up`.
- `secrets`: secrets that are made once, and kept in a file that only its owner can read.
- `sample`: a day of made-up people, published by both entrances.
- `provider`: an OpenID provider that believes whoever says who they are.
- `outbox`: a carrier of messages that keeps them in files.
- `view`: the view with the sample's people and the outbox.

It promises to refuse to start in production. It may import everything; nothing outside imports it
(import-linter checks that). What the other rooms use from here is named in the settings.
"""
