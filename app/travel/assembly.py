"""Travel cards as a process has them, from its settings."""

from collections.abc import Callable
from datetime import datetime

from redis.asyncio import Redis

from app.development.sample.information import HIGH_RISK_SAMPLE
from app.process.settings import Settings
from app.topics.catalogue import PORTAL
from app.travel.cards import TravelCards, Visits
from app.travel.phone_keys import PhoneKeys
from app.travel.sms import driver_of
from app.web.tokens import Tokens
from models.policy import HIGH_RISK

SECRETS = ("token_key", "session_key")
"""What the settings must have."""


def travel_cards(
    settings: Settings, redis: Redis, visits: Visits, now: Callable[[], datetime]
) -> TravelCards:
    """Make the service; raise `SettingsError`. `redis` is of `sessions_redis_url`."""
    in_development = settings.environment == "development"
    return TravelCards(
        redis=redis,
        key=settings.session_key,
        phone_keys=PhoneKeys(settings.gateway_url, Tokens(settings.token_key).token_for(PORTAL)),
        driver=driver_of(settings),
        visits=visits,
        now=now,
        marks=(*HIGH_RISK, HIGH_RISK_SAMPLE) if in_development else HIGH_RISK,
    )
