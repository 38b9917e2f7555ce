"""The register of sources: who each is, whether it is let in, and which tokens were taken back.

- `register`: what a process knows of it, in memory and bounded; it is asked here.
- `follow`: keeps that up with the topic `sources`.
- `changes`: writes an operator's changes to the topic, and reads it whole.
- `file`: sources in a file, to begin with or to change many.
- `operators`: who runs a command, as the register lets them.
- `commands`: `yuekang sources`.

It promises that whoever follows it sees a change within seconds while Kafka answers, and that
nothing that cannot be read takes the place of what can. While Kafka is away, what was known last
holds. It has names, telephones and ids of keys; no key, and no person.
"""
