"""What the process pool is asked to do in its tests; picklable, and without a model."""

from __future__ import annotations

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
    """Write our pid, then hang as a model in native code would."""
    target = Path(path)
    target.with_suffix(".part").write_text(str(os.getpid()))
    target.with_suffix(".part").rename(target)
    time.sleep(120)


def start() -> None:
    """In place of the models' warm-up, which costs seconds."""
