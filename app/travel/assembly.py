"""Makes a process's travel cards from its settings."""

from collections.abc import Sequence

from redis.asyncio import Redis

from app.process.clock import Clock
from app.process.settings import Settings
from app.travel.cards import TravelCards, Visits
from app.travel.phone_keys import PhoneKeys
from app.travel.sms import SmsDriver, driver_of
from models.policy import HIGH_RISK, HighRisk


def travel_cards(settings: Settings, redis: Redis, visits: Visits, now: Clock) -> TravelCards:
    """Make the service; raise `SettingsError`. `redis` is of `sessions_redis_url`."""
    return cards_by(driver_of(settings), HIGH_RISK, settings, redis, visits, now)


def cards_by(
    driver: SmsDriver,
    marks: Sequence[HighRisk],
    settings: Settings,
    redis: Redis,
    visits: Visits,
    now: Clock,
) -> TravelCards:
    """Make the service with a carrier and marks of the caller's own."""
    return TravelCards(
        redis=redis,
        key=settings.session_keys,
        phone_keys=PhoneKeys(settings.gateway_url, settings.portal_token),
        driver=driver,
        visits=visits,
        now=now,
        marks=marks,
    )
