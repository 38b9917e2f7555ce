"""From a document to the person key; in the same way, from a phone to the phone key.

Beyond the gateway a person has no other name than this key. Document numbers and phone numbers can
be enumerated, so a plain hash of one is as good as the number. The key is therefore an HMAC, and
the gateway alone has its secret. The key begins with the version of the secret. A new version means
new topics; a person never has two keys at once.
"""

import base64
import hashlib
import hmac

from app.process.settings import PERSON_KEY_VERSION_MAX, SECRET_BYTES_MIN
from models.documents import Document
from models.phones import MOBILE_PHONE_NUMBER, Phone

DIGEST_BYTES = 20
"""160 bits: 32 characters of base32. That any two of a billion people share one has p < 2**-100."""


class PersonKeys:
    """Makes keys with one secret; the same document or phone always gives the same key."""

    def __init__(self, secret: bytes, version: int) -> None:
        if len(secret) < SECRET_BYTES_MIN:
            raise ValueError(
                f"The secret has {len(secret)} bytes; {SECRET_BYTES_MIN} is the least."
            )
        if not 1 <= version <= PERSON_KEY_VERSION_MAX:
            raise ValueError(f"The version is {version}; it is from 1 to {PERSON_KEY_VERSION_MAX}.")
        self._secret = secret
        self._prefix = f"p{version}-"

    def key(self, named: Document | Phone) -> str:
        """Return the key of a document's holder, or of a phone: a `models.events.PersonKey`.

        The type is hashed before the number, so no phone has the key of a person.
        """
        kind = MOBILE_PHONE_NUMBER if isinstance(named, Phone) else named.type.value
        message = f"{kind}:{named.number}".encode()
        digest = hmac.digest(self._secret, message, hashlib.sha256)[:DIGEST_BYTES]
        return self._prefix + base64.b32encode(digest).decode().lower()
