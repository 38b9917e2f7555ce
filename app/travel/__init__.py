"""The travel card (行程卡; manual, 三（四）): a phone number, a one-time code, 14 days of cities.

    asker ──> routes ──> cards ──> limits      how often one may ask
                           ├─────> phone_keys  the gateway makes the phone's key
                           ├─────> sms         the carrier takes the message; outbox in development
                           ├─────> codes       sent, tried, used once
                           └─────> visits      passed in: the phone's rows

- `kept`: the phone that a session keeps, so that its card can be shown again.
- `assembly`: all of it made from the settings.
- `bounds`: how long, how often, how much.
- `refusals`: a refusal with a figure that its page shows.

The asker is logged in with a real name. They need not be the phone's owner on paper (it may be a
mother's phone, or a firm's): whoever has the code has the phone, as with the real card. A faulty
request is refused before the gateway, the carrier or Redis is asked. A failure on the way to an
answer costs no try.

It promises that no phone number and no code is written anywhere except to the carrier. It imports
`app.gateway` (its client), `app.login` (the guard), `app.web`, `app.topics` (the portal's name),
`app.process` and `models`.
"""
