"""What a login needs to know, and which settings say it."""

from msgspec import Struct

from app.login.claims import ClaimNames
from app.login.oidc import Provider
from app.login.seal import Secrets
from app.process.settings import Settings


class LoginOptions(Struct, frozen=True, kw_only=True):
    """What a login needs to know. Without a provider nobody can log in; all else works.

    `gateway_token` is that of the source `/identity-providers/<provider_name>`.
    """

    view_url: str
    gateway_url: str
    session_key: Secrets
    gateway_token: str
    provider: Provider | None
    provider_name: str
    claim_names: ClaimNames = ClaimNames()

    def __repr__(self) -> str:
        return f"LoginOptions({self.provider!r})"


def login_options_of(settings: Settings) -> LoginOptions:
    """Return what a login needs of the settings."""
    provider = Provider(
        issuer=settings.oidc_issuer,
        client_id=settings.oidc_client_id,
        client_secret=settings.oidc_client_secret,
        scope=settings.oidc_scope,
    )
    return LoginOptions(
        view_url=settings.view_url,
        gateway_url=settings.gateway_url,
        session_key=settings.session_keys,
        gateway_token=settings.identity_provider_token,
        provider=provider if settings.oidc_issuer else None,
        provider_name=settings.oidc_name,
        claim_names=claim_names_of(settings),
    )


def claim_names_of(settings: Settings) -> ClaimNames:
    """Return which of the provider's claims holds what."""
    return ClaimNames(
        number=settings.oidc_number_claim,
        type=settings.oidc_type_claim,
        name=settings.oidc_name_claim,
        birthday=settings.oidc_birthday_claim,
        city=settings.oidc_city_claim,
    )
