"""Progress inside a step that has no chunks: told at most once a second, and a look whether we still have the lease."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from consumer.execution.run import Run
    from consumer.steps import Step

PROGRESS_SECONDS: Final = 1.0  # progress inside a step is sent at most this often


class Progress:
    """Counts units of work of one attempt and estimates what is left; without a step it tells nobody."""

    def __init__(self, run: Run, step: Step | None, total: int) -> None:
        self._run = run
        self._step = step
        self._total = total
        self._done = 0
        self._began = self._told = run.clock.monotonic()

    async def advance(self, units: int) -> None:
        """Count units; tell subscribers if that is due.

        Raises:
            LeaseLostError: Another process has the execution: nothing more needs to be computed here.
        """
        self._done += units
        now = self._run.clock.monotonic()
        if self._step is None or now - self._told < PROGRESS_SECONDS:
            return
        self._told = now
        left = round((now - self._began) / self._done * max(self._total - self._done, 0), 1)
        async with self._run.queue.fenced(self._run.claim.lease) as work:
            work.execution.report(self._step, self._run.clock.now(), left)
