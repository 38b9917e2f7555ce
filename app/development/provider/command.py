"""The process `yuekang identity-provider`: on this machine alone, and never in production."""

from pathlib import Path

from litestar import Litestar

from app.development.provider.people import IDENTITIES_FILE
from app.development.provider.routes import create_provider
from app.development.provider.server import ProviderOptions
from app.login.options import claim_names_of
from app.process.logs import configure
from app.process.settings import Settings, SettingsError
from app.web.serve import serve

HOST = "127.0.0.1"
KILL_SECONDS = 2


def make() -> Litestar:
    """Make the application from the environment; Granian calls this in the worker."""
    settings = settings_of_development()
    # At debug Authlib's own lines contain tokens.
    configure("info" if settings.log_level == "debug" else settings.log_level)
    options = ProviderOptions(
        issuer=settings.development_issuer,
        view_url=settings.view_url,
        client_id=settings.oidc_client_id,
        client_secret=settings.oidc_client_secret,
        claim_names=claim_names_of(settings),
    )
    return create_provider(options, Path(settings.data_dir) / IDENTITIES_FILE)


def settings_of_development() -> Settings:
    """Return the settings; raise `SettingsError` if they are those of production."""
    settings = Settings.from_environment()
    if settings.environment != "development":
        raise SettingsError(
            "This identity provider believes whoever says who they are, so it runs in development "
            f"alone, and YUEKANG_ENVIRONMENT is {settings.environment}. Set YUEKANG_OIDC_ISSUER to "
            "a provider that checks who people are."
        )
    return settings


def identity_provider() -> None:
    """Serve an OpenID provider for development until a signal ends it."""
    serve(
        "app.development.provider.command:make",
        "identity provider",
        HOST,
        settings_of_development().identity_provider_port,
        "YUEKANG_IDENTITY_PROVIDER_PORT",
        kill_seconds=KILL_SECONDS,
        check=settings_of_development,
    )
