"""What a phone shows without asking us: signed, bound to it, turned off within a minute.

    phone ──> routes ──> issuing ──> holdings       a place in a status list, held first
                            └──────> read           passed in: the code, read after that
    terminal ──> routes ──> statuses ──> holdings   which places are turned off, signed

- `bounds`: how long, how many, how large.
- `cbor`: CBOR in its one deterministic form; `cose`: what is signed, and by which key.
- `keys`: the issuer's key and its former ones.
- `claims`: what a credential says.
- `proofs`: what the QR holds: a credential, and the second that the phone signed.
- `statuses`: the status lists as they are served.
- `issuing`: a new credential for a phone's key.
- `routes`: the addresses.

It promises that a credential names no person key and no document number, that whoever has a copy of
it can show nothing with it, and that a list never says it is on by data in which its person's
code is a newer one (app.projection.holdings). The reasons are in
docs/decisions/0021-credentials.md.
It imports `app.login` (the guard), `app.projection`, `app.process`, `app.web` and `models`.
"""
