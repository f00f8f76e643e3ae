"""Deaths at the named failpoints, each in a process that is led there."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import asyncpg

from consumer.failpoints import FAILPOINTS, LOG_VARIABLE, VARIABLE, Failpoint
from tests.chaos.faults.processes import UP_SECONDS, wait_for_job
from tests.chaos.rig import ROLE_OF
from tests.e2e.rows import scalar

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.chaos.fleet import Member
    from tests.chaos.rig import Rig

REACH_SECONDS: Final = 30.0  # a server may be away just then
MOST_HITS: Final = 3
_ACTIVE_RELAY: Final = "SELECT owner FROM forecast_consumer.role_lease WHERE role = 'relay'"


def order_of(seed: int) -> tuple[Failpoint, ...]:
    """The round that a seed makes of all failpoints."""
    return tuple(random.Random(f"{seed} failpoints").sample(FAILPOINTS, len(FAILPOINTS)))


@dataclass(slots=True)
class Aims:
    """Which failpoint is next: round robin in the seed's order, those that were not reached yet before the others."""

    order: tuple[Failpoint, ...]
    tried: Counter[str] = field(default_factory=Counter)

    def next(self, roles: Iterable[str], reached: Counter[str], under_way: str = "") -> tuple[Failpoint, bool]:
        """One that these roles come to, and whether it was reached before."""
        possible = [name for name in self.order if ROLE_OF[name] in roles]
        name = min(possible, key=lambda name: (name == under_way, reached[name] > 0, self.tried[name]))
        self.tried[name] += 1
        return name, reached[name] > 0


def reached(members: Sequence[Member]) -> Counter[str]:
    """How often a process died at each."""
    return Counter(name for member in members for name in member.reached())


async def failpoint(rig: Rig, randomness: random.Random, members: Sequence[Member]) -> None:
    """A life that ends at a failpoint; the next life has the next one already, so that no life is spent in vain."""
    member = members[0]
    async with member.lock:
        before = len(member.reached())
        if not member.failpoint:
            _wish(rig, randomness, member)
            await member.kill()
            await member.until(lambda: member.failpoint or len(member.reached()) > before, UP_SECONDS)
        name = member.failpoint
        _wish(rig, randomness, member)
        hit = await _led_to(rig, member, name, before)
        rig.history.write("failpoint", point=name, member=member.name, reached=hit)
        if not hit:
            await member.kill()


def _wish(rig: Rig, randomness: random.Random, member: Member) -> None:
    name, again = rig.aims.next(member.roles, reached(rig.fleet.members), member.failpoint)
    hits = randomness.randint(1, MOST_HITS) if again and name != "in_drain" else 1
    member.wishes = {VARIABLE: f"{name}:{hits}", LOG_VARIABLE: str(member.failpoint_log)}


async def _led_to(rig: Rig, member: Member, name: str, before: int) -> bool:
    """Whether it died there. The load leads to most; a stop, or the lease of the relay, must be brought about."""

    def died() -> bool:
        return len(member.reached()) > before

    await member.until(lambda: died() or member.is_up, UP_SECONDS)
    deadline = time.monotonic() + REACH_SECONDS
    while not died() and time.monotonic() < deadline and member.failpoint == name:
        if name == "in_drain":
            await wait_for_job(rig, member, 8)
            member.signal(signal.SIGTERM)
        if name == "before_outbox_delete":
            await _take_from_other_relays(rig, member)
        await member.until(died, 3)
    return died()


async def _take_from_other_relays(rig: Rig, member: Member) -> None:
    """One relay is active; only its death makes this one take over."""
    with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
        async with asyncio.timeout(2):
            owner = str(await scalar(rig.url, _ACTIVE_RELAY)).partition("-")[0]
            for other in rig.fleet.with_role("relay"):
                if other is not member and other.name == owner and not other.lock.locked():
                    async with other.lock:
                        await other.kill()
