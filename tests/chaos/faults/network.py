"""What a proxy can do to the connections through it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.chaos.rig import pause

if TYPE_CHECKING:
    import random

    from tests.chaos.proxy import Mode, Proxy


async def resets(proxy: Proxy, randomness: random.Random) -> None:
    """All connections, a few times."""
    for _ in range(randomness.randint(1, 4)):
        proxy.reset()
        await pause(randomness, 0.1, 0.8)


async def cut(proxy: Proxy, mode: Mode, randomness: random.Random) -> None:
    """For some seconds; then what was under way arrives late, or never."""
    proxy.cut(mode)
    try:
        await pause(randomness, 1, 6)
    finally:
        proxy.heal(deliver=randomness.random() < 0.5)


async def halve(proxy: Proxy, randomness: random.Random) -> None:
    """Some answers end in the middle."""
    for _ in range(3):
        proxy.halved = randomness.randint(1, 4)
        await pause(randomness, 0.3, 1)
    proxy.halved = 0


async def slow(proxy: Proxy, randomness: random.Random) -> None:
    """Every block takes its time."""
    proxy.delay = randomness.uniform(0.03, 0.15)
    try:
        await asyncio.sleep(4)
    finally:
        proxy.delay = 0.0
