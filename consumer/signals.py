"""SIGTERM and SIGINT become an event; if closing then hangs, a thread ends the process."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from consumer.exit_codes import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def stop_on_signals(force_after_seconds: float) -> Iterator[asyncio.Event]:
    """Give an event that the first signal sets; the process ends by force if the block has not ended in time.

    A thread keeps that promise, because what hangs may be the event loop itself: closing a connection to a frozen
    server can wait for ever.
    """
    loop, stopping = asyncio.get_running_loop(), asyncio.Event()
    timer = threading.Timer(force_after_seconds, os._exit, args=(ExitCode.STUCK,))
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
        timer.cancel()
        for number in SIGNALS:
            loop.remove_signal_handler(number)
