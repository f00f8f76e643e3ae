"""What the process pool is asked to do in its tests; picklable, and without a model."""

from __future__ import annotations

import gc
import hashlib
import os
import signal
import time
from pathlib import Path


def double(number: int) -> int:
    return 2 * number


def pid_of(_: object) -> int:
    return os.getpid()


def raise_value_error(message: str) -> None:
    raise ValueError(message)


def crash(code: int) -> None:
    os._exit(code)


def kill_itself(_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def sleep_and_tell(path: str) -> None:
    """Write our pid, then hang."""
    tell(path)
    time.sleep(120)


def tell(path: str) -> None:
    target = Path(path)
    target.with_suffix(".part").write_text(str(os.getpid()))
    target.with_suffix(".part").rename(target)


def compute_and_tell(path: str) -> None:
    """Write our pid, then be in one call of native code for hours."""
    tell(path)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2_000_000_000)


def die_holding_the_pipe(_: object) -> None:
    """Be killed in the middle of a request or a result."""
    from pebble.pool.channel import WorkerChannel  # noqa: PLC0415

    (channel,) = (one for one in gc.get_objects() if isinstance(one, WorkerChannel))
    channel.mutex.acquire()
    os.kill(os.getpid(), signal.SIGKILL)


def start_in_haste() -> None:
    """The service's own start of a process, without the models, and with little patience for a pipe."""
    from consumer import processes  # noqa: PLC0415  not in the processes of the other tests: it takes seconds

    processes.warm_up = lambda: None
    processes.PIPE_LOCK_SECONDS = 1.0
    processes._start_process()


def start() -> None:
    """In place of the models' warm-up, which costs seconds."""
