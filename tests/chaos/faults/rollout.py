"""A rolling upgrade: a migration under load, then processes of both versions, until the last one is replaced."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from sqlalchemy.exc import SQLAlchemyError

from consumer.exit_codes import ExitCode
from tests.chaos import upgrade
from tests.chaos.faults.processes import UP_SECONDS, terminate
from tests.chaos.rig import pause

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from tests.chaos.fleet import Member
    from tests.chaos.rig import Rig

REFUSED_SECONDS: Final = 15.0
MIGRATION_SECONDS: Final = 45.0


async def rolling_upgrade(rig: Rig, randomness: random.Random, members: Sequence[Member]) -> None:
    early, *_ = order = randomness.sample(members, len(members))
    await _come_too_early(rig, early)
    await _migrate(rig)
    for member in order:
        # Who crashes before its turn comes back as today's version, on the schema of the next.
        await pause(randomness, 1, 2.5)
        async with member.lock:
            member.environment[upgrade.VARIABLE] = upgrade.NEXT
            await terminate(rig, member, "rolling upgrade")
            await member.up(UP_SECONDS)


async def _come_too_early(rig: Rig, member: Member) -> None:
    """A process of the next version on today's schema does nothing and leaves with a code of its own."""
    async with member.lock:
        member.held_down = True
        try:
            await member.kill()
            member.wishes = {upgrade.VARIABLE: upgrade.NEXT}
            await member.start()
            code = await member.ended(REFUSED_SECONDS)
            rig.history.write("too_early", member=member.name, code=code)
            assert code in (ExitCode.SCHEMA, None), f"the next version left with {code} on today's schema"
            assert not member.is_up, "the next version works on today's schema"
            await member.kill()
        finally:
            member.held_down = False


async def _migrate(rig: Rig) -> None:
    """Whoever migrates tries again while the database is away or busy."""
    deadline = time.monotonic() + MIGRATION_SECONDS
    while True:
        try:
            async with asyncio.timeout(10):
                return await upgrade.migrate(rig.url)
        except (OSError, TimeoutError, SQLAlchemyError) as error:
            rig.history.write("migration_postponed", error=repr(error))
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(0.5)
