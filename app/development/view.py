"""The process `yuekang development-view`: the view, with what only a development machine has.

It shows which people of the sample day to look at, sends messages to the outbox, and marks travel
cards with the sample's own mark.
"""

from functools import partial
from pathlib import Path

from litestar.types import ASGIApp
from msgspec.structs import replace

from app.development.outbox import Outbox
from app.development.sample.information import HIGH_RISK_SAMPLE
from app.development.sample.publish import SAMPLE_FILE
from app.development.sample.samples import samples
from app.process.logs import configure
from app.process.settings import Settings, SettingsError
from app.travel.assembly import cards_by
from app.travel.sms import driver_of
from app.view.routes import create_face
from app.view.server import (
    behind_proxies,
    serve_view,
    tune,
    view_options_of,
    view_settings,
)
from app.view.services import ViewOptions
from models.policy import HIGH_RISK


def make() -> ASGIApp:
    """Make the application from the environment; Granian calls this in the worker."""
    settings = settings_of_development()
    configure(settings.log_level)
    app = behind_proxies(create_face(development_options(settings)), settings.trusted_proxies)
    tune(settings)
    return app


def development_options(settings: Settings) -> ViewOptions:
    """Return what the view needs of the settings, with what only development has.

    If the settings name a carrier, it replaces the outbox.
    """
    data = Path(settings.data_dir)
    driver = driver_of(settings) if settings.sms_driver else Outbox(data)
    return replace(
        view_options_of(settings),
        samples=partial(samples, data / SAMPLE_FILE),
        make_cards=partial(cards_by, driver, (*HIGH_RISK, HIGH_RISK_SAMPLE), settings),
    )


def settings_of_development() -> Settings:
    """Return the settings; raise `SettingsError` if they are those of production."""
    settings = view_settings()
    if settings.environment != "development":
        raise SettingsError(
            "This view shows made-up people and keeps messages in files, so it runs in development "
            f"alone, and YUEKANG_ENVIRONMENT is {settings.environment}. Run `yuekang view`."
        )
    return settings


def development_view() -> None:
    """Serve the view with what only development has, until a signal ends it."""
    serve_view("app.development.view:make", settings_of_development)
