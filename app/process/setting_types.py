"""What forms the texts of settings have: a pattern each, and in words what is expected.

A type with `extra={"secret": True}` is never shown.
"""

import re
from datetime import datetime
from typing import Annotated

from msgspec import Meta

Port = Annotated[int, Meta(ge=1, le=65535, description="a port, 1 to 65535")]
LOCAL = r"(localhost|127(\.[0-9]{1,3}){3}|\[::1\])"
SAFE_URL = rf"^(https://[^\s/?#]+|http://{LOCAL}(:[0-9]{{1,5}})?)(/[^\s?#]*)?\Z"
SafeUrl = Annotated[
    str, Meta(pattern=SAFE_URL, description="an https address, or one of this machine")
]
Servers = Annotated[
    str, Meta(pattern=r"^[^\s,:]+:\d+(,[^\s,:]+:\d+)*\Z", description="host:port, separated by ,")
]
RedisUrl = Annotated[
    str,
    Meta(
        pattern=r"^(rediss?|unix)://\S+\Z",
        description="such as redis://127.0.0.1:6379/0 or rediss://user:password@host:6379/0",
        extra={"secret": True},
    ),
]
ClassPath = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*\Z",
        description="a class as package.module:Class",
    ),
]
Cpu = Annotated[Annotated[int, Meta(ge=0)] | None, Meta(description="the number of a CPU, from 0")]
Networks = Annotated[
    str,
    Meta(
        pattern=r"^[^\s,]+(,[^\s,]+)*\Z",
        description="addresses or networks, such as 10.0.0.5,10.1.0.0/16, separated by ,",
    ),
]
NamedAddresses = Annotated[
    str,
    Meta(
        pattern=r"^[a-z-]+=https?://[^\s/,=]+(,[a-z-]+=https?://[^\s/,=]+)*\Z",
        description="name=http://host:port, separated by ,",
    ),
]
TopicPrefix = Annotated[
    str,
    Meta(
        pattern=r"^[a-zA-Z0-9][a-zA-Z0-9._-]*\Z",
        max_length=64,
        description="letters, digits, dots, hyphens and underscores, at most 64, such as staging-",
    ),
]
NonEmpty = Annotated[str, Meta(min_length=1, description="a text that is not empty")]
Slug = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9]+(-[a-z0-9]+)*\Z",
        max_length=32,
        description="lower-case letters, digits and hyphens, at most 32",
    ),
]
Scope = Annotated[
    str,
    Meta(
        pattern=r"^openid( [!#-\[\]-~]+)*\Z",
        max_length=200,
        description="openid, then further scopes, each after a blank",
    ),
]
PublicKeys = Annotated[
    str,
    Meta(
        pattern=r"^[0-9a-f]{64}(,[0-9a-f]{64})*\Z",
        description="public keys of 32 bytes in hexadecimal, separated by ,",
    ),
]
SigningKeys = Annotated[
    str,
    Meta(
        pattern=r"^(/[a-z0-9-]+)+=[0-9a-f]{64}(,(/[a-z0-9-]+)+=[0-9a-f]{64})*\Z",
        description="source=public key of 32 bytes in hexadecimal, separated by ,",
    ),
]
SecretToken = Annotated[
    str,
    Meta(
        pattern=r"^[!-~]{1,4096}\Z",
        description="a token: ASCII without blanks, at most 4,096 characters",
        extra={"secret": True},
    ),
]
LogName = Annotated[
    str, Meta(pattern=r"^[!-*\--~]{1,100}\Z", description="ASCII without blanks, commas and +")
]
_LOG_KEY = r"[!-*\--~]+\+[0-9a-f]{8}\+[A-Za-z0-9+/=]+"
LogKeys = Annotated[
    str,
    Meta(
        pattern=rf"^{_LOG_KEY}(,{_LOG_KEY})*\Z",
        description="keys as `yuekang audit key` prints them, separated by ,",
    ),
]
SecretText = Annotated[
    str,
    Meta(
        pattern=r"^[ -~]{1,512}\Z",
        description="1 to 512 characters of ASCII, without a line's end",
        extra={"secret": True},
    ),
]
"""The form that RFC 6749 (A.2) gives to a client's secret. A last newline would be part of the
secret, and the provider would refuse it without a hint; so it is refused here. That of a
`…_FILE` is left out, since editors write one."""
_PEM = r"^-----BEGIN [A-Z ]+-----\s[ -~\s]+-----END [A-Z ]+-----\s*\Z"
Pem = Annotated[str, Meta(pattern=_PEM, description="certificates in PEM")]
SecretPem = Annotated[
    str, Meta(pattern=_PEM, description="a private key in PEM", extra={"secret": True})
]
_EXPIRES = r"^Expires: (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:Z|[+-]\d\d:\d\d))[ \r]*$"
SecurityTxt = Annotated[
    str,
    Meta(
        # Once Expires, at least once Contact, each at the beginning of a line (RFC 9116, 2.5).
        pattern=rf"(?ms)\A(?!.*^Expires:.*^Expires:)(?=.*{_EXPIRES})"
        r"(?=.*^Contact: (https://|mailto:|tel:)\S)",
        description="a security.txt (RFC 9116), with Contact: as https, mailto or tel, and one "
        "Expires: such as 2022-12-31T00:00:00Z",
    ),
]


def security_txt_end(text: str) -> datetime:
    """Return when a security.txt expires; raise `ValueError` if no such instant exists."""
    (end,) = re.findall(f"(?m){_EXPIRES}", text)
    return datetime.fromisoformat(end)
