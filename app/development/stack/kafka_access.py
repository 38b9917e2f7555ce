"""What a closed Kafka needs before processes start: topics, users and their rights.

In containers: `python -m app.development.stack.kafka_access`, as the super user. `KAFKA_USERS` has
the users there (`app.development.secrets`).
"""

import asyncio
import os
from collections.abc import Mapping

from app.access.acls import create, delete, differing, read
from app.access.passwords import set_passwords
from app.access.rights import PROCESSES, principal_of, rights_of
from app.process.kafka import Brokers
from app.process.settings import Settings
from app.topics.admin import create_topics


async def close_kafka(brokers: Brokers, passwords: Mapping[str, str]) -> None:
    """Make topics, users and their rights, as this release has them; raise a `KafkaError`."""
    await create_topics(brokers)
    await set_passwords(brokers, passwords)
    wanted = {principal_of(process): rights_of(process) for process in PROCESSES}
    found = differing(wanted, await read(brokers))
    await create(brokers, found.missing)
    # Those of a release before; what somebody else was given by hand stays.
    await delete(brokers, [acl for acl in found.too_many if acl.principal in wanted])


if __name__ == "__main__":
    users = dict(each.split("=", 1) for each in os.environ["KAFKA_USERS"].split(","))
    asyncio.run(close_kafka(Settings.from_environment().brokers, users))
