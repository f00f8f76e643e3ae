"""How late the event loop is: a timer that measures how much later than asked it was called."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

    from consumer.clock import Clock

INTERVAL_SECONDS: Final = 0.05


class LoopLagMeter:
    """Hands each lag in seconds to ``observe`` and logs those above the warning; ``worst`` keeps the largest."""

    def __init__(
        self,
        clock: Clock,
        observe: Callable[[float], None],
        warning_seconds: float,
        log: FilteringBoundLogger,
    ) -> None:
        self._clock = clock
        self._observe = observe
        self._warning = warning_seconds
        self._log = log
        self.worst = 0.0
        self.last_turn = clock.monotonic()

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            await self.run_once()

    async def run_once(self) -> float:
        """One measurement, in seconds."""
        asked = self._clock.monotonic() + INTERVAL_SECONDS
        await asyncio.sleep(INTERVAL_SECONDS)
        self.last_turn = self._clock.monotonic()
        lag = max(0.0, self.last_turn - asked)
        self.worst = max(self.worst, lag)
        self._observe(lag)
        if lag > self._warning:
            self._log.warning("event_loop_late", seconds=round(lag, 3))
        return lag
