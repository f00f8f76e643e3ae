"""What every fault works on."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from consumer.failpoints import FAILPOINTS, Failpoint

if TYPE_CHECKING:
    import random

    from tests.chaos.faults.failpoints import Aims
    from tests.chaos.fleet import Fleet
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
        aims: Which failpoint a process is led to next.
        forced: Ends by force that nothing excused.
        queued: Commands that have not ended, as they were last counted.
    """

    servers: Servers
    fleet: Fleet
    topics: Topics
    history: History
    url: str
    aims: Aims
    forced: list[str] = field(default_factory=list)
    queued: int = 0


async def pause(randomness: random.Random, low: float, high: float) -> None:
    await asyncio.sleep(randomness.uniform(low, high))
