"""SIGTERM and SIGINT become an event; if closing then hangs, a thread ends the process."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from consumer.exit_codes import ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
UNWIND_SECONDS: Final = 0.3


@contextmanager
def stop_on_signals(force_after_seconds: float, leave: Callable[[int], object] = os._exit) -> Iterator[asyncio.Event]:
    """Give an event that the first signal sets; after it the process ends in time, by force if need be.

    A thread keeps that promise, because what hangs may be the event loop itself: closing a connection to a frozen
    server can wait for ever. It keeps it also behind the block, where asyncio waits for what it still has to cancel.
    """
    loop, stopping = asyncio.get_running_loop(), asyncio.Event()
    timer = threading.Timer(force_after_seconds, leave, args=(ExitCode.STUCK,))
    timer.daemon = True

    def stop() -> None:
        if not stopping.is_set():
            stopping.set()
            timer.start()

    for number in SIGNALS:
        loop.add_signal_handler(number, stop)
    try:
        yield stopping
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)


async def leave_tasks_behind(code: ExitCode, leave: Callable[[int], object] = os._exit) -> None:
    """Cancel every other task of this loop; what still clings to a dead connection then does not delay the end.

    ``asyncio.run`` would wait for all of them, without a bound. Call it when everything that has an owner is closed.
    """
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    if others and (await asyncio.wait(others, timeout=UNWIND_SECONDS))[1]:
        sys.stdout.flush()
        sys.stderr.flush()
        leave(code)
