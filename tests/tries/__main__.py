"""The command line of the tries; see the package."""

import argparse
import asyncio
import secrets
import shutil
import time
from pathlib import Path
from random import Random

from app.development.stack.redis_server import RedisServer
from app.process.ports import free_port
from support.brokers import Kafka, shared_broker
from support.redis_users import give_users
from tries.attack import attack
from tries.stage import opened

ROOT = Path(__file__).parents[2]
DIRECTORY = ROOT / ".run" / "tries"
PEOPLE = 400


def main() -> int:
    """Try, and print a table; return 1 if any try had an effect or no account."""
    parser = argparse.ArgumentParser(prog="tries", description="Tries that must have no effect.")
    parser.add_argument("--tries", type=int, default=10_000)
    parser.add_argument("--seed", default="", help="what tries are drawn from; else a new one")
    parser.add_argument("--directory", type=Path, default=DIRECTORY)
    asked = parser.parse_args()
    seed = asked.seed or secrets.token_hex(4)
    shutil.rmtree(asked.directory, ignore_errors=True)
    asked.directory.mkdir(parents=True)
    return asyncio.run(_run(asked.tries, seed, asked.directory))


async def _run(tries: int, seed: str, directory: Path) -> int:
    begun = time.monotonic()
    brokers, let_go = await asyncio.to_thread(shared_broker, directory / "broker")
    redis = RedisServer(directory / "redis", free_port())
    redis.start()
    try:
        await asyncio.to_thread(redis.wait_ready)
        give_users(redis.url)
        kafka = Kafka(brokers, "tries-")
        await kafka.create_topics()
        async with opened(kafka, redis.url, directory) as stage:
            found = await attack(stage, tries, PEOPLE, Random(seed))
    finally:
        redis.stop()
        await asyncio.to_thread(let_go)
    print("\n".join(found.lines()))
    print(
        f"\nSeed {seed}: {found.tries:,} tries, {len(found.wrong)} wrong, "
        f"in {time.monotonic() - begun:.0f} s."
    )
    for what in found.wrong[:50]:
        print(f"    {what}")
    return int(bool(found.wrong))


if __name__ == "__main__":
    raise SystemExit(main())
