"""The process `yuekang worker`: the Faust app with its agents, and its status server."""

import asyncio
import logging
import sys
from typing import Any

import faust
import structlog
from aiokafka.admin import AIOKafkaAdminClient
from faust.types import TP

import agents.lifts
import agents.people
import agents.scans
from agents.dead_letters import DeadLetters
from app.catalogue import CATALOGUE
from app.logs import configure
from app.settings import Settings
from app.topology import YuekangApp, create_app, input_topics

log = structlog.get_logger()


def make_app(settings: Settings, cluster_id: str) -> YuekangApp:
    """Make the app with all its agents; once per event loop."""
    if settings.dead_letter_public_key is None:
        raise ValueError("YUEKANG_DEAD_LETTER_PUBLIC_KEY is not set; the worker needs it.")
    app = create_app(settings, cluster_id)
    dead_letters = DeadLetters(bytes.fromhex(settings.dead_letter_public_key))
    agents.people.register(app, dead_letters)
    agents.scans.register(app, dead_letters)
    agents.lifts.register(app, dead_letters)
    return app


async def cluster_id(bootstrap: str) -> str:
    """Ask the broker which cluster this is."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        described: dict[str, Any] = await admin.describe_cluster()
        return str(described["cluster_id"])
    finally:
        await admin.close()
