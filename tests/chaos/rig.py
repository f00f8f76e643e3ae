"""What every fault works on."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from consumer.failpoints import FAILPOINTS, Failpoint

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from tests.chaos.fleet import Fleet, Member
    from tests.chaos.history import History
    from tests.chaos.servers import Servers
    from tests.support.topics import Topics

LEASE_SECONDS: Final = 3.0
GRACE_SECONDS: Final = 6.0
LEAVE_SECONDS: Final = GRACE_SECONDS + 2.0  # the promise: gone two seconds after the grace
CHUNK_SECONDS: Final = 12.0
SLACK_SECONDS: Final = 1.0  # of a machine that has more processes than cores

ROLE_OF: Final[dict[Failpoint, str]] = {
    name: "relay"
    if "outbox" in name
    else "intake"
    if "inbox" in name or "offset" in name or "rebalance" in name
    else "worker"
    for name in FAILPOINTS
}


@dataclass(slots=True)
class Rig:
    """The servers, the service and what was seen.

    Attributes:
        url: The database, reached directly.
        reached: How often a process died at each failpoint.
    """

    servers: Servers
    fleet: Fleet
    topics: Topics
    history: History
    url: str
    reached: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)

    def next_failpoint(self, members: Sequence[Member], randomness: random.Random) -> Failpoint:
        """The one that was reached least often, of those that these members can reach."""
        roles = {role for member in members for role in member.roles}
        possible = [name for name in FAILPOINTS if ROLE_OF[name] in roles]
        randomness.shuffle(possible)
        return min(possible, key=lambda name: 2 * self.reached[name] + self.missed[name])


Fault = "Callable[[Rig, random.Random, Sequence[Member]], Awaitable[None]]"


async def pause(randomness: random.Random, low: float, high: float) -> None:
    await asyncio.sleep(randomness.uniform(low, high))
